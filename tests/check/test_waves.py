"""Fast waves: a correct gradient of one is never called wrong, and a wrong one never correct, however many of its
wavelengths a step spans."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optcore as oc

TURN = 2 * np.pi / 60


def dates(scale):
    """Seconds of an epoch, and a wave of a minute."""
    t = 1.7e9 + np.arange(5.0) * 7.3
    return (lambda t: float(np.sin(TURN * t).sum())), (lambda t: scale * TURN * np.cos(TURN * t)), t


def test_a_wave_of_a_minute_at_seconds_since_1970():
    for seed in range(8):
        report = oc.check_grad(*dates(1), seed=seed)
        assert report.verdict == "correct" and report.evaluations <= 190, report
        report = oc.check_grad(*dates(2), seed=seed)
        assert report.verdict != "correct" and report.evaluations <= 190, report
    assert oc.check_grad(*dates(2)).verdict == "wrong"


@settings(max_examples=150)
@given(n=st.integers(1, 12), at=st.floats(-2, 12), apart=st.floats(-9, 0), turns=st.floats(-1, 15.5),
       size=st.floats(-3, 3), offset=st.sampled_from([0.0, 1.0, 1e3]), one=st.booleans(),
       seed=st.integers(0, 2**32 - 1))
def test_a_correct_wave_is_never_called_wrong(n, at, apart, turns, size, offset, one, seed):
    """From a tenth of a radian over the whole of x to several radians in a unit of its last place. The offset is
    of the amplitude's size, for what is below the noise of fun is in no value of it."""
    rng = np.random.default_rng(seed)
    x = 10.0 ** at * (1 + 10.0 ** apart * rng.standard_normal(n))
    k = 10.0 ** (turns if one else rng.uniform(-1, turns, n)) / np.abs(x).max() * np.ones(n)
    amplitude = 10.0 ** size

    def fun(x):
        return amplitude * (offset + float(np.sin(k * x).sum()))

    report = oc.check_grad(fun, lambda x: amplitude * k * np.cos(k * x), x, seed=seed)
    assert report.verdict != "wrong" and report.evaluations <= 190, report


@pytest.mark.parametrize("turns", [2.0, 4.0, 6.0, 8.0, 10.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_wave_that_doubles_resolve_is_judged(turns, seed):
    """Up to 1e10 radians over x: 2e-6 radians in a unit in the last place, six digits of a slope at a quarter turn."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(1, 2, 6)
    k = 10.0 ** turns

    def fun(x):
        return float(np.sin(k * x).sum() + (x * x).sum())

    def grad(x):
        return k * np.cos(k * x) + 2 * x

    report = oc.check_grad(fun, grad, x, seed=seed)
    assert report.verdict == "correct" or turns == 6 and report.verdict == "inconclusive", report
    assert oc.check_grad(fun, lambda x: grad(x) * np.r_[-1, np.ones(5)], x, seed=seed).verdict != "correct"
