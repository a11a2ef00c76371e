"""Parameters in bfloat16 and float16, rounded in each way there is; copies and averages made in the pass; clipping by
value and unscaling. Through every class, beside a loop over the reference, and through everything that saves."""
from __future__ import annotations

import copy
import pickle

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optcore as oc
from optcore import reference
from optcore.formats import FORMATS, block8, playing, rounding
from optcore.rules import FAMILIES, RULES
from optcore.step.state import COMPENSATIONS
from tests.support.arrays import random_arrays, stored
from tests.support.bits import assert_same_bits, compare
from tests.support.draws import ELEMENTWISE, ELEMENTWISE_CLASSES

NAMES = ELEMENTWISE_CLASSES
SIZES = st.sampled_from([1, 7, 8, 9, 255, 256, 257, 1023, 1024, 1025, 4097, 5000])
SHAPES = ((4100,), (7, 11), (), (0,), (300,))
PARAMETERS = [("float32", "stochastic"), ("bfloat16", "stochastic"), ("bfloat16", "nearest"), ("bfloat16", "kahan"),
              ("bfloat16", "residual"), ("bfloat16", "master"), ("float16", "master")]
each_parameter = pytest.mark.parametrize("form, rounding", PARAMETERS, ids=lambda x: x)


KINDS = {"float32": np.float32, "bfloat16": ml_dtypes.bfloat16, "float16": np.float16}


def made(rng, form="float32", shapes=SHAPES):
    """Parameters or gradients."""
    arrays = [np.asarray(rng.standard_normal(s), np.float32).astype(KINDS[form]).reshape(s) for s in shapes]
    return [a.view(np.uint16) if form == "bfloat16" else a for a in arrays]


def widened(a):
    """A float32 array of its own, of a number too."""
    return np.array(reference.decode(a))


def bits(values):
    return np.asarray(values, np.float32).astype(ml_dtypes.bfloat16).view(np.uint16)


# ------------------------------------------------------------------------------------------- rounding


@settings(max_examples=60)
@given(seed=st.integers(0, 2**64 - 1), step=st.integers(1, 2**40), n=SIZES)
def test_stochastic_rounding_keeps_what_is_exact_and_goes_only_to_neighbours(seed, step, n):
    """Under SGD with lr = 1 and a gradient that is the distance, exact in float32, to any value."""
    rng = np.random.default_rng(seed % 2**32)
    p = bits(rng.uniform(1, 2, n) * 2.0 ** rng.integers(-20, 20, n))
    kept = p.copy()
    oc.functional.sgd(kept, np.zeros(n, np.float32), step=step, lr=1.0, seed=seed)
    np.testing.assert_array_equal(kept, p)
    below = reference.decode(p)
    gap = reference.decode(p + np.uint16(1)) - below
    part = rng.integers(0, 2**16, n) / np.float32(2**16)
    moved = p.copy()
    oc.functional.sgd(moved, (-gap * part).astype(np.float32), step=step, lr=1.0, seed=seed)
    up = moved.astype(int) - p
    assert np.isin(up, (0, 1)).all() and not up[part == 0].any()
    # By these bits, no others: those that a value's low half is added to.
    noise = rounding.noise(seed, step, 0, n, rounding.OF_PARAMETER)
    np.testing.assert_array_equal(up, part * 2**16 + noise >= 2**16)


@pytest.mark.parametrize("part", [1, 300, 2**15, 2**16 - 1])
def test_stochastic_rounding_is_unbiased(part):
    """Ups among n elements, and among n steps of one element, are binomial; five standard deviations for chance."""
    n, chance = 1 << 14, part / 2**16
    room = 5 * np.sqrt(n * chance * (1 - chance))
    g = np.full(n, -chance / 128, np.float32)
    p = np.full(n, 0x3F80, np.uint16)
    oc.functional.sgd(p, g, step=3, lr=1.0)
    assert abs(int((p - 0x3F80).sum()) - n * chance) <= room
    ups, one = 0, np.empty(1, np.uint16)
    for t in range(1, n + 1):
        one[0] = 0x3F80
        oc.functional.sgd(one, g[:1], step=t, lr=1.0)
        ups += int(one[0]) - 0x3F80
    assert abs(ups - n * chance) <= room


