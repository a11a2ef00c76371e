"""numba as a peer: one fused loop under `prange`, compiled for this CPU, IEEE arithmetic (no fastmath).

The scalars are computed inside the compiled function and the arrays are flat, which keeps the dispatch as
cheap as numba allows. A list of tensors is a Python loop over them.
"""

import ctypes
from collections.abc import Callable
from itertools import count

import numba
import numpy as np
from numba import njit, prange

from bench.rules.data import LR, Data, settings

BETA1, BETA2, EPS = (settings("adam")[name] for name in ("beta1", "beta2", "eps"))  # eps is RMSProp's too
MOMENTUM, ALPHA = settings("momentum")["momentum"], settings("rmsprop")["alpha"]

# With numba's default error model each division is checked and may raise, which keeps the loop scalar.
_compile = njit(parallel=True, fastmath=False, error_model="numpy")


@_compile
def adam(p, g, m, v, t, lr):
    beta2, eps = np.float32(BETA2), np.float32(EPS)
    rest1, rest2 = np.float32(1 - BETA1), np.float32(1 - BETA2)
    size = np.float32(lr / (1 - BETA1**t))
    correction = np.float32(1 / np.sqrt(1 - BETA2**t))
    for i in prange(p.size):
        m[i] += rest1 * (g[i] - m[i])
        v[i] = beta2 * v[i] + rest2 * (g[i] * g[i])
        p[i] -= size * m[i] / (np.sqrt(v[i]) * correction + eps)


@_compile
def momentum(p, g, v, t, lr):
    mu, size = np.float32(MOMENTUM), np.float32(lr)
    for i in prange(p.size):
        v[i] = mu * v[i] + g[i]
        p[i] -= size * v[i]


@_compile
def rmsprop(p, g, v, t, lr):
    alpha, rest, eps = np.float32(ALPHA), np.float32(1 - ALPHA), np.float32(EPS)
    size = np.float32(lr)
    for i in prange(p.size):
        v[i] = alpha * v[i] + rest * (g[i] * g[i])
        p[i] -= size * g[i] / (np.sqrt(v[i]) + eps)


KERNELS = {"adam": adam, "momentum": momentum, "rmsprop": rmsprop}


def start(threads: int, openmp_runtime: str | None) -> None:
    """Set numba's threads, start them, and take back what that changes for everybody else.

    numba's OpenMP layer allows nested parallelism in the whole process. torch's square root, a parallel loop
    around a parallel library call, then starts teams within teams: torch's default Adam went from 30 us to
    4 ms a step at 4 Ki. Nobody here gains from nesting, so it is switched off again.
    """
    numba.set_num_threads(threads)  # raises when numba was started with fewer, rather than run unequally
    momentum(*np.ones((3, 64), np.float32), 1, LR)
    if numba.threading_layer() == "omp" and openmp_runtime:
        ctypes.CDLL(openmp_runtime).omp_set_max_active_levels(1)


def prange_loop(data: Data) -> Callable[[], None]:
    update, steps = KERNELS[data.rule], count(1)
    tensors = [tuple(array.reshape(-1) for array in arrays) for arrays in zip(data.p, data.g, *data.state, strict=True)]
    if len(tensors) > 1:

        def call() -> None:
            t = next(steps)
            for arrays in tensors:
                update(*arrays, t, LR)
    elif data.rule == "adam":
        p, g, m, v = tensors[0]

        def call() -> None:
            update(p, g, m, v, next(steps), LR)
    else:
        p, g, v = tensors[0]

        def call() -> None:
            update(p, g, v, next(steps), LR)

    return call
