"""Storage formats in plain NumPy: the reference's statement of what _codecs.pxd, _eight.pxd and _philox.pxd do, bit
for bit.

Owns decoding, the noise of stochastic rounding, and rounding. Imports NumPy, nothing of the package.
"""
from __future__ import annotations

from typing import Any

import numpy as np

BLOCK = 256                     # elements of a block of 8-bit codes
_KEPT = 20                      # bits below a code's last one
_LEAST, _BROKEN = 20, 255       # exponents of a block of zeros, and of one with an infinity or NaN
_LOW64 = (1 << 64) - 1


def decode(stored: Any) -> Any:
    """An array of 16, 32 or 64 bits as float32 (float64 stays as it is). uint16 holds the bits of bfloat16."""
    if stored.dtype == np.uint16 or stored.dtype.name == "bfloat16":
        return (stored.view(np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)
    return stored.astype(np.float32) if stored.dtype == np.float16 else stored


# ------------------------------------------------------------------------------------------- noise


def noise(seed: int, step: int, offset: int, n: int, slot: int, bits: int = 16) -> Any:
    """The bits by which elements offset .. offset + n of state array `slot` are rounded at a step."""
    z = (seed + 0x9E3779B97F4A7C15 * step) & _LOW64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _LOW64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _LOW64
    z ^= z >> 31
    start, stride = np.uint32(z >> 32), np.uint32(z & 0xFFFFFFFF | 1)
    x = start + (np.arange(n, dtype=np.uint64) + np.uint64(offset)).astype(np.uint32) * stride
    if slot == 0:
        return x & np.uint32((1 << bits) - 1)
    if slot > 1:
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


def parameter_noise(seed: int, step: int, offset: int, n: int) -> Any:
    """The 16 bits by which parameters offset .. offset + n are rounded: halves of Philox's words, lower first."""
    first = offset // 8
    group = np.arange(first, (offset + n + 7) // 8, dtype=np.uint64)
    counter = np.stack([group & np.uint64(0xFFFFFFFF), group >> np.uint64(32),
                        np.full_like(group, step & 0xFFFFFFFF), np.full_like(group, step >> 32)], axis=1)
    words = philox(counter, (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF))
    halves = np.stack([words & np.uint32(0xFFFF), words >> np.uint32(16)], axis=2).reshape(-1)
    return halves[offset - 8 * first:][:n]


# ------------------------------------------------------------------------------------------- 16 bits


def to_bfloat16(values: Any, noise: Any) -> Any:
    """The bits of float32 values rounded stochastically: up with the probability of what is cut off."""
    up = (values.view(np.uint32) + noise) >> np.uint32(16)
    return np.where(np.isnan(values), np.uint32(0x7FC0), up).astype(np.uint16)


def nearest_bfloat16(values: Any) -> Any:
    """The bits of float32 values rounded to nearest, ties to even."""
    return to_bfloat16(values, np.uint32(0x7FFF) + ((values.view(np.uint32) >> np.uint32(16)) & np.uint32(1)))


def split_bfloat16(values: Any, noise: Any) -> tuple[Any, Any]:
    """float32 values as two bfloat16: to nearest, and the rest, rounded stochastically."""
    stored = nearest_bfloat16(values)
    rest = values - decode(stored)
    return stored, to_bfloat16(np.where(np.isfinite(rest), rest, np.float32(0)), noise)


# ------------------------------------------------------------------------------------------- 8 bits


def blocks(n: int) -> int:
    """How many blocks of 8-bit codes n elements take: an array of them has blocks(n) * (BLOCK + 1) bytes."""
    return -(-n // BLOCK)


def decode8(stored: Any, n: int, nonnegative: bool) -> Any:
    """The n values of an array of 8-bit codes."""
    count = blocks(n)
    codes = stored[:count * BLOCK].view("<u4").reshape(count, 1, BLOCK // 4)
    x = ((codes >> np.array([0, 8, 16, 24], np.uint32)[None, :, None]) & np.uint32(0xFF)).reshape(count, BLOCK)
    unit = (stored[count * BLOCK:].astype(np.uint32) << np.uint32(23)).view(np.float32)[:, None]
    size = x if nonnegative else x & np.uint32(0x7F)
    with np.errstate(invalid="ignore"):             # 0 times infinity, the unit of a broken block
        values = (((size << np.uint32(_KEPT)) | np.uint32(0x40000000)).view(np.float32) - np.float32(2)) * unit
    if not nonnegative:
        values = (values.view(np.uint32) | ((x & np.uint32(0x80)) << np.uint32(24))).view(np.float32)
    return values.reshape(-1)[:n]


def encode8(values: Any, noise: Any, nonnegative: bool) -> Any:
    """float32 values as an array of 8-bit codes; `noise` has 20 bits for each element of the blocks."""
    count = blocks(values.size)
    padded = np.zeros(count * BLOCK, np.uint32)
    padded[:values.size] = values.view(np.uint32)
    bits, noise = padded.reshape(count, BLOCK), noise.reshape(count, BLOCK)
    size = bits if nonnegative else bits & np.uint32(0x7FFFFFFF)
    top = (size.max(axis=1) if count else size[:, 0]) >> np.uint32(23)
    below = 31 if nonnegative else 15
    exponent = np.where(top >= 255, _BROKEN, np.where(top < below + _LEAST, _LEAST, top.astype(np.int64) - below))
    times = ((254 - np.minimum(exponent, 254)).astype(np.uint32) << np.uint32(23)).view(np.float32)[:, None]
    t = size.view(np.float32) * times
    if nonnegative:
        t = np.where(t > np.float32(0.25), t, np.float32(0.25))
    x = ((t + np.float32(2)).view(np.uint32) + noise) >> np.uint32(_KEPT)
    x = x & np.uint32(0xFF) if nonnegative else (x & np.uint32(0x7F)) | ((bits >> np.uint32(24)) & np.uint32(0x80))
    x = np.where(exponent[:, None] == _BROKEN, np.uint32(0), x).reshape(count, 4, BLOCK // 4)
    words = x[:, 0] | x[:, 1] << np.uint32(8) | x[:, 2] << np.uint32(16) | x[:, 3] << np.uint32(24)
    return np.concatenate([words.astype("<u4").reshape(-1).view(np.uint8), exponent.astype(np.uint8)])