@settings(max_examples=60)
@given(name=st.sampled_from(ELEMENTWISE), n=SIZES, cut=st.floats(0, 1), seed=st.integers(0, 2**64 - 1),
       beside=st.sampled_from(["", *playing("compensation")]),
       first=st.sampled_from([0, 1, 12345, 2**32 - 100, 2**40 + 7]))
def test_shards_and_threads_have_the_same_bits(name, n, cut, seed, beside, first):
    rng = np.random.default_rng(seed % 2**32)
    arrays = random_arrays(RULES[name], n, rng)
    arrays[0] = bits(arrays[0])
    rest = stored((rng.standard_normal(n) * 2.0**-10).astype(np.float32), beside or "bfloat16")
    results = []
    for threads, k in ((1, n), (2, n), (4, n), (1, int(cut * n))):
        mine, lack = [a.copy() for a in arrays], rest.copy()
        for part, at in ((slice(0, k), first), (slice(k, n), first + k)):
            more = {"compensation": lack[part]} if beside else {}
            getattr(oc.functional, name)(*(a[part] for a in mine), step=9, seed=seed, offset=at, num_threads=threads,
                                         **more)
        results.append([*mine, lack])
    for other in results[1:]:
        for a, b in zip(other, results[0], strict=True):
            assert_same_bits(a, b)


def test_compensation_follows_updates_that_rounding_to_nearest_loses():
    """Each update is 2^-14 of the parameter, far less than half a unit of bfloat16, 2^-9. With a compensation the
    parameter has 16 bits: p is to nearest, so |rest| <= 2^-8 (p < 2 here), and its unit is 2^-16. One rounding of the
    rest is off by less than that and its expectation is 0: over n steps 2^-16 sqrt(n) at most in standard deviation;
    six of these are left to chance. What is added up in float32, by both, is off by 2^-24 a step."""
    n, steps, update = 4096, 4000, 2.0**-14
    exact = np.full(n, 1.0, np.float32)
    kahan, rest, nearest = (np.full(n, x, np.uint16) for x in (0x3F80, 0, 0x3F80))
    g = np.full(n, -update, np.float32)
    for t in range(1, steps + 1):
        oc.functional.sgd(exact, g, step=t, lr=1.0)
        oc.functional.sgd(kahan, g, step=t, lr=1.0, compensation=rest)
        oc.functional.sgd(nearest, g, step=t, lr=1.0, rounding="nearest")
        got = reference.decode(kahan).astype(np.float64) + reference.decode(rest)
        assert np.abs(got - exact).max() <= 6 * 2.0**-16 * np.sqrt(t) + t * 2.0**-23
    assert (nearest == 0x3F80).all() and (exact > 1.2).all()
    np.testing.assert_array_equal(bits(got.astype(np.float32)), kahan)     # p is the sum to nearest


def test_float16_copies_are_numpys():
    """All patterns of 16 bits and their neighbours, ties and what lies beside them; subnormals, overflow, infinities,
    NaN; and every 1001st float32."""
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)
    ties = halves.view(np.uint32)[:, None] + np.array([0, 1, 2**12 - 1, 2**12, 2**12 + 1, 2**13 - 1], np.uint32)
    small = (np.arange(2**12) + np.array([0, 0.25, 0.5, 0.500001, 0.75])[:, None]) * 2.0**-24      # below 2^-14
    values = np.concatenate([ties.reshape(-1).view(np.float32), *small.astype(np.float32), *-small.astype(np.float32),
                             np.arange(0, 2**32, 1001, dtype=np.uint64).astype(np.uint32).view(np.float32),
                             np.array([65504, 65519.996, 65520, 65536, 1e38, np.inf, np.nan], np.float32)])
    with np.errstate(all="ignore"):
        wants = np.float16, values.astype(np.float16)
        widened = values.astype(ml_dtypes.bfloat16)
    for kind, want in (wants, (ml_dtypes.bfloat16, widened)):
        got = np.empty(values.size, np.uint16 if kind is ml_dtypes.bfloat16 else kind)
        oc.functional.sgd(values.copy(), np.zeros_like(values), step=1, lr=0.0, copy=got)
        nan = np.isnan(values)
        np.testing.assert_array_equal(got.view(np.uint16)[~nan], want.view(np.uint16)[~nan])
        assert np.isnan(got.view(kind)[nan].astype(np.float32)).all()


# ------------------------------------------------------------------------------------------- the classes


