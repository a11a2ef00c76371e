"""bfloat16 parameters with 8 bits of what they lack beside them: every pair of the two, what numbers become one, how
they are rounded, and what is refused. (That kernels and reference agree, for every rule: test_bits.py; classes:
test_parameters.py.)"""
from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optcore as oc
from optcore import reference
from optcore.formats import FORMATS, compensation, rounding
from optcore.rules import RULES
from tests.support.bits import assert_same_bits
from tests.support.refusals import refuse, refuse_by
from tests.support.steps import scalars

JOIN, SPLIT = FORMATS["residual"].join, FORMATS["residual"].split
EVERY = np.arange(2**16, dtype=np.uint32).astype(np.uint16)
CODES = np.arange(-128, 128).astype(np.int8)
SIZES = st.sampled_from([0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 255, 257, 1023, 1024, 1025, 4097, 5000])


def as_float(bits):
    return bits.view(ml_dtypes.bfloat16).astype(np.float32)


def pairs():
    """Every parameter beside every code."""
    return np.repeat(EVERY, 256), np.tile(CODES, 2**16)


def step(module, p, g, lack, **how):
    """SGD with lr = 1 by one build of the kernels; half of the new numbers, as the step has them, are returned."""
    half = np.zeros(p.shape, np.float32)
    values = {s.name: s.default for s in RULES["sgd"].all_settings} | {"lr": how.get("lr", 1.0)}
    rule = RULES["sgd"]
    assert module.apply(module.rule_index(rule.kernel), (p, g, lack, None, half), scalars(rule, 1, values),
                        how.get("threads", 2), how.get("seed", 0), how.get("step", 1), how.get("offset", 0), False,
                        np.inf, 0.5)
    return half


def taken(module, values, **how):
    """What float32 numbers, the distances from 0, are stored as; -0 cannot be had so."""
    p, lack = np.zeros(values.shape, np.uint16), np.zeros(values.shape, np.int8)
    step(module, p, -values, lack, **how)
    return p, lack


# ------------------------------------------------------------------------------------------- every pair


def test_every_pair_is_read_and_written_back(variant):
    """The number is the parameter's to nearest, and in order; a step that changes nothing changes no bit, but for codes
    beside 0, infinity and NaN, which count as 0 and become it."""
    p, lack = pairs()
    before = p.copy(), lack.copy()
    exact = JOIN(p, lack)
    half = step(variant, p, np.zeros(p.size, np.float32), lack, lr=0.0, seed=7)
    number = np.isfinite(as_float(EVERY)) & (as_float(EVERY) != 0)
    counts = np.repeat(number, 256)
    with np.errstate(invalid="ignore"):         # signalling NaNs among the parameters
        assert_same_bits(half, np.float32(0.5) * exact + np.float32(0))        # -0 becomes 0
        assert_same_bits(exact[~counts], as_float(before[0][~counts]))
    assert (p == before[0])[counts].all() and (lack == before[1])[counts].all()
    np.testing.assert_array_equal(as_float(p[~counts]), as_float(before[0][~counts]))
    assert not lack[~counts].any()
    rows = exact.reshape(2**16, 256)[number]
    assert np.isfinite(rows).all()
    size = np.abs(rows[:2**15 - 2**7 - 1])                  # of the positive ones: all numbers of 24 bits, each once
    assert (np.diff(size.reshape(-1)) > 0).all() and not (rows.view(np.uint32) & 0xFF).any()
    with np.errstate(over="ignore"):
        nearest = rows.astype(ml_dtypes.bfloat16).view(np.uint16)
    np.testing.assert_array_equal(nearest[:, 1:], np.repeat(EVERY[number], 255).reshape(-1, 255))   # -128 is a tie
    gap = np.abs(as_float(EVERY[number]) - rows[:, 0])
    assert (np.abs(rows - as_float(EVERY[number])[:, None]) <= gap[:, None] * np.float32(2)).all()


