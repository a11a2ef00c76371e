"""Times contenders side by side: in each round every contender has one turn, in an order shuffled anew.

Design:
a) Ratios are formed within a round, so what slows the whole machine for a while cancels.
b) A turn begins with uncounted calls: they bring the data back into cache, and they outlast the time
   for which the previous contender's idle OpenMP threads go on spinning (some milliseconds in libgomp).
c) A sample repeats short calls for a set time, since the clock and its noise are too coarse for one.
d) A contender that is slow for this workload joins every fourth round only: a few samples of it do,
   and the time goes to the ratios that are close.
"""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from math import ceil, nan
from time import perf_counter_ns

import numpy as np

from contenders import Contender

_WARM_NS = 6e6
_LONG_NS = 150e6  # a call this long makes a few milliseconds of foreign spinning irrelevant
_SLOW_NS = 20e6
_SLOW_RATIO = 3.0
_SLOW_EVERY = 4


@dataclass(frozen=True)
class Effort:
    seconds: float  # for the rounds of one workload
    min_rounds: int
    max_rounds: int
    sample_ns: float  # how long a sample lasts at least


def _time(call: Callable[[], None], reps: int) -> float:
    start = perf_counter_ns()
    for _ in repeat(None, reps):
        call()
    return (perf_counter_ns() - start) / reps


class _Turns:
    """One contender's turns: how many calls make a sample, and how it is warmed up."""

    def __init__(self, contender: Contender, sample_ns: float):
        self.call, self.sample_ns = contender.call, sample_ns
        self.cost = min(_time(self.call, 1) for _ in range(3))  # the verification has called it already
        self.reps = ceil(sample_ns / self.cost)

    def take(self) -> float:
        """Nanoseconds of a call, from one sample after a warm-up."""
        if self.cost < _LONG_NS:
            batch, start = ceil(self.reps / 4), perf_counter_ns()
            while perf_counter_ns() - start < _WARM_NS:
                for _ in repeat(None, batch):
                    self.call()
        took = _time(self.call, self.reps)
        while took * self.reps < 0.5 * self.sample_ns:  # it has become faster: too short a sample
            self.reps = ceil(self.sample_ns / took)
            took = _time(self.call, self.reps)
        return took


def measure(
    contenders: list[Contender], effort: Effort, rng: np.random.Generator
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Nanoseconds of a call, for each contender a list with one number a round (NaN: sat out), and the
    calls in its samples."""
    turns = [_Turns(c, effort.sample_ns) for c in contenders]
    fastest = min(t.cost for t in turns)
    slow = [
        not c.every_round and t.cost > max(_SLOW_NS, _SLOW_RATIO * fastest)
        for c, t in zip(contenders, turns, strict=True)
    ]
    times: dict[str, list[float]] = {c.name: [] for c in contenders}

    gc.collect()
    gc.disable()
    try:
        start = perf_counter_ns()
        for number in range(-1, effort.max_rounds):  # round -1 is a warm-up and is not counted
            if number >= effort.min_rounds and perf_counter_ns() - start > effort.seconds * 1e9:
                break
            for i in rng.permutation(len(contenders)):
                took = nan if slow[i] and number % _SLOW_EVERY else turns[i].take()
                if number >= 0:
                    times[contenders[i].name].append(took)
    finally:
        gc.enable()
    return times, {c.name: t.reps for c, t in zip(contenders, turns, strict=True)}
