"""The optimizer classes, made from the table."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from optcore import _kernels
from optcore._optimizer import Optimizer
from optcore._specs import FAMILIES, RULES, Family


class _Lookahead(Optimizer):
    """Adds the way to the point at which classical Nesterov takes its gradient."""

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
        for number, t in set(coming):
            self._scalars(self.param_groups[number], t)
        if meaning != self._meaning:
            self._prepare(meaning)
        saved = [np.empty_like(p) for p in self._params]
        met = list(dict.fromkeys(coming))
        blocks = [(t, RULES["lookahead"].scalars(t, self.param_groups[number]["momentum"])) for number, t in met]
        which = [met.index(x) for x in coming]
        plan = _kernels.Plan(_kernels.rule_index("Lookahead"), list(zip(self._params, saved, strict=True)),
                             which)
        plan.step([s["velocity"] for s in self._state], blocks, which)
        self._ahead = True
        try:
            yield
        finally:
            for p, before in zip(self._params, saved, strict=True):
                p[...] = before
            self._ahead = False

    def step(self, grads: Any, *, num_threads: int | None = None, max_norm: float | None = None,
             zero_grads: bool = False, undoable: bool = False) -> None:
        if self._ahead:
            raise RuntimeError("step() inside lookahead(): leave it first, so that the parameters are back")
        super().step(grads, num_threads=num_threads, max_norm=max_norm, zero_grads=zero_grads, undoable=undoable)


_Lookahead.step.__doc__ = Optimizer.step.__doc__


def _docstring(family: Family) -> str:
    settings = ", ".join(f"{k}={v!r}" for k, v in family.settings.items())
    return f"""{family.title}.

    {family.name}(params, {settings}, *, state_dtype="float32", seed=0, nonfinite="propagate")

Parameters
    params: an array, a list of arrays, a dict of arrays, or a list of groups {{"params": ..., setting: value}};
        float32, C-contiguous, NumPy or anything with the buffer protocol, __array_interface__ or CPU DLPack.
        Updated in place by `step`, never copied.
    state_dtype: "float32", or "bfloat16" for half the memory and less traffic (rounded stochastically, kept as
        uint16); where state arrays shall differ, a dict such as {{"{next(iter(family.keys()))}": "bfloat16"}}.
    seed: fixes, with the tensor's number and the step, that rounding's noise.
    nonfinite: what a step does when a gradient has an infinity or NaN: "propagate" it, "skip" the step (nothing
        changes, but `skipped` counts it), or "raise" FloatingPointError. Other than "propagate" reads the gradients
        once more.
    the others: names, meaning and defaults of torch.optim; they may be changed between steps in `param_groups`,
        and a number may be a function of the step (see optcore.schedules).

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
         "nonfinite='propagate'):\n"
         f"    self._set_up(params, dict({settings}), state_dtype, seed, nonfinite)\n", scope)
    init = scope["__init__"]
    init.__qualname__ = f"{family.name}.__init__"
    init.__module__ = __name__
    base = _Lookahead if family.name == "NesterovClassical" else Optimizer
    return type(family.name, (base,), {
        "family": family, "__init__": init, "__doc__": _docstring(family), "__module__": __name__})


for _family in FAMILIES.values():
    globals()[_family.name] = _make_class(_family)
del _family

__all__ = ["Optimizer", *FAMILIES]
