"""The vector operations of the minimizers in plain NumPy: what the kernels are held against, bit for bit.

Vectors are float32 or float64. All arithmetic is in float64, one rounding an operation in the order written; what
is stored is rounded once more to the vector's own type. A sum has the fixed shape of the kernels (see _vectors.pxd):
blocks of 1024 elements, 16 lanes a block added in halves, then the blocks pairwise.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[Any]

BLOCK, LANES = 1024, 16


def total(terms: Vector) -> float:
    """The sum of float64 terms in the fixed shape."""
    x = np.concatenate([terms, np.zeros(-terms.size % BLOCK)]).reshape(-1, BLOCK // LANES, LANES)
    lane = np.zeros((len(x), LANES))
    for k in range(BLOCK // LANES):
        lane = lane + x[:, k]
    while lane.shape[1] > 1:
        half = lane.shape[1] // 2
        lane = lane[:, :half] + lane[:, half:]
    sums = list(lane[:, 0])
    while len(sums) > 1:
        sums = [sum(sums[k + 1:k + 2], sums[k]) for k in range(0, len(sums), 2)]
    return float(sums[0]) if sums else 0.0


def wide(x: Vector) -> Vector:
    return x.astype(np.float64)


def dot(a: Vector, b: Vector) -> float:
    return total(wide(a) * wide(b))


def slope(g: Vector, d: Vector, num_threads: int = 0) -> tuple[float, float, float]:
    """g.d, the sum of |g|, and the largest |g| (a NaN is passed over; the sum tells of it)."""
    size = np.abs(wide(g))
    return dot(g, d), total(size), float(np.fmax.reduce(size, initial=0.0))


def advance(out: Vector, x: Vector, step: float, d: Vector, num_threads: int = 0) -> None:
    """out = x + step d"""
    out[:] = wide(x) + step * wide(d)


def combine(out: Vector, x: Vector, step: float, d: Vector, g: Vector, scale: float, rows: Sequence[Vector],
            weights: Sequence[float], num_threads: int = 0) -> tuple[float, float]:
    """d = scale g + weights[0] rows[0] + weights[1] rows[1] + ...; out = x + step d. Returns g.d and d.d."""
    sum_ = scale * wide(g)
    for w, row in zip(weights, rows, strict=True):
        sum_ = sum_ + w * wide(row)
    d[:] = sum_
    advance(out, x, step, d)
    return dot(g, d), dot(d, d)


def pair(x_new: Vector, x: Vector, g_new: Vector, g: Vector, s: Vector, y: Vector, rows: Sequence[Vector],
         num_threads: int = 0, new: float = 1.0, old: float = 1.0) -> Vector:
    """s = x_new - x; y = new g_new - old g; then g = g_new. Returns the dots of each of rows, s, y (first index) with y
    and g_new (second), and as a last row s.s and g_new.g_new."""
    s[:] = wide(x_new) - wide(x)
    y[:] = new * wide(g_new) - old * wide(g)
    g[:] = g_new
    return np.array([[dot(row, y), dot(row, g)] for row in (*rows, s, y)] + [[dot(s, s), dot(g, g)]])


def rank_two(h: Vector, s: Vector, w: Vector, a: Vector, b: Vector, ha: Vector, hb: Vector,
             num_threads: int = 0) -> None:
    """H = H + s w' + w s' for a symmetric matrix by rows; then ha = H a, hb = H b. All float64."""
    h[:] = h + (s[:, None] * w + w[:, None] * s)
    for i, row in enumerate(h):
        ha[i], hb[i] = dot(row, a), dot(row, b)
