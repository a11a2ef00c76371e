# mypy: allow-untyped-defs
"""Steps divided by the root of a moving average of squared gradients.

Owns these rules and classes: rows, NumPy formulas, scalars of a step, words for the docs, settings of races.
"""
from __future__ import annotations

import numpy as np

from optcore.rules import elementwise
from optcore.rules.row import Choice, Family, Race, Rule, State
from optcore.rules.settings import ALPHA, EPS, LR, MOMENTUM, negligible_after, with_default

HINTON = "T. Tieleman and G. Hinton, Lecture 6.5 (rmsprop), Coursera, 2012"
GRAVES = "A. Graves, Generating sequences with recurrent neural networks, arXiv:1308.0850, 2013"

# ------------------------------------------------------------------------------------------- formulas


def RMSprop(p, g, v, *, alpha, alpha_c, lr, eps):
    v = alpha * v + alpha_c * (g * g)
    return p - lr * g / (np.sqrt(v) + eps), v


def RMSpropMomentum(p, g, v, b, *, alpha, alpha_c, lr, eps, mu):
    v = alpha * v + alpha_c * (g * g)
    b = mu * b + g / (np.sqrt(v) + eps)
    return p - lr * b, v, b


def RMSpropCentered(p, g, v, a, *, alpha, alpha_c, lr, eps):
    v = alpha * v + alpha_c * (g * g)
    a = a + alpha_c * (g - a)
    d = v - a * a
    d = elementwise.pick(d < 0, 0.0, d)
    return p - lr * g / (np.sqrt(d) + eps), v, a


def RMSpropCenteredMomentum(p, g, v, a, b, *, alpha, alpha_c, lr, eps, mu):
    v = alpha * v + alpha_c * (g * g)
    a = a + alpha_c * (g - a)
    d = v - a * a
    d = elementwise.pick(d < 0, 0.0, d)
    b = mu * b + g / (np.sqrt(d) + eps)
    return p - lr * b, v, a, b


# ------------------------------------------------------------------------------------------- scalars of a step


def rmsprop(step: int, lr: float, alpha: float, eps: float) -> tuple[float, ...]:
    return alpha, 1.0 - alpha, lr, eps


def rmsprop_momentum(step: int, lr: float, alpha: float, eps: float, momentum: float) -> tuple[float, ...]:
    return alpha, 1.0 - alpha, lr, eps, momentum


def idle_momentum(lr: float, alpha: float, eps: float, momentum: float) -> int:
    return negligible_after(momentum)


# ------------------------------------------------------------------------------------------- rows

_SETTINGS = (with_default(LR, 1e-2), ALPHA, EPS)
_V = State("square_avg", "v", nonnegative=True, decays="alpha")
_A = State("grad_avg", "a")
_B = State("momentum_buffer", "b")
_MEAN_SQUARE = "v <- alpha v + (1 - alpha) g^2"
_MEAN = "a <- a + (1 - alpha)(g - a)"

RULES = (
    Rule("rmsprop", RMSprop, (_V,), _SETTINGS, rmsprop,
         "RMSProp: each coordinate by the root of its mean square",
         (_MEAN_SQUARE, "p <- p - lr g / (sqrt(v) + eps)"), HINTON, idle=lambda *_: 0,
         fades=("alpha",)),
    Rule("rmsprop_momentum", RMSpropMomentum, (_V, _B), (*_SETTINGS, MOMENTUM), rmsprop_momentum,
         "RMSProp with momentum",
         (_MEAN_SQUARE, "b <- mu b + g / (sqrt(v) + eps)", "p <- p - lr b"), HINTON, idle=idle_momentum,
         fades=("alpha", "mu")),
    Rule("rmsprop_centered", RMSpropCentered, (_V, _A), _SETTINGS, rmsprop,
         "Centered RMSProp: by the root of the variance, which is kept from below 0",
         (_MEAN_SQUARE, _MEAN, "p <- p - lr g / (sqrt(max(v - a^2, 0)) + eps)"), GRAVES),
    Rule("rmsprop_centered_momentum", RMSpropCenteredMomentum, (_V, _A, _B), (*_SETTINGS, MOMENTUM), rmsprop_momentum,
         "Centered RMSProp with momentum",
         (_MEAN_SQUARE, _MEAN, "b <- mu b + g / (sqrt(max(v - a^2, 0)) + eps)", "p <- p - lr b"), GRAVES),
)
_PLAIN, _MOMENTUM, _CENTERED, _CENTERED_MOMENTUM = RULES

FAMILIES = (
    Family(
        "RMSprop", {"lr": 1e-2, "alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.0, "centered": False,
                    "maximize": False},
        (Choice(_PLAIN), Choice(_MOMENTUM, {"momentum": 0.9}), Choice(_CENTERED, {"centered": True}),
         Choice(_CENTERED_MOMENTUM, {"centered": True, "momentum": 0.9})),
        "RMSProp, centered or with momentum if asked for",
        races={"RMSProp": Race("stride", 1, {"alpha": 0.9})},
        use=("Gradients whose scale changes during the run, as in reinforcement learning and recurrent networks.",
             "You want Adam's scaling with one state array instead of two."),
        fails=("At the start: there is no bias correction, so with alpha = 0.99 the first step is 10 lr in every "
               "coordinate, whatever the gradient.",
               "Near a minimum with constant lr: noisy gradients keep the steps at about lr, so it stays some steps "
               "away. Without noise and with alpha = 0.9 it jumps between lr / 2 on both sides.",
               "eps stands outside the root here, as in torch. Values from libraries that put it inside mean something "
               "else.")),
)
