# mypy: allow-untyped-defs
"""Steps that take a sign, and their length from elsewhere.

Owns these rules and classes: rows, NumPy formulas, scalars of a step, words for the docs, settings of races.
"""
from __future__ import annotations

from optcore.rules import elementwise
from optcore.rules.row import Choice, Family, Race, Rule, State
from optcore.rules.settings import (
    BETA1,
    BETA2,
    DECOUPLED,
    FRACTION,
    GROWING,
    LR,
    NONNEGATIVE,
    SHRINKING,
    Setting,
    with_default,
)

CHEN = "X. Chen et al., Symbolic discovery of optimization algorithms, NeurIPS 2023"
RIEDMILLER = ("M. Riedmiller and H. Braun, A direct adaptive method for faster backpropagation learning, ICNN 1993; "
              "p stays where g turns: C. Igel and M. Huesken, Improving the Rprop learning algorithm, 2000 (iRprop-)")
BERNSTEIN = "J. Bernstein et al., signSGD: compressed optimisation for non-convex problems, ICML 2018"

# ------------------------------------------------------------------------------------------- formulas


def Lion(p, g, m, *, beta1, beta1_c, beta2, beta2_c, lr):
    c = beta1 * m + beta1_c * g
    return p - lr * elementwise.sign(c), beta2 * m + beta2_c * g


def Rprop(p, g, prev, s, *, etaminus, etaplus, least, most):
    pick = elementwise.pick
    d = g * prev
    s = pick(d > 0, s * etaplus, pick(d < 0, s * etaminus, s))
    s = pick(s < least, least, s)
    s = pick(s > most, most, s)
    g = pick(d < 0, 0.0, g)
    return pick(g > 0, p - s, pick(g < 0, p + s, p)), g, s


def SignSGD(p, g, *, lr):
    return (p - lr * elementwise.sign(g),)


def Signum(p, g, m, *, beta, beta_c, lr):
    m = beta * m + beta_c * g
    return p - lr * elementwise.sign(m), m


# ------------------------------------------------------------------------------------------- scalars of a step


def lion(step: int, lr: float, beta1: float, beta2: float) -> tuple[float, ...]:
    return beta1, 1.0 - beta1, beta2, 1.0 - beta2, lr


# ------------------------------------------------------------------------------------------- rows

_NO_DECAY = with_default(DECOUPLED, 0.0)
_DECAYED = "p <- (1 - lr weight_decay) p"
_STEP_SIZE = State(
    "step_size", "s", nonnegative=True, sensitive=True,     # 4 bits of mantissa are too few for a step size
    start=Setting("lr", 1e-2, NONNEGATIVE, "", scheduled=False), begins="the first step size everywhere")

RULES = (
    Rule("lion", Lion, (State("exp_avg", "m"),), (with_default(LR, 1e-4), BETA1, with_default(BETA2, 0.99)), lion,
         "Lion: the sign of an interpolated momentum, with decoupled weight decay",
         (_DECAYED, "p <- p - lr sign(beta1 m + (1 - beta1) g)", "m <- beta2 m + (1 - beta2) g"), CHEN,
         decay=_NO_DECAY, decoupled=True),
    Rule("rprop", Rprop, (State("prev", "h"), _STEP_SIZE),
         (Setting("etaminus", 0.5, SHRINKING, "factor of a step size whose gradient has turned"),
          Setting("etaplus", 1.2, GROWING, "factor of a step size whose gradient has not"),
          Setting("step_size_min", 1e-6, NONNEGATIVE, "least step size"),
          Setting("step_size_max", 50.0, NONNEGATIVE, "largest step size")),
         lambda step, *settings: settings,
         "Rprop, for whole batches: the gradient's sign alone, and a step size for each coordinate",
         ("s <- etaplus s where g h > 0, etaminus s where g h < 0; kept from step_size_min to step_size_max",
          "h <- g, but 0 where g h < 0", "p <- p - s sign(h)        (the sign of a NaN is 0, as in torch)"),
         RIEDMILLER),
    Rule("signsgd", SignSGD, (), (LR,), lambda step, lr: (lr,),
         "SignSGD: the gradient's sign alone, with decoupled weight decay", (_DECAYED, "p <- p - lr sign(g)"),
         BERNSTEIN, decay=_NO_DECAY, decoupled=True),
    # A mean of gradients (1 - mu), as the paper has it, and so torch's exp_avg; its momentum_buffer is a sum.
    Rule("signum", Signum, (State("exp_avg", "m"),),
         (LR, Setting("momentum", 0.9, FRACTION, "how much of the mean of the gradients is kept (mu)")),
         lambda step, lr, momentum: (momentum, 1.0 - momentum, lr),
         "Signum: the sign of the mean of recent gradients, with decoupled weight decay",
         (_DECAYED, "m <- mu m + (1 - mu) g", "p <- p - lr sign(m)"), BERNSTEIN,
         decay=_NO_DECAY, decoupled=True),
)
_LION, _RPROP, _SIGNSGD, _SIGNUM = RULES

