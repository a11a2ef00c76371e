"""The arrays that every contender of one workload works on, and the settings they all use: from the rule's row.

One block of float32 for each of p, g and the state; each tensor is a view that starts on a 64-byte
boundary of its block, as tensor libraries align them. So all contenders move the same bytes at the same
addresses, and the roof can walk a whole list as one array. Nothing here knows who the contenders are.
"""

from math import prod
from typing import Any

import numpy as np

from bench.harness.shapes import Shape
from optcore.rules import RULES as TABLE
from tests.support.meanings import CLASSES

# Every rule that takes a gradient and steps each element for itself (bench.rows has others); who takes part for which
# rule is in contenders.py.
RULES = tuple(name for name, rule in TABLE.items()
              if rule.decay is not None and all(s.shape == "parameter" for s in rule.state))
USUAL = ("adam", "momentum", "rmsprop")  # without --only

# A tiny lr: after the millions of steps of a timing loop the parameters are still ordinary numbers.
LR = 1e-5

_LINE = 16  # float32 numbers in 64 bytes


def settings(rule: str) -> dict[str, Any]:
    """All settings of a rule's function: the table's defaults, which are torch's, but for lr."""
    chosen = {s.name: s.default for s in TABLE[rule].all_settings}
    if "lr" in chosen:  # where the default is large, the rule multiplies it by its own tiny numbers, as Adadelta does
        chosen["lr"] = LR if chosen["lr"] < 0.1 else chosen["lr"] / 100
    return chosen


def of_class(rule: str) -> dict[str, Any]:
    """The settings by which the class that means the rule, ours or torch's, is told the same."""
    ours = settings(rule)
    return {k: ours.get(k, v) for k, v in CLASSES[rule][1].items()} | {"lr": ours.get("lr", LR)}


def first_state(rule: str) -> tuple[float, ...]:
    """What each state array holds before the first step."""
    family, given = CLASSES[rule][0].family, of_class(rule)
    full = {**family.settings, **given}
    return tuple(full[family.fill[key]] if key in family.fill else 0.0 for key in TABLE[rule].keys)


def bytes_per_element(rule: str) -> int:
    """Bytes between memory and core for each parameter: g is read, p and each state are read and written."""
    return 4 * (1 + 2 * (1 + len(TABLE[rule].keys)))


def _block(n: int) -> np.ndarray:
    raw = np.empty(n + _LINE, np.float32)
    skip = -raw.ctypes.data // 4 % _LINE
    return raw[skip : skip + n]


class Data:
    """p, g and a rule's first state over a list of shapes; `sample` are the elements to verify."""

    def __init__(self, rule: str, shapes: list[Shape], seed: int):
        self.rule = rule
        self.sizes = [prod(shape) for shape in shapes]
        self.elements = sum(self.sizes)
        starts = [0]
        for size in self.sizes:
            starts.append(starts[-1] + -(-size // _LINE) * _LINE)
        rng = np.random.default_rng(seed)

        self.flat_p, self.flat_g = _block(starts[-1]), _block(starts[-1])
        rng.standard_normal(dtype=np.float32, out=self.flat_p)
        self.flat_p *= np.float32(0.02)  # the usual size of a weight
        # The gradient stays the same in every step, so the moments go to g and g*g: never to denormals.
        rng.standard_normal(dtype=np.float32, out=self.flat_g)
        self.first = first_state(rule)
        self.flat_state = [_block(starts[-1]) for _ in self.first]
        for block, value in zip(self.flat_state, self.first, strict=True):
            block.fill(value)  # touches each page, so no contender pays for the first touch

        def carve(block: np.ndarray) -> list[np.ndarray]:
            return [
                block[start : start + size].reshape(shape)
                for start, size, shape in zip(starts, self.sizes, shapes, strict=False)
            ]

        self.p, self.g = carve(self.flat_p), carve(self.flat_g)
        self.state = [carve(block) for block in self.flat_state]  # [slot][tensor]
        self.sample = np.concatenate(
            [
                start + np.unique(np.linspace(0, size - 1, 64).astype(np.int64))
                for start, size in zip(starts, self.sizes, strict=False)
            ]
        )
        self._sample_p = self.flat_p[self.sample]

    def reset_sample(self) -> None:
        """Put the sampled elements back to where they began; the updates are elementwise, so it suffices."""
        self.flat_p[self.sample] = self._sample_p
        for block, value in zip(self.flat_state, self.first, strict=True):
            block[self.sample] = value
