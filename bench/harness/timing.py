"""THE timing harness: contenders side by side. Owns rounds, their order, warm-up and samples; knows no contender.

Design:
a) In each round every contender has one turn, in an order shuffled anew. Ratios are formed within a round, so what
   slows the whole machine for a while cancels; the median of the rounds' ratios is told with its quartiles.
b) A turn begins with uncounted calls: they bring the data back into cache, and they outlast the time for which the
   previous contender's idle OpenMP threads go on spinning (some milliseconds in libgomp).
c) A sample repeats short calls for a set time, since the clock and its noise are too coarse for one.
d) The first round is not counted: in it memory is touched and processors change their clock.
e) A contender may sit rounds out: a few samples of one that is slow by far do, and the time goes to the close ratios.
f) Python's garbage collector does not run meanwhile.
"""

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import repeat
from math import ceil, nan
from time import perf_counter

import numpy as np

from bench.harness.spread import Spread

LONG = 0.15  # s: a call this long makes a few milliseconds of foreign spinning irrelevant

Call = Callable[[], object]


def calls(call: Call, repeats: int) -> None:
    for _ in repeat(None, repeats):
        call()


def timed(call: Call, repeats: int) -> float:
    """Seconds of a call."""
    begin = perf_counter()
    calls(call, repeats)
    return (perf_counter() - begin) / repeats


@dataclass
class Turn:
    """One contender's turn: uncounted calls, then a sample. Calling it gives the seconds of a call."""

    call: Call
    repeats: int = 0  # calls of a sample; 0: as many as `sample` takes
    sample: float = 2e-3  # s that a sample lasts at least
    warm: int = 2  # uncounted calls, at least
    warm_seconds: float = 6e-3  # and for at least so long, unless one call is LONG
    before: Call | None = None  # called before the turn, uncounted
    cost: float = field(init=False)  # s of a call, at first sight
    fixed: bool = field(init=False)  # whether `repeats` was given

    def __post_init__(self) -> None:
        self._prepare()
        self.cost = min(timed(self.call, 1) for _ in range(3))
        self.fixed = self.repeats > 0
        if not self.fixed:
            self.repeats = ceil(self.sample / self.cost)

    def _prepare(self) -> None:
        if self.before is not None:
            self.before()

    def __call__(self) -> float:
        self._prepare()
        begin = perf_counter()
        calls(self.call, self.warm)
        if self.cost < LONG:
            batch = ceil(self.repeats / 4)
            while perf_counter() - begin < self.warm_seconds:
                calls(self.call, batch)
        took = timed(self.call, self.repeats)
        while not self.fixed and took * self.repeats < 0.5 * self.sample:  # it has become faster: too short a sample
            self.repeats = ceil(self.sample / took)
            took = timed(self.call, self.repeats)
        return took


@dataclass(frozen=True)
class Effort:
    """How many rounds: at least `least`, then for `seconds`, at most `most`."""

    least: int
    most: int
    seconds: float = 0.0
    uncounted: int = 1  # rounds before the first that counts

    @classmethod
    def rounds(cls, count: int, uncounted: int = 1) -> "Effort":
        return cls(count, count, uncounted=uncounted)


class Times(dict[str, np.ndarray]):
    """For each contender one number a round, in seconds; NaN where it sat out."""

    def of(self, who: str) -> Spread:
        return Spread.of(self[who])

    def us(self, who: str) -> float:
        """The median in microseconds."""
        return self.of(who).median * 1e6

    def ratio(self, who: str, to: str) -> Spread:
        """Time of `who` over time of `to`, round by round."""
        return Spread.of(self[who] / self[to])


def interleaved(
    turns: Mapping[str, Callable[[], float]],
    effort: Effort,
    rng: np.random.Generator | None = None,
    every: Mapping[str, int] | None = None,
) -> Times:
    """The numbers of all turns, round by round. A turn is a `Turn`, or whatever gives the seconds it took.

    every: who has a turn in every k-th round only.
    """
    rng, every = rng or np.random.default_rng(0), every or {}
    found: dict[str, list[float]] = {name: [] for name in turns}
    gc.collect()
    gc.disable()
    try:
        begin = perf_counter()
        for number in range(-effort.uncounted, effort.most):
            if number >= effort.least and perf_counter() - begin > effort.seconds:
                break
            for name in rng.permutation(list(turns)):
                took = nan if number % every.get(name, 1) else turns[name]()
                if number >= 0:
                    found[name].append(took)
    finally:
        gc.enable()
    return Times({name: np.array(t) for name, t in found.items()})
