"""Bad input: arrays that cannot be used, each made from a good one, and numbers that no setting may have."""
from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from optcore.formats import playing
from optcore.rules.settings import FRACTION, GROWING, INVERTIBLE, POSITIVE, SHRINKING
from tests.support.arrays import backwards, misaligned, read_only, strided
from tests.support.foreign import BfloatByDLPack, OnlyDLPack


class Withheld(OnlyDLPack):
    """Memory of the CPU that its owner does not give away, as torch does not where a tensor needs a gradient."""

    def __dlpack__(self, **_):
        raise BufferError("not now")


class Elsewhere:
    """An array that says it is on another device. Its memory must not be asked for."""

    def __init__(self, inner, **attributes):
        self.inner = inner
        for name, value in attributes.items():
            setattr(self, name, value)

    def __dlpack__(self, **_):
        raise AssertionError("the memory of another device was asked for")


class OnCuda(Elsewhere):
    def __dlpack_device__(self):
        return 2, 0


def others(role):
    """Floating-point numbers that the table of formats does not let play a role."""
    known = [form for form in ("float16", "float32", "float64") if form not in playing(role)]
    return {form: lambda a, form=form: a.astype(form) for form in known} | {
        f"{form} by DLPack": lambda a, form=form: OnlyDLPack(a.astype(form)) for form in known}


# For a gradient and for what is updated. Each makes a bad array from a good one.
BAD = {
    "longdouble": lambda a: a.astype(np.longdouble),
    "int64": lambda a: a.astype(np.int64),
    "int16": lambda a: a.astype(np.int16),
    "int8": lambda a: np.zeros(a.shape, np.int8),
    "uint8": lambda a: np.zeros(a.shape, np.uint8),
    "int32": lambda a: a.view(np.int32),
    "big-endian": lambda a: a.astype(">f4"),
    "bytes": lambda a: a.tobytes(),
    "a record": lambda a: a.view([("x", np.float32)]),
    "int64 by DLPack": lambda a: OnlyDLPack(a.astype(np.int64)),
    "bfloat16 by DLPack": BfloatByDLPack,
    "withheld": Withheld,
    "dlpack on cuda": OnCuda,
    "cuda array interface": lambda a: Elsewhere(a, __cuda_array_interface__={"shape": a.shape, "typestr": "<f4"}),
    "a list": lambda a: a.tolist(),
    "a number": lambda a: 0.5,
    "a string": lambda a: "p",
}
BAD_SHAPE = {
    "same size": lambda a: a.reshape(a.shape[::-1]),
    "one axis more": lambda a: a[None],
    "flat": lambda a: a.ravel(),
    "larger": lambda a: np.ones((a.shape[0] + 1, *a.shape[1:]), np.float32),
    "smaller": lambda a: np.ones((a.shape[0], a.shape[1] - 1), np.float32),
    "broadcastable": lambda a: np.ones((1, a.shape[1]), np.float32),
    "empty": lambda a: np.ones((0, a.shape[1]), np.float32),
}
BAD_TARGET = {                      # a parameter
    **others("parameter"),
    "strided": strided,
    "negative strides": backwards,
    "misaligned by 1": lambda a: misaligned(a, 1),
    "misaligned by 2": lambda a: misaligned(a, 2),
    "misaligned by 3": lambda a: misaligned(a, 3),
    "read-only": read_only,
    "read-only memoryview": lambda a: memoryview(a).toreadonly(),
}


# And what is updated beside a parameter in C order and float32.
BAD_BESIDE = BAD_TARGET | {"transposed": lambda a: np.asfortranarray(a), "float64": lambda a: a.astype(np.float64)}


def bad_numbers(setting):
    limit = {FRACTION: 1.0, SHRINKING: 1.0}.get(setting.domain, 3.5e38)
    edges = {SHRINKING: [0.0, 0], POSITIVE: [0.0, 0], INVERTIBLE: [0.0, 0, 1e-39],
             GROWING: [0.0, 0.5, 1.0, 1]}.get(setting.domain, [-1.0])
    return st.one_of(
        st.sampled_from(edges),
        st.floats(max_value=-1e-300), st.floats(min_value=limit), st.integers(max_value=-1),
        st.sampled_from([float("nan"), float("inf"), np.float32("nan"), 10**400, -10**400, "x", b"1", 1j, [0.1],
                         (0.1, 0.2), {}, object(), np.ones(2), np.full(1, 0.5), OnlyDLPack(np.ones(2))]))
