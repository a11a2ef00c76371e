# mypy: allow-untyped-defs
"""Steps divided by what has been summed or averaged of squared gradients, with lr or in the parameter's own units.

Owns these rules and classes: rows, NumPy formulas, scalars of a step, words for the docs, settings of races.
"""
from __future__ import annotations

import numpy as np

from optcore.rules import elementwise
from optcore.rules.row import Choice, Family, Race, Rule, State
from optcore.rules.settings import EPS, FRACTION, LR, NONNEGATIVE, Setting, with_default

DUCHI = "J. Duchi et al., Adaptive subgradient methods for online learning and stochastic optimization, JMLR 12, 2011"
FBGEMM = "FBGEMM's EXACT_ROWWISE_ADAGRAD; M. Naumov et al., Deep learning recommendation model, arXiv:1906.00091, 2019"
ZEILER = "M. D. Zeiler, ADADELTA: an adaptive learning rate method, arXiv:1212.5701, 2012"

# ------------------------------------------------------------------------------------------- formulas


def Adagrad(p, g, s, *, lr, eps):
    s = s + g * g
    return p - lr * g / (np.sqrt(s) + eps), s


def RowwiseAdagrad(p, g, s, *, lr, eps):
    s = s + elementwise.row_mean_square(g)
    return p - lr * g / (np.sqrt(s) + eps), s


def Adadelta(p, g, v, u, *, rho, rho_c, eps, lr):
    v = rho * v + rho_c * (g * g)
    d = np.sqrt(u + eps) / np.sqrt(v + eps) * g
    return p - lr * d, v, rho * u + rho_c * (d * d)


# ------------------------------------------------------------------------------------------- scalars of a step


def adagrad(step: int, lr: float, lr_decay: float, eps: float) -> tuple[float, ...]:
    return lr / (1.0 + (step - 1) * lr_decay), eps


def rowwise_adagrad(step: int, lr: float, eps: float) -> tuple[float, ...]:
    return lr, eps


def adadelta(step: int, lr: float, rho: float, eps: float) -> tuple[float, ...]:
    return rho, 1.0 - rho, eps, lr


# ------------------------------------------------------------------------------------------- rows

_FIRST_SUM = Setting("initial_accumulator_value", 0.0, NONNEGATIVE, "", scheduled=False)

RULES = (
    Rule("adagrad", Adagrad, (State("sum", "s", nonnegative=True, start=_FIRST_SUM),),
         (with_default(LR, 1e-2),
          Setting("lr_decay", 0.0, NONNEGATIVE, "the learning rate at step t is lr / (1 + (t - 1) lr_decay)"),
          with_default(EPS, 1e-10)), adagrad,
         "AdaGrad: each coordinate by the root of its summed squares",
         ("s <- s + g^2", "p <- p - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)"), DUCHI,
         idle=lambda *_: 0, fades=("",)),
    Rule("rowwise_adagrad", RowwiseAdagrad, (State("row_sum", "s", nonnegative=True, start=_FIRST_SUM, shape="row"),),
         (with_default(LR, 1e-2), with_default(EPS, 1e-10)), rowwise_adagrad,
         "Row-wise AdaGrad: each row by the root of its summed mean squares",
         ("s <- s + mean of g^2 over the row", "p <- p - lr g / (sqrt(s) + eps)"), FBGEMM,
         idle=lambda *_: 0, fades=("",)),
    Rule("adadelta", Adadelta,
         (State("square_avg", "v", nonnegative=True, decays="rho"),
          State("acc_delta", "u", nonnegative=True, decays="rho")),
         (with_default(LR, 1.0), Setting("rho", 0.9, FRACTION, "how much of both mean squares is kept"),
          Setting("eps", 1e-6, NONNEGATIVE, "added under both roots; it makes the first steps")), adadelta,
         "Adadelta: steps in the parameter's own units",
         ("v <- rho v + (1 - rho) g^2", "d <- sqrt(u + eps) / sqrt(v + eps) g", "u <- rho u + (1 - rho) d^2",
          "p <- p - lr d"), ZEILER),
)
_ADAGRAD, _ROWWISE, _ADADELTA = RULES

FAMILIES = (
    Family(
        "Adagrad", {"lr": 1e-2, "lr_decay": 0.0, "weight_decay": 0.0, "initial_accumulator_value": 0.0, "eps": 1e-10,
                    "maximize": False},
        (Choice(_ADAGRAD),), "AdaGrad",
        races={"AdaGrad": Race("stride", 4)},               # its steps shrink with the root of the step number
        use=("Sparse gradients: a coordinate that is seldom seen keeps its large step.",
             "Convex problems, for which its bound was proved."),
        fails=("Long runs: the sum never forgets, so steps shrink with the root of the step number, to a hundredth "
               "after ten thousand, and training slows down early.",
               "When the first gradients are unlike the later ones: one large gradient slows its coordinate down for "
               "good.")),
    Family(
        "RowwiseAdagrad", {"lr": 1e-2, "weight_decay": 0.0, "initial_accumulator_value": 0.0, "eps": 1e-10,
                           "maximize": False},
        (Choice(_ROWWISE),), "Row-wise AdaGrad, for embedding tables",
        "A row is what has one index in the first dimension. The state is one number a row: of a table of 64 columns "
        "1.6 % of the parameters' memory, where AdaGrad needs 100 %. It is FBGEMM's EXACT_ROWWISE_ADAGRAD; "
        "weight_decay is its L2.",
        races={"RowwiseAdagrad": Race("stride", 4)},
        use=("Embedding tables so large that state of their size does not fit; gradients by rows (optcore.Rows).",),
        fails=("Rows whose columns have gradients of very different scales: all columns of a row share one rate.",
               "Arrays of one dimension, whose rows are single numbers: that is AdaGrad.")),
    Family(
        "Adadelta", {"lr": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": 0.0, "maximize": False},
        (Choice(_ADADELTA),), "Adadelta: steps in the parameter's own units",
        races={"Adadelta": Race("stride", 20, {"eps": 1e-3})},
        use=("You cannot tune lr at all: steps have the parameter's own units, and lr = 1 is the paper's method.",),
        fails=("At the start: the first steps are about sqrt(eps / (1 - rho)), some thousandths, whatever the problem, "
               "and grow from there.",
               "Beside a tuned Adam or momentum it usually takes more steps.")),
)
