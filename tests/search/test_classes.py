"""RandomSearch, ES and SPSA: their formulas, what they converge to, workers, values that are not finite, mistakes."""
from __future__ import annotations

import json
import math
import multiprocessing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import optcore as oc
from optcore.search import centred_ranks
from optcore.search import noise as _noise
from tests.support.bits import assert_same_bits

SEARCHES = {"RandomSearch": dict(sigma=0.3, samples=3), "ES": dict(lr=0.2, sigma=0.3, samples=3),
            "SPSA": dict(lr=0.01, sigma=0.01, samples=2, noise="gaussian")}


def steps(x):
    """No gradient anywhere: the sum of how many eighths each element is from 1."""
    return float(np.floor(8 * np.abs(x - 1)).sum())


def bowl(x):
    return float(((x.astype(np.float64) - 1) ** 2).sum())


# ------------------------------------------------------------------------------------------- formulas


@given(kind=st.sampled_from(sorted(_noise.KINDS)), maximize=st.booleans(), seed=st.integers(0, 2**53))
def test_spsa_is_its_formula(kind, maximize, seed):
    p = np.linspace(-1, 1, 700, dtype=np.float32)
    opt = oc.SPSA(p.copy(), lr=0.01, sigma=0.25, samples=3, noise=kind, maximize=maximize, seed=seed)
    sign = -1.0 if maximize else 1.0
    for t in range(2):
        weights = []
        for k in range(3):
            up, down = (bowl(_noise.perturb(p, [s], kind, seed, 3 * t + k)) for s in (0.25, -0.25))
            weights.append(-0.01 * sign * (up - down) / (2 * 3 * 0.25))
        p = _noise.perturb(p, weights, kind, seed, 3 * t)
        opt.step(bowl)
    assert_same_bits(opt._params[0], p)


def test_es_is_its_formula():
    p = np.linspace(-1, 1, 700, dtype=np.float32)
    mine = p.copy()
    opt = oc.ES(mine, lr=0.5, sigma=0.25, samples=4, seed=5)
    values = [bowl(_noise.perturb(p, [s], "gaussian", 5, k)) for k in range(4) for s in (0.25, -0.25)]
    u = np.argsort(np.argsort(values)) / 7 - 0.5
    opt.step(bowl)
    weights = -0.5 * (u[0::2] - u[1::2]) / (2 * 4 * 0.25)
    assert_same_bits(mine, _noise.perturb(p, weights.tolist(), "gaussian", 5, 0))
    assert opt.value == pytest.approx(np.mean(values))


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, 5.0, math.inf]) | st.floats(-1e300, 1e300), min_size=2, max_size=20))
def test_centred_ranks(costs):
    """The mean rank of equals is half of (those below - those above), spread over n - 1."""
    x = np.array(costs)
    want = [((x < v).sum() - (x > v).sum()) / 2 / (x.size - 1) for v in x]
    np.testing.assert_allclose(centred_ranks(x), want, atol=1e-15 * x.size, rtol=0)     # a few roundings below 1


@pytest.mark.parametrize("noise", sorted(_noise.KINDS))
def test_spsa_is_unbiased_on_a_quadratic(noise):
    """Of a quadratic f with gradient g the difference is exactly 2 sigma g.n, and the estimate the mean of K times
    (g.n) n: element i has mean g_i and variance (|g|^2 + g_i^2) / K for normal numbers, (|g|^2 - g_i^2) / K for signs.
    Five standard deviations for each of 12 elements are left to chance; rounding p + sigma n is 1e-6 of them."""
    scale = np.arange(1, 13.0)
    p = np.linspace(-1, 2, 12).astype(np.float32)
    g = scale * p.astype(np.float64)
    k = 20_000
    opt = oc.SPSA(p, lr=1.0, sigma=0.5, samples=k, noise=noise, seed=1)
    start = p.astype(np.float64)
    opt.step(lambda x: float((scale * x.astype(np.float64) ** 2).sum() / 2))
    variance = ((g**2).sum() + (g**2 if noise == "gaussian" else -g**2)) / k
    assert (np.abs(start - p - g) < 5 * np.sqrt(variance)).all()


