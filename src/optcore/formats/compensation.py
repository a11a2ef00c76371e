"""What a bfloat16 parameter lacks of the number that it stands for: what kernels/compensation.pxd does, bit for bit.

Owns how a float32 number is split into the two, and how they are joined (that file says why it is so). A split takes
random bits of rounding and gives the bits of the bfloat16 and what it lacks; all arrays are of one shape.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from optcore.formats.bits16 import from_bfloat16, nearest_bfloat16, to_bfloat16

BITS = 8                        # random bits that the rounding of a residual takes


def split_kahan(values: Any, noise: Any) -> tuple[Any, Any]:
    """To nearest, and a bfloat16 of what that lacks."""
    stored = nearest_bfloat16(values)
    with np.errstate(all="ignore"):                 # infinity less infinity
        lack = values - from_bfloat16(stored)
    return stored, to_bfloat16(np.where(np.isfinite(lack), lack, np.float32(0)), noise)


def join_kahan(stored: Any, lack: Any) -> Any:
    """The sum, but for those that others have written to, beside which half of what they lack is more than rounding
    drops."""
    values, lack = from_bfloat16(stored), from_bfloat16(lack)
    with np.errstate(all="ignore"):
        own = from_bfloat16(nearest_bfloat16(values + np.float32(0.5) * lack)) == values
        return np.where(own, values + lack, values)


def _lacks(stored: Any) -> Any:
    """Whether anything may be lacking beside bfloat16 numbers of these bits: not beside 0, an infinity or a NaN."""
    size = stored & np.uint32(0x7FFF)
    return (size > 0) & (size < np.uint32(0x7F80))


def split_residual(values: Any, noise: Any) -> tuple[Any, Any]:
    """The upper 24 bits, rounded stochastically: the bfloat16 to nearest, and 8 bits from it to there."""
    bits = np.where(np.isnan(values), np.uint32(0x7FC00000), values.view(np.uint32) + noise)
    stored = (bits + np.uint32(0x8000)) >> np.uint32(16)
    lack = np.where(_lacks(stored), (bits >> np.uint32(8)) & np.uint32(0xFF), np.uint32(0))
    return stored.astype(np.uint16), lack.astype(np.uint8).view(np.int8)


def join_residual(stored: Any, lack: Any) -> Any:
    stored = stored.view(np.uint16).astype(np.uint32)
    low = np.where(_lacks(stored), lack.astype(np.int32) << 8, 0).astype(np.uint32)
    return ((stored << np.uint32(16)) + low).view(np.float32)
