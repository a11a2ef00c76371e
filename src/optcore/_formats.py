"""Storage formats in plain NumPy: the reference's statement of what _codecs.pxd does, bit for bit.

Owns decoding, the noise of stochastic rounding, and rounding. Imports NumPy, nothing of the package.
"""
from __future__ import annotations

from typing import Any

import numpy as np


def decode(stored: Any) -> Any:
    """An array of any format as float32 (float64 stays as it is). uint16 holds the bits of bfloat16."""
    if stored.dtype == np.uint16 or stored.dtype.name == "bfloat16":
        return (stored.view(np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)
    return stored.astype(np.float32) if stored.dtype == np.float16 else stored


def _hashed(x: Any) -> Any:
    for shift, times in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = x ^ (x >> np.uint32(shift))
        x = x * np.uint32(times)
    return x ^ (x >> np.uint32(16))


def noise(seed: int, step: int, offset: int, n: int, slot: int) -> Any:
    """The 16 bits by which elements offset .. offset + n of state array `slot` are rounded at a step."""
    low64 = (1 << 64) - 1
    z = (seed + 0x9E3779B97F4A7C15 * step) & low64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & low64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & low64
    z ^= z >> 31
    element = np.arange(n, dtype=np.uint64) + np.uint64(offset)
    high = _hashed((element >> np.uint64(32)).astype(np.uint32))
    bits = _hashed(element.astype(np.uint32) ^ np.uint32(z & 0xFFFFFFFF) ^ high) + np.uint32(z >> 32)
    return (bits, bits >> np.uint32(16), bits * np.uint32(0x9E3779B1) >> np.uint32(16))[slot] & np.uint32(0xFFFF)


def to_bfloat16(values: Any, noise: Any) -> Any:
    """The bits of float32 values rounded stochastically: up with the probability of what is cut off."""
    up = (values.view(np.uint32) + noise) >> np.uint32(16)
    return np.where(np.isnan(values), np.uint32(0x7FC0), up).astype(np.uint16)
