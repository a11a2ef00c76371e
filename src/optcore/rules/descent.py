# mypy: allow-untyped-defs
"""Descent along the gradient, with and without momentum, and what optcore itself walks over arrays with.

Owns these rules and classes: rows, NumPy formulas, scalars of a step, words for the docs, settings of races.
"""
from __future__ import annotations

from optcore.rules.row import Choice, Family, Race, Rule, State
from optcore.rules.settings import LR, MOMENTUM, NONNEGATIVE, Setting, negligible_after

POLYAK = "B. T. Polyak, Some methods of speeding up the convergence of iteration methods, 1964"
NESTEROV = "Y. Nesterov, A method for solving the convex programming problem with convergence rate O(1/k^2), 1983"
SUTSKEVER = "I. Sutskever et al., On the importance of initialization and momentum in deep learning, ICML 2013"

# ------------------------------------------------------------------------------------------- formulas


def SGD(p, g, *, lr):
    return (p - lr * g,)


def Momentum(p, g, v, *, mu, gain, lr):
    v = mu * v + gain * g
    return p - lr * v, v


def Nesterov(p, g, v, *, mu, lr):
    v = mu * v + g
    return p - lr * (g + mu * v), v


def NesterovClassical(p, g, v, *, mu, lr):
    v = mu * v - lr * g
    return p + v, v


def Lookahead(p, v, saved, *, mu):
    return p + mu * v, p


def Accumulate(p, g, *, weight):
    return (p + weight * g,)


# ------------------------------------------------------------------------------------------- scalars of a step


def momentum(step: int, lr: float, momentum: float, dampening: float) -> tuple[float, ...]:
    # torch's semantics: the first gradient becomes the velocity undampened.
    return momentum, 1.0 if step == 1 else 1.0 - dampening, lr


def idle_momentum(lr: float, momentum: float, *_: float) -> int:
    return negligible_after(momentum)


# ------------------------------------------------------------------------------------------- rows

_BUFFER = State("momentum_buffer", "v")

RULES = (
    Rule("sgd", SGD, (), (LR,), lambda step, lr: (lr,),
         "Stochastic gradient descent", ("p <- p - lr g",),
         "H. Robbins and S. Monro, A stochastic approximation method, 1951", idle=lambda lr: 0),
    Rule("momentum", Momentum, (_BUFFER,),
         (LR, MOMENTUM, Setting("dampening", 0.0, NONNEGATIVE, "what the gradient loses; none at step 1")), momentum,
         "Gradient descent with momentum (the heavy ball)",
         ("v <- mu v + (1 - dampening) g        (at t = 1: v <- mu v + g)", "p <- p - lr v"), POLYAK,
         idle=idle_momentum, fades=("mu",)),
    Rule("nesterov", Nesterov, (_BUFFER,), (LR, MOMENTUM), lambda step, lr, momentum: (momentum, lr),
         "Nesterov's accelerated gradient, the form whose stored parameters are the look-ahead ones",
         ("v <- mu v + g", "p <- p - lr (g + mu v)"), NESTEROV, idle=idle_momentum, fades=("mu",)),
    Rule("nesterov_classical", NesterovClassical, (State("velocity", "v"),), (LR, MOMENTUM),
         lambda step, lr, momentum: (momentum, lr),
         "Nesterov's accelerated gradient, classical form: g is to be taken at p + mu v (see lookahead)",
         ("v <- mu v - lr g", "p <- p + v"), SUTSKEVER, idle=idle_momentum, fades=("mu",)),
    Rule("lookahead", Lookahead, (State("", "saved"),), (MOMENTUM,), lambda step, momentum: (momentum,),
         "The point at which classical Nesterov takes its gradient; `saved` keeps where p was",
         ("saved <- p", "p <- p + mu v"), SUTSKEVER, decay=None, reads="v"),
    Rule("accumulate", Accumulate, (), (Setting("weight", 1.0, NONNEGATIVE, "what the gradient counts"),),
         lambda step, weight: (weight,), "A running sum of gradients; p is the sum (see optcore.GradientAccumulator)",
         ("p <- p + weight g",), "the definition", decay=None),
)
_SGD, _MOMENTUM, _NESTEROV, _CLASSICAL, *_ = RULES

FAMILIES = (
    Family(
        "SGD",
        {"lr": 1e-3, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False, "maximize": False},
        (Choice(_SGD), Choice(_MOMENTUM, {"momentum": 0.9}),
         Choice(_NESTEROV, {"nesterov": True}, needs={"momentum": 0.9, "dampening": 0.0})),
        "Stochastic gradient descent, with momentum or Nesterov's momentum if asked for",
        counted=False,
        # Momentum 0.9 makes steps up to 10 times as long; Nesterov's form is stable below 1.36 / curvature only.
        races={"SGD": Race("lr"), "Momentum": Race("lr", 0.3, {"momentum": 0.9}),
               "Nesterov": Race("lr", 0.3, {"momentum": 0.9, "nesterov": True})},
        use=("The loss is well scaled, or you have time to tune lr and its schedule: convolutional networks with "
             "normalization usually train as well with momentum as with anything else.",
             "Memory is short: no state without momentum, one array with it.",
             "You want to know what happens: each step is the gradient times a number."),
        fails=("Where curvatures differ: lr must stay below 2 / (largest curvature) without momentum, and flat "
               "directions then crawl. Momentum helps by about the root of the ratio of curvatures, no more.",
               "With sparse or badly scaled gradients (embeddings, attention), where each coordinate needs a step of "
               "its own.",
               "nesterov=True needs a smaller lr than momentum alone: with momentum 0.9 it is stable below about "
               "1.36 / (largest curvature), the heavy ball below 3.8 / (largest curvature).")),
    Family(
        "NesterovClassical", {"lr": 1e-3, "momentum": 0.9, "weight_decay": 0.0, "maximize": False},
        (Choice(_CLASSICAL),),
        "Nesterov's momentum in its classical form: take the gradients inside `with opt.lookahead():`",
        ahead="lookahead",
        races={"Nesterov classical": Race("lr", 0.3, {"momentum": 0.9})},
        use=("You follow a text that stores the parameters themselves, not the look-ahead ones, and want its numbers.",
             "You evaluate between steps: the stored parameters are the iterates, while SGD(nesterov=True) stores "
             "p + mu v."),
        fails=("When the gradient is not taken inside `with opt.lookahead():`. The step is then the heavy ball's, with "
               "each gradient's own lr inside the velocity, not Nesterov's.",
               "Where momentum fails: badly scaled coordinates.")),
)
