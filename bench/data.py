"""The arrays that every contender of one workload works on, and the settings they all use.

One block of float32 for each of p, g and the state; each tensor is a view that starts on a 64-byte
boundary of its block, as tensor libraries align them. So all contenders move the same bytes at the same
addresses, and the roof can walk a whole list as one array. Nothing here knows who the contenders are.
"""

from math import prod

import numpy as np

from shapes import Shape

# A tiny lr: after the millions of steps of a timing loop the parameters are still ordinary numbers.
LR = 1e-5
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8  # Adam, and eps of RMSProp
MOMENTUM = 0.9
ALPHA = 0.99  # RMSProp

# The names of the state arrays in torch's optimizers, and in ours.
STATE = {"adam": ("exp_avg", "exp_avg_sq"), "momentum": ("momentum_buffer",), "rmsprop": ("square_avg",)}
RULES = tuple(STATE)

_LINE = 16  # float32 numbers in 64 bytes


def bytes_per_element(rule: str) -> int:
    """Bytes between memory and core for each parameter: g is read, p and each state are read and written."""
    return 4 * (1 + 2 * (1 + len(STATE[rule])))


def _block(n: int) -> np.ndarray:
    raw = np.empty(n + _LINE, np.float32)
    skip = -raw.ctypes.data // 4 % _LINE
    return raw[skip : skip + n]


class Data:
    """p, g and zero state for one rule over a list of shapes; `sample` are the elements to verify."""

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
        self.flat_state = [_block(starts[-1]) for _ in STATE[rule]]
        for block in self.flat_state:
            block.fill(0)  # touches each page, so no contender pays for the first touch

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
        for block in self.flat_state:
            block[self.sample] = 0
