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


def _estimate(call: Callable[[], None]) -> float:
    """Nanoseconds of one call, roughly; the verification has warmed it up."""
    reps, took = 1, _time(call, 1)
    while reps * took < 1e6:
        reps *= 4
        took = _time(call, reps)
    return took


def measure(
    contenders: list[Contender], effort: Effort, rng: np.random.Generator
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Nanoseconds of a call, for each contender a list with one number a round (NaN: sat out), and the
    calls in each sample."""
    cost = [_estimate(c.call) for c in contenders]
    reps = [ceil(effort.sample_ns / ns) for ns in cost]
    warm = [0 if ns > _LONG_NS else ceil(_WARM_NS / ns) for ns in cost]
    slow = [
        not c.every_round and ns > max(_SLOW_NS, _SLOW_RATIO * min(cost))
        for c, ns in zip(contenders, cost, strict=True)
    ]
    times: dict[str, list[float]] = {c.name: [] for c in contenders}

    gc.collect()
    gc.disable()
    try:
        start = perf_counter_ns()
        for turn in range(-1, effort.max_rounds):  # round -1 is a warm-up and is not counted
            if turn >= effort.min_rounds and perf_counter_ns() - start > effort.seconds * 1e9:
                break
            sits_out = [is_slow and turn % _SLOW_EVERY for is_slow in slow]
            for i in rng.permutation(len(contenders)):
                took = nan
                if not sits_out[i]:
                    for _ in repeat(None, warm[i]):
                        contenders[i].call()
                    took = _time(contenders[i].call, reps[i])
                if turn >= 0:
                    times[contenders[i].name].append(took)
    finally:
        gc.enable()
    return times, {c.name: r for c, r in zip(contenders, reps, strict=True)}
