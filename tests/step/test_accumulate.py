"""GradientAccumulator: sums in float32 of gradients in any format, over any structure."""
from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import optcore as oc

SHAPES = [(300,), (7, 11), (), (0,), (4097,)]


@given(forms=st.lists(st.sampled_from([np.float32, np.float16, ml_dtypes.bfloat16]), min_size=1, max_size=6),
       threads=st.integers(1, 4), named=st.booleans(), weight=st.sampled_from([1.0, 0.125, 0.3]))
def test_sums_are_numpys(forms, threads, named, weight):
    rng = np.random.default_rng(len(forms))
    shapes = dict(enumerate(SHAPES))
    params = {k: np.zeros(s, np.float32) for k, s in shapes.items()}
    acc = oc.GradientAccumulator(params if named else list(params.values()))
    want = [np.zeros(s, np.float32) for s in SHAPES]
    for form in forms:
        grads = [rng.standard_normal(s).astype(np.float32).astype(form) for s in SHAPES]
        grads[1] = None if form is np.float16 else grads[1]
        acc.add(dict(enumerate(grads)) if named else grads, weight=weight, num_threads=threads)
        for total, g in zip(want, grads, strict=True):
            if g is not None:
                total += np.float32(weight) * g.astype(np.float32)
    got = acc.grads.values() if named else acc.grads
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)
    acc.clear()
    assert not any(a.any() for a in (acc.grads.values() if named else acc.grads))


def test_eight_bfloat16_gradients_lose_nothing():
    """Each has 8 bits; the sum of eight of one size needs 11, and float32 has 24. In bfloat16 the sum would stand
    still once it is 2^8 units of the gradient."""
    g = np.full(100, 1.0078125, ml_dtypes.bfloat16)
    w = np.zeros(100, np.float32)
    acc = oc.GradientAccumulator(w)
    for _ in range(1000):
        acc.add(g)
    np.testing.assert_array_equal(acc.grads, np.full(100, 1007.8125, np.float32))       # exact in float32


@pytest.mark.parametrize(("grads", "message"), [
    ([np.zeros(3, np.float32)], "grads: 2 are needed"),
    ([np.zeros(3, np.float32), np.zeros(4, np.float32)], r"grads\[1\] has shape"),
    ([np.zeros(3, np.int64), np.zeros(2, np.float32)], r"grads\[0\] is int64"),
])
def test_bad_gradients_are_refused_and_change_nothing(grads, message):
    acc = oc.GradientAccumulator([np.zeros(3, np.float32), np.zeros(2, np.float32)])
    acc.add([np.ones(3, np.float32), np.ones(2, np.float32)])
    with pytest.raises((TypeError, ValueError), match=message):
        acc.add(grads)
    with pytest.raises((TypeError, ValueError), match="weight"):
        acc.add([np.ones(3, np.float32), np.ones(2, np.float32)], weight=-1.0)
    assert all((a == 1).all() for a in acc.grads)


def test_its_own_sums_are_refused():
    acc = oc.GradientAccumulator([np.zeros(3, np.float32)])
    with pytest.raises(ValueError, match="overlaps"):
        acc.add(acc.grads)
