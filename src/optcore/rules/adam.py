# mypy: allow-untyped-defs
"""Adam and its kin: a moving average of gradients, divided by the size of recent ones.

Owns these rules and classes: rows, NumPy formulas, scalars of a step, words for the docs, settings of races; and what
nadam.py, which holds those with a schedule of their own, shares with them.
"""
from __future__ import annotations

from math import exp, log, sqrt

import numpy as np

from optcore.rules import elementwise
from optcore.rules.row import Choice, Family, Race, Rule, State
from optcore.rules.settings import (
    BETA1,
    BETA2,
    DECOUPLED,
    EPS,
    FRACTION,
    LR,
    NONNEGATIVE,
    Setting,
    negligible_after,
    with_default,
)

KINGMA = "D. P. Kingma and J. Ba, Adam: a method for stochastic optimization, ICLR 2015"
LOSHCHILOV = "I. Loshchilov and F. Hutter, Decoupled weight decay regularization, ICLR 2019"
REDDI = "S. J. Reddi et al., On the convergence of Adam and beyond, ICLR 2018"
PAGLIARDINI = "M. Pagliardini, P. Ablin and D. Grangier, The AdEMAMix optimizer, arXiv:2409.03137, ICLR 2025"

# ------------------------------------------------------------------------------------------- formulas


def Adam(p, g, m, v, *, beta1_c, beta2, beta2_c, lr, root, eps):
    m = m + beta1_c * (g - m)
    v = beta2 * v + beta2_c * (g * g)
    return p - lr * m / (np.sqrt(v) * root + eps), m, v


def AdamAMSGrad(p, g, m, v, vmax, *, beta1_c, beta2, beta2_c, lr, root, eps):
    m = m + beta1_c * (g - m)
    v = beta2 * v + beta2_c * (g * g)
    vmax = elementwise.pick(vmax > v, vmax, v)
    return p - lr * m / (np.sqrt(vmax) * root + eps), m, v, vmax


def Adamax(p, g, m, u, *, beta1_c, beta2, eps, lr):
    m = m + beta1_c * (g - m)
    d = np.abs(g) + eps
    u = beta2 * u
    u = elementwise.pick(u == u, elementwise.pick(u > d, u, d), u)
    return p - lr * m / u, m, u


def AdEMAMix(p, g, m1, m2, v, *, beta1_c, beta3_c, beta2, beta2_c, lr_fast, lr_slow, root, eps):
    m1 = m1 + beta1_c * (g - m1)
    m2 = m2 + beta3_c * (g - m2)
    v = beta2 * v + beta2_c * (g * g)
    return p - (lr_fast * m1 + lr_slow * m2) / (np.sqrt(v) * root + eps), m1, m2, v


# ------------------------------------------------------------------------------------------- scalars of a step


def adam(step: int, lr: float, beta1: float, beta2: float, eps: float) -> tuple[float, ...]:
    return (1.0 - beta1, beta2, 1.0 - beta2,
            lr / (1.0 - beta1 ** step), 1.0 / sqrt(1.0 - beta2 ** step), eps)


def sparse_adam(step: int, lr: float, beta1: float, beta2: float, eps: float) -> tuple[float, ...]:
    *others, root, eps = adam(step, lr, beta1, beta2, eps)
    return (*others, root, eps * root)


def adamax(step: int, lr: float, beta1: float, beta2: float, eps: float) -> tuple[float, ...]:
    return 1.0 - beta1, beta2, eps, lr / (1.0 - beta1 ** step)


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


def idle(lr: float, beta1: float, beta2: float, eps: float) -> int:
    return negligible_after(beta1 / sqrt(beta2) if beta2 else 1.0)


def idle_amsgrad(lr: float, beta1: float, beta2: float, eps: float) -> int:
    return negligible_after(beta1)


# ------------------------------------------------------------------------------------------- rows

ADAM_SETTINGS = (LR, BETA1, BETA2, EPS)
LR_2E3 = with_default(LR, 2e-3)
BETAS = {"betas": ("beta1", "beta2")}
FIRST_MOMENT = State("exp_avg", "m")
SECOND_MOMENT = State("exp_avg_sq", "v", nonnegative=True, decays="beta2")
MOMENTS = (FIRST_MOMENT, SECOND_MOMENT)
FADES = ("1-beta1_c", "beta2")
UPDATED_MOMENTS = ("m <- m + (1 - beta1)(g - m)", "v <- beta2 v + (1 - beta2) g^2")
DECAYED = "p <- (1 - lr weight_decay) p"

