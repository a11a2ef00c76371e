"""A KeyboardInterrupt at any moment: a step is made and counted, or not made, and the next one works.

With lr 1 and gradients of 1 a parameter counts its own steps, so parameters, state and counts can be compared after
each interrupt. The signals are timed to fall all over a step's Python."""
from __future__ import annotations

import signal

import numpy as np
import pytest

import optcore as oc

F = np.float32
FIRES = 2500                # of each of the five kinds below: over 10,000 in all


class Alarm:
    """Raises KeyboardInterrupt once in the block, some microseconds after it began, if that is still going on."""

    def __init__(self):
        self.armed = False
        self.fired = 0
        self.before = signal.signal(signal.SIGALRM, self.ring)

    def ring(self, *_):
        if self.armed:
            self.armed = False
            self.fired += 1
            raise KeyboardInterrupt

    def __call__(self, seconds, work):
        try:
            self.armed = True
            signal.setitimer(signal.ITIMER_REAL, seconds)
            work()
        except KeyboardInterrupt:
            pass
        finally:
            self.armed = False

    def close(self):
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self.before)


@pytest.fixture
def alarm():
    made = Alarm()
    yield made
    made.close()


def one_kernel():
    P = [np.zeros(3, F), np.zeros(2, F)]
    return P, oc.SGD(P, lr=1.0), {}


def several_kernels():
    P = {"a": np.zeros(3, F), "b": np.zeros(2, F)}
    groups = [{"params": {"a": P["a"]}}, {"params": {"b": P["b"]}, "momentum": 1e-30}]
    return list(P.values()), oc.SGD(groups, lr=1.0), {}


def some_left_out():
    P = [np.zeros(3, F), np.zeros(2, F), np.zeros(1, F)]
    return P, oc.SGD(P, lr=1.0), {"left_out": 1}


def undoable():
    P = [np.zeros(3, F)]
    return P, oc.SGD(P, lr=1.0), {"undoable": True}


def clipped():
    P = [np.zeros(3, F)]
    return P, oc.SGD(P, lr=1.0, nonfinite="skip", average=0.5), {"max_norm": 1e30, "zero_grads": False}


@pytest.mark.parametrize("kind", [one_kernel, several_kernels, some_left_out, undoable, clipped])
def test_a_step_is_made_and_counted_or_not_made(kind, alarm):
    P, opt, options = kind()
    left_out = options.pop("left_out", None)
    grads = [None if k == left_out else np.ones(p.shape, F) for k, p in enumerate(P)]
    if opt._layout.names is not None:
        grads = dict(zip(opt._layout.names, grads, strict=True))
    rng = np.random.default_rng(0)
    turns = 0
    while alarm.fired < FIRES:
        turns += 1
        assert turns < 40 * FIRES, "the alarm hardly ever rings"
        alarm(float(rng.uniform(1e-6, 40e-6)), lambda opt=opt: [opt.step(grads, **options) for _ in range(30)])
        counts = [s["step"] for s in opt.state]
        for k, (p, n) in enumerate(zip(P, counts, strict=True)):
            assert (p == -n).all(), f"after {alarm.fired} interrupts {k} has moved {-p[0]} times and counted {n}"
        assert len({n for k, n in enumerate(counts) if k != left_out}) == 1, counts
        if counts[0] > 1_000_000:                   # float32 counts no further than 2^24
            P, opt, _ = kind()
    before = [s["step"] for s in opt.state]
    opt.step(grads, **options)
    assert all(s["step"] == n + (k != left_out) for k, (s, n) in enumerate(zip(opt.state, before, strict=True)))
    if "undoable" in options:
        opt.undo()
        assert [s["step"] for s in opt.state] == before and (P[0] == -before[0]).all()
