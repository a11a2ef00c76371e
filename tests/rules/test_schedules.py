"""Schedules as functions: values that can be compared and pickled, ends met exactly, composition, bad arguments,
and torch's schedulers as a judge we did not write. test_scheduled_settings.py has them as settings."""
from __future__ import annotations

import copy
import math
import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.optim import lr_scheduler as judge

from optcore import schedules
from optcore.schedules import constant, cosine, exponential, one_cycle, piecewise, warmup
from tests.support.draws import COUNTS, SCHEDULES, VALUES

U = 2.0 ** -53


@given(s=SCHEDULES, t=st.integers(1, 200))
def test_a_schedule_is_a_value(s, t):
    """A value between a and b is two products and a sum, three roundings past the larger at most."""
    for twin in (pickle.loads(pickle.dumps(s)), copy.deepcopy(s), eval(repr(s), vars(schedules).copy())):
        assert twin == s and hash(twin) == hash(s) and twin(t) == s(t)
    assert s(np.int64(t)) == s(t) and type(s(t)) is float and 0.0 <= s(t) <= 10.0 * (1 + 3 * U)
    with pytest.raises(FrozenInstanceError):
        s.value = 1.0
    for bad, error in ((0, ValueError), (-1, ValueError), (1.5, TypeError)):
        with pytest.raises(error, match="step"):
            s(bad)


@given(a=VALUES, b=VALUES, steps=COUNTS, wait=st.integers(1, 20), beyond=st.integers(1, 2**40))
def test_ends_are_met_exactly_and_kept(a, b, steps, wait, beyond):
    for s, first, last, end in [
            (constant(a), a, 1, a), (warmup(a, steps, b), b, steps + 1, a), (cosine(a, steps, b), a, steps + 1, b),
            (cosine(a, steps + wait, b, wait), 0.0, steps + wait + 1, b),
            (one_cycle(a, steps + 3), a / 25.0, steps + 3, a / 25.0 / 1e4),
            (piecewise({1: b, steps + 1: a}), b, steps + 1, a), (exponential(a, 1.0), a, 1, a)]:
        assert s(1) == first
        assert s(last) == s(last + 1) == s(last + beyond) == end
    assert warmup(a, 0, b)(1) == a


@given(v=VALUES, end=VALUES, wait=st.integers(1, 20), steps=COUNTS, t=st.integers(1, 80))
def test_composed_schedules_count_from_their_own_beginning(v, end, wait, steps, t):
    after = cosine(v, steps, end)
    want = (warmup(v, wait)(t) if t <= wait else after(t - wait))
    assert cosine(v, wait + steps, end, wait)(t) == want
    assert warmup(v, wait, then=after)(t) == want
    assert piecewise({wait + 1: after, 1: warmup(v, wait)})(t) == want


@pytest.mark.parametrize("make, error, message", [
    (lambda: constant("x"), TypeError, "value"), (lambda: constant(constant(1.0)), TypeError, "value"),
    (lambda: warmup(-1.0, 3), ValueError, "value=-1"), (lambda: warmup(1.0, 3, math.nan), ValueError, "start=nan"),
    (lambda: warmup(1.0, -1), ValueError, "steps=-1"), (lambda: warmup(1.0, 3, then=0.1), TypeError, "then"),
    (lambda: cosine(1.0, 0), ValueError, "steps=0"), (lambda: cosine(1.0, 2.5), TypeError, "steps"),
    (lambda: cosine(1.0, 5, math.inf), ValueError, "end=inf"), (lambda: cosine(1.0, 5, 0.0, 5), ValueError, "warmup=5"),
    (lambda: one_cycle(None, 5), TypeError, "peak"), (lambda: one_cycle(1.0, 5, 1.5), ValueError, "pct_start=1.5"),
    (lambda: one_cycle(1.0, 5, anneal_strategy="exp"), ValueError, "anneal_strategy='exp'"),
    (lambda: one_cycle(1.0, 5, div_factor=0.0), ValueError, "div_factor=0"),
    (lambda: one_cycle(1.0, 5, final_div_factor=1e-300), ValueError, "peak / div_factor / final_div_factor"),
    (lambda: exponential(1.0, -0.5), ValueError, "gamma=-0.5"), (lambda: piecewise(0.1), TypeError, "pieces"),
    (lambda: piecewise({}), ValueError, "pieces.*step 1"), (lambda: piecewise({0: 0.1}), ValueError, "pieces.*=0"),
    (lambda: piecewise({1: 0.1, 5: -1}), ValueError, r"pieces\[5\]=-1"),
])
def test_bad_arguments_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


