"""Arrays to update: random ones for a rule, where they lie in memory, and the storage formats they are put in."""
from __future__ import annotations

import numpy as np

from optcore.formats import block8


def placed(values, offset):
    """A copy of `values` that begins `offset` elements past the start of a cache line."""
    head = max(4, values.itemsize) * offset
    raw = np.zeros(head + values.nbytes + 64, np.uint8)
    first = -raw.ctypes.data % 64 + head
    a = raw[first:first + values.nbytes].view(values.dtype)
    a[...] = values.ravel()
    return a.reshape(values.shape)


def random_arrays(rule, n, rng, kind="normal"):
    """(p, g, state...) for a rule. State that is a mean of squares or a size is not negative, as it never is."""
    scale = {"normal": 1.0, "tiny": 1e-41, "huge": 1e30, "mixed": 1.0}[kind]
    arrays = [(rng.standard_normal(n) * scale).astype(np.float32) for _ in rule.arrays]
    if kind == "mixed" and n:
        special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 3e38, 1e-38], np.float32)
        for a in arrays:
            where = rng.random(n) < 0.3
            a[where] = rng.choice(special, int(where.sum()))
    for k, state in enumerate(rule.state, start=2):
        if state.nonnegative:
            arrays[k] = np.abs(arrays[k])
    return arrays


SHAPE = (4, 6)


def good_arrays(rule, shape=SHAPE, seed=0):
    n = int(np.prod(shape))
    return [a.reshape(shape) for a in random_arrays(rule, n, np.random.default_rng(seed))]


def strided(a):
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), np.float32)
    wide[..., ::2] = a
    return wide[..., ::2]


def misaligned(a, by):
    raw = np.zeros(a.nbytes + 8, np.uint8)
    first = -raw.ctypes.data % 4 + by
    b = raw[first:first + a.nbytes].view(np.float32).reshape(a.shape)
    b[...] = a
    return b


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def backwards(a):
    return np.ascontiguousarray(a[::-1])[::-1]


def stored(a, form, code=0):
    """A float32 array in a storage format (bfloat16 cut off, not rounded: which value it is does not matter)."""
    if form == "bfloat16":
        return (a.view(np.uint32) >> 16).astype(np.uint16)
    if form == "int8":
        return block8.encode8(a, np.zeros(block8.blocks(a.size) * 256, np.uint32), code)
    if form == "residual":
        return (a.view(np.uint32) & np.uint32(0xFF)).astype(np.uint8).view(np.int8)     # any
    return a.astype(form)
