"""Numbers of 16 bits: bfloat16 and float16 in plain NumPy, what kernels/bits16.pxd does, bit for bit.

Owns their encoding and decoding. bfloat16 is held as its bits, in an array of uint16.
"""
from __future__ import annotations

from typing import Any

import numpy as np


def from_bfloat16(bits: Any) -> Any:
    return (bits.view(np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)


def to_bfloat16(values: Any, noise: Any) -> Any:
    """The bits of float32 values rounded stochastically: up with the probability of what is cut off."""
    up = (values.view(np.uint32) + noise) >> np.uint32(16)
    return np.where(np.isnan(values), np.uint32(0x7FC0), up).astype(np.uint16)


def nearest_bfloat16(values: Any) -> Any:
    """The bits of float32 values rounded to nearest, ties to even."""
    return to_bfloat16(values, np.uint32(0x7FFF) + ((values.view(np.uint32) >> np.uint32(16)) & np.uint32(1)))


def to_float16(values: Any) -> Any:
    """float32 values rounded to nearest, ties to even."""
    return values.astype(np.float16)
