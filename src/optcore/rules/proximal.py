# mypy: allow-untyped-defs
"""Follow the regularized leader: parameters made anew at each step from what has been summed, so that L1 makes them 0.

Owns this rule and class: row, NumPy formula, scalars of a step, words for the docs, settings of its race.
"""
from __future__ import annotations

import numpy as np

from optcore.rules import elementwise
from optcore.rules.row import Choice, Family, Race, Rule, State
from optcore.rules.settings import INVERTIBLE, NONNEGATIVE, Setting

MCMAHAN = "H. B. McMahan et al., Ad click prediction: a view from the trenches, KDD 2013, algorithm 1"

# ------------------------------------------------------------------------------------------- formulas


def FTRL(p, g, z, n, *, inv_lr, beta, l1, l2):
    new = n + g * g
    root = np.sqrt(new)
    z = z + g - (root - np.sqrt(n)) * inv_lr * p
    far = elementwise.pick(z > 0, z - l1, z + l1) / ((beta + root) * inv_lr + l2)
    nothing = elementwise.pick(z == z, 0.0, z)          # of a NaN it is one
    return elementwise.pick(np.abs(z) > l1, nothing - far, nothing), z, new


# ------------------------------------------------------------------------------------------- scalars of a step


def ftrl(step: int, lr: float, beta: float, l1: float, l2: float) -> tuple[float, ...]:
    return 1.0 / lr, beta, l1, l2


# ------------------------------------------------------------------------------------------- rows

_FIRST = Setting("initial_accumulator_value", 0.1, NONNEGATIVE, "", scheduled=False)

RULES = (
    Rule("ftrl", FTRL,
         (State("linear", "z", sensitive=True),         # parameters are made from both: their precision is theirs
          State("accumulator", "n", nonnegative=True, sensitive=True, start=_FIRST)),
         (Setting("lr", 1e-3, INVERTIBLE, "learning rate (alpha)"),
          Setting("beta", 0.0, NONNEGATIVE, "added to the root of n: makes the first steps shorter"),
          Setting("l1", 0.0, NONNEGATIVE, "L1 penalty: where |z| does not exceed it the parameter is 0"),
          Setting("l2", 0.0, NONNEGATIVE, "L2 penalty on the parameter, the paper's lambda_2")), ftrl,
         "FTRL-Proximal: follow the regularized leader, with a rate for each coordinate",
         ("s <- (sqrt(n + g^2) - sqrt(n)) / lr", "z <- z + g - s p", "n <- n + g^2",
          "p <- 0 where |z| <= l1, else -(z - sign(z) l1) / ((beta + sqrt(n)) / lr + l2)"), MCMAHAN,
         idle=lambda *_: 1, fades=("", "")),
)

FAMILIES = (
    Family(
        "FTRL", {"lr": 1e-3, "beta": 0.0, "l1": 0.0, "l2": 0.0, "initial_accumulator_value": 0.1, "weight_decay": 0.0,
                 "maximize": False},
        (Choice(RULES[0]),), "FTRL-Proximal, for click-through models",
        "Names and defaults are those of Keras's and TensorFlow's Ftrl (learning_rate_power = -0.5), whose l2 counts "
        "twice: half of l2 here. Their l2_shrinkage is weight_decay, half of it as well. The parameters are made from "
        "the state, so what they were before the first step is soon forgotten: begin with zeros.",
        races={"FTRL": Race("stride", 4)},              # without penalties it is AdaGrad's step
        use=("Linear models of many sparse features, as of clicks, of which most weights shall be exactly 0: l1 does "
             "that, where a decay only makes them small.",
             "Online learning: each coordinate's rate falls with its own gradients, as AdaGrad's does."),
        fails=("Networks with hidden layers: parameters that begin at zeros stay alike, and others are forgotten.",
               "Long runs: n never forgets (see AdaGrad).",
               "With l1 = 0 and l2 = 0 it is AdaGrad in other words, with one more array of state.")),
)
