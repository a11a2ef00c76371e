"""The update rules as functions over arrays: checks, scalars, one kernel call.

Each is made from its row of the table, takes (p, g, state...) and changes all but g in place. The same names
with the same signatures stand in optcore.reference, in plain NumPy.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optcore import _arrays, _kernels, _make, _threads
from optcore._specs import RULES, Rule, whole

__all__ = list(RULES)


def _slowly(rule: Rule, number: int) -> Callable[..., None]:
    """For the arrays that the kernels do not take as they stand: usable views of them, or an error."""

    def again(arrays: tuple[Any, ...], *rest: Any) -> None:
        if not _kernels.apply(number, _arrays.checked(rule.arrays, arrays), *rest):
            raise AssertionError(f"{rule.name}: the kernels refused arrays that passed every check")

    return again


_STATEMENT = """\
arrays, values, threads = {arrays}, {scalars}, 0 if num_threads is None else checked(num_threads)
    if not (seed.__class__ is int and offset.__class__ is int and seed >= 0 and offset >= 0):
        seed, offset = whole("seed", seed, 0), whole("offset", offset, 0)
    if not apply(number, arrays, values, threads, seed, step, offset):
        again(arrays, values, threads, seed, step, offset)"""

for _rule in RULES.values():
    _number = _kernels.rule_index(_rule.kernel)
    globals()[_rule.name] = _make.function(_rule, "functional", _STATEMENT, {
        "apply": _kernels.apply, "number": _number, "again": _slowly(_rule, _number), "checked": _threads.checked,
        "whole": whole})
del _rule, _number
