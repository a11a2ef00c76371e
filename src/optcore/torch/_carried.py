"""What torch carries from step to step beside arrays: the count of steps, and numbers that the table computes from
settings and count (Family.carried).

Owns the tensors of them. Those of all parameters are parts of one tensor, so that one addition counts them all, and a
checkpoint that is read into them in place is seen.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from optcore.rules import Family, Rule

ONE = np.ones((), np.float32)                # an array: NumPy adds it in half the time that a scalar takes


def count_of(entry: Mapping[str, Any], rule: Rule, known: float | None) -> int:
    """How many steps a parameter with this state has taken. known: what the last layout knew, if anything."""
    # As in torch, steps count from the first state on; state without a count has seen one step at least.
    if rule.keys and all(entry.get(key) is None for key in rule.keys):
        return 0
    if "step" in entry:
        return int(entry["step"])
    return int(bool(rule.keys) if known is None else known)


class Carried:
    """counts: steps taken by each parameter. group_of: of each the number of its group."""

    def __init__(self, family: Family, counts: list[int], group_of: Sequence[int]) -> None:
        self.family, self.group_of = family, group_of
        self.steps = torch.tensor(counts, dtype=torch.float32, device="cpu")
        self.counts: npt.NDArray[np.float32] = self.steps.numpy()
        self.numbers: dict[str, torch.Tensor] = {}
        self.known = b""                                # the counts as the last step left them

    def put(self, k: int, entry: dict[str, Any], group: Mapping[str, Any], counted: bool) -> None:
        """Let the state of parameter k have its parts. counted: its count too."""
        if counted:
            entry["step"] = self.steps[k]
        for key in self.family.carried(group, 0) if self.family.carried else ():
            if key not in self.numbers:
                self.numbers[key] = torch.empty_like(self.steps)
            entry[key] = self.numbers[key][k]

    def changed(self) -> bool:
        """Whether somebody else has written the counts since `note`."""
        return self.counts.tobytes() != self.known

    def count(self, which: list[bool] | None) -> None:
        """Take note of a step of these parameters; None: of all."""
        if which is None:
            np.add(self.counts, ONE, self.counts)
        else:
            self.counts[which] += 1
        self.known = self.counts.tobytes()

    def derive(self, groups: Sequence[Mapping[str, Any]]) -> None:
        """Bring the numbers, which no step of ours needs, up to date."""
        if self.family.carried is None:
            return
        known: dict[tuple[int, int], dict[str, float]] = {}
        at = list(zip(self.group_of, self.counts.astype(int).tolist(), strict=True))
        for group, t in dict.fromkeys(at):
            known[group, t] = self.family.carried(groups[group], t)
        for key, values in self.numbers.items():
            values.numpy()[...] = [known[x][key] for x in at]

    def tensors(self) -> list[torch.Tensor]:
        return [self.steps, *self.numbers.values()]
