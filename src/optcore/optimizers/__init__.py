"""The optimizer classes, made from the table."""
from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from optcore import _kernels
from optcore.formats import decode8
from optcore.optimizers.base import Optimizer
from optcore.rules import FAMILIES, RULES, Family


class _Lookahead(Optimizer):
    """Adds the way to the point at which the gradient is to be taken, by the rule that the family names for it."""

    _ahead = False

    @contextmanager
    def lookahead(self) -> Iterator[None]:
        """Within it the parameters are p + momentum * velocity; after it they are what they were, to the bit.

            with opt.lookahead():
                grads = gradient(params)
            opt.step(grads)
        """
        if self._ahead:
            raise RuntimeError("lookahead() is already entered")
        meaning = [self.family.pick(group)[0] for group in self.param_groups]
        coming = self._coming(meaning)
        for k, t in set(coming):
            self._scalars(self.param_groups[k], t)
        if meaning != self._meaning:
            self._prepare(meaning)
        rule, mover = RULES[self.family.rules[0]], RULES[self.family.ahead]
        rows = [self._row(i, rule, {}) for i in range(len(self._params))]
        ahead = [(row[0], np.empty(p.shape, np.float32), row[2], row[3], None)
                 for row, p in zip(rows, self._params, strict=True)]
        met = list(dict.fromkeys(coming))
        blocks = [(t, mover.scalars(t, *(self.param_groups[k][s.name] for s in mover.all_settings))) for k, t in met]
        which = [met.index(x) for x in coming]
        plan = _kernels.Plan(_kernels.rule_index(mover.kernel), ahead, which, True)
        velocity = [decode8(v, p.size, nonnegative=False).reshape(p.shape) if v.dtype == np.uint8 else v
                    for v, p in zip((s[rule.keys[0]] for s in self._state), self._params, strict=True)]
        moved = [a for row in rows for a in (row[0], *row[2:4]) if a is not None]
        before = [a.copy() for a in moved]
        plan.step(velocity, blocks, which)
        self._ahead = True
        try:
            yield
        finally:
            for a, was in zip(moved, before, strict=True):
                a[...] = was
            self._ahead = False

    def step(self, grads: Any, **options: Any) -> None:
        if self._ahead:
            raise RuntimeError("step() inside lookahead(): leave it first, so that the parameters are back")
        super().step(grads, **options)


_Lookahead.step.__signature__ = inspect.signature(Optimizer.step)       # type: ignore[attr-defined]
_Lookahead.step.__doc__ = Optimizer.step.__doc__


def _docstring(family: Family) -> str:
    settings = ", ".join(f"{k}={v!r}" for k, v in family.settings.items())
    return f"""{family.title}.{family.remarks}

    {family.name}(params, {settings}, *, state_dtype="float32", seed=0, nonfinite="propagate",
    {' ' * len(family.name)} rounding="stochastic", average=None)

Parameters
    params: an array, a list of arrays, a dict of arrays, or a list of groups {{"params": ..., setting: value}};
        float32 or bfloat16 (ml_dtypes, or its bits as uint16), C-contiguous, NumPy or anything with the buffer
        protocol, __array_interface__ or CPU DLPack. Updated in place by `step`, never copied.
    state_dtype: "float32"; "bfloat16" for half the memory and less traffic (kept as uint16); "int8" for a quarter
        (8-bit codes, 257 bytes for 256 elements; tensors of fewer than 4096 elements, and a maximum, an average of
        parameters or a step size, stay float32). Both are rounded stochastically. Where state arrays shall differ, a
        dict such as {{"{next(iter(family.keys()), "momentum_buffer")}": "bfloat16"}}.
    seed: fixes, with the tensor's number and the step, the noise of all rounding.
    nonfinite: what a step does when a gradient has an infinity or NaN: "propagate" it, "skip" the step (nothing
        changes, but `skipped` counts it), or "raise" FloatingPointError. Other than "propagate" reads the gradients
        once more.
    rounding: how parameters in bfloat16 are kept: rounded "stochastic"ally or to "nearest" (which loses updates below
        2^-9 of a parameter), with what they lack in a bfloat16 array beside them ("kahan", state "compensation"), or
        as copies of a float32 "master" (state "master"), which is what is updated; float16 can be this as well.
    average: keep a moving average of the parameters, average <- average + (1 - average)(p - average), in the same
        pass: a number from 0 up to 1, such as 0.999; see `averages`.
    the others: names, meaning and defaults of torch.optim where it has them; they may be changed between steps in
        `param_groups`, and a number may be a function of the step (see optcore.schedules).

    >>> import numpy as np, optcore as oc
    >>> w = np.ones(3, np.float32)
    >>> opt = oc.{family.name}([w], lr=0.1)
    >>> opt.step([np.full(3, 0.5, np.float32)])
    >>> bool((w < 1).all())
    True
"""


def _make_class(family: Family) -> type[Optimizer]:
    arguments = ", ".join(f"{k}={v!r}" for k, v in family.settings.items())
    scope: dict[str, Any] = {}
    settings = ", ".join(f"{k}={k}" for k in family.settings)
    exec(f"def __init__(self, params, {arguments}, *, state_dtype='float32', seed=0, "
         "nonfinite='propagate', rounding='stochastic', average=None):\n"
         f"    self._set_up(params, dict({settings}), state_dtype, seed, nonfinite, rounding, average)\n", scope)
    init = scope["__init__"]
    init.__qualname__ = f"{family.name}.__init__"
    init.__module__ = __name__
    base = _Lookahead if family.ahead else Optimizer
    return type(family.name, (base,), {
        "family": family, "__init__": init, "__doc__": _docstring(family), "__module__": __name__})


for _family in FAMILIES.values():
    globals()[_family.name] = _make_class(_family)
del _family

__all__ = ["Optimizer", *FAMILIES]
