"""The scalars of a step, where they are more than a line: NAdam's product of momenta one by one, ASGD's lr, and
AdEMAMix against its paper. tests/torch/test_scalars.py holds those that torch has against torch."""
from __future__ import annotations

import math
import time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import optcore as oc
from optcore import reference
from optcore.rules import RULES
from optcore.rules.adam import ademamix
from optcore.rules.nadam import nadam_mu, nadam_mu_product
from tests.support.bits import assert_same_bits
from tests.support.bounded import U64

BETA = st.one_of(st.just(0.0), st.floats(0.0, 1.0, exclude_max=True))
N = 20


@given(steps=st.integers(1, 500), beta1=BETA,
       decay=st.one_of(st.sampled_from([0.0, 5e-324, 1e-300, 1e-12, 4e-3, 1.0, 1e4, 3.4e38]), st.floats(0.0, 100.0)))
def test_the_product_of_momenta_is_the_product_taken_one_by_one(steps, beta1, decay):
    """A factor errs by a few roundings and by what its exponent, at most 1e-16 of its own size, moves 0.96^x:
    x 0.96^x stays below 10. The product of the errors of t factors and t products stays under 40 t u; so does
    the closed form's, whose exponent is below t (and whose value is 0 where its logarithm is large)."""
    one_by_one = math.prod(nadam_mu(t, beta1, decay) for t in range(1, steps + 1))
    got = nadam_mu_product(steps, beta1, decay)
    assert abs(got - one_by_one) <= 80 * steps * U64 * one_by_one + 1e-307


def test_the_product_of_momenta_takes_no_time_for_many_steps():
    def seconds(step):
        begin = time.perf_counter()
        for k in range(1000):
            nadam_mu_product(step + k, 0.9, 4e-3)
        return time.perf_counter() - begin

    few, many = (min(seconds(step) for _ in range(5)) for step in (1, 10**9))
    assert many < 3 * few                   # one by one it would be a million times as long


def test_a_change_of_lr_counts_at_once_in_asgd():
    """Where torch makes one more step by the eta that it had found before."""
    p = np.zeros(N, np.float32)
    opt = oc.ASGD([p], lr=0.5, lambd=0.0)
    opt.step([np.ones(N, np.float32)])
    opt.param_groups[0]["lr"] = 0.25
    opt.step([np.ones(N, np.float32)])
    assert (p == -0.75).all()


# ------------------------------------------------------------------------------------------- AdEMAMix


def paper_ademamix(start, gradients, lr, betas, alpha, t_alpha, t_beta3, eps, weight_decay):
    """Algorithm 1 of arXiv:2409.03137, and the two schedulers of its appendix, in float64, in the paper's letters."""
    beta1, beta2, beta3 = betas
    theta, m1, m2, nu = start.astype(np.float64), 0.0, 0.0, 0.0
    for t, g in enumerate(gradients, start=1):
        alpha_t, beta3_t = alpha, beta3
        if t_alpha:
            alpha_t = min(t * alpha / t_alpha, alpha)
        if t_beta3:
            a, b = math.log(beta1), math.log(beta3)
            beta3_t = min(math.exp(a * b / ((1 - t / t_beta3) * b + t / t_beta3 * a)), beta3) if t < t_beta3 else beta3
        m1 = beta1 * m1 + (1 - beta1) * g
        m2 = beta3_t * m2 + (1 - beta3_t) * g
        nu = beta2 * nu + (1 - beta2) * g ** 2
        m1_hat, nu_hat = m1 / (1 - beta1 ** t), nu / (1 - beta2 ** t)
        theta = theta - lr * ((m1_hat + alpha_t * m2) / (np.sqrt(nu_hat) + eps) + weight_decay * theta)
    return theta


@settings(max_examples=60)
@given(beta1=st.sampled_from([0.1, 0.9]), beta2=st.sampled_from([0.9, 0.999]),
       beta3=st.sampled_from([0.5, 0.99, 0.9999]), alpha=st.sampled_from([0.0, 2.0, 8.0]),
       t_alpha=st.sampled_from([0.0, 1.0, 10.0, 60.0]), t_beta3=st.sampled_from([0.0, 1.0, 10.0, 60.0]),
       eps=st.sampled_from([1e-8, 1e-3]), weight_decay=st.sampled_from([0.0, 0.1]), seed=st.integers(0, 2**32 - 1))
def test_ademamix_is_the_papers(beta1, beta2, beta3, alpha, t_alpha, t_beta3, eps, weight_decay, seed):
    """Our reference in float64 and the paper's lines, 30 steps. A step moves p by at most lr (1 + alpha) 32 (m / sqrt v
    is below 1 / sqrt(1 - beta2)), with some 30 roundings in either, so the two differ by less than
    30 * 60 u * 0.01 * 9 * 32 and the 30 roundings of p itself."""
    rng = np.random.default_rng(seed)
    chosen = {"lr": 0.01, "betas": (beta1, beta2, beta3), "alpha": alpha, "t_alpha": t_alpha, "t_beta3": t_beta3,
              "eps": eps, "weight_decay": weight_decay}
    p = rng.uniform(-1, 1, N)
    gradients = rng.standard_normal((30, N))
    judge = paper_ademamix(p, gradients, **chosen)
    state = [np.zeros(N) for _ in range(3)]
    name, values = oc.AdEMAMix.family.pick({**chosen, "maximize": False})
    named = dict(zip((s.name for s in RULES[name].all_settings), values, strict=True))
    for t, g in enumerate(gradients, start=1):
        reference.ademamix(p, g, *state, step=t, **named)
    assert np.abs(p - judge).max() <= 30 * 60 * U64 * 0.01 * 9 * 32 + 30 * 4 * U64


@given(beta1=BETA, beta3=BETA, step=st.integers(1, 2**53), until=st.floats(0.0, 3.4e38))
def test_the_slow_mean_never_remembers_longer_than_it_is_to(beta1, beta3, step, until):
    """At every setting that is allowed, 0 included; and after the schedule's end it is beta3 to the bit."""
    beta3_c = ademamix(step, 1.0, beta1, 0.999, beta3, 5.0, until, until, 1e-8)[1]
    assert 1.0 - beta3 <= beta3_c <= 1.0
    if step >= until:
        assert beta3_c == 1.0 - beta3


def test_without_its_slow_mean_ademamix_is_adamw():
    rng = np.random.default_rng(0)
    mine, theirs = (rng.standard_normal(N).astype(np.float32).copy() for _ in range(2))
    theirs[:] = mine
    a, b = oc.AdEMAMix([mine], alpha=0.0), oc.AdamW([theirs])
    for _ in range(20):
        g = rng.standard_normal(N).astype(np.float32)
        a.step([g])
        b.step([g])
        assert_same_bits(mine, theirs)
