"""THE TABLE: every update rule and every optimizer class, one row each.

Owns names, settings with their defaults and domains, state arrays, the scalars of a step, and what the docs
say. Functions, classes, reference wrappers, stubs, tests and benchmarks are made from these rows. Holds no
element-wise formula (those are in _rules.pxd and reference.py) and imports nothing of the package but
_settings.py and _scalars.py.

Scalars that depend on the settings and the step are computed in double, for the kernels and the reference
alike; each is rounded once to float32 by whoever takes it.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from optcore.rules import scalars as _scalars
from optcore.rules.settings import (
    ALPHA,
    BETA1,
    BETA2,
    DECAY,
    DECOUPLED,
    EPS,
    FRACTION,
    GROWING,
    LR,
    MAXIMIZE,
    MOMENTUM,
    MOST_STEPS,
    NONNEGATIVE,
    SHRINKING,
    Setting,
    number,
    whole,
    with_default,
)

# State, by torch's names. NONNEGATIVE: never below 0, and stored in 8 bits without a sign. SENSITIVE: kept in float32
# where state is asked to be "int8": 3 bits of mantissa would make a maximum creep up, and are too few for an average of
# parameters or a step size.
NONNEGATIVE_STATE = {"sum", "square_avg", "acc_delta", "exp_avg_sq", "max_exp_avg_sq", "exp_inf", "step_size"}
SENSITIVE_STATE = {"max_exp_avg_sq", "ax", "step_size"}


@dataclass(frozen=True)
class Rule:
    """One update rule: a function of optcore.functional and of optcore.reference."""

    name: str
    kernel: str                                     # the struct in _rules.pxd
    arrays: tuple[str, ...]                         # letters, in positional order; the second is only read
    keys: tuple[str, ...]                           # torch's names of the state arrays
    settings: tuple[Setting, ...]                   # without weight_decay and maximize, which `decay` brings
    constants: Callable[..., tuple[float, ...]]     # (step, *settings) -> the rule's scalars, in the struct's order
    title: str
    formula: tuple[str, ...]
    source: str
    decay: Setting | None = DECAY                   # None: a rule that takes no gradient
    decoupled: bool = False                         # the decay shrinks p instead of joining g
    starts: Mapping[str, str] = field(default_factory=dict)     # state key -> what it holds before step 1, if not zeros
    scalars: Callable[..., tuple[float, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scalars", _checked_scalars(self))

    @property
    def all_settings(self) -> tuple[Setting, ...]:
        return self.settings + ((self.decay, MAXIMIZE) if self.decay else ())

    @property
    def nonnegative(self) -> tuple[bool, ...]:
        """For each state array, whether it is never below 0."""
        return tuple(key in NONNEGATIVE_STATE for key in self.keys)


def _checked_scalars(rule: Rule) -> Callable[..., tuple[float, ...]]:
    """scalars(step, *all settings) -> (scale, couple, keep, *the rule's own), after checking every one.

    Written out as source, since it is on the way of every call: one condition for all settings, and the
    search for the guilty one, a schedule's value, or a conversion to float, only where it does not hold.
    """
    names = [s.name for s in rule.all_settings]
    numeric = tuple(s for s in rule.all_settings if s.domain)
    numbers = [s.name for s in numeric]
    conditions = [f"{n}.__class__ is float" for n in numbers] + [
        f"{s.domain.replace('x', s.name)}" for s in numeric]
    if rule.decay is None:
        prelude = "1.0, 0.0, 1.0"
    elif rule.decoupled:
        prelude = "-1.0 if maximize else 1.0, 0.0, 1.0 - lr * weight_decay"
    else:
        prelude = "-1.0 if maximize else 1.0, weight_decay, 1.0"
    source = f"""
def scalars(step, {', '.join(names)}):
    if not (step.__class__ is int and 1 <= step <= {MOST_STEPS} and {' and '.join(conditions)}):
        step = whole("step", step)
        {', '.join(numbers)}, = [number(s, x, step) for s, x in zip(numeric, ({', '.join(numbers)},))]
    return ({prelude}, *constants(step, {', '.join(s.name for s in rule.settings)}))
"""
    scope: dict[str, Any] = {"number": number, "whole": whole, "numeric": numeric, "constants": rule.constants}
    exec(source, scope)
    made: Callable[..., tuple[float, ...]] = scope["scalars"]
    return made


# ------------------------------------------------------------------------------------------- the rules


POLYAK = "B. T. Polyak, Some methods of speeding up the convergence of iteration methods, 1964"
NESTEROV = "Y. Nesterov, A method for solving the convex programming problem with convergence rate O(1/k^2), 1983"
SUTSKEVER = "I. Sutskever et al., On the importance of initialization and momentum in deep learning, ICML 2013"
DUCHI = "J. Duchi et al., Adaptive subgradient methods for online learning and stochastic optimization, JMLR 12, 2011"
HINTON = "T. Tieleman and G. Hinton, Lecture 6.5 (rmsprop), Coursera, 2012"
GRAVES = "A. Graves, Generating sequences with recurrent neural networks, arXiv:1308.0850, 2013"
KINGMA = "D. P. Kingma and J. Ba, Adam: a method for stochastic optimization, ICLR 2015"
LOSHCHILOV = "I. Loshchilov and F. Hutter, Decoupled weight decay regularization, ICLR 2019"
REDDI = "S. J. Reddi et al., On the convergence of Adam and beyond, ICLR 2018"
ZEILER = "M. D. Zeiler, ADADELTA: an adaptive learning rate method, arXiv:1212.5701, 2012"
DOZAT = "T. Dozat, Incorporating Nesterov momentum into Adam, ICLR workshop 2016"
LIU = "L. Liu et al., On the variance of the adaptive learning rate and beyond, ICLR 2020"
RIEDMILLER = ("M. Riedmiller and H. Braun, A direct adaptive method for faster backpropagation learning, ICNN 1993; "
              "p stays where g turns: C. Igel and M. Huesken, Improving the Rprop learning algorithm, 2000 (iRprop-)")
AVERAGING = "B. T. Polyak and A. B. Juditsky, Acceleration of stochastic approximation by averaging, 1992"
PAGLIARDINI = "M. Pagliardini, P. Ablin and D. Grangier, The AdEMAMix optimizer, arXiv:2409.03137, ICLR 2025"
CHEN = "X. Chen et al., Symbolic discovery of optimization algorithms, NeurIPS 2023"

_LR2 = with_default(LR, 1e-2)
_MEAN_SQUARE = "v <- alpha v + (1 - alpha) g^2"
_MEAN = "a <- a + (1 - alpha)(g - a)"
_MOMENTS = ("m <- m + (1 - beta1)(g - m)", "v <- beta2 v + (1 - beta2) g^2")
_ADAM = "p <- p - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)"
_AMSGRAD = ("vmax <- max(vmax, v)", "p <- p - lr / (1 - beta1^t) m / (sqrt(vmax) / sqrt(1 - beta2^t) + eps)")
_ADAM_KEYS = ("exp_avg", "exp_avg_sq")
_AMSGRAD_KEYS = (*_ADAM_KEYS, "max_exp_avg_sq")
_RMSPROP_SETTINGS = (_LR2, ALPHA, EPS)
_ADAM_SETTINGS = (LR, BETA1, BETA2, EPS)
_LR_ADAMAX = with_default(LR, 2e-3)
_NADAM = (_LR_ADAMAX, BETA1, BETA2, EPS, Setting(
    "momentum_decay", 4e-3, NONNEGATIVE, "how fast the momentum mu_t grows from half of beta1 to beta1"))
_MU = ("mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2),  M_t = mu_1 mu_2 ... mu_t",)
_NADAM_STEP = ("p <- p - lr ((1 - mu_t) / (1 - M_t) g + mu_(t+1) / (1 - M_(t+1)) m) / (sqrt(v / (1 - beta2^t)) + eps)",)
_RHO = ("rho = 2 / (1 - beta2) - 1,  rho_t = rho - 2 t beta2^t / (1 - beta2^t)",
        "r_t = sqrt((rho_t - 4)(rho_t - 2) rho / ((rho - 4)(rho - 2) rho_t))")
_RADAM_STEP = ("p <- p - lr r_t m / (1 - beta1^t) sqrt(1 - beta2^t) / (sqrt(v) + eps)    (where rho_t > 5)",
               "p <- p - lr m / (1 - beta1^t)                                           (before)")
_DECAYED = "p <- (1 - lr weight_decay) p"
_NO_DECAY = with_default(DECOUPLED, 0.0)

RULES: dict[str, Rule] = {r.name: r for r in (
    Rule("sgd", "SGD", ("p", "g"), (), (LR,), lambda step, lr: (lr,),
         "Stochastic gradient descent", ("p <- p - lr g",),
         "H. Robbins and S. Monro, A stochastic approximation method, 1951"),
    Rule("momentum", "Momentum", ("p", "g", "v"), ("momentum_buffer",),
         (LR, MOMENTUM, Setting("dampening", 0.0, NONNEGATIVE, "what the gradient loses; none at step 1")),
         _scalars.momentum,
         "Gradient descent with momentum (the heavy ball)",
         ("v <- mu v + (1 - dampening) g        (at t = 1: v <- mu v + g)", "p <- p - lr v"), POLYAK),
    Rule("nesterov", "Nesterov", ("p", "g", "v"), ("momentum_buffer",), (LR, MOMENTUM),
         lambda step, lr, momentum: (momentum, lr),
         "Nesterov's accelerated gradient, the form whose stored parameters are the look-ahead ones",
         ("v <- mu v + g", "p <- p - lr (g + mu v)"), NESTEROV),
    Rule("nesterov_classical", "NesterovClassical", ("p", "g", "v"), ("velocity",), (LR, MOMENTUM),
         lambda step, lr, momentum: (momentum, lr),
         "Nesterov's accelerated gradient, classical form: g is to be taken at p + mu v (see lookahead)",
         ("v <- mu v - lr g", "p <- p + v"), SUTSKEVER),
    Rule("lookahead", "Lookahead", ("p", "v", "saved"), (), (MOMENTUM,), lambda step, momentum: (momentum,),
         "The point at which classical Nesterov takes its gradient; `saved` keeps where p was",
         ("saved <- p", "p <- p + mu v"), SUTSKEVER, decay=None),
    Rule("accumulate", "Accumulate", ("p", "g"), (), (Setting("weight", 1.0, NONNEGATIVE, "what the gradient counts"),),
         lambda step, weight: (weight,), "A running sum of gradients; p is the sum (see optcore.GradientAccumulator)",
         ("p <- p + weight g",), "the definition", decay=None),
    Rule("adagrad", "Adagrad", ("p", "g", "s"), ("sum",),
         (_LR2, Setting("lr_decay", 0.0, NONNEGATIVE, "the learning rate at step t is lr / (1 + (t - 1) lr_decay)"),
          with_default(EPS, 1e-10)), _scalars.adagrad,
         "AdaGrad: each coordinate by the root of its summed squares",
         ("s <- s + g^2", "p <- p - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)"), DUCHI),
    Rule("rmsprop", "RMSprop", ("p", "g", "v"), ("square_avg",), _RMSPROP_SETTINGS, _scalars.rmsprop,
         "RMSProp: each coordinate by the root of its mean square",
         (_MEAN_SQUARE, "p <- p - lr g / (sqrt(v) + eps)"), HINTON),
    Rule("rmsprop_momentum", "RMSpropMomentum", ("p", "g", "v", "b"), ("square_avg", "momentum_buffer"),
         (*_RMSPROP_SETTINGS, MOMENTUM), _scalars.rmsprop_momentum, "RMSProp with momentum",
         (_MEAN_SQUARE, "b <- mu b + g / (sqrt(v) + eps)", "p <- p - lr b"), HINTON),
    Rule("rmsprop_centered", "RMSpropCentered", ("p", "g", "v", "a"), ("square_avg", "grad_avg"),
         _RMSPROP_SETTINGS, _scalars.rmsprop,
         "Centered RMSProp: by the root of the variance, which is kept from below 0",
         (_MEAN_SQUARE, _MEAN, "p <- p - lr g / (sqrt(max(v - a^2, 0)) + eps)"), GRAVES),
    Rule("rmsprop_centered_momentum", "RMSpropCenteredMomentum", ("p", "g", "v", "a", "b"),
         ("square_avg", "grad_avg", "momentum_buffer"),
         (*_RMSPROP_SETTINGS, MOMENTUM), _scalars.rmsprop_momentum, "Centered RMSProp with momentum",
         (_MEAN_SQUARE, _MEAN, "b <- mu b + g / (sqrt(max(v - a^2, 0)) + eps)", "p <- p - lr b"), GRAVES),
    Rule("adam", "Adam", ("p", "g", "m", "v"), _ADAM_KEYS, _ADAM_SETTINGS, _scalars.adam,
         "Adam with bias correction", (*_MOMENTS, _ADAM), KINGMA),
    Rule("adam_amsgrad", "AdamAMSGrad", ("p", "g", "m", "v", "vmax"), _AMSGRAD_KEYS, _ADAM_SETTINGS, _scalars.adam,
         "Adam whose second moment never shrinks (AMSGrad)", (*_MOMENTS, *_AMSGRAD), REDDI),
    Rule("adamw", "Adam", ("p", "g", "m", "v"), _ADAM_KEYS, _ADAM_SETTINGS, _scalars.adam,
         "Adam with decoupled weight decay", ("p <- (1 - lr weight_decay) p", *_MOMENTS, _ADAM), LOSHCHILOV,
         decay=DECOUPLED, decoupled=True),
    Rule("adamw_amsgrad", "AdamAMSGrad", ("p", "g", "m", "v", "vmax"), _AMSGRAD_KEYS, _ADAM_SETTINGS, _scalars.adam,
         "AdamW whose second moment never shrinks (AMSGrad)",
         ("p <- (1 - lr weight_decay) p", *_MOMENTS, *_AMSGRAD), REDDI, decay=DECOUPLED, decoupled=True),
    Rule("lion", "Lion", ("p", "g", "m"), ("exp_avg",),
         (with_default(LR, 1e-4), BETA1, with_default(BETA2, 0.99)), _scalars.lion,
         "Lion: the sign of an interpolated momentum, with decoupled weight decay",
         ("p <- (1 - lr weight_decay) p", "p <- p - lr sign(beta1 m + (1 - beta1) g)",
          "m <- beta2 m + (1 - beta2) g"), CHEN,
         decay=_NO_DECAY, decoupled=True),
    Rule("adadelta", "Adadelta", ("p", "g", "v", "u"), ("square_avg", "acc_delta"),
         (with_default(LR, 1.0), Setting("rho", 0.9, FRACTION, "how much of both mean squares is kept"),
          Setting("eps", 1e-6, NONNEGATIVE, "added under both roots; it makes the first steps")), _scalars.adadelta,
         "Adadelta: steps in the parameter's own units",
         ("v <- rho v + (1 - rho) g^2", "d <- sqrt(u + eps) / sqrt(v + eps) g", "u <- rho u + (1 - rho) d^2",
          "p <- p - lr d"), ZEILER),
    Rule("adamax", "Adamax", ("p", "g", "m", "u"), ("exp_avg", "exp_inf"),
         (_LR_ADAMAX, BETA1, BETA2, Setting("eps", 1e-8, NONNEGATIVE, "added to the size of g, so that u is above 0")),
         _scalars.adamax,
         "Adamax: Adam by the largest recent gradient instead of the mean square",
         (_MOMENTS[0], "u <- max(beta2 u, |g| + eps)", "p <- p - lr / (1 - beta1^t) m / u"), KINGMA),
    Rule("nadam", "NAdam", ("p", "g", "m", "v"), _ADAM_KEYS, _NADAM, _scalars.nadam,
         "NAdam: Adam with Nesterov's momentum, on a schedule of its own", (*_MU, *_MOMENTS, *_NADAM_STEP), DOZAT),
    Rule("nadamw", "NAdam", ("p", "g", "m", "v"), _ADAM_KEYS, _NADAM, _scalars.nadam,
         "NAdam with decoupled weight decay", (*_MU, _DECAYED, *_MOMENTS, *_NADAM_STEP), DOZAT,
         decay=_NO_DECAY, decoupled=True),
    Rule("radam", "RAdam", ("p", "g", "m", "v"), _ADAM_KEYS, _ADAM_SETTINGS, _scalars.radam,
         "RAdam: Adam that divides by the root only once its variance is known, and by how well",
         (*_RHO, *_MOMENTS, *_RADAM_STEP), LIU),
    Rule("radamw", "RAdam", ("p", "g", "m", "v"), _ADAM_KEYS, _ADAM_SETTINGS, _scalars.radam,
         "RAdam with decoupled weight decay", (*_RHO, _DECAYED, *_MOMENTS, *_RADAM_STEP), LIU,
         decay=_NO_DECAY, decoupled=True),
    Rule("rprop", "Rprop", ("p", "g", "h", "s"), ("prev", "step_size"),
         (Setting("etaminus", 0.5, SHRINKING, "factor of a step size whose gradient has turned"),
          Setting("etaplus", 1.2, GROWING, "factor of a step size whose gradient has not"),
          Setting("step_size_min", 1e-6, NONNEGATIVE, "least step size"),
          Setting("step_size_max", 50.0, NONNEGATIVE, "largest step size")),
         lambda step, *settings: settings,
         "Rprop, for whole batches: the gradient's sign alone, and a step size for each coordinate",
         ("s <- etaplus s where g h > 0, etaminus s where g h < 0; kept from step_size_min to step_size_max",
          "h <- g, but 0 where g h < 0", "p <- p - s sign(h)        (the sign of a NaN is 0, as in torch)"), RIEDMILLER,
         starts={"step_size": "the first step size everywhere"}),
    Rule("asgd", "ASGD", ("p", "g", "a"), ("ax",),
         (_LR2, Setting("lambd", 1e-4, NONNEGATIVE, "decay: each step first scales p by 1 - eta lambd"),
          Setting("alpha", 0.75, NONNEGATIVE, "power by which eta falls"),
          Setting("t0", 1e6, NONNEGATIVE, "until t > t0 + 2 the average is p itself")), _scalars.asgd,
         "Averaged stochastic gradient descent; the average `a` is what is to be used in the end",
         ("eta = lr / (1 + lambd lr (t - 1))^alpha,  mu = 1 / max(1, t - 1 - t0)",
          "p <- (1 - eta lambd) p - eta g", "a <- a + mu (p - a)        (p where mu = 1)"), AVERAGING),
    Rule("ademamix", "AdEMAMix", ("p", "g", "m1", "m2", "v"), ("exp_avg", "exp_avg_slow", "exp_avg_sq"),
         (LR, BETA1, BETA2, Setting("beta3", 0.9999, FRACTION, "how much of the slow first moment is kept"),
          Setting("alpha", 5.0, NONNEGATIVE, "weight of the slow first moment"),
          Setting("t_alpha", 0.0, NONNEGATIVE, "step up to which alpha grows linearly from 0; 0: from the start"),
          Setting("t_beta3", 0.0, NONNEGATIVE,
                  "step up to which the memory of beta3 grows linearly from that of beta1; 0: from the start"), EPS),
         _scalars.ademamix, "AdEMAMix: AdamW with a second, slow mean of the gradients",
         ("alpha_t = alpha min(1, t / t_alpha)",
          "beta3_t = min(beta3, exp(1 / ((1 - x) / ln beta1 + x / ln beta3))),  x = min(1, t / t_beta3)", _DECAYED,
          "m1 <- m1 + (1 - beta1)(g - m1)", "m2 <- m2 + (1 - beta3_t)(g - m2)", _MOMENTS[1],
          "p <- p - lr (m1 / (1 - beta1^t) + alpha_t m2) / (sqrt(v) / sqrt(1 - beta2^t) + eps)"), PAGLIARDINI,
         decay=DECOUPLED, decoupled=True),
)}


# ------------------------------------------------------------------------------------------- the classes

Group = Mapping[str, Any]


@dataclass(frozen=True)
class Family:
    """One optimizer class: torch's argument names and defaults, and the rule that a group's settings mean."""

    name: str
    settings: Mapping[str, Any]                     # constructor arguments after params, with defaults
    pick: Callable[[Group], tuple[str, tuple[Any, ...]]]    # group -> rule name, its settings in order
    title: str
    fill: Mapping[str, str] = field(default_factory=dict)   # state key -> setting with its first value
    domains: tuple[Setting, ...] = ()               # settings that no rule takes, to be checked all the same
    rules: tuple[str, ...] = ()                     # the rules that pick may name
    # TEMPORARY until rules by family
    @property
    def ahead(self): return "lookahead" if self.name == "NesterovClassical" else ""
    @property
    def becomes(self): return {"decoupled_weight_decay": "AdamW"} if self.name == "Adam" else {}
    @property
    def counted(self): return self.name != "SGD"
    @property
    def carried(self):
        from optcore.rules.scalars import asgd_eta_mu, nadam_mu_product
        if self.name == "NAdam": return lambda g, t: {"mu_product": nadam_mu_product(t, float(g["betas"][0]), float(g["momentum_decay"]))}
        if self.name == "ASGD":
            def f(g, t):
                lr = g["lr"](t + 1) if callable(g["lr"]) else g["lr"]
                eta, mu = asgd_eta_mu(t + 1, float(lr), float(g["lambd"]), float(g["alpha"]), float(g["t0"]))
                return {"eta": eta, "mu": mu}
            return f

    def keys(self) -> dict[str, None]:
        """torch's names of the state arrays that any of the rules keeps, in order."""
        return {key: None for rule in self.rules for key in RULES[rule].keys}


def _several(g: Group, key: str, n: int = 2) -> tuple[Any, ...]:
    """A setting that is given as a tuple or list of n numbers."""
    x = g[key]
    if not isinstance(x, (tuple, list)) or len(x) != n:
        raise ValueError(f"{key}={x!r}: {'two' if n == 2 else 'three'} numbers are needed")
    return tuple(x)


def _pick_sgd(g: Group) -> tuple[str, tuple[Any, ...]]:
    lr, mu, tail = g["lr"], g["momentum"], (g["weight_decay"], g["maximize"])
    if g["nesterov"]:
        if mu == 0 or g["dampening"] != 0:
            raise ValueError("nesterov: it needs momentum > 0 and dampening = 0, got "
                             f"momentum={mu!r}, dampening={g['dampening']!r}")
        return "nesterov", (lr, mu, *tail)
    if mu != 0:
        return "momentum", (lr, mu, g["dampening"], *tail)
    return "sgd", (lr, *tail)


def _pick_rmsprop(g: Group) -> tuple[str, tuple[Any, ...]]:
    name = "rmsprop_centered" if g["centered"] else "rmsprop"
    own, tail = (g["lr"], g["alpha"], g["eps"]), (g["weight_decay"], g["maximize"])
    if g["momentum"] != 0:
        return name + "_momentum", (*own, g["momentum"], *tail)
    return name, (*own, *tail)


def _pick_adam(name: str) -> Callable[[Group], tuple[str, tuple[Any, ...]]]:
    amsgrad = name + "_amsgrad"

    def pick(g: Group) -> tuple[str, tuple[Any, ...]]:
        return (amsgrad if g["amsgrad"] else name,
                (g["lr"], *_several(g, "betas"), g["eps"], g["weight_decay"], g["maximize"]))
    return pick


def _pick(name: str, *keys: str, decoupled: str = "") -> Callable[[Group], tuple[str, tuple[Any, ...]]]:
    """The rule of one name, its settings those of the keys; or of another, if the group's decay is decoupled."""

    def pick(g: Group) -> tuple[str, tuple[Any, ...]]:
        return (decoupled if decoupled and g["decoupled_weight_decay"] else name,
                (g["lr"], *_several(g, "betas"), *(g[k] for k in keys), g["weight_decay"], g["maximize"]))
    return pick


_ADAM_CLASS = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False,
               "maximize": False}

