"""The vector kernels of the minimizers have the bits of their NumPy reference, in every build and at every number of
threads."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optcore.minimizers import reference
from tests.support.arrays import placed
from tests.support.bits import assert_same_bits
from tests.support.draws import SIZES

FORMS = st.sampled_from([np.float32, np.float64])
KINDS = st.sampled_from(["normal", "huge", "mixed"])


def vectors(rng, count, n, form, offset=0, kind="normal"):
    made = [rng.standard_normal(n) * {"huge": 1e25}.get(kind, 1.0) for _ in range(count)]
    if kind == "mixed":
        for a in made:
            where = rng.random(n) < 0.1
            a[where] = rng.choice([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-44, 3e38], int(where.sum()))
    with np.errstate(over="ignore"):
        return [placed(a.astype(form), offset * np.dtype(form).itemsize // 4) for a in made]


def same(got, want):
    assert_same_bits(np.asarray(got, np.float64), np.asarray(want, np.float64))


@settings(max_examples=60)
@given(n=SIZES, form=FORMS, count=st.integers(0, 9), threads=st.integers(1, 4), offset=st.integers(0, 3), kind=KINDS,
       seed=st.integers(0, 2**32 - 1))
def test_kernels_have_the_references_bits(variant, n, form, count, threads, offset, kind, seed):
    rng = np.random.default_rng(seed)
    mine = vectors(rng, 6, n, form, offset, kind)
    rows = vectors(rng, count, n, form, offset, kind)
    theirs = [a.copy() for a in mine]
    weights = list(rng.standard_normal(count))
    scale, step = rng.standard_normal(2)
    shares = (1.0, 1.0) if seed % 2 else tuple(rng.standard_normal(2))
    with np.errstate(all="ignore"):
        same(variant.vector_dot(mine[0], mine[1], threads), reference.dot(mine[0], mine[1]))
        same(variant.vector_slope(mine[0], mine[1], threads), reference.slope(mine[0], mine[1]))
        for k, which in ((variant, mine), (reference, theirs)):
            out, x, d, g, s, y = which
            name = "vector_" if k is variant else ""
            getattr(k, name + "advance")(out, x, step, d, threads)
            dots = getattr(k, name + "combine")(out, x, step, d, g, scale, rows, weights, threads)
            gram = np.array(getattr(k, name + "pair")(out, x, s.copy(), g, s, y, rows, threads, *shares))
            if k is variant:
                kept = dots, gram
        same(kept[0], dots)
        same(kept[1], gram)
        for a, b in zip(mine, theirs, strict=True):
            assert_same_bits(a, b)


@settings(max_examples=25)
@given(n=st.sampled_from([1, 2, 15, 16, 17, 64, 100, 1023, 1024, 1025, 1100]), threads=st.integers(1, 4),
       seed=st.integers(0, 2**32 - 1))
def test_rank_two_has_the_references_bits_and_stays_symmetric(variant, n, threads, seed):
    rng = np.random.default_rng(seed)
    h = rng.standard_normal((n, n))
    mine = h + h.T
    theirs = mine.copy()
    s, w, a, b = rng.standard_normal((4, n))
    got, want = np.zeros((2, n)), np.zeros((2, n))
    variant.vector_rank_two(mine, s, w, a, b, *got, threads)
    reference.rank_two(theirs, s, w, a, b, *want)
    assert_same_bits(mine, theirs)
    assert_same_bits(got, want)
    assert_same_bits(mine, np.ascontiguousarray(mine.T))


def test_dots_are_as_exact_as_a_pairwise_sum():
    """100 003 terms: 64 additions in a lane, 4 of lanes, 7 of blocks, and a product: 76 roundings of 2^-53 on the way
    of each, relative to the sum of the sizes."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 100_003))
    exact = sum(int(x * 2**60) * int(y * 2**60) for x, y in zip(a, b, strict=True)) / 2**120
    assert abs(reference.dot(a, b) - exact) <= 76 * 2.0**-53 * np.abs(a * b).sum() + 1e-12 * 2.0**-10


@pytest.mark.parametrize("shape", [(), (2, 2), (1, 1, 1)])
def test_vectors_of_other_sizes_are_refused_whatever_their_axes(variant, shape):
    """Not read beyond their ends."""
    a, b = np.ones(shape), np.ones(1000)
    for two in ((a, b), (b, a)):
        with pytest.raises(ValueError, match="differ in size"):
            variant.vector_dot(*two)
    for h in (np.zeros((2, 3)), np.zeros((3, 2)), np.zeros((2, 8)), np.zeros((5, 5))):
        with pytest.raises(ValueError, match="differ in size"):
            variant.vector_rank_two(h, *np.zeros((6, 4)))
        assert not h.any()


@pytest.mark.parametrize("bad", ["size", "type", "mixed", "strided", "read-only"])
def test_what_does_not_fit_is_refused(variant, bad):
    a, b = np.zeros(8), np.ones(8)
    out = {"size": np.zeros(7), "type": np.zeros(8, np.int64), "mixed": np.zeros(8, np.float32),
           "strided": np.zeros(16)[::2], "read-only": np.zeros(8)}[bad]
    if bad == "read-only":
        out.flags.writeable = False
    with pytest.raises((TypeError, ValueError, BufferError)):
        variant.vector_advance(out, a, 1.0, b, 1)
    assert not out.any()
