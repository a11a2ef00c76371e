"""Noise by number in plain NumPy: the reference's statement of what kernels/search_noise.pxd does, bit for bit.

Owns which random word an element takes, the two distributions, and the formula out <- p + sum_k c_k noise_k. Imports
nothing compiled.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from optcore.formats.rounding import philox

KINDS = {"gaussian": 2, "rademacher": 3}        # by number, as the kernels know them
CHUNK, LANES = 2048, 64
_U = np.uint32
_LOW = (1 << 32) - 1


def _words(count: int, first: int, kind: int, seed: int, sample: int) -> Any:
    """The words of `count` counters from number `first` on: (4, count)."""
    number = np.arange(count, dtype=np.uint64) + np.uint64(first)
    counter = np.stack([number & np.uint64(_LOW), number >> np.uint64(32), np.full_like(number, sample & _LOW),
                        np.full_like(number, sample >> 32 | kind << 30)], axis=1)
    return philox(counter, (seed & _LOW, seed >> 32)).T


def _polynomial(x: Any, *coefficients: float) -> Any:
    y = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        y = y * x + np.float32(c)
    return y


def box_muller(for_radius: Any, for_angle: Any) -> tuple[Any, Any]:
    """Two independent normal numbers from two random words, in float32, by + - * sqrt and operations on bits."""
    u = (for_radius >> _U(1)).astype(np.float32) * np.float32(2.0 ** -31) + np.float32(2.0 ** -32)
    bits = u.view(_U) + _U(0x004AFB0D)
    e = (bits >> _U(23)).astype(np.float32) - np.float32(127)
    f = ((bits & _U(0x007FFFFF)) + _U(0x3F3504F3)).view(np.float32) - np.float32(1)
    q = _polynomial(f, 0.20213527977466583, -0.3244504928588867, 0.3450169563293457, -0.3980034589767456,
                    0.4993981719017029, -0.6667011976242065, 1.0000072717666626, -1.9999998807907104)
    r = np.sqrt(e * np.float32(-1.3862943649291992) + q * f)
    t = (for_angle << _U(1)).view(np.int32).astype(np.float32) * np.float32(2.0 ** -31)
    z = t * t
    s = _polynomial(z, 0.00015167852689046413, -0.004674157593399286, 0.07968992739915848, -0.6459637880325317,
                    1.5707963705062866)
    c = _polynomial(z, 0.0008581905858591199, -0.020810628309845924, 0.2536507546901703, -1.2336982488632202,
                    0.9999999403953552)
    return ((r * c).view(_U) ^ (for_angle & _U(0x80000000))).view(np.float32), r * (s * t)


def noise(kind: str, seed: int, sample: int, offset: int, n: int) -> Any:
    """Elements offset .. offset + n of a sample's noise."""
    chunk = offset // CHUNK
    chunks = -(-(offset + n) // CHUNK) - chunk
    if kind == "gaussian":
        # (block, word, lane): in every 256 elements word 0 of 64 counters, then word 1 of all of them, ...
        x = _words(chunks * CHUNK // 4, chunk * CHUNK // 4, KINDS[kind], seed, sample).reshape(4, -1, LANES)
        values = np.stack([*box_muller(x[0], x[1]), *box_muller(x[2], x[3])], axis=1)
    else:
        # (chunk, bit, word, lane): in every 2048 elements bit 0 of four words of 16 counters, then bit 1, ...
        x = _words(chunks * 16, chunk * 16, KINDS[kind], seed, sample).reshape(4, chunks, 16).transpose(1, 0, 2)
        bits = x[:, None] >> np.arange(32, dtype=_U)[None, :, None, None]
        values = (bits << _U(31) | _U(0x3F800000)).view(np.float32)
    return values.reshape(-1)[offset - chunk * CHUNK:][:n]


def perturb(p: Any, weights: Sequence[float], kind: str, seed: int, sample: int, offset: int = 0) -> Any:
    """p + sum_k weights[k] noise(sample + k), p being the elements from number `offset` on."""
    total = np.zeros(p.size, np.float32)
    for k, c in enumerate(weights):
        total = total + np.float32(c) * noise(kind, seed, sample + k, offset, p.size)
    return p + total.reshape(p.shape)
