"""A kernel's share of an optimizer's step, behind one small interface, and its first kind: the element-wise plan.

Owns which scalars each tensor takes and how many steps it has taken. policy.py and the front ends see the interface
only. Other kinds stand beside the first: of rows (a gradient that has a few rows of a table), of whole tensors (a rule
that needs a norm of the tensor), of matrices (a rule that needs products). Each keeps the state that its rule's row
says, in the shape that the row says.

Tensors that were left out of some steps are behind the others, so the scalars of a group may differ by tensor; while
they agree, that is one block for each group.
"""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from optcore import _kernels
from optcore.rules import RULES, Rule
from optcore.rules.settings import number
from optcore.step.rows import Rows

_kernels.take_by_rows(Rows)

Block = tuple[Any, ...]         # a step, the scalars of a rule at it, and what else a kernel takes of a block
Call = tuple[list[Block], list[int]]
Meant = list[tuple[str, tuple[Any, ...]]]   # of each group, the name of its rule and the settings that this takes


class Share(Protocol):
    """One kernel's share of a step. Gradients are those of all tensors, in the optimizer's order; None: no part."""

    members: list[int]          # numbers of its tensors

    def call(self, meant: Meant, grads: list[Any], now: int) -> Call:
        """What the step takes of settings and counts, schedules asked for step `now` of the optimizer; 0: of this
        share, which is alone. Changes nothing; may raise."""

    def refused(self) -> list[int]:
        """The number of the gradient that was last found not to be usable, if any."""

    def squares(self, grads: list[Any], threads: int) -> float | None:
        """The sum of squares of its gradients, of a fixed shape; None if one is not usable as it stands."""

    def step(self, call: Call, grads: list[Any], threads: int, seed: int, zero_grads: bool, clip_value: float) -> int:
        """Make the step and count it. Returns how many tensors took part; -1, with nothing changed, if a gradient is
        not usable."""

    def counts(self) -> list[int]:
        """How many steps each of its tensors has taken."""

    def latest(self) -> int:
        """The largest of them."""

    def start(self, steps: list[int]) -> None:
        """Count on from these counts, one for each tensor."""


def scaled(blocks: list[Block], factor: float) -> list[Block]:
    """The blocks by which the gradients are taken as if multiplied by `factor`."""
    return [(t, (x[0] * factor, *x[1:]), *more) for t, x, *more in blocks]


def scalars_at(name: str, values: Iterable[Any], t: int, now: int) -> tuple[float, ...]:
    """A rule's scalars at step t of a tensor, and step `now` of its optimizer: a schedule goes by the optimizer's
    steps, so that a tensor that joined late takes the rate of now, and bias correction by the tensor's own."""
    rule = RULES[name]
    if t != now:
        values = [number(s, x, now) if callable(x) else x for s, x in zip(rule.all_settings, values, strict=True)]
    return rule.scalars(t, *values)


class Elementwise:
    """The share of a rule that changes each element by itself: one plan in the kernels, which counts its steps.

    rows: for each tensor (p, state..., compensation, copy, average), see _kernels.Plan. members: the tensors' numbers;
    groups: of each the number of its group; steps: of each how many it has taken; of_all: whether the optimizer has no
    other tensors. numbers, offsets: by which the noise of what is narrow goes.
    """

    def __init__(self, rule: Rule, rows: list[tuple[Any, ...]], members: list[int], groups: list[int], steps: list[int],
                 *, of_all: bool, nearest: bool, numbers: list[int] | None = None, tensor: type | None = None,
                 offsets: list[int] | None = None) -> None:
        self.plan = _kernels.Plan(_kernels.rule_index(rule.kernel), rows, numbers or members, nearest, tensor, offsets,
                                  steps, None if of_all else members, tensor is None)
        self.members = members
        self.groups = list(dict.fromkeys(groups))       # numbers of the groups that occur
        self.group_of = [self.groups.index(k) for k in groups]
        self.counts, self.start = self.plan.steps, self.plan.start
        self.squares, self.step = self.plan.squares, self.plan.step

    def latest(self) -> int:
        return self.plan.taken if self.plan.taken >= 0 else max(self.plan.steps())

    def call(self, meant: Meant, grads: list[Any], now: int) -> Call:
        """The step and scalars of each group at each step count met, and which of them each tensor takes."""
        t = self.plan.taken + 1
        if t > 0 and now in (0, t):
            return [(t, RULES[meant[k][0]].scalars(t, *meant[k][1])) for k in self.groups], self.group_of
        if t > 0:
            return [(t, scalars_at(*meant[k], t, now)) for k in self.groups], self.group_of
        now = now or 1 + self.latest()
        found: dict[tuple[int, int], int] = {}
        blocks: list[Block] = []
        which: list[int] = []
        for t, group, i in zip(self.plan.steps(), self.group_of, self.members, strict=True):
            number = found.get((group, t), -1)
            if number < 0 and grads[i] is not None:
                number = found[group, t] = len(blocks)
                blocks.append((t + 1, scalars_at(*meant[self.groups[group]], t + 1, now)))
            which.append(number)
        return blocks, which

    def refused(self) -> list[int]:
        return [self.members[self.plan.refused]] if self.plan.refused >= 0 else []

    def unusable(self, grads: list[Any], zero_grads: bool) -> list[int]:
        """The numbers of the gradients that would not be taken by themselves, as they stand."""
        return [self.members[k] for k in self.plan.unusable(grads, zero_grads)]


def usable(shares: Iterable[Any], grads: list[Any], zero_grads: bool) -> bool:
    """Whether the step of the shares, as one, would take these gradients as they stand."""
    return _kernels.usable_plans([(share.plan, grads) for share in shares], zero_grads)


def together(shares: Iterable[Any], calls: list[Call], grads: list[Any], threads: int, seed: int, zero_grads: bool,
             clip_value: float) -> int:
    """The step of several shares as one: all of them, or none. Returns as Share.step."""
    return _kernels.step_plans([(share.plan, call, grads) for share, call in zip(shares, calls, strict=True)],
                               threads, seed, zero_grads, clip_value)


class Gathered:
    """Tensors put together by kernel, until the shares are made of them."""

    def __init__(self) -> None:
        self.rules: dict[str, Rule] = {}
        self.rows: dict[str, list[tuple[Any, ...]]] = {}
        self.members: dict[str, list[int]] = {}
        self.groups: dict[str, list[int]] = {}

    def add(self, rule: Rule, row: tuple[Any, ...], member: int, group: int) -> None:
        kernel = rule.kernel
        if kernel not in self.rules:
            self.rules[kernel] = rule
            self.rows[kernel], self.members[kernel], self.groups[kernel] = [], [], []
        self.rows[kernel].append(row)
        self.members[kernel].append(member)
        self.groups[kernel].append(group)

    def shares(self, steps: list[int], nearest: bool, tensor: type | None = None, numbers: Iterable[int] | None = None,
               offsets: list[int] | None = None) -> list[Elementwise]:
        """A share for each kernel. steps, numbers, offsets: see Elementwise; of all tensors."""
        by_number = None if numbers is None else list(numbers)
        return [Elementwise(
            rule, self.rows[k], members, self.groups[k], [steps[i] for i in members],
            of_all=len(members) == len(steps), nearest=nearest, tensor=tensor,
            numbers=None if by_number is None else [by_number[i] for i in members],
            offsets=None if offsets is None else [offsets[i] for i in members])
            for k, rule in self.rules.items() for members in [self.members[k]]]