_AMSGRAD_STATE = (*MOMENTS, State("max_exp_avg_sq", "vmax", nonnegative=True,
                                  sensitive=True))      # 3 bits of mantissa would make a maximum creep up
_ADAM_STEP = "p <- p - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)"
_AMSGRAD_STEP = ("vmax <- max(vmax, v)", "p <- p - lr / (1 - beta1^t) m / (sqrt(vmax) / sqrt(1 - beta2^t) + eps)")

RULES = (
    Rule("adam", Adam, MOMENTS, ADAM_SETTINGS, adam,
         "Adam with bias correction", (*UPDATED_MOMENTS, _ADAM_STEP), KINGMA, idle=idle, fades=FADES),
    Rule("sparse_adam", Adam, MOMENTS, ADAM_SETTINGS, sparse_adam,
         "Adam as torch.optim.SparseAdam has it: eps is not part of the bias correction",
         (*UPDATED_MOMENTS, "p <- p - lr sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + eps)"), KINGMA, idle=idle,
         fades=FADES),
    Rule("adam_amsgrad", AdamAMSGrad, _AMSGRAD_STATE, ADAM_SETTINGS, adam,
         "Adam whose second moment never shrinks (AMSGrad)", (*UPDATED_MOMENTS, *_AMSGRAD_STEP), REDDI,
         idle=idle_amsgrad, fades=(*FADES, "")),
    Rule("adamw", Adam, MOMENTS, ADAM_SETTINGS, adam,
         "Adam with decoupled weight decay", (DECAYED, *UPDATED_MOMENTS, _ADAM_STEP), LOSHCHILOV,
         decay=DECOUPLED, decoupled=True, idle=idle, fades=FADES),
    Rule("adamw_amsgrad", AdamAMSGrad, _AMSGRAD_STATE, ADAM_SETTINGS, adam,
         "AdamW whose second moment never shrinks (AMSGrad)", (DECAYED, *UPDATED_MOMENTS, *_AMSGRAD_STEP), REDDI,
         decay=DECOUPLED, decoupled=True, idle=idle_amsgrad,
         fades=(*FADES, "")),
    Rule("adamax", Adamax, (FIRST_MOMENT, State("exp_inf", "u", nonnegative=True, linear=True, decays="beta2")),
         (LR_2E3, BETA1, BETA2, Setting("eps", 1e-8, NONNEGATIVE, "added to the size of g, so that u is above 0")),
         adamax,
         "Adamax: Adam by the largest recent gradient instead of the mean square",
         (UPDATED_MOMENTS[0], "u <- max(beta2 u, |g| + eps)", "p <- p - lr / (1 - beta1^t) m / u"), KINGMA),
    Rule("ademamix", AdEMAMix, (State("exp_avg", "m1"), State("exp_avg_slow", "m2"), SECOND_MOMENT),
         (LR, BETA1, BETA2, Setting("beta3", 0.9999, FRACTION, "how much of the slow first moment is kept"),
          Setting("alpha", 5.0, NONNEGATIVE, "weight of the slow first moment"),
          Setting("t_alpha", 0.0, NONNEGATIVE, "step up to which alpha grows linearly from 0; 0: from the start"),
          Setting("t_beta3", 0.0, NONNEGATIVE,
                  "step up to which the memory of beta3 grows linearly from that of beta1; 0: from the start"), EPS),
         ademamix, "AdEMAMix: AdamW with a second, slow mean of the gradients",
         ("alpha_t = alpha min(1, t / t_alpha)",
          "beta3_t = min(beta3, exp(1 / ((1 - x) / ln beta1 + x / ln beta3))),  x = min(1, t / t_beta3)", DECAYED,
          "m1 <- m1 + (1 - beta1)(g - m1)", "m2 <- m2 + (1 - beta3_t)(g - m2)", UPDATED_MOMENTS[1],
          "p <- p - lr (m1 / (1 - beta1^t) + alpha_t m2) / (sqrt(v) / sqrt(1 - beta2^t) + eps)"), PAGLIARDINI,
         decay=DECOUPLED, decoupled=True),
)
_ADAM, _SPARSE_ADAM, _ADAM_AMSGRAD, _ADAMW, _ADAMW_AMSGRAD, _ADAMAX, _ADEMAMIX = RULES

_ADAM_CLASS = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False,
               "maximize": False}

