"""The update rules as functions over arrays: checks, scalars, one kernel call.

Each is made from its row of the table, takes (p, g, state...) and changes all but g in place. The same names
with the same signatures stand in optcore.reference, in plain NumPy.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optcore import _kernels, _make
from optcore.rules import RULES, Rule
from optcore.rules.settings import CLIP_VALUE, FRACTION, Setting, explain, whole
from optcore.step import arrays as _arrays
from optcore.step import threads as _threads

__all__ = list(RULES)

_WEIGHT = Setting("average_weight", 0.0, FRACTION, "", scheduled=False)


def _slowly(rule: Rule, number: int) -> tuple[Callable[..., None], Callable[..., None]]:
    """For the arrays that the kernels do not take as they stand: usable views of them, or an error. And for what is
    seldom asked for."""

    def again(arrays: tuple[Any, ...], *rest: Any) -> None:
        if not _kernels.apply(number, _arrays.checked(rule.arrays, arrays, rest[4]), *rest):
            raise AssertionError(f"{rule.name}: the kernels refused arrays that passed every check")

    def more(arrays: tuple[Any, ...], values: tuple[float, ...], threads: int, seed: int, step: int, offset: int,
             rounding: str, clip_value: float | None, average_weight: float) -> None:
        _make.check_rounding(rounding)
        explain({"average_weight": average_weight}, (_WEIGHT,))
        rest = [values, threads, seed, step, offset, rounding == "nearest"]
        if clip_value is not None:
            explain({"clip_value": clip_value}, (CLIP_VALUE,))
        rest += [float("inf") if clip_value is None else clip_value, average_weight]
        if not _kernels.apply(number, arrays, *rest):
            again(arrays, *rest)

    return again, more


_STATEMENT = """\
arrays, values, threads = {arrays}, {scalars}, 0 if num_threads is None else checked(num_threads)
    if not (seed.__class__ is int and offset.__class__ is int and seed >= 0 and offset >= 0):
        seed, offset = whole("seed", seed, 0), whole("offset", offset, 0)
    if not (clip_value is compensation is copy is average is None and rounding == "stochastic"):
        more((*arrays, compensation, copy, average), values, threads, seed, step, offset, rounding, clip_value,
             average_weight)
    elif not apply(number, arrays, values, threads, seed, step, offset):
        again(arrays, values, threads, seed, step, offset)"""

for _rule in RULES.values():
    _number = _kernels.rule_index(_rule.kernel)
    _again, _more = _slowly(_rule, _number)
    globals()[_rule.name] = _make.function(_rule, "functional", _STATEMENT, {
        "apply": _kernels.apply, "number": _number, "again": _again, "more": _more, "checked": _threads.checked,
        "whole": whole})
del _rule, _number, _again, _more
