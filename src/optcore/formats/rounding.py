"""The random bits of stochastic rounding, by number: what kernels/rounding.pxd and philox.pxd do, bit for bit.

Owns the noise of state (a Weyl sequence hashed from seed and step), that of parameters (its elements hashed once more),
and Philox, for random search: counter-based random numbers. Nothing is kept between calls: the bits are a function of
(seed, step, element).
"""
from __future__ import annotations

from typing import Any

import numpy as np

_LOW64 = (1 << 64) - 1


OF_PARAMETER, OF_COMPENSATION = -1, 3       # what has noise beside the state arrays 0 to 2


def noise(seed: int, step: int, offset: int, n: int, slot: int, bits: int = 16) -> Any:
    """The bits by which elements offset .. offset + n of array `slot` are rounded at a step."""
    z = (seed + 0x9E3779B97F4A7C15 * step) & _LOW64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _LOW64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _LOW64
    z ^= z >> 31
    start, stride = np.uint32(z >> 32), np.uint32(z & 0xFFFFFFFF | 1)
    x = start + (np.arange(n, dtype=np.uint64) + np.uint64(offset)).astype(np.uint32) * stride
    if slot == OF_PARAMETER:
        x = (x ^ x >> np.uint32(16)) * np.uint32(0x7FEB352D)
        x = (x ^ x >> np.uint32(15)) * np.uint32(0x846CA68B)
    elif slot == 0:
        return x & np.uint32((1 << bits) - 1)
    elif slot > 1:
        x = x * np.uint32(0x85EBCA6B if slot == 2 else 0xC2B2AE35)
    return x >> np.uint32(32 - bits)


def philox(counter: Any, key: tuple[int, int]) -> Any:
    """Philox 4x32-10: counters (n, 4) to random words (n, 4)."""
    x = [counter[:, k].astype(np.uint64) for k in range(4)]
    low, by = np.uint64(0xFFFFFFFF), np.uint64(32)
    k0, k1 = key
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * x[0], np.uint64(0xCD9E8D57) * x[2]
        x = [(b >> by) ^ x[1] ^ np.uint64(k0), b & low, (a >> by) ^ x[3] ^ np.uint64(k1), a & low]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(x, axis=1).astype(np.uint32)
