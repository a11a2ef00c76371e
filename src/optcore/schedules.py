"""Schedules: functions of the step, accepted wherever an optimizer or a rule takes a number.

Any callable that takes the step and returns the setting's value at it is a schedule; here are the usual ones. The
step is the t of the formulas: the updates of the parameter, counted from 1 and kept in the state, so that a resumed
run goes on where it was. Each schedule is a value that never changes: it can be compared, hashed, pickled, and
printed as the call that makes it. Past its last step it stays at its end value. What cannot be meant is refused
when it is made, by a TypeError or ValueError that names the argument. Knows nothing of rules and optimizers.
"""
from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from math import cos, pi
from typing import Any

from optcore.rules.settings import NONNEGATIVE, Setting, number, whole

__all__ = ["constant", "cosine", "exponential", "one_cycle", "piecewise", "warmup"]


def _settle(schedule: Any, *names: str) -> None:
    """Make floats of these fields, or raise the error that names the first that is none."""
    for name in names:
        object.__setattr__(schedule, name, _number(name, getattr(schedule, name)))


def _number(name: str, value: Any) -> float:
    return number(Setting(name, 0.0, NONNEGATIVE, "", scheduled=False), value, 1)


def _positive(name: str, value: float) -> None:
    if value == 0.0:
        raise ValueError(f"{name}={value!r}: it must be above 0")


def _between(start: float, end: float, x: float) -> float:
    """From start at x = 0 to end at x = 1, both met exactly."""
    return start * (1.0 - x) + end * x


def _half_turn(x: float) -> float:
    """From 0 at x = 0 to 1 at x = 1, both met exactly, along half a turn of the cosine."""
    return (1.0 - cos(pi * x)) / 2.0


@dataclass(frozen=True)
class constant:
    """The same value at every step.

        s(t) = value

    Parameters
        value: finite, not negative

        >>> from optcore.schedules import constant
        >>> constant(0.1)(1000)
        0.1
    """

    value: float

    def __post_init__(self) -> None:
        _settle(self, "value")

    def __call__(self, step: int) -> float:
        whole("step", step)
        return self.value


@dataclass(frozen=True)
class warmup:
    """A straight line from `start` at step 1 to `value` at step `steps + 1`; then `value`, or what `then` says.

        s(t) = start + (value - start) (t - 1) / steps      for t <= steps
        s(t) = value, or then(t - steps)                    for t > steps

    Parameters
        value, start: finite, not negative; with start > value the line falls
        steps: of the line; 0 for none
        then: the schedule from step `steps + 1` on, which it counts as its step 1

        >>> from optcore.schedules import cosine, warmup
        >>> [warmup(1.0, 4)(t) for t in (1, 2, 3, 4, 5, 6)]
        [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
        >>> warmup(1.0, 4, then=cosine(1.0, 10))(9) == cosine(1.0, 10)(5)
        True

    Source: P. Goyal et al., Accurate, large minibatch SGD: training ImageNet in 1 hour, arXiv:1706.02677, 2017.
    """

    value: float
    steps: int
    start: float = 0.0
    then: Callable[[int], float] | None = None

    def __post_init__(self) -> None:
        _settle(self, "value", "start")
        object.__setattr__(self, "steps", whole("steps", self.steps, least=0))
        if self.then is not None and not callable(self.then):
            raise TypeError(f"then: a schedule (a function of the step) is needed, got {self.then!r}")

    def __call__(self, step: int) -> float:
        step = whole("step", step)
        if step <= self.steps:
            return _between(self.start, self.value, (step - 1) / self.steps)
        return self.value if self.then is None else self.then(step - self.steps)