# ------------------------------------------------------------------------------------------- what they find


def test_all_find_the_minimum_of_a_function_without_gradient():
    """From 20 elements at 5, 20 * 32 = 640 eighths away, to a tenth of it. SPSA sees the slope of the steps, averaged
    over perturbations as wide as one."""
    for name, settings, count in [("RandomSearch", dict(sigma=0.2, samples=16), 300),
                                  ("ES", dict(lr=1.0, sigma=0.3, samples=16), 150),
                                  ("SPSA", dict(lr=0.002, sigma=0.1, samples=4), 1000)]:
        x = np.full(20, 5, np.float32)
        opt = getattr(oc, name)(x, **settings)
        for _ in range(count):
            opt.step(steps)
        assert steps(x) < 64, (name, steps(x))
        y = np.full(20, 5, np.float32)
        other = getattr(oc, name)(y, **settings, maximize=True)
        for _ in range(count):
            other.step(lambda x: -steps(x))
        assert_same_bits(x, y, name)
        assert other.value == -opt.value


def test_random_search_goes_only_down_and_knows_its_value():
    x = np.full(50, 2, np.float32)
    opt = oc.RandomSearch(x, sigma=0.2, samples=2)
    assert opt.ask() == range(3)
    before = math.inf
    for _ in range(100):
        assert opt.step(bowl) == bowl(x) <= before
        before = opt.value
        assert opt.ask() == range(1, 3)
    assert before < bowl(np.full(50, 2, np.float32))
    opt.value = None
    assert opt.ask() == range(3)


# ------------------------------------------------------------------------------------------- structures and workers


@pytest.mark.parametrize("name", sorted(SEARCHES))
def test_lists_dicts_and_shards_are_the_flat_array(name):
    flat = np.linspace(-1, 1, 5000, dtype=np.float32)
    parts = [flat[:100].copy().reshape(10, 10), flat[100:101].copy().reshape(()), flat[101:].copy()]
    named = dict(zip("abc", (a.copy() for a in parts), strict=True))
    shard = flat[101:].copy()
    make = getattr(oc, name)
    opts = [make(flat, **SEARCHES[name]), make(parts, **SEARCHES[name]), make(named, **SEARCHES[name]),
            make([shard], **SEARCHES[name], offset=[101]), make(shard.copy(), **SEARCHES[name], offset=101)]
    for _ in range(3):
        values = []
        for k in opts[0].ask():
            tried = opts[0].perturbed(k)
            values.append(bowl(tried))
            assert_same_bits(np.concatenate([a.ravel() for a in opts[1].perturbed(k, num_threads=2)]), tried)
            assert list(opts[2].perturbed(k)) == ["a", "b", "c"]
            assert_same_bits(opts[3].perturbed(k)[0], tried[101:])
            assert_same_bits(opts[4].perturbed(k), tried[101:])
        for opt in opts:
            opt.tell(values)
    assert_same_bits(np.concatenate([a.ravel() for a in parts]), flat)
    assert_same_bits(np.concatenate([a.ravel() for a in named.values()]), flat)
    assert_same_bits(shard, flat[101:])


def worker(pipe, name, settings, mine):
    """A worker holds its own parameters; numbers are all that it sends and gets."""
    x = np.linspace(-1, 1, 30_000, dtype=np.float32)
    opt = getattr(oc, name)(x, **settings)
    for _ in range(4):
        pipe.send({k: bowl(opt.perturbed(k, num_threads=1 + mine)) for k in opt.ask() if k % 2 == mine})
        opt.tell(pipe.recv(), num_threads=1 + mine)
    pipe.send(x.tobytes())