def chosen_for(name):
    settings = FAMILIES[name].settings
    return {"lr": 0.05, **({"momentum": 0.9} if "momentum" in settings else {})}


class Loop:
    """What a class does to parameters of a format, said with the reference's functions."""

    def __init__(self, name, params, rounding, average, state_dtype, seed):
        family = FAMILIES[name]
        self.rule_name, self.values = family.pick({**family.settings, **chosen_for(name)})
        self.rule, self.params, self.rounding, self.average, self.seed = (
            RULES[self.rule_name], params, rounding, average, seed)
        narrow = params[0].dtype != np.float32
        self.master = [widened(p) for p in params] if rounding == "master" and narrow else None
        form = COMPENSATIONS.get(rounding) if narrow else None
        self.rest = [np.zeros(p.shape, FORMATS[form].dtype) if form else None for p in params]
        self.averages = [widened(p) if average else None for p in params]
        first = {k: {**family.settings, **chosen_for(name)}[v] for k, v in family.fill.items()}
        probe = getattr(oc, name)([p.copy() for p in params], rounding=rounding, state_dtype=state_dtype,
                                  **chosen_for(name))
        probe.step([None] * len(params))
        self.state = [[s[k].copy() for k in self.rule.keys] for s in probe.state]
        assert all(k in first or not a.any() for s in self.state for k, a in zip(self.rule.keys, s, strict=True))

    def step(self, t, grads, **more):
        named = {x.name: v for x, v in zip(self.rule.all_settings, self.values, strict=True)}
        for i, (p, g) in enumerate(zip(self.params, grads, strict=True)):
            target = p if self.master is None else self.master[i]
            getattr(reference, self.rule_name)(
                target, g, *self.state[i], step=t, seed=self.seed + i, compensation=self.rest[i],
                rounding="nearest" if self.rounding == "nearest" else "stochastic",
                copy=None if self.master is None else p, average=self.averages[i],
                average_weight=1.0 - self.average(t) if self.average else 0.0, **more, **named)


def decayed(t):
    return min(0.9, t / (t + 2))


@each_parameter
@pytest.mark.parametrize("state", ["float32", "int8"])
@pytest.mark.parametrize("name", NAMES)
def test_steps_equal_a_loop_over_the_reference(name, form, rounding, state):
    """With an average under a schedule, saved and loaded on the way; and the copy is the rounded master."""
    rng = np.random.default_rng(0)
    mine = made(rng, form)
    loop = Loop(name, [p.copy() for p in mine], rounding, decayed, state, 40)
    options = {**chosen_for(name), "rounding": rounding, "state_dtype": state, "average": decayed, "seed": 40}
    opt = getattr(oc, name)(mine, **options)
    for t in range(1, 6):
        grads = made(rng)
        opt.step(grads, clip_value=0.7)
        loop.step(t, grads, clip_value=0.7)
        if t == 3:
            saved = pickle.loads(pickle.dumps(opt.state_dict()))
            opt = getattr(oc, name)(mine, **options)
            opt.load_state_dict(saved)
    for i, p in enumerate(mine):
        assert_same_bits(p, loop.params[i], f"tensor {i}")
        assert_same_bits(opt.averages[i], loop.averages[i], f"average {i}")
        for k, a in zip(loop.rule.keys, loop.state[i], strict=True):
            np.testing.assert_array_equal(opt.state[i][k], a)
        if loop.rest[i] is not None:
            np.testing.assert_array_equal(opt.state[i]["compensation"], loop.rest[i])
        if loop.master is not None:
            assert_same_bits(opt.state[i]["master"], loop.master[i])
            assert_same_bits(p, np.asarray(loop.master[i].astype(KINDS[form])).view(p.dtype))


