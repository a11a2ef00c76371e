"""One kernel's share of an optimizer's step: a plan in the kernels, and how many steps each tensor has taken.

Owns which scalars each tensor takes. Tensors that were left out of some steps are behind the others, so the
scalars of a group may differ by tensor; while they agree, that is one block for each group.
"""
from __future__ import annotations

from typing import Any

from optcore import _kernels
from optcore.rules import RULES, Rule

Block = tuple[Any, ...]         # a step, the scalars of a rule at it, and what else Plan.step takes of a block


def scaled(blocks: list[Block], factor: float) -> list[Block]:
    """The blocks by which the gradients are taken as if multiplied by `factor`."""
    return [(t, (x[0] * factor, *x[1:]), *more) for t, x, *more in blocks]


class Walk:
    """One kernel's share of a step: its tensors, ready for it, and how many steps each has taken."""

    def __init__(self, rule: Rule, rows: list[tuple[Any, ...]], members: list[int], groups: list[int],
                 steps: list[int], nearest: bool, numbers: list[int] | None = None,
                 tensor: type | None = None, firsts: list[int] | None = None) -> None:
        # The noise of what is narrow goes by the numbers and firsts.
        self.plan = _kernels.Plan(_kernels.rule_index(rule.kernel), rows, numbers or members, nearest, tensor, firsts)
        self.members = members                          # numbers of the tensors
        self.groups = list(dict.fromkeys(groups))       # numbers of the groups that occur
        self.group_of = [self.groups.index(k) for k in groups]
        self.all = len(members) == len(steps)
        self.start([steps[i] for i in members])

    def start(self, steps: list[int]) -> None:
        """Count on from these counts, one for each tensor."""
        self.steps = steps
        self.taken: int | None = steps[0]               # the count of all, while they agree; else None
        if any(t != self.taken for t in steps):
            self.taken = None

    def mine(self, flat: list[Any]) -> list[Any]:
        return flat if self.all else [flat[i] for i in self.members]

    def blocks(self, meant: list[tuple[str, tuple[Any, ...]]], flat: list[Any]) -> tuple[list[Any], list[int]]:
        """The step and scalars of each group at each step count met, and which of them each tensor takes."""
        if self.taken is not None:
            t = self.taken + 1
            return [(t, RULES[meant[k][0]].scalars(t, *meant[k][1])) for k in self.groups], self.group_of
        found: dict[tuple[int, int], int] = {}
        blocks: list[Any] = []
        which: list[int] = []
        for t, group, g in zip(self.steps, self.group_of, self.mine(flat), strict=True):
            number = found.get((group, t), -1)
            if number < 0 and g is not None:
                name, values = meant[self.groups[group]]
                number = found[group, t] = len(blocks)
                blocks.append((t + 1, RULES[name].scalars(t + 1, *values)))
            which.append(number)
        return blocks, which

    def count(self, stepped: int, flat: list[Any]) -> None:
        """Take note that a step was made in which `stepped` tensors took part."""
        if self.taken is not None and stepped == len(self.members):
            self.taken += 1
            return
        self.settle()
        self.taken = None
        for k, g in enumerate(self.mine(flat)):
            self.steps[k] += g is not None

    def settle(self) -> None:
        """Bring `steps` up to date."""
        if self.taken is not None:
            self.steps = [self.taken] * len(self.members)
