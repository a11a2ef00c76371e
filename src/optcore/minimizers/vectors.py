"""The vector operations of the minimizers by the kernels; minimizers/reference.py says what each computes."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from optcore import _kernels

Vector = npt.NDArray[Any]

dot = _kernels.vector_dot
slope = _kernels.vector_slope
advance = _kernels.vector_advance
rank_two = _kernels.vector_rank_two


def combine(out: Vector, x: Vector, step: float, d: Vector, g: Vector, scale: float, rows: Sequence[Vector],
            weights: Sequence[float], num_threads: int = 0) -> tuple[float, float]:
    return _kernels.vector_combine(out, x, step, d, g, scale, list(rows), list(weights), num_threads)


def pair(x_new: Vector, x: Vector, g_new: Vector, g: Vector, s: Vector, y: Vector, rows: Sequence[Vector],
         num_threads: int = 0, new: float = 1.0, old: float = 1.0) -> Vector:
    return np.array(_kernels.vector_pair(x_new, x, g_new, g, s, y, list(rows), num_threads, new, old))


def rows(count: int, n: int, dtype: Any) -> Vector:
    """`count` vectors of n zeros, each beginning on a cache line."""
    width = -(-n * np.dtype(dtype).itemsize // 64) * 64
    raw = np.zeros(count * width + 64, np.uint8)
    first = -raw.ctypes.data % 64
    grid: Vector = raw[first:first + count * width].view(dtype).reshape(count, -1)
    return grid[:, :n]
