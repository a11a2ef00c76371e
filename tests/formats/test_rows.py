"""The two tables of storage formats say the same, kernels/formats.pxd by way of formats() and optcore.formats; and
what a row says is so."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import optcore as oc
from optcore import _dispatch, functional, reference
from optcore.formats import FORMATS, ROLES, format_of, playing
from tests.support.bits import assert_same_bits


@pytest.mark.parametrize("isa", _dispatch.available())
def test_kernels_and_table_have_the_same_rows(isa):
    rows = _dispatch.load(isa).formats()
    assert rows == {f.name: (f.bytes, f.block, f.roles) for f in FORMATS.values()}
    assert list(rows) == list(FORMATS)


def test_each_row_has_what_its_roles_need():
    for f in FORMATS.values():
        assert set(f.roles) <= set(ROLES) and format_of(np.zeros(1, f.dtype)) is f
        assert "state" not in f.roles or f.name == f.arithmetic or f.quantize is not None and f.noise_bits
        assert not {"parameter", "copy"} & set(f.roles) or f.name == f.arithmetic or f.nearest is not None


# Of every size around what float32 can hold: too large, too small, halfway between two, and what is no number.
WIDE = st.one_of(st.floats(width=64), st.floats(-1e39, 1e39), st.floats(-1e-44, 1e-44),
                 st.integers(-2**26, 2**26).map(lambda k: 1 + k * 2.0 ** -26))


@pytest.mark.parametrize("form", [f for f in playing("gradient") if FORMATS[f].bytes > 4])
@given(values=st.lists(WIDE, max_size=70), threads=st.integers(1, 3))
def test_a_wide_gradient_is_rounded_once(form, values, threads):
    """As NumPy rounds it, in functions, reference, classes, sums and the accumulator; and cleared where asked."""
    g = np.array(values, FORMATS[form].dtype)
    with np.errstate(over="ignore"):
        narrow = g.astype(np.float32)
    start = np.linspace(-1, 1, g.size).astype(np.float32)
    p, q, r = start.copy(), start.copy(), start.copy()
    functional.sgd(p, g, step=1, lr=0.1, num_threads=threads)
    functional.sgd(q, narrow, step=1, lr=0.1)
    reference.sgd(r, g, step=1, lr=0.1)
    assert_same_bits(p, q)
    assert_same_bits(r, q)
    a, b = oc.Adam([p], nonfinite="skip"), oc.Adam([q], nonfinite="skip")
    a.step([g], max_norm=0.7, num_threads=threads)
    b.step([narrow], max_norm=0.7)
    assert_same_bits(p, q)
    assert repr((a.skipped, a.grad_norm)) == repr((b.skipped, b.grad_norm))     # a NaN is one too
    sums, same = oc.GradientAccumulator([start]), oc.GradientAccumulator([start])
    sums.add([g], weight=0.3)
    same.add([narrow], weight=0.3)
    assert_same_bits(sums.grads[0], same.grads[0])
    a.step([g], zero_grads=True)
    assert not g.any() and not np.signbit(g).any()
