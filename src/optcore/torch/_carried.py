"""What torch carries from step to step beside arrays: the count of steps, and numbers that the table computes from
settings and count (Family.carried).

Owns the tensors of them, and the question whether a number in the state is what the settings of now and the count give.
If so that is what a step takes, the same bits however the run was cut; else settings were others before, and a step
takes what the state carries, as torch does. Nothing beside the state says which, so a resumed run is the same.
Those of all parameters are parts of one tensor, so that one addition counts them all, and a checkpoint that is read
into them in place is seen.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from optcore.rules import Family, Rule

UNIT, LEAST = 2.0 ** -24, 2.0 ** -126        # of float32: a rounding's relative error, the least normal number
ONE = np.ones((), np.float32)                # an array: NumPy adds it sooner than a scalar


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
        self.groups: Sequence[Mapping[str, Any]] = ()   # with the settings of the step
        self.others: dict[int, dict[str, float]] = {}   # see `apart`

    def put(self, k: int, entry: dict[str, Any], group: Mapping[str, Any], counted: bool) -> None:
        """Let the state of parameter k have its parts. counted: its count too."""
        if counted:
            entry["step"] = self.steps[k]
        for key in self.family.carried(group, 0) if self.family.carried else ():
            if key not in self.numbers:
                self.numbers[key] = torch.empty_like(self.steps)
            value = entry.get(key)
            self.numbers[key].numpy()[k] = (self.family.carried(group, int(self.counts[k]))[key]    # type: ignore[misc]
                                            if value is None else float(value))
            entry[key] = self.numbers[key][k]

    def begin(self, groups: Sequence[Mapping[str, Any]]) -> None:
        """After all are put: torch's roundings of what the settings give are no other settings."""
        self.groups = groups
        if self.numbers:
            computed = self._computed(self.counts)
            agreeing = np.ones(len(self.counts), bool)
            agreeing[list(self.apart())] = False
            for key, tensor in self.numbers.items():
                tensor.numpy()[agreeing] = computed[key][agreeing]

    def changed(self) -> bool:
        """Whether somebody else has written the counts since `count`."""
        return self.counts.tobytes() != self.known

    def count(self, which: list[bool] | None) -> None:
        """Take note of a step of these parameters; None: of all. If this is interrupted it may be done again."""
        if self.numbers:
            self._bring_up_to_date(slice(None) if which is None else which)
        if which is None:
            np.add(self.counts, ONE, self.counts)
        else:
            np.add(self.counts, np.asarray(which, np.float32), self.counts)
        self.known = self.counts.tobytes()

    def _computed(self, counts: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float32]]:
        """The numbers that settings and these counts give."""
        assert self.family.carried is not None
        at = list(zip(self.group_of, counts.astype(int).tolist(), strict=True))
        known = {x: self.family.carried(self.groups[x[0]], x[1]) for x in dict.fromkeys(at)}
        return {key: np.array([known[x][key] for x in at], np.float32) for key in self.numbers}

    def apart(self) -> dict[int, dict[str, float]]:
        """By parameter, the numbers in the state where they are not what the settings of now give."""
        computed = self._computed(self.counts)
        units = 8.0 + (self.counts if self.family.follows else 0.0)     # one more rounding for each factor of a product
        off = np.zeros(len(self.counts), bool)
        for key, tensor in self.numbers.items():
            known = computed[key].astype(float)
            off |= ~(np.abs(tensor.numpy() - known) <= units * UNIT * np.abs(known) + LEAST)
        self.others = {k: {key: float(tensor[k]) for key, tensor in self.numbers.items()}
                       for k in np.flatnonzero(off & (self.counts > 0)).tolist()}
        return self.others

    def _bring_up_to_date(self, which: Any) -> None:
        """Let the numbers be those after the step that is to be counted; which: the parameters that it stepped."""
        computed = self._computed(self.counts + ONE)
        if self.family.follows is not None:
            stepped = set(np.arange(len(self.counts))[which].tolist())
            for k in self.others.keys() & stepped:
                after = self.family.follows(self.groups[self.group_of[k]], int(self.counts[k]) + 1, self.others[k])
                for key, value in after.items():
                    computed[key][k] = value
        for key, tensor in self.numbers.items():
            tensor.numpy()[which] = computed[key][which]

    def tensors(self) -> list[torch.Tensor]:
        return [self.steps, *self.numbers.values()]
