"""The share of a rule of which torch carries numbers from step to step: NAdam's product of momenta, ASGD's eta and mu.

Owns the scalars of such a step: those of the settings of now and the count or, where settings were others before, those
of what the state carries. Which of them is _carried.py's to say.
"""
from __future__ import annotations

from typing import Any

from optcore.rules import RULES
from optcore.step.share import Block, Call, Meant, Share
from optcore.torch._carried import Carried


class Following:
    """A share whose steps take what `carried` knows."""

    def __init__(self, share: Any, carried: Carried) -> None:
        self.share: Share = share
        self.carried = carried
        for name in ("members", "plan", "squares", "step"):       # on the way of every step
            setattr(self, name, getattr(share, name))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.share, name)

    def call(self, meant: Meant, grads: list[Any], *now: int) -> Call:
        call = self.share.call(meant, grads, *now)
        apart = self.carried.apart()
        if not apart:
            return call
        found: dict[tuple[Any, ...], int] = {}
        blocks: list[Block] = []
        which: list[int] = []
        counts = self.share.counts()
        for k, member in enumerate(self.share.members):
            if grads[member] is None:
                which.append(-1)
                continue
            key = self.carried.group_of[member], counts[k] + 1, tuple(apart.get(member, {}).items())
            if key not in found:
                found[key] = len(blocks)
                blocks.append(self._block(meant, *key))
            which.append(found[key])
        return blocks, which

    def _block(self, meant: Meant, group: int, t: int, numbers: tuple[Any, ...]) -> Block:
        name, values = meant[group]
        rule = RULES[name]
        scalars = rule.scalars(t, *values)
        if numbers:
            before = len(scalars) - len(rule.fields)
            own = [float(x) for x in values[:len(rule.settings)]]
            scalars = (*scalars[:before], *rule.constants(t, *own, carried=dict(numbers)))
        return t, scalars
