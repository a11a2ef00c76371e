"""What all optimizer classes share: parameter groups, settings, one walk over all tensors a step.

Owns the interface. Arrays and state are layout.py's, the order of a step policy.py's; which rule a group means and its
scalars come from rules/, the walk from the kernels. A step checks everything before its first change.
"""
from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from optcore.optimizers.layout import Copies, Layout
from optcore.optimizers.saved import Saved
from optcore.rules.settings import MOST_SEED, explain, whole
from optcore.step import arrays as _arrays
from optcore.step import gradients as _gradients
from optcore.step import threads as _threads
from optcore.step.options import CLASS, PLAIN, STEP, asked, check, options
from optcore.step.policy import Policy, weight
from optcore.step.rows import Rows
from optcore.step.share import scalars_at
from optcore.step.signatures import paragraphs
from optcore.step.state import OF_GROUP


class Optimizer(Saved, Policy):
    """What all optimizer classes share. Not used by itself; see optcore.Adam and its siblings."""

    _before: Copies | None

    def _set_up(self, params: Any, settings: dict[str, Any], given: dict[str, Any]) -> None:
        check(CLASS, given)
        self.defaults = settings
        self.nonfinite = given["nonfinite"]
        self._average = given["average"]
        self._seed = whole("seed", given["seed"], 0, MOST_SEED)
        self.skipped, self.grad_norm, self._before = 0, None, None
        self.param_groups: list[dict[str, Any]] = []
        self._layout = Layout(self.family, self.param_groups, (given["state_dtype"], given["min_8bit_size"]),
                              given["rounding"], self._average is not None, given["rows"])
        self._turn = self._layout.turn
        groups = params if isinstance(params, (list, tuple)) and params and all(
            isinstance(g, Mapping) and "params" in g for g in params) else [{"params": params}]
        for group in groups:
            self.add_param_group(group)
        if not self._layout.params and groups[0]["params"] is params:
            raise ValueError("params: it is empty")

    def __repr__(self) -> str:
        first, *others = self.param_groups
        settings = ", ".join(f"{k}={first[k]!r}" if all(g[k] == first[k] for g in others) else f"{k} by group"
                             for k in self.defaults)
        params = self._layout.params
        return (f"{type(self).__name__}({settings}): {len(params)} tensors, {sum(p.size for p in params)} parameters, "
                f"{len(self.param_groups)} groups")

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters, with settings of their own where they are given.

        group: {"params": array, list of arrays or dict of arrays, setting: value, ...}; state_dtype and min_8bit_size
        are settings too. Parameters are given by name (dicts) in all groups or in none. Raises before anything is
        added.
        """
        settings = {k: v for k, v in group.items() if k != "params"}
        for k in settings:
            if k not in self.defaults and k not in OF_GROUP:
                raise TypeError(f"{k!r} is no setting of {type(self).__name__}; it has "
                                f"{', '.join([*self.defaults, *OF_GROUP])}")
        settings = {**self.defaults, **settings}
        self._scalars(settings, 1)
        with self._turn:
            self._layout.add(group["params"], settings)
            self._before = None

    def _scalars(self, group: Mapping[str, Any], step: int, now: int | None = None) -> tuple[float, ...]:
        """The scalars of a group's rule at a tensor's step, after checking every setting. now: the optimizer's step, by
        which schedules go."""
        explain(group, self.family.domains, now or step)
        name, values = self.family.pick(group)
        return scalars_at(name, values, step, now or step)

    # -------------------------------------------------------------------------------------------- the step

    def step(self, grads: Any, **options: Any) -> None:
        with self._turn:
            ask = asked(options) if options else PLAIN
            layout = self._layout
            if not layout.turn.unchanged():
                layout.look()
            flat = layout.flat(grads)
            threads = 0 if ask.num_threads is None else _threads.checked(ask.num_threads)
            pick = self.family.pick
            try:
                meant = [pick(group) for group in self.param_groups]
            except Exception:
                for group in self.param_groups:     # the same error, or one that names the setting
                    self._scalars(group, 1)
                raise
            meaning = [x[0] for x in meant]
            if not layout.holds(meaning):           # new state is seen from outside: nothing may be refused after it
                layout.agree()
                coming = set(layout.coming(meaning))
                now = 1 + max(layout.steps, default=0)
                for k, t in coming:
                    self._scalars(self.param_groups[k], t, now)
                weight(self._average, now)
                flat = layout.converted(flat, ask.zero_grads)
                layout.prepare(meaning)
            elif ask.zero_grads and len(layout.shares) > 1:
                flat = layout.converted(flat, True)     # no share sees whether another's gradient overlaps its own
            elif layout.unusual:
                flat = layout.as_before(flat, ask.zero_grads)
            if self._attempt(layout, meant, flat, ask, threads, self._seed, self._average) < 0:
                for convert in (layout.one_converted, layout.each_converted, layout.converted):
                    flat = convert(flat, ask.zero_grads)
                    if self._attempt(layout, meant, flat, ask, threads, self._seed, self._average) >= 0:
                        return
                raise AssertionError("the kernels refused gradients that passed every check")

    def catch_up(self, name: Any = None, ids: Any = None, *, num_threads: int | None = None) -> None:
        """Under rows="dense": let rows of parameters be what they are after all steps. Under "lazy" they always are.

        name: the parameter's key, or its number over all groups where they have none; None: all parameters. ids: the
        numbers of its rows, as in optcore.Rows, before they are read (by a forward pass, say); None: all rows, before
        parameters or state are read or saved. `undo` does not go back past it. Raises TypeError or ValueError, naming
        the argument, before anything is changed.
        """
        with self._turn:
            layout, threads = self._layout, 0 if num_threads is None else _threads.checked(num_threads)
            layout.look()
            if name is None and ids is not None:
                raise TypeError("ids: whose rows are meant? give name too")
            chosen = range(len(layout.params)) if name is None else [layout.number_of(name)]
            if layout.behind and layout.meaning is None:
                layout.prepare([self.family.pick(group)[0] for group in self.param_groups])
            for i in chosen:
                layout.catch_up(i, ids, threads, self._seed)
                if i in layout.behind or ids is None:
                    self._before = None

    def undo(self) -> None:
        """Take back the last step, to the bit: parameters, state and counts are what they were before it.

        Raises RuntimeError if the last step was not made with undoable=True, or has been taken back; and beside a step
        in another thread.
        """
        with self._turn:
            super().undo()

    def _clear(self, grads: list[Any]) -> None:
        for g in grads:
            values = g.values if isinstance(g, Rows) else g
            _arrays.view("grads", values, writable=True, formats=_arrays.GRADIENT, order="dense")[...] = 0

    def _refuse_nonfinite(self, tensors: Layout, grads: list[Any]) -> None:
        _gradients.name_nonfinite(tensors.gradient_names(), tensors.converted(grads, False), tensors.params)

    def _restore(self, before: Copies) -> None:
        self._layout.restore(before)

    @property
    def averages(self) -> Any:
        """The moving averages of the parameters, as these were given (a dict, or a list over all groups); float32,
        of float64 parameters float64.

        They begin as the parameters do before the first step. Raises RuntimeError before it, or without average=.
        """
        states = self._layout.state
        if self._average is None or not all("average" in s for s in states):
            raise RuntimeError("averages: there are none before the first step, or without average= at construction")
        return self._layout.as_given([s["average"] for s in states])


Optimizer.step.__signature__ = inspect.Signature([  # type: ignore[attr-defined]
    *(inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ("self", "grads")),
    *(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=o.default) for name, o in options(STEP).items())])
Optimizer.step.__doc__ = f"""Update all parameters in place, in one walk.

grads: as the parameters were given: a dict by the same names, a list in the same order (over all groups), or one array.
None in place of an array leaves that parameter and its state as they are. Keywords:

{paragraphs(STEP)}

Raises TypeError or ValueError, naming the argument, before anything is changed; under nonfinite="raise"
FloatingPointError, naming gradient and index.
"""