@pytest.mark.parametrize("form", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", NAMES)
def test_a_master_is_the_float32_run(name, form):
    rng = np.random.default_rng(1)
    mine = made(rng, form)
    plain = [widened(p) for p in mine]
    narrow, wide = (getattr(oc, name)(x, rounding="master", **chosen_for(name)) for x in (mine, plain))
    for _ in range(4):
        grads = made(rng)
        narrow.step(grads)
        wide.step(grads)
    for state, p in zip(narrow.state, plain, strict=True):
        assert_same_bits(state["master"], p)
    assert not any("master" in s for s in wide.state)


@pytest.mark.parametrize("form", ["bfloat16", "float16"])
@settings(max_examples=30)
@given(name=st.sampled_from(NAMES), n=SIZES, share=st.sampled_from([0.0, 0.01, 0.5, 1.0]), threads=st.integers(1, 3),
       seed=st.integers(0, 2**32 - 1))
def test_what_is_written_into_a_parameter_counts_beside_its_master(form, name, n, share, threads, seed):
    """The elements that are written to go on from there in the float32 run too; the others keep all their bits."""
    rng = np.random.default_rng(seed)
    narrow = made(rng, form, [(n,)])[0]
    exact = widened(narrow)
    opt, run = getattr(oc, name)([narrow], rounding="master"), getattr(oc, name)([exact])
    for _ in range(3):
        g = rng.standard_normal(n).astype(np.float32)
        opt.step([g], num_threads=threads)
        run.step([g])
        assert_same_bits(opt.state[0]["master"], exact)
        new = made(rng, form, [(n,)])[0]
        where = (rng.random(n) < share) & (new != narrow)
        narrow[where] = new[where]
        exact[where] = widened(new)[where]
    again = getattr(oc, name)([other := narrow.copy()], rounding="master")
    other[...] = 0
    again.load_state_dict(opt.state_dict())         # what is loaded is the master, and the parameter what it rounds to
    master = opt.state[0]["master"]
    np.testing.assert_array_equal(other, bits(master) if form == "bfloat16" else master.astype(np.float16))


@settings(max_examples=60)
@given(n=SIZES, threads=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
def test_what_is_written_into_a_parameter_drops_its_compensation(n, threads, seed):
    """Written are numbers a thousandth of those before, of which half a unit is several of the new ones."""
    rng = np.random.default_rng(seed)
    p = bits(rng.uniform(1, 2, n))
    opt = oc.SGD([p], lr=1.0, rounding="kahan")
    opt.step([rng.uniform(0, 0.01, n).astype(np.float32)])
    p[...] = bits(reference.decode(p) * 1e-3)
    before = p.copy()
    lacking = np.abs(reference.decode(opt.state[0]["compensation"]))
    gone = lacking > 2.0**-7 * reference.decode(p)          # more than a unit of the last place
    opt.step([np.zeros(n, np.float32)], num_threads=threads)
    np.testing.assert_array_equal(p[gone], before[gone])
    assert (reference.decode(opt.state[0]["compensation"])[gone] == 0).all()


@pytest.mark.parametrize("average", [0.0, 0.9, decayed], ids=["0", "0.9", "schedule"])
@pytest.mark.parametrize("named", [False, True])
def test_averages_are_numpys(average, named):
    rng = np.random.default_rng(2)
    params = made(rng)
    want = [p.copy() for p in params]
    opt = oc.AdamW(dict(zip("abcde", params, strict=True)) if named else params, average=average)
    with pytest.raises(RuntimeError, match="averages"):
        _ = opt.averages
    for t in range(1, 8):
        grads = made(rng)
        opt.step(dict(zip("abcde", grads, strict=True)) if named else grads)
        weight = np.float32(1.0 - (average(t) if callable(average) else average))
        want = [np.asarray(a + weight * (p - a)) for a, p in zip(want, params, strict=True)]
    got = opt.averages
    assert not named or list(got) == list("abcde")
    for a, b in zip(got.values() if named else got, want, strict=True):
        assert_same_bits(a, b)
    with pytest.raises(RuntimeError, match="averages"):
        _ = oc.Adam([np.ones(3, np.float32)]).averages


@each_parameter
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("state", ["float32", "int8"])
def test_what_lasts_lasts(name, form, rounding, state, tmp_path):
    """undo gives every array back; a copy, a pickle and a file go on to the same bits."""
    rng = np.random.default_rng(3)
    average = 0.9
    mine = made(rng, form)
    opt = getattr(oc, name)(mine, rounding=rounding, state_dtype=state, average=average, seed=3, **chosen_for(name))
    opt.step(made(rng))
    before = [p.copy() for p in mine], opt.state_dict()
    grads = made(rng)
    opt.step(grads, undoable=True)
    opt.undo()
    compare((mine, opt.state_dict()), before)
    file = tmp_path / "state"
    opt.save(file)
    again = getattr(oc, name)([p.copy() for p in mine], rounding=rounding, state_dtype=state, average=average, seed=3)
    again.load(file)
    twins = [again, copy.deepcopy(opt), pickle.loads(pickle.dumps(opt))]
    for each in (opt, *twins):
        each.step(grads)
        each.step(grads, max_norm=1.0)
    for each in twins:
        compare((each.param_groups[0]["params"], each.state_dict()), (mine, opt.state_dict()))


# ------------------------------------------------------------------------------------------- what scales and clips


@pytest.mark.parametrize("name", NAMES)
def test_unscaling_and_clipping_are_done_to_the_gradients(name):
    """By a power of 2 bit for bit; norm and clipping by it are of the unscaled gradients; then each element is cut."""
    rng = np.random.default_rng(5)
    mine = made(rng)
    other = [p.copy() for p in mine]
    one, two = (getattr(oc, name)(x, **chosen_for(name)) for x in (mine, other))
    for max_norm in (None, 5.0, 1e6):
        grads = made(rng)
        one.step([np.asarray(g * np.float32(1024)) for g in grads], grad_scale=1024, max_norm=max_norm, clip_value=0.25)
        if max_norm is not None:
            norm = np.sqrt(reference.sum_of_squares(grads))
            assert one.grad_norm == norm
            factor = np.float32(min(1.0, max_norm / (norm + 1e-6)))
            grads = [np.asarray(factor * g) for g in grads]
        two.step([np.asarray(np.clip(g, np.float32(-0.25), np.float32(0.25))) for g in grads])
    for a, b in zip(mine, other, strict=True):
        assert_same_bits(a, b)


@settings(max_examples=100)
@given(scale=st.floats(1e-3, 1e6), clip=st.sampled_from([0.0, 0.1, 1e9]), seed=st.integers(0, 2**32 - 1))
def test_any_scale_is_a_division_up_to_roundings(scale, clip, seed):
    """1 / scale is rounded twice (double, float32), the product once: 2^-24 each of the latter two, and a bit."""
    rng = np.random.default_rng(seed)
    g = rng.standard_normal(100).astype(np.float32)
    p = np.zeros(100, np.float32)
    oc.SGD([p], lr=1.0).step([g], grad_scale=scale, clip_value=clip)
    want = np.clip(-g.astype(np.float64) / scale, -clip, clip)
    assert (np.abs(p - want) <= 2.01 * 2.0**-24 * np.abs(want)).all()


def test_a_scaled_gradient_that_overflows_is_skipped():
    rng = np.random.default_rng(6)
    mine = made(rng, "bfloat16")
    opt = oc.Adam(mine, rounding="kahan", state_dtype="int8", average=0.9, nonfinite="skip")
    opt.step(made(rng))
    before = [p.copy() for p in mine], opt.state_dict()
    bad = [np.asarray(g * np.float32(2**10)).astype(np.float16) for g in made(rng)]
    bad[0][17] = np.inf
    opt.step(bad, grad_scale=2.0**10, max_norm=1.0)
    assert opt.skipped == 1
    compare((mine, opt.state_dict()), before)
    opt.step([np.asarray(g) for g in made(rng, "float16")], grad_scale=2.0**10)
    assert [s["step"] for s in opt.state] == [2] * len(mine)


@each_parameter
@pytest.mark.parametrize("state", ["float32", "bfloat16", "int8"])
def test_lookahead_restores_every_format_to_the_bit(form, rounding, state):
    """Within it the parameters are p + momentum velocity, to nearest; p with what it lacks, or the master."""
    rng = np.random.default_rng(4)
    mine = made(rng, form)
    opt = oc.NesterovClassical(mine, lr=0.1, momentum=0.7, rounding=rounding, state_dtype=state, average=0.9)
    for _ in range(3):
        opt.step(made(rng))
        before = [p.copy() for p in mine], opt.state_dict()
        with opt.lookahead():
            for i, (p, s) in enumerate(zip(mine, opt.state, strict=True)):
                was, v = before[1]["state"][i], s["velocity"]
                start = was["master"] if "master" in was else widened(before[0][i])
                if "compensation" in was:
                    start = FORMATS[COMPENSATIONS[rounding]].join(before[0][i], was["compensation"])
                narrow = v.dtype == np.uint8
                v = block8.decode8(v, p.size, 0).reshape(p.shape) if narrow else widened(v)
                ahead = np.asarray(start + np.float32(0.7) * v)
                assert_same_bits(p, ahead.astype(KINDS[form]).view(p.dtype))
        compare((mine, opt.state_dict()), before)
