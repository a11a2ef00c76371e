"""State in 8 bits: what a code stands for, how a value becomes one, what a block shares; tails, shards, threads; and
that training state follows the gradients in it. The kernels have the reference's bits (test_bits.py), so the format
itself is tested on the reference."""
from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optcore as oc
from bench.harness.shapes import gpt2
from optcore.formats import block8, rounding
from optcore.rules import FAMILIES, RULES, SENSITIVE_STATE
from tests.support.arrays import placed, random_arrays
from tests.support.steps import kernel_step

BLOCK = 256
FULL = (1 << 20) - 1                        # the noise that rounds up whatever is not exact
# Powers of 2 from a block's unit up to its largest value, and the codes that it may have without a larger unit.
BELOW = {False: 15, True: 31}
TOPS = {False: range(113, 120), True: range(241, 248)}
LEAST = 20
SIZES = st.sampled_from([1, 2, 63, 255, 256, 257, 300, 511, 512, 513, 1023, 1024, 1025, 4096, 4097, 5000])
WITH_STATE = sorted(name for name in RULES if RULES[name].keys)


def constant(noise, n=BLOCK):
    return np.full(-(-n // BLOCK) * BLOCK, noise, np.uint32)


def codes_of(stored):
    """The codes in the order of the elements, and the exponents."""
    count = stored.size // (BLOCK + 1)
    bytes_ = stored[:count * BLOCK].reshape(count, BLOCK // 4, 4)
    return bytes_.transpose(0, 2, 1).reshape(-1), stored[count * BLOCK:]


def stored_of(codes, exponents):
    bytes_ = codes.reshape(-1, 4, BLOCK // 4).transpose(0, 2, 1).reshape(-1)
    return np.concatenate([bytes_, exponents]).astype(np.uint8)


def magnitude(code, nonnegative):
    """What a code stands for, in units, from the definition: floats of 3 mantissa bits counted from 2, less 2."""
    code = np.asarray(code, np.int64) & (255 if nonnegative else 127)
    return (1 + code % 8 / 8) * 2.0 ** (1 + code // 8) - 2


def block_of(rng, nonnegative, exponent):
    """A block of every kind of code, whose largest needs this exponent."""
    codes = rng.integers(1, max(TOPS[nonnegative]), BLOCK)
    codes[rng.integers(BLOCK)] = rng.choice(TOPS[nonnegative])
    if not nonnegative:
        codes[rng.integers(BLOCK, size=9)] = 0
        codes = np.minimum(codes & 127, codes.max()) | 128 * rng.integers(0, 2, BLOCK)
        codes[(codes & 127) > 119] = 119
    return stored_of(codes, np.array([exponent]))


# ------------------------------------------------------------------------------------------- codes


@pytest.mark.parametrize("nonnegative", [False, True])
def test_codes_stand_for_what_is_said(nonnegative):
    codes = np.arange(BLOCK)
    got = block8.decode8(stored_of(codes, np.array([127])), BLOCK, nonnegative)
    sign = 1 if nonnegative else np.where(codes < 128, 1, -1)
    # Exact up to 2^25; above it the 2 is below half a unit of float32, or a tie that goes to the even.
    want = (sign * magnitude(codes, nonnegative)).astype(np.float32)
    np.testing.assert_array_equal(got, want)
    assert np.signbit(got[128]) == (not nonnegative)
    size = got if nonnegative else got[:128]
    assert size[0] == 0 and size[1] == 0.25 and (np.diff(size) > 0).all()
    assert size[-1] == (2.0**33 - 2.0**29 if nonnegative else 2.0**17 - 2.0**13 - 2)


@settings(max_examples=200)
@given(nonnegative=st.booleans(), seed=st.integers(0, 2**32 - 1), data=st.data())
def test_values_that_are_codes_are_kept_whatever_the_noise(nonnegative, seed, data):
    rng = np.random.default_rng(seed)
    exponent = data.draw(st.integers(LEAST, 254 - BELOW[nonnegative]))
    stored = block_of(rng, nonnegative, exponent)
    values = block8.decode8(stored, BLOCK, nonnegative)
    for noise in (constant(0), constant(FULL), rng.integers(0, 1 << 20, BLOCK, dtype=np.uint32)):
        np.testing.assert_array_equal(block8.encode8(values, noise, nonnegative), stored)


def blocks_of_values(rng, nonnegative, scale, count=4):
    """float32 of all sizes that a block spans, and below."""
    x = rng.uniform(1, 2, count * BLOCK) * 2.0 ** -rng.uniform(0, BELOW[nonnegative] + 6, count * BLOCK)
    return (x * (1 if nonnegative else rng.choice([-1, 1], count * BLOCK)) * 2.0**scale).astype(np.float32)


@settings(max_examples=200)
@given(nonnegative=st.booleans(), seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([-149, -120, -60, 0, 60, 126]))
def test_rounding_goes_to_the_neighbours_only(nonnegative, seed, scale):
    """The codes next to a value below and above, the lower one if it is exact. Adding 2 rounds once, to 2^-24 of the
    sum; so far from where it is may the value be taken to lie."""
    rng = np.random.default_rng(seed)
    values = blocks_of_values(rng, nonnegative, scale)
    low, some, high = (codes_of(block8.encode8(values, x, nonnegative)) for x in (
        constant(0, values.size), rng.integers(0, 1 << 20, values.size, dtype=np.uint32), constant(FULL, values.size)))
    units = np.repeat(2.0 ** (low[1].astype(np.float64) - 127), BLOCK)
    for other in (some, high):
        np.testing.assert_array_equal(other[1], low[1])                     # the noise has no say in the exponent
    if not nonnegative:
        np.testing.assert_array_equal(low[0] >> 7, np.signbit(values))
    mask = 255 if nonnegative else 127
    low, some, high = ((x[0] & mask).astype(int) for x in (low, some, high))
    assert np.isin(some - low, (0, 1)).all() and np.isin(high - low, (0, 1)).all()
    t = np.abs(values.astype(np.float64)) / units
    if nonnegative:
        assert (low >= 1).all()                                             # above 0, however small
        t = np.maximum(t, 0.25)
    room = (t + 2) * 2.0**-24
    assert (magnitude(low, nonnegative) <= t + room).all()
    assert (t < magnitude(low + 1, nonnegative) + room).all()


@pytest.mark.parametrize("slot", range(3))
@pytest.mark.parametrize("nonnegative", [False, True])
def test_rounding_is_unbiased(nonnegative, slot):
    """Over the noise of many steps each value's mean is the value. It is rounded up or down, so one rounding has at
    most the variance gap^2 p (1 - p), and p is right to the 2^-24 of t + 2; six standard deviations of the mean are
    left to chance, for 768 values and 3 arrays (one case in a million)."""
    steps, rng = 4096, np.random.default_rng(slot)
    values = blocks_of_values(rng, nonnegative, 0, 1)
    values[0] = 1.9
    noise = np.concatenate([rounding.noise(5, t, 0, BLOCK, slot, 20) for t in range(1, steps + 1)])
    stored = block8.encode8(np.tile(values, steps), noise, nonnegative)
    got = block8.decode8(stored, BLOCK * steps, nonnegative).reshape(steps, BLOCK).mean(axis=0, dtype=np.float64)
    unit = 2.0 ** -BELOW[nonnegative]
    t = np.abs(values.astype(np.float64)) / unit
    if nonnegative:
        t = np.maximum(t, 0.25)
    low = codes_of(block8.encode8(values, constant(0), nonnegative))[0]
    gap = magnitude((low & (255 if nonnegative else 127)).astype(int) + 1, nonnegative) - magnitude(low, nonnegative)
    p = np.clip((t - magnitude(low, nonnegative)) / gap, 0, 1)
    room = 6 * gap * np.sqrt(p * (1 - p) / steps) + (t + 2) * 2.0**-23
    assert (np.abs(np.abs(got) / unit - t) <= room).all()


@pytest.mark.parametrize("nonnegative", [False, True])
def test_a_blocks_exponent_is_that_of_its_largest_value(nonnegative):
    """The unit is the largest's power of 2 less 2^15 or 2^31, and no less than 2^-107: no code is denormal then."""
    for power in range(-149, 128):
        for largest in (np.float32(2.0**power), np.nextafter(np.float32(2.0**power), np.float32(np.inf))):
            values = np.zeros(BLOCK, np.float32)
            values[power % BLOCK] = largest if nonnegative else -largest
            exponent = codes_of(block8.encode8(values, constant(0), nonnegative))[1]
            want = max(LEAST, int(np.float32(largest).view(np.uint32) >> 23) - BELOW[nonnegative])
            assert exponent.tolist() == [want]
    smallest = block8.decode8(stored_of(np.ones(BLOCK, int), np.array([LEAST])), BLOCK, nonnegative)
    assert (smallest == 2.0**-109).all() and 2.0**-109 >= np.finfo(np.float32).tiny


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan, -np.nan])
def test_what_is_not_finite_breaks_its_block_and_no_other(nonnegative, bad):
    values = np.abs(np.random.default_rng(0).standard_normal(3 * BLOCK)).astype(np.float32)
    values[BLOCK + 77] = bad
    noise = constant(12345, values.size)
    with np.errstate(invalid="ignore"):
        stored = block8.encode8(values, noise, nonnegative)
    got = block8.decode8(stored, values.size, nonnegative).reshape(3, BLOCK)
    assert np.isnan(got[1]).all()
    for k in (0, 2):
        alone = block8.encode8(values.reshape(3, BLOCK)[k], noise[:BLOCK], nonnegative)
        np.testing.assert_array_equal(got[k], block8.decode8(alone, BLOCK, nonnegative))


# ------------------------------------------------------------------------------------------- arrays in the kernels


def narrow_arrays(rule, n, rng):
    """(p, g, state...), the state in 8 bits."""
    plain = random_arrays(rule, n, rng)
    noise = rng.integers(0, 1 << 20, -(-n // BLOCK) * BLOCK, dtype=np.uint32)
    return [*plain[:2], *(placed(block8.encode8(a, noise, z), 0)
                          for a, z in zip(plain[2:], rule.nonnegative, strict=True))]


@pytest.mark.parametrize("form", ["float32", "bfloat16", "int8"])
def test_state_begins_with_zeros(form):
    p, g = random_arrays(RULES["adam"], 600, np.random.default_rng(0))[:2]
    want = p.copy()
    oc.functional.adam(want, g, oc.state_array(p), oc.state_array(p), step=1)
    m, v = oc.state_array(p, form), oc.state_array(p, form)
    assert not m.any() and not (form == "int8" and block8.decode8(v, 600, True).any())
    oc.functional.adam(p, g, m, v, step=1)
    np.testing.assert_array_equal(p, want)


@pytest.mark.parametrize("name", WITH_STATE)
@settings(max_examples=30)
@given(n=SIZES, seed=st.integers(0, 2**32 - 1), threads=st.integers(1, 4))
def test_a_tail_neither_reads_nor_tells(variant, name, n, seed, threads):
    """What lies behind p and g, and what the codes that fill up the last block say, changes nothing; and the same of
    threads."""
    rule, rng = RULES[name], np.random.default_rng(seed)
    clean = narrow_arrays(rule, n, rng)
    spoiled = [np.concatenate([a, np.full(300, np.nan, np.float32)])[:n] for a in clean[:2]]
    for stored in clean[2:]:
        codes, exponents = codes_of(stored.copy())
        codes[n:] = rng.integers(0, 256, codes.size - n)
        spoiled.append(placed(stored_of(codes, exponents), 0))
    behind = spoiled[0].base
    values = {s.name: s.default for s in rule.all_settings}
    kernel_step(variant, rule, clean, 3, values, 1)
    kernel_step(variant, rule, spoiled, 3, values, threads)
    np.testing.assert_array_equal(spoiled[0], clean[0])
    for a, b in zip(spoiled[2:], clean[2:], strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.isnan(behind[n:]).all() and not np.isnan(clean[0]).any()


def shard(stored, begin, end):
    codes, exponents = codes_of(stored)
    return stored_of(codes[begin:-(-end // BLOCK) * BLOCK], exponents[begin // BLOCK:-(-end // BLOCK)])


@settings(max_examples=60)
@given(name=st.sampled_from(WITH_STATE), n=SIZES, cut=st.floats(0, 1), seed=st.integers(0, 2**64 - 1),
       first=st.sampled_from([0, 256, 2**32 - 512, 2**40 + 768]))
def test_shards_cut_between_blocks_equal_the_whole(name, n, cut, seed, first):
    rule, step = RULES[name], getattr(oc.functional, name)
    whole = narrow_arrays(rule, n, np.random.default_rng(seed % 2**32))
    k = int(cut * (n // BLOCK)) * BLOCK
    parts = [[placed(a[b:e] if i < 2 else shard(a, b, e), 0) for i, a in enumerate(whole)] for b, e in ((0, k), (k, n))]
    step(*whole, step=9, seed=seed, offset=first)
    for part, begin in zip(parts, (0, k), strict=True):
        step(*part, step=9, seed=seed, offset=first + begin)
    np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), whole[0])
    for i, a in enumerate(whole[2:], start=2):
        for what in range(2):
            joined = np.concatenate([codes_of(part[i])[what] for part in parts])
            np.testing.assert_array_equal(joined, codes_of(a)[what])


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_gradient_that_is_not_finite_breaks_its_block_and_no_other(bad):
    rng = np.random.default_rng(3)
    good = narrow_arrays(RULES["adam"], 1000, rng)
    broken = [a.copy() for a in good]
    broken[1][300] = bad
    for t in (1, 2):
        oc.functional.adam(*good, step=t)
        oc.functional.adam(*broken, step=t)
        broken[1][300] = 0
    block = np.arange(1000) // BLOCK == 1
    assert np.isnan(broken[0][block]).all()                                 # loud, one step later
    np.testing.assert_array_equal(broken[0][~block], good[0][~block])
    for a, b, z in ((broken[2], good[2], False), (broken[3], good[3], True)):
        a, b = block8.decode8(a, 1000, z), block8.decode8(b, 1000, z)
        assert np.isnan(a[block]).all()
        np.testing.assert_array_equal(a[~block], b[~block])


@pytest.mark.parametrize("factor", [0.0, 1e-12, 1e-20, 1.0])
def test_the_second_moment_is_never_zero_beside_a_first_one(factor):
    """Gradients that differ by any factor within a block: no quotient is infinite."""
    p, g, m, v = narrow_arrays(RULES["adam"], 512, np.random.default_rng(4))
    g[::2] *= np.float32(factor)
    for t in range(1, 200):
        oc.functional.adam(p, g, m, v, step=t, eps=0.0)
        assert (block8.decode8(v, 512, True) > 0).all() and np.isfinite(p).all()


# ------------------------------------------------------------------------------------------- classes


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_small_tensors_and_sensitive_state_stay_float32(name):
    family = FAMILIES[name]
    chosen = {"momentum": 0.9} if "momentum" in family.settings else {}
    chosen |= {k: True for k in ("amsgrad", "centered") if k in family.settings}
    params = [np.ones(n, np.float32) for n in (4095, 4096, 5000)]
    opt = getattr(oc, name)(params, **chosen, state_dtype="int8")
    opt.step([np.ones(p.size, np.float32) for p in params])
    for p, state in zip(params, opt.state, strict=True):
        for key in family.keys() & state.keys():
            narrow = p.size >= 4096 and key not in SENSITIVE_STATE
            assert state[key].dtype == (np.uint8 if narrow else np.float32), key
            assert state[key].shape == ((-(-p.size // 256) * 257,) if narrow else p.shape)
    asked = getattr(oc, name)([params[1]], **chosen, state_dtype=dict.fromkeys(family.keys(), "int8"))
    asked.step([np.ones(4096, np.float32)])
    assert all(asked.state[0][key].dtype == np.uint8 for key in family.keys() & asked.state[0].keys())


def test_adams_state_of_gpt_2_takes_two_bytes_a_parameter():
    """2 * 257 / 256 for the large tensors, 8 for those below 4096 elements, which are 0.1 % of all. (A step without
    gradients allocates the state and touches no page of it.)"""
    params = [np.zeros(shape, np.float32) for shape in gpt2()]
    opt = oc.Adam(params, state_dtype="int8")
    opt.step([None] * len(params))
    state = sum(a.nbytes for s in opt.state for a in s.values() if isinstance(a, np.ndarray))
    small = sum(math.prod(s) for s in gpt2() if math.prod(s) < 4096)
    total = sum(p.size for p in params)
    assert 2 < state / total <= 2.1 and small < 0.001 * total