@pytest.mark.parametrize("name", sorted(SEARCHES))
def test_workers_that_exchange_numbers_have_the_bits_of_one_process(name):
    x = np.linspace(-1, 1, 30_000, dtype=np.float32)
    opt = getattr(oc, name)(x, **SEARCHES[name])
    context = multiprocessing.get_context("spawn")
    pipes, workers = [], []
    for mine in range(2):
        here, there = context.Pipe()
        workers.append(context.Process(target=worker, args=(there, name, SEARCHES[name], mine)))
        workers[-1].start()
        pipes.append(here)
    for _ in range(4):
        values = {k: v for pipe in pipes for k, v in pipe.recv().items()}
        for pipe in pipes:
            pipe.send([values[k] for k in sorted(values)])
        opt.step(bowl)
    assert [pipe.recv() for pipe in pipes] == [x.tobytes()] * 2
    for w in workers:
        w.join(60)
        assert w.exitcode == 0


@pytest.mark.parametrize("name", sorted(SEARCHES))
def test_resuming_is_going_on(name):
    x = np.linspace(-1, 1, 3000, dtype=np.float32)
    opt = getattr(oc, name)(x, **SEARCHES[name], seed=3)
    for _ in range(3):
        opt.step(bowl)
    saved, y = json.loads(json.dumps(opt.state_dict())), x.copy()
    assert not any(isinstance(v, np.ndarray) for v in saved.values())
    other = getattr(oc, name)(y, **{**SEARCHES[name], "sigma": 9.0, "samples": 1})
    other.load_state_dict(saved)
    assert other.state_dict() == opt.state_dict()
    for _ in range(3):
        assert opt.step(bowl) == other.step(bowl)
    assert_same_bits(y, x)


def test_settings_may_be_functions_of_the_step():
    x, y = np.ones(9, np.float32), np.ones(9, np.float32)
    scheduled = oc.SPSA(x, lr=lambda t: 0.1 / t, sigma=lambda t: 0.01 * t)
    by_hand = oc.SPSA(y, lr=0.0, sigma=1.0)
    for t in (1, 2, 3):
        by_hand.settings.update(lr=0.1 / t, sigma=0.01 * t)
        scheduled.step(bowl)
        by_hand.step(bowl)
    assert_same_bits(x, y)


# ------------------------------------------------------------------------------------------- values that are not finite


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e39])
def test_values_that_cannot_be_used(bad):
    start = np.linspace(-1, 1, 100, dtype=np.float32)
    best, es, spsa, alone = (start.copy() for _ in range(4))
    opt = oc.RandomSearch(best, sigma=0.1, samples=2)
    opt.tell([1.0, bad, 2.0])
    assert opt.value == 1.0 and opt.skipped == 1
    opt.tell([bad, bad])
    assert_same_bits(best, start)

    opt = oc.SPSA(spsa, lr=0.1, sigma=0.1, samples=2, seed=4)
    opt.tell([bad, 1.0, 3.0, 2.0])              # pair 0 is left out: the mean is pair 1's
    assert_same_bits(spsa, _noise.perturb(start, [-0.0, -0.1 * 1.0 / (2 * 0.1)], "rademacher", 4, 0))
    assert opt.value == 2.0 and opt.skipped == 1
    opt.tell([bad] * 4)
    assert math.isnan(opt.value) and opt.skipped == 5

    opt = oc.ES(es, lr=0.1, sigma=0.1, samples=2, seed=4)
    opt.tell([bad, 1.0, 3.0, 2.0])              # counts as the worst
    twin = oc.ES(alone, lr=0.1, sigma=0.1, samples=2, seed=4)
    twin.tell([9.0, 1.0, 3.0, 2.0])
    assert_same_bits(es, alone)
    before = es.copy()
    opt.tell([bad] * 4)
    assert_same_bits(es, before)


@pytest.mark.parametrize("name", sorted(SEARCHES))
def test_they_are_refused_on_request(name):
    x = np.ones(5, np.float32)
    opt = getattr(oc, name)(x, **SEARCHES[name], nonfinite="raise")
    values = [1.0] * len(opt.ask())
    values[2] = math.nan
    before = opt.state_dict()
    with pytest.raises(FloatingPointError, match=r"values\[2\] is nan; nothing was changed"):
        opt.tell(values)
    assert (x == 1).all() and opt.state_dict() == before


