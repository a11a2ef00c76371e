"""The policy of a step, once for every front end: the order of its checks, scale, norm, clip, what is not finite, the
average, zeroing, undo, counting.

Owns what happens between "these gradients" and "the step is made and counted", and what of it lasts (`skipped`,
`grad_norm`, the copy for undo). Knows no array library: a front end gives its tensors as Tensors, and converts. A front
end whose tensors are shared by several processes gives the sum over them.

Design:
  a) An attempt either makes the whole step or changes nothing and says so. The front end then converts what the kernels
     did not take, or raises an error that names it, and tries once more. So the usual step looks for no explanation.
  b) Order: what may raise (settings, schedules) first; then whether every gradient is usable, where a refusal would
     come too late otherwise; then sums, which all processes wait for; then copies; then the walks.
  c) Gradients are scaled and clipped by one factor of the walk, computed in double and rounded once with the rule's
     scalars: norm = sqrt(sum of squares) / grad_scale, factor = min(1, max_norm / (norm + 1e-6)) / grad_scale.
"""
from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

from optcore.rules.settings import FLOAT32_MAX, number
from optcore.step.options import AVERAGE, Ask
from optcore.step.share import Call, Meant, Share, scaled, together, usable

LEAST = 2.0 ** -149             # of float32
INFINITY = math.inf


class Tensors:
    """What a step works on, as a front end lays it out. The front end's own class adds its arrays."""

    shares: Sequence[Share]
    among: Sequence[Hashable] | None = None     # for each tensor, which processes have parts of it; None: nobody else
    careful = False             # whether every gradient must be known to be usable before anything is done

    def sum_over(self, total: float, among: Hashable) -> float:
        """The sum of a number over the processes that `among` names, the same bits in each of them."""
        return total

    def copy(self, last: Any, grads: list[Any]) -> Any:
        """Copies of all that a step with these gradients writes, with the counts of steps; `last`, from before, may be
        written over."""
        raise NotImplementedError

    def ready(self, calls: list[Call], meant: Meant, grads: list[Any], threads: int, seed: int) -> None:
        """Called with what the shares' steps are made with, before the first change; may be called again if a gradient
        turns out not to be usable."""

    def begin(self, grads: list[Any]) -> None:
        """Where it is `careful`: called when nothing will be refused any more, before the first change."""


def squares(tensors: Tensors, grads: list[Any], threads: int) -> float | None:
    """The sum of squares of all gradients, of every process's part; None if one is not usable as it stands."""
    if tensors.among is None:
        return _squares_here(tensors, grads, threads)
    totals: dict[Hashable, float] = {}
    for among in dict.fromkeys(tensors.among):
        total = _squares_here(tensors, [
            g if x == among else None for g, x in zip(grads, tensors.among, strict=True)], threads)
        if total is None:
            return None                             # before any process waits for the others
        totals[among] = total
    return math.fsum(tensors.sum_over(total, among) for among, total in totals.items())


def _squares_here(tensors: Tensors, grads: list[Any], threads: int) -> float | None:
    sums = [share.squares(grads, threads) for share in tensors.shares]
    return None if None in sums else math.fsum(sums)        # type: ignore[arg-type]


class Policy:
    """The part of an optimizer that makes its steps. A front end's class is this and more."""

    nonfinite: str
    skipped: int                                    # steps left out for an infinity or NaN
    grad_norm: float | None                         # of the last step that needed it
    _before: Any                                    # what undo() needs

    # What a front end gives.

    def _clear(self, grads: list[Any]) -> None:
        """Set gradients to zero."""
        raise NotImplementedError

    def _refuse_nonfinite(self, tensors: Any, grads: list[Any]) -> None:
        """Raise the FloatingPointError that names the first infinity or NaN."""
        raise NotImplementedError

    def _restore(self, before: Any) -> None:
        """Take back what `Tensors.copy` has copied."""
        raise NotImplementedError

    def _attempt(self, tensors: Tensors, meant: Meant, grads: list[Any], ask: Ask, threads: int, seed: int,
                 average: Any, given: list[Any] | None = None) -> int:
        """Make the step with gradients that may be usable, as asked. Returns how many tensors took part, 0 if the step
        is skipped; -1, with nothing changed, if a gradient is not usable as it stands. given: the gradients as the
        caller has them, where `grads` are conversions of them."""
        _, max_norm, clip_value, scale, clear, undoable = ask
        if scale is not None and not (scale > 0 and LEAST <= 1.0 / scale <= FLOAT32_MAX):
            raise ValueError(f"grad_scale={scale!r}: 1 / grad_scale is no float32")
        # Schedules are asked here, so that what they raise comes before any change. They go by the optimizer's own
        # count: the most steps that one of its tensors has taken.
        shares = tensors.shares
        alone = len(shares) == 1
        now = 0 if alone and average is None else 1 + max([share.latest() for share in shares], default=0)
        calls = [share.call(meant, grads, now) for share in shares]
        if average is not None:
            towards = weight(average, now)
            calls = [([(*block, towards) for block in blocks], which) for blocks, which in calls]
        zero_grads = clear and alone                # what one walk clears, the next one may have to read
        measured = max_norm is not None or self.nonfinite != "propagate"
        if (tensors.careful or undoable or measured and tensors.among is not None
                or clear and (not alone or self.nonfinite == "skip")) and not usable(shares, grads, clear):
            return -1
        factor = 1.0
        if measured:
            total = squares(tensors, grads, threads)
            if total is None:
                return -1
            norm = math.sqrt(total)
            self.grad_norm = norm = norm if scale is None else norm / scale
            if not math.isfinite(norm) and self.nonfinite != "propagate":
                if self.nonfinite == "raise":
                    self._refuse_nonfinite(tensors, grads if given is None else given)
                self._skip(grads if given is None else given, clear)
                return 0
            if max_norm is not None and max_norm != math.inf:
                ratio = max_norm / (norm + 1e-6)
                factor = 1.0 if ratio > 1.0 else ratio          # not min(): a NaN reaches every parameter
        if scale is not None:
            factor /= scale
        if factor != 1.0:
            calls = [(scaled(blocks, factor), which) for blocks, which in calls]
        if tensors.careful:
            tensors.begin(grads)
        tensors.ready(calls, meant, grads, threads, seed)
        last, self._before = self._before, None     # what is kept of the last step may be written over
        if undoable:
            self._before = tensors.copy(last, grads)
        if clip_value is None:
            clip_value = INFINITY
        done = (shares[0].step(calls[0], grads, threads, seed, zero_grads, clip_value) if alone
                else together(shares, calls, grads, threads, seed, zero_grads, clip_value))
        if done < 0:
            self._before = last
            return -1
        if clear and (given is not None or not zero_grads):
            self._clear([g for k, g in enumerate(grads if given is None else given)
                         if g is not None and not (zero_grads and g is grads[k])])
        return done

    def _skip(self, grads: list[Any], zero_grads: bool) -> None:
        self.skipped += 1
        self._before = None                         # undo() takes back the last step asked for, not one before it
        if zero_grads:
            self._clear([g for g in grads if g is not None])

    def undo(self) -> None:
        """Take back the last step, to the bit: parameters, state and counts are what they were before it.

        Raises RuntimeError if the last step was not made with undoable=True, or has been taken back.
        """
        if self._before is None:
            raise RuntimeError("undo: the last step was not made with undoable=True, or has been taken back")
        self._restore(self._before)
        self._before = None


def weight(average: Any, step: int) -> float:
    """How far the average moves towards the parameters at a step; `average` is the option of that name."""
    return 0.0 if average is None else 1.0 - number(AVERAGE, average, step)
