"""NumPy as a peer, twice: naive, as the formulas are usually written down, with a new array for each
intermediate result; and careful, with `out=` everywhere, one scratch array and no temporaries.

Each function updates one tensor: p, g, its list of state arrays, and the step counted from 1.
"""

from collections.abc import Callable
from itertools import count
from math import sqrt

import numpy as np

from bench.rules.data import LR, Data, settings

BETA1, BETA2, EPS = (settings("adam")[name] for name in ("beta1", "beta2", "eps"))  # eps is RMSProp's too
MOMENTUM, ALPHA = settings("momentum")["momentum"], settings("rmsprop")["alpha"]


def naive_adam(p, g, state, t):
    m, v = state
    m = BETA1 * m + (1 - BETA1) * g
    v = BETA2 * v + (1 - BETA2) * g**2
    m_hat = m / (1 - BETA1**t)
    v_hat = v / (1 - BETA2**t)
    p -= LR * m_hat / (np.sqrt(v_hat) + EPS)
    state[:] = m, v


def naive_momentum(p, g, state, t):
    v = MOMENTUM * state[0] + g
    p -= LR * v
    state[0] = v


def naive_rmsprop(p, g, state, t):
    v = ALPHA * state[0] + (1 - ALPHA) * g**2
    p -= LR * g / (np.sqrt(v) + EPS)
    state[0] = v


def careful_adam(p, g, state, t, s):
    m, v = state
    np.subtract(g, m, out=s)
    np.multiply(s, 1 - BETA1, out=s)
    np.add(m, s, out=m)
    np.multiply(g, g, out=s)
    np.multiply(s, 1 - BETA2, out=s)
    np.multiply(v, BETA2, out=v)
    np.add(v, s, out=v)
    np.sqrt(v, out=s)
    np.multiply(s, 1 / sqrt(1 - BETA2**t), out=s)
    np.add(s, EPS, out=s)
    np.divide(m, s, out=s)
    np.multiply(s, LR / (1 - BETA1**t), out=s)
    np.subtract(p, s, out=p)


def careful_momentum(p, g, state, t, s):
    (v,) = state
    np.multiply(v, MOMENTUM, out=v)
    np.add(v, g, out=v)
    np.multiply(v, LR, out=s)
    np.subtract(p, s, out=p)


def careful_rmsprop(p, g, state, t, s):
    (v,) = state
    np.multiply(g, g, out=s)
    np.multiply(s, 1 - ALPHA, out=s)
    np.multiply(v, ALPHA, out=v)
    np.add(v, s, out=v)
    np.sqrt(v, out=s)
    np.add(s, EPS, out=s)
    np.divide(g, s, out=s)
    np.multiply(s, LR, out=s)
    np.subtract(p, s, out=p)


NAIVE = {"adam": naive_adam, "momentum": naive_momentum, "rmsprop": naive_rmsprop}
CAREFUL = {"adam": careful_adam, "momentum": careful_momentum, "rmsprop": careful_rmsprop}


def naive(data: Data) -> Callable[[], None]:
    update, steps = NAIVE[data.rule], count(1)
    # New state arrays replace the old ones in each step, so this contender keeps state of its own.
    tensors = [(p, g, [np.zeros_like(p) for _ in data.state]) for p, g in zip(data.p, data.g, strict=True)]

    def call() -> None:
        t = next(steps)
        for p, g, state in tensors:
            update(p, g, state, t)

    return call


def careful(data: Data) -> Callable[[], None]:
    update, steps = CAREFUL[data.rule], count(1)
    scratch = np.zeros(max(data.sizes), np.float32)
    tensors = [
        (p, g, state, scratch[: p.size].reshape(p.shape))
        for p, g, *state in zip(data.p, data.g, *data.state, strict=True)
    ]

    def call() -> None:
        t = next(steps)
        for p, g, state, s in tensors:
            update(p, g, state, t, s)

    return call