FAMILIES: dict[str, Family] = {f.name: f for f in (
    Family("SGD", {"lr": 1e-3, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False,
                   "maximize": False}, _pick_sgd,
           "Stochastic gradient descent, with momentum or Nesterov's momentum if asked for",
           domains=(MOMENTUM, Setting("dampening", 0.0, NONNEGATIVE, "")),
           rules=("sgd", "momentum", "nesterov")),
    Family("NesterovClassical", {"lr": 1e-3, "momentum": 0.9, "weight_decay": 0.0, "maximize": False},
           lambda g: ("nesterov_classical", (g["lr"], g["momentum"], g["weight_decay"], g["maximize"])),
           "Nesterov's momentum in its classical form: take the gradients inside `with opt.lookahead():`",
           rules=("nesterov_classical",)),
    Family("Adagrad", {"lr": 1e-2, "lr_decay": 0.0, "weight_decay": 0.0, "initial_accumulator_value": 0.0,
                       "eps": 1e-10, "maximize": False},
           lambda g: ("adagrad", (g["lr"], g["lr_decay"], g["eps"], g["weight_decay"], g["maximize"])),
           "AdaGrad", fill={"sum": "initial_accumulator_value"},
           domains=(Setting("initial_accumulator_value", 0.0, NONNEGATIVE, "", scheduled=False),),
           rules=("adagrad",)),
    Family("RMSprop", {"lr": 1e-2, "alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.0,
                       "centered": False, "maximize": False}, _pick_rmsprop,
           "RMSProp, centered or with momentum if asked for", domains=(MOMENTUM,),
           rules=("rmsprop", "rmsprop_momentum", "rmsprop_centered", "rmsprop_centered_momentum")),
    Family("Adam", _ADAM_CLASS, _pick_adam("adam"), "Adam with bias correction",
           rules=("adam", "adam_amsgrad")),
    Family("Lion", {"lr": 1e-4, "betas": (0.9, 0.99), "weight_decay": 0.0, "maximize": False},
           _pick("lion"),
           "Lion: the sign of an interpolated momentum, with decoupled weight decay",
           rules=("lion",)),
    Family("AdamW", {**_ADAM_CLASS, "weight_decay": 1e-2}, _pick_adam("adamw"), "Adam with decoupled weight decay",
           rules=("adamw", "adamw_amsgrad")),
    Family("Adadelta", {"lr": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": 0.0, "maximize": False},
           lambda g: ("adadelta", (g["lr"], g["rho"], g["eps"], g["weight_decay"], g["maximize"])),
           "Adadelta: steps in the parameter's own units", rules=("adadelta",)),
    Family("Adamax", {"lr": 2e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "maximize": False},
           _pick("adamax", "eps"), "Adamax: Adam by the largest recent gradient instead of the mean square",
           rules=("adamax",)),
    Family("NAdam", {"lr": 2e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "momentum_decay": 4e-3,
                     "decoupled_weight_decay": False, "maximize": False},
           _pick("nadam", "eps", "momentum_decay", decoupled="nadamw"),
           "NAdam: Adam with Nesterov's momentum. The product of the mu_t, state in torch, is taken anew at each\n"
           "    step, as if betas and momentum_decay had always been what they are", rules=("nadam", "nadamw")),
    Family("RAdam", {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0,
                     "decoupled_weight_decay": False, "maximize": False},
           _pick("radam", "eps", decoupled="radamw"),
           "RAdam: Adam that divides by the root only once its variance is known, and by how well",
           rules=("radam", "radamw")),
    Family("Rprop", {"lr": 1e-2, "etas": (0.5, 1.2), "step_sizes": (1e-6, 50.0), "maximize": False},
           lambda g: ("rprop", (*_several(g, "etas"), *_several(g, "step_sizes"), 0.0, g["maximize"])),
           "Rprop, for whole batches: the gradient's sign alone, and a step size for each coordinate, which is lr\n"
           "    at its first step and does not look at it again",
           fill={"step_size": "lr"}, domains=(Setting("lr", 1e-2, NONNEGATIVE, "", scheduled=False),),
           rules=("rprop",)),
    Family("ASGD", {"lr": 1e-2, "lambd": 1e-4, "alpha": 0.75, "t0": 1e6, "weight_decay": 0.0, "maximize": False},
           lambda g: ("asgd", (g["lr"], g["lambd"], g["alpha"], g["t0"], g["weight_decay"], g["maximize"])),
           "Averaged stochastic gradient descent; the average is the state `ax`. eta and mu, state in torch, are\n"
           "    taken anew at each step, so that a change of lr counts at once, not one step later", rules=("asgd",)),
    Family("AdEMAMix", {"lr": 1e-3, "betas": (0.9, 0.999, 0.9999), "alpha": 5.0, "t_alpha": 0.0, "t_beta3": 0.0,
                        "eps": 1e-8, "weight_decay": 1e-2, "maximize": False},
           lambda g: ("ademamix", (g["lr"], *_several(g, "betas", 3), g["alpha"], g["t_alpha"], g["t_beta3"],
                                   g["eps"], g["weight_decay"], g["maximize"])),
           "AdEMAMix: AdamW with a second, slow mean of the gradients. t_alpha and t_beta3, in the paper both the\n"
           "    number of steps of the run, let alpha and beta3 grow up to there; 0 leaves them as they are",
           rules=("ademamix",)),
)}
