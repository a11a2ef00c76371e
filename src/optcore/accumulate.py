"""Gradients of several micro-batches as one: sums in the parameters' arithmetic, whatever format they come in."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optcore import _kernels
from optcore.rules import RULES
from optcore.rules.settings import explain
from optcore.step import arrays as _arrays
from optcore.step import gradients as _gradients
from optcore.step import threads as _threads
from optcore.step.arrays import Array

_RULE = RULES["accumulate"]


class GradientAccumulator:
    """Sums of gradients, for a step after several micro-batches.

        total <- total + weight g

    params: an array, a list or a dict of arrays, for their shapes and whether they are float64. `grads` then has the
    sums in the same structure, to be given to an optimizer; step(acc.grads, zero_grads=True) also clears them for the
    next round. A gradient in bfloat16 or float16 is added in float32, so a sum keeps 24 bits, not the 8 or 11 of its
    terms. The sums for float64 parameters are float64.

    >>> import numpy as np, optcore as oc
    >>> w = np.ones(3, np.float32)
    >>> acc, opt = oc.GradientAccumulator([w]), oc.SGD([w], lr=0.5)
    >>> for g in (np.full(3, 1, np.float16), np.full(3, 3, np.float16)):
    ...     acc.add([g], weight=0.5)
    >>> opt.step(acc.grads, zero_grads=True)
    >>> w
    array([0., 0., 0.], dtype=float32)
    >>> acc.grads
    [array([0., 0., 0.], dtype=float32)]
    """

    def __init__(self, params: Any) -> None:
        named = params.items() if isinstance(params, Mapping) else (
            [(0, params)] if _arrays.is_array(params) else list(enumerate(params)))
        self._labels = [f"grads[{name!r}]" for name, _ in named]
        totals = [_arrays.sums_for(p) for _, p in named]
        self._totals: list[Array] = totals
        self._plan = _kernels.Plan(_kernels.rule_index(_RULE.kernel), [(a,) for a in totals], list(range(len(totals))))
        self._names = list(params) if isinstance(params, Mapping) else None
        self._single = _arrays.is_array(params)

    @property
    def grads(self) -> Any:
        """The sums, float32 (of float64 parameters float64), as the parameters were given; they are this object's own
        arrays."""
        if self._names is not None:
            return dict(zip(self._names, self._totals, strict=True))
        return self._totals[0] if self._single else list(self._totals)

    def add(self, grads: Any, *, weight: float = 1.0, num_threads: int | None = None) -> None:
        """Add weight * grads to the sums, in one walk. grads: as the parameters were given; float32, float64,
        bfloat16 or float16; None adds nothing.

        Raises TypeError or ValueError, naming the argument, before anything is changed.
        """
        explain({"weight": weight}, _RULE.settings)
        threads = 0 if num_threads is None else _threads.checked(num_threads)
        if self._names is not None:
            if not isinstance(grads, Mapping) or grads.keys() != set(self._names):
                raise ValueError(f"grads: a dict with the keys {', '.join(map(repr, self._names))} is needed")
            flat = [grads[name] for name in self._names]
        else:
            flat = [grads] if self._single else list(grads)
        if len(flat) != len(self._totals):
            raise ValueError(f"grads: {len(self._totals)} are needed, got {len(flat)}")
        call = [(1, _RULE.scalars(1, weight))], [0] * len(flat)
        if self._plan.step(call, flat, threads) < 0:
            written = _arrays.intervals(["the sums"] * len(flat), self._totals)
            flat = [None if g is None else _gradients.gradient(label, g, "the parameter", a, written)
                    for label, g, a in zip(self._labels, flat, self._totals, strict=True)]
            self._plan.step(call, flat, threads)

    def clear(self) -> None:
        """Set the sums to zero."""
        for a in self._totals:
            a[...] = 0
