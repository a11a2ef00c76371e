"""State in 8 bits: blocks of 256 codes with an exponent each, what kernels/block8.pxd does, bit for bit.

Owns their encoding and decoding (that file says what a code is). An array of them is one-dimensional and of uint8.
"""
from __future__ import annotations

from typing import Any

import numpy as np

BLOCK = 256                     # elements of a block
BITS = 20                       # random bits that the rounding of a code takes
_KEPT = 20                      # bits below a code's last one
_LEAST, _BROKEN = 20, 255       # exponents of a block of zeros, and of one with an infinity or NaN


def blocks(n: int) -> int:
    """How many blocks n elements take: an array of them has blocks(n) * (BLOCK + 1) bytes."""
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
