"""State in 8 bits: blocks of 256 codes with a unit each, what kernels/block8.pxd does, bit for bit.

Owns their encoding and decoding (that file says what a code is). An array of them is one-dimensional and of uint8.
"""
from __future__ import annotations

from typing import Any

import numpy as np

BLOCK = 256                     # elements of a block
UNIT = 4                        # bytes of its unit
BITS = 19                       # random bits that the rounding of a code takes
SIGNED, SQUARE, SIZE = CODES = range(3)
_KEPT = (19, 19, 18)            # by code, bits below the last one
_BELOW = (7, 15, 7)             # the largest of a block is from 2^7 or 2^15 units on
_ROOM = 0x600000
_LEAST, _ONE, _BROKEN = 20 << 23, 127 << 23, 255 << 23      # units by their bits: the least, 1, infinity


def blocks(n: int) -> int:
    """How many blocks n elements take: an array of them has blocks(n) * (BLOCK + UNIT) bytes."""
    return -(-n // BLOCK)


def units(stored: Any) -> Any:
    """The units of an array's blocks: a view."""
    return stored[stored.size // (BLOCK + UNIT) * BLOCK:].view(np.float32)


def _bytes(stored: Any, count: int) -> Any:
    """The codes of `count` blocks in the order of their elements, a row each."""
    words = stored[:count * BLOCK].view("<u4").reshape(count, 1, BLOCK // 4)
    x = (words >> np.array([0, 8, 16, 24], np.uint32)[None, :, None]) & np.uint32(0xFF)
    return x.reshape(count, BLOCK)


def decode8(stored: Any, n: int, code: int) -> Any:
    """The n values of an array of 8-bit codes."""
    count = blocks(n)
    x = _bytes(stored, count)
    unit = units(stored)[:count, None]
    size = (x if code else x & np.uint32(0x7F)) << np.uint32(_KEPT[code])
    with np.errstate(all="ignore"):                 # infinity less infinity, or times 0, in a broken block
        if code == SIGNED:
            sign, two = (x & np.uint32(0x80)) << np.uint32(24), (unit + unit).view(np.uint32)
            values = ((size | sign) + two).view(np.float32) - (sign | two).view(np.float32)
        else:
            values = ((size | np.uint32(0x40000000)).view(np.float32) - np.float32(2)) * unit
    return values.reshape(-1)[:n]


def _next_unit(before: Any, decay: Any, top: Any, code: int) -> Any:
    """The units of blocks whose largest new values have the bits `top`."""
    below = _BELOW[code]
    with np.errstate(all="ignore"):
        base = (before * np.float32(decay)).view(np.int32).astype(np.int64)
    base = np.where((base < _LEAST) | (base >= _BROKEN), _ONE, base) & (-1 if code else _BROKEN)
    apart = top - base
    moved = np.maximum(base + ((apart >> 23) - below) * (1 << 23), _LEAST)
    fits = (apart >= below << 23) & (apart < ((below + 1) << 23) + _ROOM)
    bits = np.where(top >= _BROKEN, _BROKEN, np.where(fits, base, moved))
    return bits.astype(np.uint32).view(np.float32)


def encode8(values: Any, noise: Any, code: int, before: Any = None, decay: Any = 1.0) -> Any:
    """float32 values as an array of 8-bit codes; `noise` has 19 bits for each element of the blocks. before: the units
    that the blocks had; decay: what their values were multiplied by since."""
    count = blocks(values.size)
    padded = np.zeros(count * BLOCK, np.uint32)
    padded[:values.size] = values.view(np.uint32)
    bits, noise = padded.reshape(count, BLOCK), noise.reshape(count, BLOCK)
    size = bits if code else bits & np.uint32(0x7FFFFFFF)
    top = (size.max(axis=1) if count else size[:, 0]).astype(np.int64)
    unit = _next_unit(np.zeros(count, np.float32) if before is None else before, decay, top, code)
    with np.errstate(all="ignore"):                 # of a broken block
        if code:
            t, least = size.view(np.float32) * (np.float32(1) / unit)[:, None], np.float32(2.0**(_KEPT[code] - 22))
            x = (np.where(t > least, t, least) + np.float32(2)).view(np.uint32)
        else:
            two = (unit + unit)[:, None]
            x = (size.view(np.float32) + two).view(np.uint32) - two.view(np.uint32)
    x = (x + (noise >> np.uint32(BITS - _KEPT[code]))) >> np.uint32(_KEPT[code])
    x = x & np.uint32(0xFF) if code else (x & np.uint32(0x7F)) | ((bits >> np.uint32(24)) & np.uint32(0x80))
    x = np.where(np.isinf(unit)[:, None], np.uint32(0), x).reshape(count, 4, BLOCK // 4)
    words = x[:, 0] | x[:, 1] << np.uint32(8) | x[:, 2] << np.uint32(16) | x[:, 3] << np.uint32(24)
    return np.concatenate([words.astype("<u4").reshape(-1).view(np.uint8), unit.view(np.uint8)])


# ------------------------------------------------------------------------------------------- as 0.1 saved them

_OLD_KEPT = 20


def decode_0_1(stored: Any, n: int, code: int) -> Any:
    """The n values of an array that 0.1 saved: 3 mantissa bits, and for each block an exponent of one byte. None if it
    is not one: today's are longer."""
    count = blocks(n)
    if stored.shape != (count * (BLOCK + 1),):
        return None
    x = _bytes(stored, count)
    unit = (stored[count * BLOCK:].astype(np.uint32) << np.uint32(23)).view(np.float32)[:, None]
    size = x if code else x & np.uint32(0x7F)
    with np.errstate(invalid="ignore"):             # 0 times infinity, the unit of a broken block
        values = (((size << np.uint32(_OLD_KEPT)) | np.uint32(0x40000000)).view(np.float32) - np.float32(2)) * unit
    if not code:
        values = (values.view(np.uint32) | ((x & np.uint32(0x80)) << np.uint32(24))).view(np.float32)
    return values.reshape(-1)[:n]