FAMILIES = (
    Family(
        "Lion", {"lr": 1e-4, "betas": (0.9, 0.99), "weight_decay": 0.0, "maximize": False},
        (Choice(_LION),), "Lion: the sign of an interpolated momentum, with decoupled weight decay",
        spread={"betas": ("beta1", "beta2")},
        races={"Lion": Race("stride", 0.5)},                # every step has this length in every coordinate
        use=("Large batches and long runs, where half of Adam's state is worth having: one state array.",),
        fails=("With Adam's lr: every coordinate moves by lr each step, decay apart, so take it 3 to 10 times smaller "
               "and weight_decay as much larger.",
               "Small batches: the sign of noise is as long as the sign of a gradient.",
               "Near a minimum with constant lr: it steps back and forth by lr, with noise farther. It needs a "
               "schedule that goes to 0.")),
    Family(
        "Rprop", {"lr": 1e-2, "etas": (0.5, 1.2), "step_sizes": (1e-6, 50.0), "maximize": False},
        (Choice(_RPROP),),
        "Rprop, for whole batches: the gradient's sign alone, and a step size for each coordinate, which is lr at its "
        "first step and does not look at it again",
        spread={"etas": ("etaminus", "etaplus"), "step_sizes": ("step_size_min", "step_size_max")},
        fixed={"weight_decay": 0.0},
        races={"Rprop": Race("stride", 1)},
        use=("Whole-batch training of small models: fast, and nothing to tune; the first step size is lr, and each "
             "coordinate finds its own.",),
        fails=("Mini-batches: the sign of a noisy gradient turns often, and all step sizes shrink to the smallest.",
               "It has no weight decay, and lr is read once: later changes do nothing, and a function of the step is "
               "refused.")),
    Family(
        "SignSGD", {"lr": 1e-3, "momentum": 0.0, "weight_decay": 0.0, "maximize": False},
        (Choice(_SIGNSGD), Choice(_SIGNUM, {"momentum": 0.9})),
        "SignSGD: the gradient's sign alone, or with momentum (Signum) the sign of the mean of recent gradients",
        "The default lr is that of versions for PyTorch; Signum in MXNet, by its authors, has lr=0.01 and "
        "momentum=0.9. The mean is the state `exp_avg`, as Adam's: SGD's `momentum_buffer` is a sum.",
        # Every step has this length in every coordinate.
        races={"SignSGD": Race("stride", 0.5), "Signum": Race("stride", 0.5, {"momentum": 0.9})},
        use=("Training across machines that send one bit a coordinate and take the majority, for which it was made.",
             "Memory is short and gradients are of very different scales: no state without momentum, one array with "
             "it.",
             "As a baseline for Lion and Adam: Lion is Signum with a faster mean for the step than the one it keeps, "
             "Adam with beta1 = beta2 = 0 and eps = 0 is SignSGD."),
        fails=("With SGD's lr: every coordinate moves by lr each step, decay apart, whatever the gradient.",
               "Small batches without momentum: the sign of noise is as long as the sign of a gradient, and where the "
               "noise is skewed its usual sign may be against the mean: there are convex problems on which it goes "
               "the wrong way (Karimireddy et al. 2019).",
               "Near a minimum with constant lr: it steps back and forth by lr. It needs a schedule that goes to 0.")),
)