@dataclass(frozen=True)
class cosine:
    """Half a turn of the cosine from `value` to `end`, after a straight line from 0 if `warmup` is given.

        s(t) = value (t - 1) / warmup                                       for t <= warmup
        s(t) = end + (value - end) (1 + cos(pi k / (steps - warmup))) / 2   for t > warmup,
               where k = min(t - 1, steps) - warmup

    Parameters
        value, end: finite, not negative
        steps: of the whole, the warm-up included; `end` is met at step `steps + 1` and kept
        warmup: steps of the line, fewer than `steps`

        >>> from optcore.schedules import cosine
        >>> [round(cosine(1.0, 4)(t), 3) for t in (1, 2, 3, 4, 5, 6)]
        [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
        >>> [round(cosine(1.0, 6, warmup=2)(t), 3) for t in (1, 2, 3, 4, 5, 6, 7)]
        [0.0, 0.5, 1.0, 0.854, 0.5, 0.146, 0.0]

    Source: I. Loshchilov and F. Hutter, SGDR: stochastic gradient descent with warm restarts, ICLR 2017.
    """

    value: float
    steps: int
    end: float = 0.0
    warmup: int = 0

    def __post_init__(self) -> None:
        _settle(self, "value", "end")
        object.__setattr__(self, "steps", whole("steps", self.steps))
        object.__setattr__(self, "warmup", whole("warmup", self.warmup, least=0))
        if self.warmup >= self.steps:
            raise ValueError(f"warmup={self.warmup}: it must be less than steps={self.steps}")

    def __call__(self, step: int) -> float:
        taken = whole("step", step) - 1
        if taken < self.warmup:
            return _between(0.0, self.value, taken / self.warmup)
        x = (min(taken, self.steps) - self.warmup) / (self.steps - self.warmup)
        return _between(self.value, self.end, _half_turn(x))


@dataclass(frozen=True)
class one_cycle:
    """Up to the peak and down again, far below the start: torch's OneCycleLR with two phases.

        from peak / div_factor at step 1
        to   peak at step pct_start steps
        to   peak / div_factor / final_div_factor at step `steps`, where it stays

    Parameters
        peak: the highest value (torch's max_lr); finite, not negative
        steps: of the whole cycle
        pct_start: the share of the steps on which the value rises, from 0 to 1; the step of the peak need not be
            whole, and then no step has quite the peak
        anneal_strategy: "cos" or "linear", the shape of both phases
        div_factor, final_div_factor: above 0

        >>> from optcore.schedules import one_cycle
        >>> s = one_cycle(1.0, 10)
        >>> [round(s(t), 6) for t in (1, 2, 3, 4, 10, 11)]
        [0.04, 0.52, 1.0, 0.950485, 4e-06, 4e-06]

    The other way round it serves the momentum, as torch's cycle_momentum does:
    `one_cycle(0.85, steps, div_factor=0.85 / 0.95, final_div_factor=1)` goes from 0.95 to 0.85 to 0.95.

    Source: L. N. Smith and N. Topin, Super-convergence: very fast training of neural networks using large learning
    rates, arXiv:1708.07120, 2017.
    """

    peak: float
    steps: int
    pct_start: float = 0.3
    anneal_strategy: str = "cos"
    div_factor: float = 25.0
    final_div_factor: float = 1e4

    def __post_init__(self) -> None:
        _settle(self, "peak", "pct_start", "div_factor", "final_div_factor")
        object.__setattr__(self, "steps", whole("steps", self.steps))
        if self.pct_start > 1.0:
            raise ValueError(f"pct_start={self.pct_start!r}: it must be from 0 to 1")
        if self.anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy={self.anneal_strategy!r}: it must be 'cos' or 'linear'")
        _positive("div_factor", self.div_factor)
        _positive("final_div_factor", self.final_div_factor)
        _number("peak / div_factor", self.peak / self.div_factor)
        _number("peak / div_factor / final_div_factor", self.peak / self.div_factor / self.final_div_factor)

    def __call__(self, step: int) -> float:
        last = self.steps - 1
        top = self.pct_start * self.steps - 1.0     # steps taken before the peak: a fraction, or even below 0
        taken = min(whole("step", step) - 1, last)
        first = self.peak / self.div_factor
        if taken < top:
            start, end, x = first, self.peak, taken / top
        else:
            start, end = self.peak, first / self.final_div_factor
            x = (taken - top) / (last - top) if last > top else 0.0
        return _between(start, end, _half_turn(x) if self.anneal_strategy == "cos" else x)


