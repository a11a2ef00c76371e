"""Before anybody is timed: every contender computes the same thing, on the data that is timed.

A few steps from the same start, then a sample of each tensor (its ends and points between) is compared with
the formulas in exact arithmetic. How far float32 may be off is known of every rule by running error analysis
(tests/support/bounded.py). Peers order their operations differently, but none does twice as many, so each is allowed
twice that bound. The roof has no formula and adds next to nothing; where the state is zero that shows.
"""

import numpy as np

from bench.rules.contenders import ROOF_STATE, Contender
from bench.rules.data import TABLE, Data, of_class
from tests.support.bounded import U32, bounded_trajectory
from tests.support.meanings import CLASSES

_STEPS = 2
_FEW = 4


class WrongResult(Exception):
    pass


def verify(contender: Contender, data: Data) -> None:
    """Run a fresh contender for its first steps; raise WrongResult if they are not the rule's."""
    data.reset_sample()
    start = data.flat_p[data.sample].astype(np.float64)
    for _ in range(_STEPS):
        contender.call()
    p = data.flat_p[data.sample].astype(np.float64)
    if contender.name.startswith("roof"):
        if not all(block[data.sample].all() for block in data.flat_state[:ROOF_STATE]):
            raise WrongResult(f"{contender.name}, {data.rule}: it did not write all of the state")
        return

    g = data.flat_g[data.sample]
    true = bounded_trajectory(CLASSES[data.rule][0].family, of_class(data.rule), start, [g] * _STEPS, U32)
    allowed, change = 2 * true["p"].error, np.abs(true["p"].value - start)
    if np.median(change / allowed) < 100:
        # Where the sign of 0 decides, as in Rprop's first step, the analysis allows every outcome. But 0 times g is
        # exact in any arithmetic, and so is a sign: what is left are products, bounded by a few roundings a step.
        allowed = _FEW * _STEPS * U32 * (change + np.abs(start))
    _compare(contender, data.rule, "p", p, true["p"].value, allowed)
    # The comparison has to see a contender that does nothing.
    if np.median(change / allowed) < 100:
        raise WrongResult(f"{data.rule}: the verification cannot see the change of p")
    if contender.shares_state:
        for key, block in zip(TABLE[data.rule].keys, data.flat_state, strict=True):
            state = block[data.sample].astype(np.float64)
            _compare(contender, data.rule, key, state, true[key].value, 2 * true[key].error)


def _compare(contender: Contender, rule: str, what: str, got, true, allowed) -> None:
    wrong = ~(np.abs(got - true) <= allowed)  # written so that a NaN is wrong
    if wrong.any():
        i = int(np.argmax(wrong))
        raise WrongResult(
            f"{contender.name}, {rule}: {int(wrong.sum())} of {len(got)} sampled elements of {what} "
            f"are wrong, the first is {got[i]:.9g}, exact is {true[i]:.9g} +- {allowed[i]:.1e}"
        )
