# mypy: allow-untyped-defs
"""Adam with a schedule of its own inside the step: Nesterov's momentum that grows, a division that comes in gradually.

Owns these rules and classes: rows, NumPy formulas, scalars of a step, words for the docs, settings of races. The
scalars are functions of their arguments only, in the same time at every step: nothing is carried from step to step, so
a resumed run has the same ones.
"""
from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import exp, expm1, log, sqrt

import numpy as np

from optcore.rules import elementwise
from optcore.rules.adam import ADAM_SETTINGS, BETAS, DECAYED, LR_2E3, MOMENTS, UPDATED_MOMENTS
from optcore.rules.row import Choice, Family, Group, Race, Rule
from optcore.rules.settings import BETA1, BETA2, DECOUPLED, EPS, NONNEGATIVE, Setting, with_default

DOZAT = "T. Dozat, Incorporating Nesterov momentum into Adam, ICLR workshop 2016"
LIU = "L. Liu et al., On the variance of the adaptive learning rate and beyond, ICLR 2020"

# ------------------------------------------------------------------------------------------- formulas


def NAdam(p, g, m, v, *, beta1_c, beta2, beta2_c, lr_g, lr_m, root, eps):
    m = m + beta1_c * (g - m)
    v = beta2 * v + beta2_c * (g * g)
    return p - (lr_g * g + lr_m * m) / (np.sqrt(v) * root + eps), m, v


def RAdam(p, g, m, v, *, beta1_c, beta2, beta2_c, lr, rectified, eps):
    m = m + beta1_c * (g - m)
    v = beta2 * v + beta2_c * (g * g)
    return p - lr * m / (elementwise.pick(rectified != 0, np.sqrt(v), 0.0) + eps), m, v


# ------------------------------------------------------------------------------------------- scalars of a step


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


def _follow(product: float, mu: float) -> float:
    """torch's next product, a float32."""
    return float(np.float32(product) * np.float32(mu))


def nadam(step: int, lr: float, beta1: float, beta2: float, eps: float, momentum_decay: float, *,
          carried: Mapping[str, float] | None = None) -> tuple[float, ...]:
    """carried: the product as torch's state has it, where beta1 or momentum_decay were others before."""
    mu, mu_next = nadam_mu(step, beta1, momentum_decay), nadam_mu(step + 1, beta1, momentum_decay)
    product = _follow(carried["mu_product"], mu) if carried else nadam_mu_product(step, beta1, momentum_decay)
    return (1.0 - beta1, beta2, 1.0 - beta2, lr * (1.0 - mu) / (1.0 - product),
            lr * mu_next / (1.0 - product * mu_next), 1.0 / sqrt(1.0 - beta2 ** step), eps)


def _mu_product(group: Group, t: int) -> dict[str, float]:
    return {"mu_product": nadam_mu_product(t, float(group["betas"][0]), float(group["momentum_decay"]))}


def _mu_product_after(group: Group, t: int, before: Mapping[str, float]) -> dict[str, float]:
    mu = nadam_mu(t, float(group["betas"][0]), float(group["momentum_decay"]))
    return {"mu_product": _follow(before["mu_product"], mu)}


def radam(step: int, lr: float, beta1: float, beta2: float, eps: float) -> tuple[float, ...]:
    moments, lr = (1.0 - beta1, beta2, 1.0 - beta2), lr / (1.0 - beta1 ** step)
    power = beta2 ** step
    longest = 2.0 / (1.0 - beta2) - 1.0
    length = longest - 2.0 * step * power / (1.0 - power)
    if length <= 5.0:           # the variance of so few gradients is unknown: plain momentum, a division by 1
        return *moments, lr, 0.0, 1.0
    rect = sqrt((length - 4.0) * (length - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * length))
    return *moments, lr * rect * sqrt(1.0 - power), 1.0, eps


# ------------------------------------------------------------------------------------------- rows