def test_every_pair_is_the_references(variant):
    """With the noise of a step, through a change of each."""
    p, lack = pairs()
    g = np.tile(np.array([0, 1e-3, -3e38, 1e-41, np.inf, np.nan, 7], np.float32), p.size // 7 + 1)[:p.size]
    want = p.copy(), lack.copy()
    step(variant, p, g, lack, seed=3, step=9, offset=2**32 - 5)
    reference.sgd(want[0], g, step=9, lr=1.0, seed=3, offset=2**32 - 5, compensation=want[1])
    np.testing.assert_array_equal(p, want[0])
    np.testing.assert_array_equal(lack, want[1])


# ------------------------------------------------------------------------------------------- how numbers are rounded


EDGES = np.array([0, 1, 0x7F, 0x80, 0xFF, 0x7EFF, 0x7F00, 0x7FFF, 0x8000, 0x8001, 0x80FF, 0xFF00, 0xFFFF], np.uint32)


def every_edge():
    """float32 numbers beside each bfloat16, and every 1001st of all."""
    return np.concatenate([(EVERY.astype(np.uint32)[:, None] << np.uint32(16) | EDGES).reshape(-1),
                           np.arange(0, 2**32, 1001, dtype=np.uint64).astype(np.uint32)]).view(np.float32)


@pytest.mark.parametrize("seed", [0, 1])
def test_every_number_goes_to_a_neighbour_of_24_bits(variant, seed):
    values = every_edge()
    values = values[np.isnan(values) | (values.view(np.uint32) != 1 << 31)]
    p, lack = taken(variant, values, seed=seed)
    got, bits = JOIN(p, lack), values.view(np.uint32)
    nan, infinite = np.isnan(values), np.isinf(values)
    assert (p[nan] == 0x7FC0).all() and not lack[nan].any()
    assert (got[infinite] == values[infinite]).all() and not lack[infinite].any()
    noise = rounding.noise(seed, 1, 0, values.size, rounding.OF_COMPENSATION, compensation.BITS)
    below = bits & np.uint32(0xFFFFFF00)
    up = (bits & np.uint32(0xFF)) + noise >= 256
    want = (below + np.where(up, np.uint32(256), np.uint32(0))).view(np.float32)
    plain = ~nan & ~infinite & (np.abs(want) < float.fromhex("0x1.ffp127")) & (np.abs(want) >= 2.0**-134)
    assert_same_bits(got[plain], want[plain])
    # What bfloat16 has no room for: an infinity from halfway past its largest number, 0 below half its least.
    large, small = ~nan & (np.abs(want) >= float.fromhex("0x1.ffp127")), ~nan & (np.abs(want) < 2.0**-134)
    assert (got[large] == np.copysign(np.float32(np.inf), values[large])).all() and not lack[large].any()
    assert not got[small].any() and not lack[small].any()
    assert plain.sum() + nan.sum() + large.sum() + small.sum() == values.size
    # The parameter by itself is the number to nearest.
    assert (np.abs(as_float(p[plain]).astype(float) - got[plain]) <= np.abs(
        got[plain].astype(ml_dtypes.bfloat16).astype(float) - got[plain])).all()


@settings(max_examples=60)
@given(n=SIZES, threads=st.integers(1, 4), seed=st.integers(0, 2**64 - 1), first=st.sampled_from([0, 5, 2**32 - 100]))
def test_any_size_is_split_as_the_table_says(variant, n, threads, seed, first):
    values = np.random.default_rng(seed % 2**32).integers(0, 2**32, n, np.uint32).view(np.float32)
    p, lack = taken(variant, np.where(values == 0, np.float32(1), values), threads=threads, seed=seed, offset=first)
    noise = rounding.noise(seed, 1, first, n, rounding.OF_COMPENSATION, compensation.BITS)
    want = SPLIT(np.where(values == 0, np.float32(1), values), noise)
    np.testing.assert_array_equal(p, want[0])
    np.testing.assert_array_equal(lack, want[1])


@pytest.mark.parametrize("part", [1, 77, 128, 255])
def test_rounding_is_unbiased(part):
    """Ups among n elements, and among n steps of one element, are binomial; five standard deviations for chance."""
    n, chance = 1 << 14, part / 256
    room = 5 * np.sqrt(n * chance * (1 - chance))
    one = np.float32(1 + part * 2.0**-23)
    for seed in range(4):
        p, lack = np.zeros(n, np.uint16), np.zeros(n, np.int8)
        oc.functional.sgd(p, np.full(n, -one), step=3, lr=1.0, seed=seed, compensation=lack)
        assert (p == 0x3F80).all() and abs(int(lack.sum()) - n * chance) <= room
    ups = 0
    for t in range(1, n + 1):
        p, lack = np.zeros(1, np.uint16), np.zeros(1, np.int8)
        oc.functional.sgd(p, np.full(1, -one), step=t, lr=1.0, compensation=lack)
        ups += int(lack[0])
    assert abs(ups - n * chance) <= room


def test_it_follows_updates_far_below_a_unit():
    """Each update is 2^-18 of the parameter: rounded to nearest bfloat16 alone it never moves, and a unit of the 24
    bits is 2^-15. One rounding is off by less than that, and its expectation is 0: over t steps 2^-15 sqrt(t) at most
    in standard deviation, six of which are left to chance. The mean over n elements is sqrt(n) times as good."""
    n, steps, update = 4096, 4000, 2.0**-18
    exact = np.full(n, 1.0, np.float32)
    p, lack = np.full(n, 0x3F80, np.uint16), np.zeros(n, np.int8)
    g = np.full(n, -update, np.float32)
    for t in range(1, steps + 1):
        oc.functional.sgd(exact, g, step=t, lr=1.0)
        oc.functional.sgd(p, g, step=t, lr=1.0, compensation=lack)
    got = JOIN(p, lack).astype(np.float64)
    assert np.abs(got - exact).max() <= 6 * 2.0**-15 * np.sqrt(steps)
    assert abs(got.mean() - exact.mean(dtype=np.float64)) <= 6 * 2.0**-15 * np.sqrt(steps / n)
    assert (exact > 1.015).all()


# ------------------------------------------------------------------------------------------- what others write


@settings(max_examples=60)
@given(n=st.integers(1, 3000), seed=st.integers(0, 2**32 - 1))
def test_what_is_written_counts_to_half_a_unit_and_zero_exactly(n, seed):
    rng = np.random.default_rng(seed)
    p = rng.standard_normal(n).astype(ml_dtypes.bfloat16).view(np.uint16)
    opt = oc.AdamW([p], lr=0.01, rounding="residual")
    for _ in range(3):
        opt.step([rng.standard_normal(n).astype(np.float32)])
    new = (rng.standard_normal(n) * 2.0**rng.integers(-130, 100, n) * (rng.random(n) < 0.7)).astype(ml_dtypes.bfloat16)
    p[...] = new.view(np.uint16)
    exact = JOIN(p, opt.state[0]["compensation"]).astype(np.float64)
    size, unit = np.abs(new.astype(np.float64)), (p & 0x7FFF).astype(np.uint16)
    after = as_float((unit + np.uint16(1)).astype(np.uint16)).astype(np.float64) - size
    assert (np.abs(exact - new.astype(np.float64)) <= 0.5 * after).all() and not exact[size == 0].any()
    opt.state[0]["compensation"][...] = 0           # what makes it exact
    np.testing.assert_array_equal(JOIN(p, opt.state[0]["compensation"]), new.astype(np.float32))


# ------------------------------------------------------------------------------------------- memory and refusals


def test_a_parameter_takes_five_bytes():
    p = np.zeros(1 << 16, np.uint16)
    opt = oc.Adam([p], rounding="residual", state_dtype="int8")
    opt.step([np.ones(p.size, np.float32)])
    assert opt.state[0]["compensation"].dtype == np.int8
    kept = p.nbytes + sum(a.nbytes for a in opt.state[0].values() if isinstance(a, np.ndarray))
    assert kept == p.size * (2 + 1 + 2 * 260 / 256) <= 5.1 * p.size


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.complex64])
def test_parameters_that_lack_nothing_are_refused(kind):
    p = np.ones(5, kind)
    refuse("params[0]", [p], oc.Adam, [p], rounding="residual")
    if kind is not np.float16:
        refuse("rounding='residual'", [p], oc.Adam, [p], rounding="residual")
    opt = oc.Adam([np.ones(3, np.uint16)], rounding="residual")
    refuse_by(opt, "params[1]", [p], opt.add_param_group, {"params": [p]})


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_functions_and_reference_refuse_it_beside_them(kind):
    p, g, lack = np.ones(5, kind), np.ones(5, np.float32), np.zeros(5, np.int8)
    for module in (oc.functional, reference):
        refuse("compensation", [p, g, lack], module.sgd, p, g, step=1, compensation=lack)
    narrow = np.ones(5, np.uint16)
    for bad in (np.zeros(5, np.uint8), np.zeros(5, np.int16), np.zeros(4, np.int8), np.zeros((5, 1), np.int8)):
        refuse("compensation", [narrow, g, bad], oc.functional.sgd, narrow, g, step=1, compensation=bad)
    for name in ("copy", "average"):
        refuse(name, [narrow, g, lack], oc.functional.sgd, narrow, g, step=1, **{name: lack})
    refuse("p", [lack, g], oc.functional.sgd, lack, g, step=1)
    refuse("g", [narrow, lack], oc.functional.sgd, narrow, lack, step=1)
    refuse("v", [narrow, g, lack], oc.functional.momentum, narrow, g, lack, step=1)


