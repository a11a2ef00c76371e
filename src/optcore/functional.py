"""The update rules as functions over arrays: checks, scalars, one kernel call.

Each is made from its row in rules/, takes (p, g, state...) and changes all but g in place. The same names with the same
signatures stand in optcore.reference, in plain NumPy.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from optcore import _kernels
from optcore.rules import RULES, Rule
from optcore.rules.made import Template
from optcore.rules.settings import MOST_SEED, whole
from optcore.step import gradients as _gradients
from optcore.step import threads as _threads
from optcore.step.options import FUNCTION, check
from optcore.step.signatures import function

__all__ = list(RULES)

CALL = Template("""
def $name($signature):
    arrays, values, threads = $arrays, $scalars, 0 if num_threads is None else checked(num_threads)
    if not (seed.__class__ is int and offset.__class__ is int and 0 <= seed <= most and 0 <= offset <= most):
        seed, offset = whole("seed", seed, 0, most), whole("offset", offset, 0, most)
    if not ($usual):
        more(arrays, values, threads, seed, step, offset, $seldom)
    elif not apply(number, arrays, values, threads, seed, step, offset):
        again(arrays, values, threads, seed, step, offset)
""")


def _slowly(rule: Rule, number: int) -> tuple[Callable[..., None], Callable[..., None]]:
    """For the arrays that the kernels do not take as they stand: usable views of them, or an error. And for what is
    seldom asked for."""

    def again(arrays: tuple[Any, ...], values: tuple[float, ...], threads: int, seed: int, step: int, offset: int,
              *how: Any) -> None:
        if not _kernels.apply(number, _gradients.checked(rule, arrays, offset), values, threads, seed, step, offset,
                              *how):
            raise AssertionError(f"{rule.name}: the kernels refused arrays that passed every check")

    def more(arrays: tuple[Any, ...], *call: Any, compensation: Any, copy: Any, average: Any, rounding: str,
             clip_value: float | None, average_weight: float) -> None:
        check(FUNCTION, {"rounding": rounding, "clip_value": clip_value, "average_weight": average_weight})
        arrays = (*arrays, compensation, copy, average)
        how = rounding == "nearest", math.inf if clip_value is None else clip_value, average_weight
        if not _kernels.apply(number, arrays, *call, *how):
            again(arrays, *call, *how)

    return again, more


for _rule in RULES.values():
    _number = _kernels.rule_index(_rule.kernel)
    _again, _more = _slowly(_rule, _number)
    globals()[_rule.name] = function(_rule, "functional", CALL, {
        "apply": _kernels.apply, "number": _number, "again": _again, "more": _more, "checked": _threads.checked,
        "whole": whole, "most": MOST_SEED})
del _rule, _number, _again, _more