_NADAM_SETTINGS = (LR_2E3, BETA1, BETA2, EPS, Setting(
    "momentum_decay", 4e-3, NONNEGATIVE, "how fast the momentum mu_t grows from half of beta1 to beta1"))
_MU = ("mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2),  M_t = mu_1 mu_2 ... mu_t",)
_NADAM_STEP = ("p <- p - lr ((1 - mu_t) / (1 - M_t) g + mu_(t+1) / (1 - M_(t+1)) m) / (sqrt(v / (1 - beta2^t)) + eps)",)
_RHO = ("rho = 2 / (1 - beta2) - 1,  rho_t = rho - 2 t beta2^t / (1 - beta2^t)",
        "r_t = sqrt((rho_t - 4)(rho_t - 2) rho / ((rho - 4)(rho - 2) rho_t))")
_RADAM_STEP = ("p <- p - lr r_t m / (1 - beta1^t) sqrt(1 - beta2^t) / (sqrt(v) + eps)    (where rho_t > 5)",
               "p <- p - lr m / (1 - beta1^t)                                           (before)")
_NO_DECAY = with_default(DECOUPLED, 0.0)

RULES = (
    Rule("nadam", NAdam, MOMENTS, _NADAM_SETTINGS, nadam,
         "NAdam: Adam with Nesterov's momentum, on a schedule of its own", (*_MU, *UPDATED_MOMENTS, *_NADAM_STEP),
         DOZAT),
    Rule("nadamw", NAdam, MOMENTS, _NADAM_SETTINGS, nadam,
         "NAdam with decoupled weight decay", (*_MU, DECAYED, *UPDATED_MOMENTS, *_NADAM_STEP), DOZAT,
         decay=_NO_DECAY, decoupled=True),
    Rule("radam", RAdam, MOMENTS, ADAM_SETTINGS, radam,
         "RAdam: Adam that divides by the root only once its variance is known, and by how well",
         (*_RHO, *UPDATED_MOMENTS, *_RADAM_STEP), LIU),
    Rule("radamw", RAdam, MOMENTS, ADAM_SETTINGS, radam,
         "RAdam with decoupled weight decay", (*_RHO, DECAYED, *UPDATED_MOMENTS, *_RADAM_STEP), LIU,
         decay=_NO_DECAY, decoupled=True),
)
_NADAM, _NADAMW, _RADAM, _RADAMW = RULES

FAMILIES = (
    Family(
        "NAdam", {"lr": 2e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "momentum_decay": 4e-3,
                  "decoupled_weight_decay": False, "maximize": False},
        (Choice(_NADAM), Choice(_NADAMW, {"decoupled_weight_decay": True})),
        "NAdam: Adam with Nesterov's momentum",
        "The product of the mu_t, state in torch, is taken anew at each step, as if betas and momentum_decay had "
        "always been what they are; in optcore.torch it is torch's where they change, as under OneCycleLR.",
        spread=BETAS,
        carried=_mu_product,
        follows=_mu_product_after,
        races={"NAdam": Race("stride", 1)},
        use=("Where Adam works and you want the look-ahead of Nesterov's momentum; with decoupled_weight_decay=True "
             "where AdamW works.",),
        fails=("Its momentum has a schedule of its own (momentum_decay), which comes on top of yours.",
               "Where Adam fails; weight decay is coupled unless decoupled_weight_decay=True.")),
    Family(
        "RAdam", {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0,
                  "decoupled_weight_decay": False, "maximize": False},
        (Choice(_RADAM), Choice(_RADAMW, {"decoupled_weight_decay": True})),
        "RAdam: Adam that divides by the root only once its variance is known, and by how well",
        spread=BETAS,
        races={"RAdam": Race("lr")},                        # its first steps follow the gradient
        use=("Adam without a warm-up: the first five steps with default betas (as in torch; four in the paper) are "
             "momentum's, and the division then comes in gradually.",),
        fails=("Those first steps are not scaled: with large gradients they are long. Clip, or warm up all the same.",
               "A warm-up schedule on top of it slows the start twice.")),
)
