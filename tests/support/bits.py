"""What counts as equal: bits of arrays, of what a file holds, of all that an optimizer is."""
from __future__ import annotations

import numpy as np


def assert_same_bits(got, want, what=""):
    """Equal bit for bit, but that one NaN is as good as another: which of two NaNs an operation hands on
    is left open by IEEE 754, and compilers swap the operands."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.dtype == want.dtype and got.shape == want.shape, what
    nan = np.isnan(want)
    np.testing.assert_array_equal(np.isnan(got), nan, err_msg=what)
    integer = f"u{got.dtype.itemsize}"
    np.testing.assert_array_equal(np.where(nan, 0, got.view(integer)), np.where(nan, 0, want.view(integer)),
                                  err_msg=what)


def exact(x):
    """Something that is equal only for equal types, bits, orders and shapes."""
    if isinstance(x, np.ndarray):
        return x.dtype, x.shape, x.tobytes()
    if isinstance(x, dict):
        return dict, [(k, exact(v)) for k, v in x.items()]
    if isinstance(x, (list, tuple)):
        return type(x), [exact(v) for v in x]
    return type(x), x.hex() if isinstance(x, float) else x


def compare(got, want):
    """(parameters, state dict), twice, are the same to the bit."""
    for a, b in zip(got[0], want[0], strict=True):
        assert_same_bits(a, b)
    assert repr(got[1]["param_groups"]) == repr(want[1]["param_groups"])
    assert got[1]["state"].keys() == want[1]["state"].keys()
    for i, entries in want[1]["state"].items():
        assert entries.keys() == got[1]["state"][i].keys()
        for k, x in entries.items():
            assert_same_bits(got[1]["state"][i][k], x, k)