@dataclass(frozen=True)
class exponential:
    """The value times a power of gamma.

        s(t) = value gamma^(t - 1)

    Parameters
        value: finite, not negative
        gamma: finite, not negative; above 1 the value grows, as in a search for the largest usable learning rate

        >>> from optcore.schedules import exponential
        >>> [exponential(1.0, 0.5)(t) for t in (1, 2, 3)]
        [1.0, 0.5, 0.25]

    Source: torch.optim.lr_scheduler.ExponentialLR.
    """

    value: float
    gamma: float

    def __post_init__(self) -> None:
        _settle(self, "value", "gamma")

    def __call__(self, step: int) -> float:
        return self.value * self.gamma ** (whole("step", step) - 1)


@dataclass(frozen=True, init=False, repr=False)
class piecewise:
    """One piece after the other: values, or schedules that each count from the beginning of their piece.

        s(t) = pieces[b], or pieces[b](t - b + 1),   where b is the last key that is not above t

    Parameters
        pieces: {first step: value or schedule, ...}; one of them begins at step 1

        >>> from optcore.schedules import cosine, piecewise, warmup
        >>> steps = piecewise({1: 0.1, 31: 0.01, 61: 0.001})
        >>> [steps(t) for t in (1, 30, 31, 60, 61, 1000)]
        [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
        >>> trapezoid = piecewise({1: warmup(0.1, 10), 91: cosine(0.1, 10)})
        >>> [trapezoid(t) for t in (1, 6, 11, 90, 91, 101)]
        [0.0, 0.05, 0.1, 0.1, 0.1, 0.0]

    Source: A. Krizhevsky et al., ImageNet classification with deep convolutional neural networks, NeurIPS 2012.
    """

    pieces: tuple[tuple[int, float | Callable[[int], float]], ...]      # in the order of the steps

    def __init__(self, pieces: Mapping[int, float | Callable[[int], float]]) -> None:
        if not isinstance(pieces, Mapping):
            raise TypeError(f"pieces: a dict {{first step: value or schedule}} is needed, got {pieces!r}")
        found: dict[int, float | Callable[[int], float]] = {}
        for begin, value in pieces.items():
            label = f"pieces[{begin!r}]"
            found[whole("pieces: a first step", begin)] = value if callable(value) else _number(label, value)
        if 1 not in found:
            raise ValueError(f"pieces={pieces!r}: one must begin at step 1")
        object.__setattr__(self, "pieces", tuple(sorted(found.items(), key=lambda piece: piece[0])))

    def __repr__(self) -> str:
        return f"piecewise({dict(self.pieces)!r})"

    def __call__(self, step: int) -> float:
        step = whole("step", step)
        begin, value = self.pieces[bisect_right(self.pieces, step, key=lambda piece: piece[0]) - 1]
        return value(step - begin + 1) if callable(value) else value


# Every schedule by its name. Fixed, so that a file never decides what is looked up.
BY_NAME: dict[str, Any] = {
    kind.__name__: kind for kind in (constant, cosine, exponential, one_cycle, piecewise, warmup)}


def arguments(schedule: Any) -> dict[str, Any] | None:
    """What BY_NAME's class of its name makes this schedule of, by keyword; None for any other function."""
    if type(schedule) not in BY_NAME.values():          # a subclass may do something else
        return None
    found = {field.name: getattr(schedule, field.name) for field in fields(schedule)}
    return {"pieces": dict(found["pieces"])} if type(schedule) is piecewise else found
