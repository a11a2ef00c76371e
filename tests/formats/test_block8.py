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
from tests.support.draws import ELEMENTWISE, ELEMENTWISE_CLASSES
from tests.support.steps import kernel_step

BLOCK, UNIT = 256, 4
BITS = 19
FULL = (1 << BITS) - 1                      # the noise that rounds up whatever is not exact
CODES = block8.CODES
MANTISSA = (4, 4, 5)                        # by code, bits of it
BELOW = (7, 15, 7)                          # a block's largest has as many powers of 2 in units at least
ROOM, SURE = 1.75, 1.6                      # and one more, times the first of these, at most; times the second always
SIZES = st.sampled_from([1, 2, 63, 255, 256, 257, 300, 511, 512, 513, 1023, 1024, 1025, 4096, 4097, 5000])
WITH_STATE = [name for name in ELEMENTWISE if RULES[name].keys]


def constant(noise, n=BLOCK):
    return np.full(-(-n // BLOCK) * BLOCK, noise, np.uint32)


def codes_of(stored):
    """The codes in the order of the elements, and the units."""
    count = stored.size // (BLOCK + UNIT)
    bytes_ = stored[:count * BLOCK].reshape(count, BLOCK // 4, 4)
    return bytes_.transpose(0, 2, 1).reshape(-1), stored[count * BLOCK:].view(np.float32)


def stored_of(codes, units):
    bytes_ = codes.reshape(-1, 4, BLOCK // 4).transpose(0, 2, 1).reshape(-1).astype(np.uint8)
    return np.concatenate([bytes_, np.array(units, np.float32).view(np.uint8)])


def magnitude(number, code):
    """What a code stands for, in units, from the definition: floats of few mantissa bits counted from 2, less 2."""
    number, steps = np.asarray(number, np.int64) & (255 if code else 127), 1 << MANTISSA[code]
    return (1 + number % steps / steps) * 2.0 ** (1 + number // steps) - 2


def unit_of(rng, code, exponent):
    """A unit that a block may have: of SIGNED a power of 2."""
    return np.float32((rng.uniform(1, 2) if code else 1) * 2.0**exponent)


def block_of(rng, code, unit):
    """A block of every kind of code, whose largest value fits this unit."""
    numbers = np.arange(256 if code else 128)
    sizes = magnitude(numbers, code)
    top = rng.choice(numbers[(sizes >= 2.0 ** BELOW[code]) & (sizes < SURE * 2.0 ** (BELOW[code] + 1))])
    codes = rng.integers(1, top + 1, BLOCK)
    codes[rng.integers(BLOCK)] = top
    if not code:
        codes[:9] = 0
        codes |= 128 * rng.integers(0, 2, BLOCK) * (codes > 0)
    return stored_of(codes, [unit])


# ------------------------------------------------------------------------------------------- codes


@pytest.mark.parametrize("code", CODES)
def test_codes_stand_for_what_is_said(code):
    """All of them, in units of all sizes. Exact but for the product with a unit that is no power of 2, rounded once."""
    numbers, rng = np.arange(BLOCK), np.random.default_rng(code)
    sign = 1 if code else np.where(numbers < 128, 1, -1)
    for exponent in (-107, -60, 0, 1, 100):
        unit = unit_of(rng, code, exponent)
        got = block8.decode8(stored_of(numbers, [unit]), BLOCK, code)
        np.testing.assert_array_equal(got, (sign * magnitude(numbers, code) * np.float64(unit)).astype(np.float32))
    size = block8.decode8(stored_of(numbers, [1.0]), BLOCK, code)[:256 if code else 128]
    assert size[0] == 0 and size[1] == 2.0 ** (1 - MANTISSA[code]) and (np.diff(size) > 0).all()
    assert size[-1] == {0: 2.0**9 - 16, 1: 2.0**17 - 2.0**12, 2: 2.0**9 - 8}[code] - 2


@settings(max_examples=200)
@given(code=st.sampled_from(CODES), seed=st.integers(0, 2**32 - 1), data=st.data())
def test_what_only_decays_keeps_its_codes(code, seed, data):
    """The unit alone moves. Where it is no power of 2, value times 1 / unit is off by three roundings, and so rounded
    to a neighbour by noise that is that near to the end: 2^-24 each of T, of whose last bit the noise has 2^-23."""
    rng = np.random.default_rng(seed)
    unit = unit_of(rng, code, data.draw(st.integers(-90, 100)))
    stored = block_of(rng, code, unit)
    decay = np.float32(data.draw(st.sampled_from([1.0, 0.5, 0.99, 0.999]))) if code else np.float32(1)
    values = block8.decode8(stored, BLOCK, code) * decay
    room = 4 if code else 0
    for noise in (constant(room * 2), constant(FULL - room * 2), rng.integers(room * 2, FULL - room * 2, BLOCK,
                                                                              dtype=np.uint32)):
        got, units = codes_of(block8.encode8(values, noise, code, np.array([unit]), decay))
        assert units == unit * decay
        up = block8.encode8(values * np.float32(1 + 2.0**-21) if code else values, noise, code, np.array([unit]), decay)
        want = codes_of(stored)[0]
        assert ((got == want) | (codes_of(up)[0] == want)).all()


def blocks_of_values(rng, code, scale, count=4):
    """float32 of all sizes that a block spans, and below."""
    x = rng.uniform(1, 2, count * BLOCK) * 2.0 ** -rng.uniform(0, BELOW[code] + 6, count * BLOCK)
    return (x * (1 if code else rng.choice([-1, 1], count * BLOCK)) * 2.0**scale).astype(np.float32)


@settings(max_examples=200)
@given(code=st.sampled_from(CODES), seed=st.integers(0, 2**32 - 1),
       scale=st.sampled_from([-149, -120, -60, 0, 60, 126]), decay=st.sampled_from([0.0, 0.9, 0.999, 1.0]))
def test_rounding_goes_to_the_neighbours_only(code, seed, scale, decay):
    """The codes next to a value below and above, the lower one if it is exact. A unit, its inverse, their product with
    the value and the sum with 2 round once each, to 2^-24 of the sum; so far from where it is may the value lie."""
    rng = np.random.default_rng(seed)
    values = blocks_of_values(rng, code, scale)
    before = np.array([unit_of(rng, code, scale - BELOW[code] + k) if scale > -60 else 0 for k in (-3, 0, 0, 1)],
                      np.float32)
    low, some, high = (codes_of(block8.encode8(values, x, code, before, decay)) for x in (
        constant(0, values.size), rng.integers(0, 1 << BITS, values.size, dtype=np.uint32),
        constant(FULL, values.size)))
    units = np.repeat(low[1].astype(np.float64), BLOCK)
    for other in (some, high):
        np.testing.assert_array_equal(other[1], low[1])                     # the noise has no say in the unit
    if not code:
        np.testing.assert_array_equal(low[0] >> 7, np.signbit(values))
    mask = 255 if code else 127
    low, some, high = ((x[0] & mask).astype(int) for x in (low, some, high))
    assert np.isin(some - low, (0, 1)).all() and np.isin(high - low, (0, 1)).all()
    t = np.abs(values.astype(np.float64)) / units
    if code:
        assert (low >= 1).all()                                             # above 0, however small
        t = np.maximum(t, 2.0 ** (1 - MANTISSA[code]))
    room = (t + 2) * 4 * 2.0**-24
    assert (magnitude(low, code) <= t + room).all()
    assert (t < magnitude(low + 1, code) + room).all()


@pytest.mark.parametrize("slot", range(3))
@pytest.mark.parametrize("code", CODES)
def test_rounding_is_unbiased(code, slot):
    """Over the noise of many steps each value's mean is the value. It is rounded up or down, so one rounding has at
    most the variance gap^2 p (1 - p), and p is right to the 2^-24 of t + 2; six standard deviations of the mean are
    left to chance, for 768 values and 3 arrays (one case in a million)."""
    steps, rng = 4096, np.random.default_rng(slot)
    values = blocks_of_values(rng, code, 0, 1)
    values[0] = 1.9
    noise = np.concatenate([rounding.noise(5, t, 0, BLOCK, slot, BITS) for t in range(1, steps + 1)])
    stored = block8.encode8(np.tile(values, steps), noise, code)
    got = block8.decode8(stored, BLOCK * steps, code).reshape(steps, BLOCK).mean(axis=0, dtype=np.float64)
    unit = np.float64(block8.units(stored)[0])
    t = np.abs(values.astype(np.float64)) / unit
    if code:
        t = np.maximum(t, 2.0 ** (1 - MANTISSA[code]))
    low = codes_of(block8.encode8(values, constant(0), code))[0]
    gap = magnitude((low & (255 if code else 127)).astype(int) + 1, code) - magnitude(low, code)
    p = np.clip((t - magnitude(low, code)) / gap, 0, 1)
    room = 6 * gap * np.sqrt(p * (1 - p) / steps) + (t + 2) * 2.0**-22
    assert (np.abs(np.abs(got) / unit - t) <= room).all()


@pytest.mark.parametrize("code", CODES)
def test_a_unit_decays_and_moves_by_powers_of_2(code):
    """It stays where the largest value has 2^below to 1.6 or 1.75 * 2^(below + 1) of it (differences of bits are not
    quite logarithms); else it moves to where that has from 2^below to 2^(below + 1); no less than 2^-107: no code is
    denormal then."""
    below, rng = BELOW[code], np.random.default_rng(7)
    for power in range(-149, 128):
        for largest in (np.float32(2.0**power), np.nextafter(np.float32(2.0**power), np.float32(np.inf))):
            values = np.zeros(BLOCK, np.float32)
            values[power % BLOCK] = largest if code else -largest
            fresh = codes_of(block8.encode8(values, constant(0), code))[1][0]
            assert np.frexp(fresh)[0] == 0.5
            assert largest / np.float64(fresh) < ROOM * 2.0 ** (below + 1)
            assert fresh == 2.0**-107 or largest / np.float64(fresh) >= 2.0**below
            before = unit_of(rng, code, max(-100, power - below - int(rng.integers(-3, 4))))
            decay = np.float32(rng.choice([1.0, 0.9, 0.999]) if code else 1)
            base = before * decay
            unit = codes_of(block8.encode8(values, constant(0), code, np.array([before]), decay))[1][0]
            assert np.isfinite(unit)
            ratio, old = np.float64(largest) / unit, np.float64(largest) / base
            if base >= 2.0**-107 and 2.0**below <= old < SURE * 2.0 ** (below + 1):
                assert unit == base
            assert ratio < ROOM * 2.0 ** (below + 1) and (ratio >= 2.0**below or unit == 2.0**-107)
            assert unit == 2.0**-107 or np.frexp(unit)[0] == np.frexp(base)[0]
    smallest = block8.decode8(stored_of(np.ones(BLOCK, int), [2.0**-107]), BLOCK, code)
    assert (smallest == 2.0 ** (-107 + 1 - MANTISSA[code])).all() and smallest[0] >= np.finfo(np.float32).tiny


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan, -np.nan])
def test_what_is_not_finite_breaks_its_block_and_no_other(code, bad):
    values = np.abs(np.random.default_rng(0).standard_normal(3 * BLOCK)).astype(np.float32)
    values[BLOCK + 77] = bad
    noise = constant(12345, values.size)
    stored = block8.encode8(values, noise, code)
    got = block8.decode8(stored, values.size, code).reshape(3, BLOCK)
    assert np.isnan(got[1]).all()
    for k in (0, 2):
        alone = block8.encode8(values.reshape(3, BLOCK)[k], noise[:BLOCK], code)
        np.testing.assert_array_equal(got[k], block8.decode8(alone, BLOCK, code))
    again = block8.encode8(values[:BLOCK], noise[:BLOCK], code, np.array([np.inf], np.float32), 0.999)
    np.testing.assert_array_equal(again, block8.encode8(values[:BLOCK], noise[:BLOCK], code))


@pytest.mark.parametrize("code", [0, 1])
def test_arrays_of_0_1_are_read_by_value(code):
    """All codes, by the definition of that format: 3 mantissa bits counted from 2, units 2^(e - 127)."""
    numbers = np.arange(BLOCK)
    size = numbers if code else numbers & 127
    want = ((1 + size % 8 / 8) * 2.0 ** (1 + size // 8) - 2) * (1 if code else np.where(numbers < 128, 1, -1))
    old = np.concatenate([numbers.reshape(4, 64).T.reshape(-1), [120]]).astype(np.uint8)
    np.testing.assert_array_equal(block8.decode_0_1(old, BLOCK, code), (want * 2.0**-7).astype(np.float32))
    assert block8.decode_0_1(block8.encode8(np.ones(5, np.float32), constant(0), code), 5, code) is None


# ------------------------------------------------------------------------------------------- arrays in the kernels


def narrow_arrays(rule, n, rng):
    """(p, g, state...), the state in 8 bits."""
    plain = random_arrays(rule, n, rng)
    noise = rng.integers(0, 1 << BITS, -(-n // BLOCK) * BLOCK, dtype=np.uint32)
    return [*plain[:2], *(placed(block8.encode8(a, noise, code), 0)
                          for a, code in zip(plain[2:], rule.codes, strict=True))]


@pytest.mark.parametrize("form", ["float32", "bfloat16", "int8"])
def test_state_begins_with_zeros(form):
    p, g = random_arrays(RULES["adam"], 600, np.random.default_rng(0))[:2]
    want = p.copy()
    oc.functional.adam(want, g, oc.state_array(p), oc.state_array(p), step=1)
    m, v = oc.state_array(p, form), oc.state_array(p, form)
    assert not m.any() and not (form == "int8" and block8.decode8(v, 600, 1).any())
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
        codes, units = codes_of(stored.copy())
        codes[n:] = rng.integers(0, 256, codes.size - n)
        spoiled.append(placed(stored_of(codes, units), 0))
    behind = spoiled[0].base
    values = {s.name: s.default for s in rule.all_settings}
    kernel_step(variant, rule, clean, 3, values, 1)
    kernel_step(variant, rule, spoiled, 3, values, threads)
    np.testing.assert_array_equal(spoiled[0], clean[0])
    for a, b in zip(spoiled[2:], clean[2:], strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.isnan(behind[n:]).all() and not np.isnan(clean[0]).any()


def shard(stored, begin, end):
    codes, units = codes_of(stored)
    return stored_of(codes[begin:-(-end // BLOCK) * BLOCK], units[begin // BLOCK:-(-end // BLOCK)])


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
    for a, b, code in ((broken[2], good[2], 0), (broken[3], good[3], 1)):
        a, b = block8.decode8(a, 1000, code), block8.decode8(b, 1000, code)
        assert np.isnan(a[block]).all()
        np.testing.assert_array_equal(a[~block], b[~block])


@pytest.mark.parametrize("factor", [0.0, 1e-12, 1e-20, 1.0])
def test_the_second_moment_is_never_zero_beside_a_first_one(factor):
    """Gradients that differ by any factor within a block: no quotient is infinite."""
    p, g, m, v = narrow_arrays(RULES["adam"], 512, np.random.default_rng(4))
    g[::2] *= np.float32(factor)
    for t in range(1, 200):
        oc.functional.adam(p, g, m, v, step=t, eps=0.0)
        assert (block8.decode8(v, 512, 1) > 0).all() and np.isfinite(p).all()


# ------------------------------------------------------------------------------------------- classes


@pytest.mark.parametrize("name", ELEMENTWISE_CLASSES)
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
            assert state[key].shape == ((-(-p.size // 256) * 260,) if narrow else p.shape)
    asked = getattr(oc, name)([params[1]], **chosen, state_dtype=dict.fromkeys(family.keys(), "int8"))
    asked.step([np.ones(4096, np.float32)])
    assert all(asked.state[0][key].dtype == np.uint8 for key in family.keys() & asked.state[0].keys())


def test_adams_state_of_gpt_2_takes_two_bytes_a_parameter():
    """2 * 260 / 256 for the large tensors, 8 for those below 4096 elements, which are 0.1 % of all. (A step without
    gradients allocates the state and touches no page of it.)"""
    params = [np.zeros(shape, np.float32) for shape in gpt2()]
    opt = oc.Adam(params, state_dtype="int8")
    opt.step([None] * len(params))
    state = sum(a.nbytes for s in opt.state for a in s.values() if isinstance(a, np.ndarray))
    small = sum(math.prod(s) for s in gpt2() if math.prod(s) < 4096)
    total = sum(p.size for p in params)
    assert 2 < state / total <= 2.05 and small < 0.001 * total
