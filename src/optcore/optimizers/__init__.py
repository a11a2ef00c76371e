"""The optimizer classes, made from the families of rules/."""
from __future__ import annotations

from typing import Any

from optcore.optimizers.base import Optimizer
from optcore.optimizers.lookahead import LookaheadOptimizer
from optcore.rules import FAMILIES, Family
from optcore.step.options import CLASS, options
from optcore.step.signatures import constructor, first_key, paragraphs


def _docstring(family: Family) -> str:
    settings = ", ".join(f"{k}={v!r}" for k, v in family.settings.items())
    extras = ", ".join(f"{name}={o.default!r}" for name, o in options(CLASS).items())
    return f"""{family.title}.{family.remarks}

    {family.name}(params, {settings}, *,
    {' ' * len(family.name)} {extras})

Parameters
    params: an array, a list of arrays, a dict of arrays, or a list of groups {{"params": ..., setting: value}};
        float32, float64, complex (stepped as pairs of real numbers) or bfloat16 (ml_dtypes, or its bits as uint16),
        in any order of memory without holes, NumPy or anything with the buffer protocol, __array_interface__ or
        CPU DLPack. Updated in place by `step`, never copied.
{paragraphs(CLASS, first_key(family))}
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
    base = LookaheadOptimizer if family.ahead else Optimizer
    members: dict[str, Any] = {"family": family, "__init__": constructor(family, __name__),
                               "__doc__": _docstring(family), "__module__": __name__}
    return type(family.name, (base,), members)


for _family in FAMILIES.values():
    globals()[_family.name] = _make_class(_family)
del _family

__all__ = ["Optimizer", *FAMILIES]
