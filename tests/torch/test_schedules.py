"""torch's schedulers as a judge of ours that we did not write."""
from __future__ import annotations

import numpy as np
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.optim import lr_scheduler as judge

from optcore.schedules import cosine, exponential, one_cycle, piecewise, warmup
from tests.support.draws import COUNTS

U = 2.0 ** -53


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
