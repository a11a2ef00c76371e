"""The update rules as functions over arrays: checks, scalars, one kernel call.

Each is made from its row of the table, takes (p, g, state...) and changes all but g in place. The same names
with the same signatures stand in optcore.reference, in plain NumPy.
"""
from __future__ import annotations

from typing import Any

from optcore import _arrays, _kernels, _make, _threads
from optcore._specs import RULES, Rule

__all__ = list(RULES)


def _runner(rule: Rule) -> _make.Run:
    number = _kernels.rule_index(rule.kernel)
    names = rule.arrays
    apply = _kernels.apply

    def run(arrays: tuple[Any, ...], scalars: tuple[float, ...], num_threads: int | None) -> None:
        threads = 0 if num_threads is None else _threads.checked(num_threads)
        if not apply(number, arrays, scalars, threads):
            if not apply(number, _arrays.checked(names, arrays), scalars, threads):
                raise AssertionError(f"{rule.name}: the kernels refused arrays that passed every check")

    return run


for _rule in RULES.values():
    globals()[_rule.name] = _make.function(_rule, "functional", _runner(_rule))
del _rule
