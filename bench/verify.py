"""Before anybody is timed: every contender computes the same thing, on the data that is timed.

A few steps from the same start, then a sample of each tensor (its ends and points between) is compared with
the formulas in float64. The roof has no formula and adds next to nothing; where the state is zero that shows.
"""

import numpy as np

from contenders import Contender
from data import ALPHA, BETA1, BETA2, EPS, LR, MOMENTUM, Data

_STEPS = 2
_U = 2.0**-24  # half a unit in the last place of a float32, relative

# One step of the longest rule, Adam, has at most 16 float32 roundings on the way to p's change, those of its
# scalars included. They act on sums of terms of one sign (g is constant), so relative errors add, not more.
_RTOL = 16 * _STEPS * _U


class WrongResult(Exception):
    pass


def _oracle(rule: str, p: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    m, v = np.zeros_like(p), np.zeros_like(p)
    for t in range(1, _STEPS + 1):
        if rule == "adam":
            m = BETA1 * m + (1 - BETA1) * g
            v = BETA2 * v + (1 - BETA2) * g * g
            p = p - LR * (m / (1 - BETA1**t)) / (np.sqrt(v / (1 - BETA2**t)) + EPS)
        elif rule == "momentum":
            v = MOMENTUM * v + g
            p = p - LR * v
        else:
            v = ALPHA * v + (1 - ALPHA) * g * g
            p = p - LR * g / (np.sqrt(v) + EPS)
    return p, [m, v] if rule == "adam" else [v]


def verify(contender: Contender, data: Data) -> None:
    """Run a fresh contender for its first steps; raise WrongResult if they are not the rule's."""
    data.reset_sample()
    start = data.flat_p[data.sample].astype(np.float64)
    for _ in range(_STEPS):
        contender.call()
    p = data.flat_p[data.sample].astype(np.float64)
    if contender.name.startswith("roof"):
        if not all(block[data.sample].all() for block in data.flat_state):
            raise WrongResult(f"{contender.name}, {data.rule}: it did not write all of the state")
        return

    true_p, true_state = _oracle(data.rule, start, data.flat_g[data.sample].astype(np.float64))
    # Beside the error of the change, each step rounds p itself once, by at most half its last place.
    change = true_p - start
    allowed = _RTOL * np.abs(change) + _STEPS * _U * np.maximum(np.abs(start), np.abs(true_p)) * 1.01
    _compare(contender, data.rule, "p", p, true_p, allowed)
    # The comparison has to see a contender that does nothing.
    if np.median(np.abs(change) / allowed) < 100:
        raise WrongResult(f"{data.rule}: the verification cannot see the change of p")
    if contender.shares_state:
        for slot, (block, true) in enumerate(zip(data.flat_state, true_state, strict=True)):
            state = block[data.sample].astype(np.float64)
            _compare(contender, data.rule, f"state {slot}", state, true, _RTOL * np.abs(true))


def _compare(contender: Contender, rule: str, what: str, got, true, allowed) -> None:
    wrong = ~(np.abs(got - true) <= allowed)  # written so that a NaN is wrong
    if wrong.any():
        i = int(np.argmax(wrong))
        raise WrongResult(
            f"{contender.name}, {rule}: {int(wrong.sum())} of {len(got)} sampled elements of {what} "
            f"are wrong, the first is {got[i]:.9g}, float64 gives {true[i]:.9g} +- {allowed[i]:.1e}"
        )