FAMILIES = (
    Family(
        "Adam", _ADAM_CLASS, (Choice(_ADAM), Choice(_ADAM_AMSGRAD, {"amsgrad": True})),
        "Adam with bias correction",
        spread=BETAS,
        becomes={"decoupled_weight_decay": "AdamW"},        # torch's AdamW is its Adam with this flag
        races={"Adam": Race("stride", 1)},
        use=("The first thing to try on a new network: while gradients are steady or noisy a step is about lr or less "
             "in each coordinate, so lr is found quickly.",
             "Noisy gradients of very different scales between layers."),
        fails=("Weight decay is coupled: it joins the gradient and is then divided away with it, so large-gradient "
               "weights decay less. Use AdamW.",
               "Loss that suddenly rises late in a run: v remembers about 1 / (1 - beta2) steps, and gradients much "
               "larger than those meet a v that is too small: with the default betas steps grow up to 7 lr. Clip "
               "(`max_norm=`), lower beta2, or use amsgrad=True.",
               "With tiny gradients, eps decides: below about 1e-8 the step shrinks with the gradient again.",
               "Where rare large gradients are what matters: there are convex problems on which it goes the wrong way "
               "(Reddi et al.); amsgrad=True does not.")),
    Family(
        "SparseAdam", {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "maximize": False}, (Choice(_SPARSE_ADAM),),
        "Adam for gradients by rows, as torch.optim has it",
        "Rows that a gradient does not name are left alone. It differs from Adam with such gradients by eps alone, "
        "which is not part of the bias correction; optcore.torch's, as torch's, takes no dense gradients.",
        spread=BETAS, fixed={"weight_decay": 0.0}, only_rows=True,
        races={"SparseAdam": Race("stride", 1)},
        use=("A run that began with torch.optim.SparseAdam shall go on with the same numbers.",),
        fails=("Where Adam fails; and rows that come seldom have moments of long ago (Adam's with rows=\"dense\" have "
               "not).",)),
    Family(
        "AdamW", {**_ADAM_CLASS, "weight_decay": 1e-2},
        (Choice(_ADAMW), Choice(_ADAMW_AMSGRAD, {"amsgrad": True})),
        "Adam with decoupled weight decay",
        spread=BETAS,
        races={"AdamW": Race("stride", 1)},
        use=("Transformers, and any network trained with weight decay.",
             "A setting found with one lr shall hold with a schedule: the decay is lr * weight_decay a step, so it "
             "follows the schedule."),
        fails=("The default weight_decay = 1e-2 also decays biases and the scales of normalizations. Put those in a "
               "group with weight_decay = 0.",
               "A weight_decay from a text that does not multiply it by lr (as in the paper) has to be divided by lr "
               "here.",
               "Where Adam fails, apart from decay.")),
    Family(
        "Adamax", {"lr": 2e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "maximize": False},
        (Choice(_ADAMAX),), "Adamax: Adam by the largest recent gradient instead of the mean square",
        spread=BETAS,
        races={"Adamax": Race("stride", 1)},
        use=("Gradients with rare outliers that must not blow the step up: u is the largest recent gradient, so no "
             "step is longer than about lr.",),
        fails=("A single outlier makes its coordinate slow: u falls by a factor e in 1 / (1 - beta2) steps, a thousand "
               "by default, so one of 100 times the usual size is felt for 4600.",)),
    Family(
        "AdEMAMix", {"lr": 1e-3, "betas": (0.9, 0.999, 0.9999), "alpha": 5.0, "t_alpha": 0.0, "t_beta3": 0.0,
                     "eps": 1e-8, "weight_decay": 1e-2, "maximize": False},
        (Choice(_ADEMAMIX),), "AdEMAMix: AdamW with a second, slow mean of the gradients",
        "t_alpha and t_beta3, in the paper both the number of steps of the run, let alpha and beta3 grow up to there; "
        "0 leaves them as they are.",
        spread={"betas": ("beta1", "beta2", "beta3")},
        races={"AdEMAMix": Race("stride", 0.2)},            # its slow mean multiplies steps by up to 1 + alpha = 6
        use=("Long runs of large models, in which gradients of thousands of steps ago still tell something.",),
        fails=("Short runs: the slow mean with beta3 = 0.9999 needs ten thousand steps to mean anything.",
               "At the start without warm-ups of its own: set t_alpha and t_beta3 to the number of steps of the run.",
               "With Adam's lr: the slow mean can make a step up to 1 + alpha = 6 times as long.")),
)