@pytest.mark.parametrize("ours, other", [("residual", "kahan"), ("kahan", "residual")])
def test_what_is_kept_beside_another_rounding_is_not_taken_over(ours, other):
    bits = np.full(40, 0x3F80, np.uint16)
    saved, opt = oc.Adam([bits.copy()], rounding=other), oc.Adam([bits.copy()], rounding=ours)
    for each in (saved, opt):
        each.step([np.ones(40, np.float32)])
    refuse_by(opt, "state[0]['compensation']", [], opt.load_state_dict, saved.state_dict())


def test_it_goes_through_files(tmp_path):
    rng = np.random.default_rng(0)
    p = rng.standard_normal(5000).astype(ml_dtypes.bfloat16).view(np.uint16)
    opt = oc.AdamW([p], rounding="residual", state_dtype="int8", average=0.9)
    for _ in range(3):
        opt.step([rng.standard_normal(5000).astype(np.float32)])
    opt.save(tmp_path / "state.safetensors")
    again = p.copy()
    reader = oc.AdamW([again], rounding="residual", state_dtype="int8", average=0.9)
    reader.load(tmp_path / "state.safetensors")
    for each in (opt, reader):
        each.step([np.ones(5000, np.float32)], undoable=True)
        each.undo()
        each.step([np.full(5000, 0.5, np.float32)])
    np.testing.assert_array_equal(p, again)
    for key, a in opt.state[0].items():
        np.testing.assert_array_equal(a, reader.state[0][key])
