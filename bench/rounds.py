"""Times a few functions side by side: in every round each has one turn, in an order shuffled anew.

A ratio is formed within one round, so that what slows the whole machine for a while falls on both.
"""

import random
import time
from collections.abc import Callable, Mapping

import numpy as np


def timed(step: Callable[[], object], repeats: int) -> float:
    """Seconds of a call."""
    begin = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - begin) / repeats


def interleaved(
    steps: Mapping[str, Callable[[], object]],
    rounds: int,
    repeats: int,
    warm: int = 2,
    before: Callable[[], object] = lambda: None,
) -> dict[str, np.ndarray]:
    """Seconds of a call of each, one number a round. A turn is `repeats` calls after `warm` uncounted ones, which
    wake the threads and fill the caches with this one's arrays; `before` is called before each turn, uncounted."""
    times = {name: [] for name in steps}
    order, rng = list(steps), random.Random(0)
    for _ in range(rounds):
        rng.shuffle(order)
        for name in order:
            before()
            timed(steps[name], warm)
            times[name].append(timed(steps[name], repeats))
    return {name: np.array(t) for name, t in times.items()}


def quartiles(x: np.ndarray) -> str:
    low, median, high = np.percentile(x, (25, 50, 75))
    return f"{median:.2f} [{low:.2f}, {high:.2f}]"
