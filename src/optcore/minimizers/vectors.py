"""The vector operations of the minimizers (see reference.py for what each computes)."""
from __future__ import annotations

from typing import Any

import numpy as np

from optcore.minimizers.reference import Vector, advance, combine, dot, pair, rank_two, slope

__all__ = ["Vector", "advance", "combine", "dot", "pair", "rank_two", "rows", "slope"]


def rows(count: int, n: int, dtype: Any) -> Vector:
    """`count` vectors of n zeros, each beginning on a cache line."""
    width = -(-n * np.dtype(dtype).itemsize // 64) * 64
    raw = np.zeros(count * width + 64, np.uint8)
    first = -raw.ctypes.data % 64
    grid = raw[first:first + count * width].view(dtype).reshape(count, -1)
    return grid[:, :n]
