"""The scalars of a step: what a rule's formula takes that depends on settings and step alone, in double.

Owns one function for each kind of rule, (step, settings...) -> the scalars of its struct in _rules.pxd, in order.
A function of its arguments only, in the same time at every step: nothing is carried from step to step, so a
resumed run has the same scalars. Imports nothing of the package. Whoever takes them rounds once to float32.
"""
from __future__ import annotations

from functools import lru_cache
from math import exp, expm1, log, sqrt


def momentum(step: int, lr: float, momentum: float, dampening: float) -> tuple[float, ...]:
    # torch's semantics: the first gradient becomes the velocity undampened.
    return momentum, 1.0 if step == 1 else 1.0 - dampening, lr


def adagrad(step: int, lr: float, lr_decay: float, eps: float) -> tuple[float, ...]:
    return lr / (1.0 + (step - 1) * lr_decay), eps


def adadelta(step: int, lr: float, rho: float, eps: float) -> tuple[float, ...]:
    return rho, 1.0 - rho, eps, lr


def rmsprop(step: int, lr: float, alpha: float, eps: float) -> tuple[float, ...]:
    return alpha, 1.0 - alpha, lr, eps


def rmsprop_momentum(step: int, lr: float, alpha: float, eps: float, momentum: float) -> tuple[float, ...]:
    return alpha, 1.0 - alpha, lr, eps, momentum


def adam(step: int, lr: float, beta1: float, beta2: float, eps: float) -> tuple[float, ...]:
    return (1.0 - beta1, beta2, 1.0 - beta2,
            lr / (1.0 - beta1 ** step), 1.0 / sqrt(1.0 - beta2 ** step), eps)


def adamax(step: int, lr: float, beta1: float, beta2: float, eps: float) -> tuple[float, ...]:
    return 1.0 - beta1, beta2, eps, lr / (1.0 - beta1 ** step)


@lru_cache(maxsize=64)
def _mu_terms(log_q: float) -> tuple[float, ...]:
    """2^-k q^k / (k (1 + q + ... + q^(k-1))) for k = 1, 2, ...: each is below half of the one before."""
    q, sum_of_powers, terms = exp(log_q), 1.0, []
    for k in range(1, 50):
        terms.append(0.5 ** k * exp(k * log_q) / (k * sum_of_powers))
        sum_of_powers = sum_of_powers * q + 1.0
    return tuple(terms)


def nadam_mu(step: int, beta1: float, momentum_decay: float) -> float:
    """NAdam's mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2)."""
    return beta1 * (1.0 - 0.5 * exp(step * (momentum_decay * log(0.96))))


@lru_cache(maxsize=64)          # many tensors ask at one step
def nadam_mu_product(step: int, beta1: float, momentum_decay: float) -> float:
    """mu_1 mu_2 ... mu_t, which torch keeps as the state `mu_product`, in the same time at every step.

    With q = 0.96^momentum_decay the factors are beta1 (1 - q^i / 2), and
        -log prod (1 - q^i / 2) = sum_k 2^-k / k (q^k + q^2k + ... + q^tk)
                                = sum_k 2^-k / k q^k (1 - x^k) / (1 - q^k),  x = q^t.
    Both differences are taken apart into 1 - x and 1 - q and sums of powers, so nothing cancels where q is
    near 1; 49 terms are enough for a double.
    """
    log_q = momentum_decay * log(0.96)
    log_x = step * log_q
    x, sum_of_powers, total = exp(log_x), 1.0, 0.0
    for term in _mu_terms(log_q):
        total += term * sum_of_powers
        sum_of_powers = sum_of_powers * x + 1.0
    ratio = expm1(log_x) / expm1(log_q) if log_q else step
    return beta1 ** step * exp(-total * ratio)


def nadam(step: int, lr: float, beta1: float, beta2: float, eps: float, momentum_decay: float) -> tuple[float, ...]:
    mu, mu_next = nadam_mu(step, beta1, momentum_decay), nadam_mu(step + 1, beta1, momentum_decay)
    product = nadam_mu_product(step, beta1, momentum_decay)
    return (1.0 - beta1, beta2, 1.0 - beta2, lr * (1.0 - mu) / (1.0 - product),
            lr * mu_next / (1.0 - product * mu_next), 1.0 / sqrt(1.0 - beta2 ** step), eps)


def radam(step: int, lr: float, beta1: float, beta2: float, eps: float) -> tuple[float, ...]:
    moments, lr = (1.0 - beta1, beta2, 1.0 - beta2), lr / (1.0 - beta1 ** step)
    power = beta2 ** step
    longest = 2.0 / (1.0 - beta2) - 1.0
    length = longest - 2.0 * step * power / (1.0 - power)
    if length <= 5.0:           # the variance of so few gradients is unknown: plain momentum, a division by 1
        return *moments, lr, 0.0, 1.0
    rect = sqrt((length - 4.0) * (length - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * length))
    return *moments, lr * rect * sqrt(1.0 - power), 1.0, eps


def asgd(step: int, lr: float, lambd: float, alpha: float, t0: float) -> tuple[float, ...]:
    eta, mu = asgd_eta_mu(step, lr, lambd, alpha, t0)
    return 1.0 - lambd * eta, eta, mu


def asgd_eta_mu(step: int, lr: float, lambd: float, alpha: float, t0: float) -> tuple[float, float]:
    """The eta and mu by which ASGD makes step t. torch keeps them as state, found after step t - 1."""
    taken = step - 1
    return lr * (1.0 + lambd * lr * taken) ** -alpha, 1.0 / max(1.0, taken - t0)


def lion(step: int, lr: float, beta1: float, beta2: float) -> tuple[float, ...]:
    return beta1, 1.0 - beta1, beta2, 1.0 - beta2, lr


def _memory(beta: float) -> float:
    """How many steps an exponential mean looks back: the time in which a gradient's weight falls to 1/e."""
    return -1.0 / log(beta) if beta else 0.0


def ademamix(step: int, lr: float, beta1: float, beta2: float, beta3: float, alpha: float, t_alpha: float,
             t_beta3: float, eps: float) -> tuple[float, ...]:
    if step < t_alpha:
        alpha *= step / t_alpha
    if step < t_beta3:
        # The paper's schedule: the memory of the slow mean grows linearly from that of the fast one.
        x = step / t_beta3
        memory = (1.0 - x) * _memory(beta1) + x * _memory(beta3)
        beta3 = min(beta3, exp(-1.0 / memory) if memory else 0.0)
    return (1.0 - beta1, 1.0 - beta3, beta2, 1.0 - beta2, lr / (1.0 - beta1 ** step), lr * alpha,
            1.0 / sqrt(1.0 - beta2 ** step), eps)