def by_torch(make, n, lr):
    """The learning rates of n epochs; our step t is its epoch t - 1."""
    opt = torch.optim.SGD([torch.zeros(1)], lr=lr, momentum=0.9)
    scheduler, seen = make(opt), []
    for epoch in range(n):
        if epoch:
            opt.step()
            scheduler.step()
        seen.append((opt.param_groups[0]["lr"], opt.param_groups[0]["momentum"]))
    return np.array(seen).T


@given(v=st.floats(1e-4, 10.0), share=st.floats(0.01, 1.0), steps=COUNTS, wait=st.integers(1, 20))
def test_torch_goes_the_same_way(v, share, steps, wait):
    """torch multiplies the last value by a ratio. At most six roundings an epoch, each relative and carried on, of
    values that never pass v: epoch n is off by no more than 8 (n + 2) U v, ours included. (1 + cos x stands in one
    ratio as numerator and in the next as denominator, the same double, so its cancellation near pi cancels.)"""
    n = steps + wait + 3
    bound = 8 * U * v * (np.arange(n) + 2)

    def cosine_annealing(opt):
        return judge.CosineAnnealingLR(opt, steps, eta_min=share * v)

    def linear(opt):
        return judge.LinearLR(opt, start_factor=share, total_iters=wait)

    pairs = [
        (exponential(v, share), n, lambda opt: judge.ExponentialLR(opt, share)),
        (warmup(v, wait, share * v), n, linear),
        (cosine(v, steps, share * v), steps + 1, cosine_annealing),             # torch's rises again afterwards
        (warmup(v, wait, share * v, then=cosine(v, steps, share * v)), steps + wait + 1,
         lambda opt: judge.SequentialLR(opt, [linear(opt), cosine_annealing(opt)], [wait]))]
    for ours, epochs, make in pairs:
        got = np.array([ours(t + 1) for t in range(epochs)])
        assert (np.abs(got - by_torch(make, epochs, v)[0]) <= bound[:epochs]).all(), ours
    ours = piecewise({1: v, wait + 1: v * share, wait + steps + 1: v * share * share})
    theirs = by_torch(lambda opt: judge.MultiStepLR(opt, [wait, wait + steps], gamma=share), n, v)[0]
    np.testing.assert_array_equal([ours(t + 1) for t in range(n)], theirs)      # the same products


@given(v=st.floats(1e-4, 10.0), steps=COUNTS, pct=st.floats(0.0, 1.0), strategy=st.sampled_from(["cos", "linear"]),
       div=st.floats(1.0, 50.0), final=st.floats(1.0, 1e4))
def test_torchs_one_cycle(v, steps, pct, strategy, div, final):
    """A closed formula of the same fractions on both sides: ten roundings of values up to v, of cosines and of 1.
    torch divides by zero where the rise, or the fall, has no length."""
    assume(pct * steps != 1.0 and (pct < 1.0 or steps > 1))
    lr, momentum = by_torch(lambda opt: judge.OneCycleLR(
        opt, v, steps, pct_start=pct, anneal_strategy=strategy, div_factor=div, final_div_factor=final), steps, v)
    ours, mu = one_cycle(v, steps, pct, strategy, div, final), one_cycle(0.85, steps, pct, strategy, 0.85 / 0.95, 1.0)
    at = range(1, steps + 1)
    np.testing.assert_allclose([ours(t) for t in at], lr, rtol=0, atol=20 * U * v)
    np.testing.assert_allclose([mu(t) for t in at], momentum, rtol=0, atol=20 * U)
