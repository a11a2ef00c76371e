# mypy: allow-untyped-defs
"""Descent whose iterates are averaged.

Owns these rules and classes: rows, NumPy formulas, scalars of a step, words for the docs, settings of races.
"""
from __future__ import annotations

from collections.abc import Mapping

from optcore.rules import elementwise
from optcore.rules.row import Choice, Family, Group, Race, Rule, State
from optcore.rules.settings import LR, NONNEGATIVE, Setting, with_default

AVERAGING = "B. T. Polyak and A. B. Juditsky, Acceleration of stochastic approximation by averaging, 1992"

# ------------------------------------------------------------------------------------------- formulas


def ASGD(p, g, a, *, shrink, eta, mu):
    p = shrink * p - eta * g
    return p, elementwise.pick(mu != 1, a + mu * (p - a), p)


# ------------------------------------------------------------------------------------------- scalars of a step


def asgd(step: int, lr: float, lambd: float, alpha: float, t0: float, *,
         carried: Mapping[str, float] | None = None) -> tuple[float, ...]:
    """carried: eta and mu as torch's state has them, where settings were others before."""
    eta, mu = (carried["eta"], carried["mu"]) if carried else asgd_eta_mu(step, lr, lambd, alpha, t0)
    return 1.0 - lambd * eta, eta, mu


def asgd_eta_mu(step: int, lr: float, lambd: float, alpha: float, t0: float) -> tuple[float, float]:
    """The eta and mu by which ASGD makes step t. torch keeps them as state, found after step t - 1."""
    taken = step - 1
    return lr * (1.0 + lambd * lr * taken) ** -alpha, 1.0 / max(1.0, taken - t0)


def _eta_mu(group: Group, t: int) -> dict[str, float]:
    lr = group["lr"](t + 1) if callable(group["lr"]) else group["lr"]
    eta, mu = asgd_eta_mu(t + 1, float(lr), float(group["lambd"]), float(group["alpha"]), float(group["t0"]))
    return {"eta": eta, "mu": mu}


# ------------------------------------------------------------------------------------------- rows

RULES = (
    # In 8 bits 3 bits of mantissa would be too few for an average of parameters.
    Rule("asgd", ASGD, (State("ax", "a", sensitive=True),),
         (with_default(LR, 1e-2),
          Setting("lambd", 1e-4, NONNEGATIVE, "decay: each step first scales p by 1 - eta lambd"),
          Setting("alpha", 0.75, NONNEGATIVE, "power by which eta falls"),
          Setting("t0", 1e6, NONNEGATIVE, "until t > t0 + 2 the average is p itself")), asgd,
         "Averaged stochastic gradient descent; the average `a` is what is to be used in the end",
         ("eta = lr / (1 + lambd lr (t - 1))^alpha,  mu = 1 / max(1, t - 1 - t0)",
          "p <- (1 - eta lambd) p - eta g", "a <- a + mu (p - a)        (p where mu = 1)"), AVERAGING),
)
_ASGD, = RULES

FAMILIES = (
    Family(
        "ASGD", {"lr": 1e-2, "lambd": 1e-4, "alpha": 0.75, "t0": 1e6, "weight_decay": 0.0, "maximize": False},
        (Choice(_ASGD),), "Averaged stochastic gradient descent; the average is the state `ax`",
        "eta and mu, state in torch, are taken anew at each step, so that a change of lr counts at once; in "
        "optcore.torch one step later, as in torch, which finds them at the end of the step before.",
        carried=_eta_mu,
        races={"ASGD": Race("lr")},
        use=("Noisy gradients with a constant or slowly falling step: the average of the iterates "
             "(`opt.state[i][\"ax\"]`) is far closer to the minimum than the last one.",),
        fails=("With the default t0 = 1e6 averaging begins after a million steps, as in torch: set t0 to where the run "
               "has settled.",
               "Before that it is SGD with a decay of lambd and a step that falls slowly: with the defaults to half "
               "after 1.5 million steps.")),
)