# ------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(("name", "changed", "message"), [
    ("RandomSearch", dict(sigma=0.0), "sigma=0.0"), ("RandomSearch", dict(sigma="x"), "sigma"),
    ("ES", dict(lr=-1.0), "lr=-1.0"), ("SPSA", dict(sigma=math.nan), "sigma=nan"), ("ES", dict(samples=0), "samples=0"),
    ("SPSA", dict(noise="cauchy"), "noise='cauchy'"), ("ES", dict(seed=-1), "seed=-1"), ("ES", dict(seed=0.5), "seed"),
    ("ES", dict(offset=-1), "offset=-1"), ("ES", dict(offset=[1, 2]), "offset: 1 are needed"),
    ("ES", dict(nonfinite="warn"), "nonfinite='warn'"), ("SPSA", dict(params=[]), "params: it is empty"),
    ("SPSA", dict(params=3), "params"), ("SPSA", dict(params=np.ones(3)), "params is float64"),
    ("SPSA", dict(params=[np.ones((4, 4), np.float32).T]), r"params\[0\] is not contiguous"),
    ("SPSA", dict(params={"w": np.ones(3, np.float16)}), r"params\['w'\] is float16"),
    ("SPSA", dict(params=[np.ones(3, np.float32)] * 2), "overlaps"),
    ("SPSA", dict(params={"w": np.float32(1)}), r"params\['w'\] is a NumPy scalar"),
])
def test_mistakes_are_named(name, changed, message):
    arguments = {"params": np.ones(3, np.float32), **SEARCHES[name], **changed}
    with pytest.raises((TypeError, ValueError), match=message):
        getattr(oc, name)(**arguments)


@pytest.mark.parametrize("name", sorted(SEARCHES))
def test_refused_calls_change_nothing(name):
    x = np.ones(3, np.float32)
    opt = getattr(oc, name)([x], **SEARCHES[name])
    before, good = opt.state_dict(), [1.0] * len(opt.ask())
    for call, message in [
        (lambda: opt.tell(good[1:]), "values"), (lambda: opt.tell(1.0), "^values: a number for each trial"),
        (lambda: opt.tell([*good[1:], "x"]), r"values\["),
        (lambda: opt.tell(good, num_threads=0), "num_threads=0"), (lambda: opt.perturbed(-1), "trial"),
        (lambda: opt.perturbed(99), "trial"), (lambda: opt.perturbed(0.5), "trial"),
        (lambda: opt.perturbed(1, num_threads=0), "num_threads"),
        (lambda: opt.step(lambda p: None), r"values\[0\]"), (lambda: opt.step(lambda p: 1 / 0), "division"),
        (lambda: opt.load_state_dict({}), "missing"),
        *((lambda k=k, v=v: opt.load_state_dict({**before, k: v}), k) for k, v in [
            ("step", -1), ("seed", 0.5), ("samples", 0), ("noise", "?"), ("sigma", -1.0), ("value", "?")]),
    ]:
        with pytest.raises((TypeError, ValueError, ZeroDivisionError), match=message):
            call()
        assert (x == 1).all() and opt.state_dict() == before
    opt.perturbed(1)
    x.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        opt.tell([2.0, 1.0] * (len(good) // 2) if len(good) % 2 == 0 else [5.0, 2.0, 1.0, 1.0])
    assert opt.state_dict() == before


def test_a_step_beyond_float32_is_refused():
    x = np.ones(3, np.float32)
    opt = oc.SPSA(x, lr=1e30, sigma=1e-10)
    with pytest.raises(FloatingPointError, match="beyond float32; nothing was changed"):
        opt.tell([1e10, 0.0])
    assert (x == 1).all() and opt.state_dict()["step"] == 0
