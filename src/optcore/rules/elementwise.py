"""What the NumPy formulas are written with beside + - * / and the square root, and what one of them needs of a whole
row.

Owns the comparisons, which pick as the kernels do. Formulas look them up here at each call, so that a test can put
numbers that carry error bounds in place of arrays. Imports nothing of the package.
"""
from __future__ import annotations

from typing import Any

import numpy as np


def pick(condition: Any, yes: Any, no: Any) -> Any:
    """Stands where the kernels compare, so that a NaN goes the same way."""
    return np.where(condition, yes, no)


def sign(x: Any) -> Any:
    """Of 0 it is 0, of NaN NaN."""
    return pick(x > 0, 1.0, pick(x < 0, -1.0, x))


def row_mean_square(g: Any) -> Any:
    """The mean of g^2 over each row, for what broadcasts along it: summed in float64 in the kernels' fixed shape
    (kernels/sums.pxd: 16 lanes a block of 1024 elements, added in halves; then block after block), rounded once."""
    rows, width = len(g), g[:1].size
    blocks = -(-width // 1024)
    x = np.zeros((rows, blocks * 1024))
    x[:, :width] = g.reshape(rows, width)
    x = x.reshape(rows, blocks, 64, 16)
    lane = np.zeros((rows, blocks, 16))
    for k in range(64):
        lane = lane + x[:, :, k] * x[:, :, k]
    while lane.shape[2] > 1:
        half = lane.shape[2] // 2
        lane = lane[:, :, :half] + lane[:, :, half:]
    total = np.zeros(rows)
    for k in range(blocks):
        total = total + lane[:, k, 0]
    return (total / max(width, 1)).astype(g.dtype).reshape(rows, *(1,) * (g.ndim - 1))
