"""Noise by number: the kernels' bits are the reference's, and it is distributed as it is said to be."""
from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optcore.search import noise as _noise
from optcore.search.noise import KINDS, box_muller, noise
from tests.support.arrays import placed
from tests.support.bits import assert_same_bits
from tests.support.draws import OFFSETS, SIZES

NUMBERS = st.one_of(st.integers(0, 9000), st.sampled_from([2047, 2048, 2**31 - 5, 2**32 - 100, 2**40 + 1, 2**52]))
SEEDS, SAMPLES = st.integers(0, 2**64 - 1), st.one_of(st.integers(0, 100), st.integers(0, 2**53 - 10))
WEIGHTS = st.lists(st.sampled_from([0.1, -1.0, 1e-30, 3e38, 0.0, 7.25]), max_size=4)


@settings(max_examples=150)
@given(n=SIZES, first=NUMBERS, seed=SEEDS, sample=SAMPLES, weights=WEIGHTS, kind=st.sampled_from(sorted(KINDS)),
       threads=st.integers(1, 4), offset=OFFSETS, in_place=st.booleans())
def test_kernels_are_the_reference(variant, n, first, seed, sample, weights, kind, threads, offset, in_place):
    p = placed(np.random.default_rng(n).standard_normal(n).astype(np.float32), offset)
    before = p.copy()
    with np.errstate(over="ignore", invalid="ignore"):      # weights near the largest float32 overflow in both
        want = _noise.perturb(p, weights, kind, seed, sample, first)
    out = p if in_place else np.full_like(p, np.nan)
    assert variant.perturb([out], [p], [first], weights, KINDS[kind], seed, sample, threads)
    assert_same_bits(out, want)
    assert in_place or (p == before).all()


@settings(max_examples=30)
@given(cuts=st.lists(st.integers(0, 20_000), max_size=6), kind=st.sampled_from(sorted(KINDS)),
       threads=st.integers(1, 3))
def test_shards_have_the_noise_of_the_whole(variant, cuts, kind, threads):
    p = np.zeros(20_000, np.float32)
    want = _noise.perturb(p, [0.5, 2.0], kind, 3, 7, 1000)
    cuts = [0, *sorted(cuts), p.size]
    shards = [p[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]
    assert variant.perturb(shards, shards, [1000 + a for a in cuts[:-1]], [0.5, 2.0], KINDS[kind], 3, 7, threads)
    assert_same_bits(p, want)


def test_what_the_kernel_does_not_take(variant):
    p, q = np.ones(4, np.float32), np.ones(4, np.float32)
    for outs, params in [([p[:3]], [p]), ([p], [p.astype(np.float64)]), ([p, p], [p, q]), ([q], [p[::2]])]:
        assert not variant.perturb(outs, params, [0] * len(params), [1.0], 2, 0, 0)
    for firsts, kind, sample in [([], 2, 0), ([0], 1, 0), ([0], 2, 2**53)]:
        with pytest.raises(ValueError, match="perturb takes"):
            variant.perturb([q], [p], firsts, [1.0], kind, 0, sample)
    assert (p == 1).all() and (q == 1).all()


# ------------------------------------------------------------------------------------------- the distributions

N = 1 << 18


def test_normal_numbers_are_accurate():
    """Against Box and Muller's formula in float64, from the same u and t as float32 has them.

    The radius: the polynomial is off by 1.7e-7 of -2 ln u, rounding by at most 8 units of 2^-24 (Horner's last
    operations and the sum); the root halves both: 3.3e-7, and half a unit of its own. Sine and cosine: 5e-8 and 4 units
    at most, absolute. Together below 8e-7 of the radius.
    """
    edges = np.concatenate([[2**k + d for d in (-2, -1, 0, 1, 2)] for k in range(2, 32)]).astype(np.uint32)
    words = np.concatenate([edges, np.random.default_rng(0).integers(0, 2**32, N, dtype=np.uint64).astype(np.uint32),
                            np.array([0, 1, 2**32 - 1, 2**32 - 2], np.uint32)])
    angles = np.roll(words, 7)
    u = ((words >> 1).astype(np.float32) * np.float32(2.0**-31) + np.float32(2.0**-32)).astype(np.float64)
    r = np.sqrt(-2 * np.log(u))
    t = (angles << np.uint32(1)).view(np.int32).astype(np.float32).astype(np.float64) * (math.pi / 2 * 2.0**-31)
    a, b = box_muller(words, angles)
    sign = np.where(angles >> 31, -1.0, 1.0)
    assert (np.abs(a - sign * r * np.cos(t)) <= 8e-7 * r).all()
    assert (np.abs(b - r * np.sin(t)) <= 8e-7 * r).all()


def test_largest_normal_number():
    """The least u is 2^-32: the largest radius is sqrt(64 ln 2) = 6.6604. A normal number is beyond it with
    probability 2.7e-11, once in 3.7e10 elements."""
    a, b = box_muller(np.array([0, 0], np.uint32), np.array([0, 0x7FFFFFFF], np.uint32))
    assert abs(float(a[0]) - math.sqrt(64 * math.log(2))) < 6.7 * 8e-7 and abs(float(b[0])) == 0
    assert np.isfinite(noise("gaussian", 0, 0, 0, N)).all()


@pytest.mark.parametrize(("seed", "sample", "offset"), [(0, 0, 0), (1, 5, 2**33), (2**63, 2**40, 1)])
def test_gaussian_noise_is_normal(seed, sample, offset):
    """Moments 1 to 4 have variance 1/n, 2/n, 15/n, 96/n; five standard deviations are left to chance. Kolmogorov and
    Smirnov's sqrt(n) D is above 2.4 with probability 2e-5."""
    x = noise("gaussian", seed, sample, offset, N).astype(np.float64)
    for k, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((x**k).mean() - mean) < 5 * math.sqrt(variance / N), k
    x.sort()
    below = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x])
    d = max((np.arange(1, N + 1) / N - below).max(), (below - np.arange(N) / N).max())
    assert math.sqrt(N) * d < 2.4


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_noise_is_independent(kind):
    """Products of two independent numbers of variance 1 have variance 1: their mean lies within five standard
    deviations of 0, for neighbours at every distance in a block, samples, seeds and shares of a pair."""
    x = noise(kind, 0, 0, 0, N).astype(np.float64)
    others = {f"distance {d}": np.roll(x, d) for d in (1, 2, 15, 16, 17, 31, 64, 128, 192, 256, 2048)}
    others |= {"sample": noise(kind, 0, 1, 0, N), "seed": noise(kind, 1, 0, 0, N), "far": noise(kind, 0, 0, 2**35, N)}
    for what, other in others.items():
        assert abs((x * other).mean()) < 5 / math.sqrt(N), what
        if kind == "gaussian":      # so are their squares, less 1, over their variance
            assert abs(((x**2 - 1) * (other.astype(np.float64)**2 - 1)).mean() / 2) < 5 / math.sqrt(N), what


def test_signs_are_fair():
    """Five standard deviations, over all and for each of the 2048 places of a chunk."""
    x = noise("rademacher", 9, 3, 0, N)
    assert set(np.unique(x)) == {-1.0, 1.0}
    assert abs(x.mean(dtype=np.float64)) < 5 / math.sqrt(N)
    places = x.reshape(-1, 2048).mean(0, dtype=np.float64)
    assert np.abs(places).max() < 5.5 / math.sqrt(N / 2048)
