"""The 35 test problems of More, Garbow and Hillstrom (ACM TOMS 7, 1981), from the paper's formulas.

Each is a sum of squares of residuals. A residual function takes x and computes in its type, so that float32 problems
are float32 throughout; the gradient is 2 J'r with J by complex steps, exact to rounding. `minima` are the paper's, the
local ones too; more that is known of these problems stands beside them.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, sqrt
from typing import Any

import numpy as np

PROBLEMS: dict[int, Problem] = {}
COMPLEX = {np.dtype(np.float32): np.complex64, np.dtype(np.float64): np.complex128}
STEP = 1e-20                    # its square is nothing beside 1, in float32 too


@dataclass(frozen=True)
class Problem:
    number: int
    name: str
    residuals: Callable[[Any], Any]
    x0: tuple[float, ...]
    minima: tuple[float, ...]

    def __call__(self, x: Any) -> tuple[Any, Any]:
        """f and its gradient, in the type of x."""
        with np.errstate(all="ignore"):                         # a far trial step may overflow: that is the test
            r = self.residuals(x)
            g = np.empty_like(x)
            z = x.astype(COMPLEX[x.dtype])
            for j in range(x.size):
                z[j] += 1j * STEP
                g[j] = 2 * (r * (self.residuals(z).imag / x.dtype.type(STEP))).sum()
                z[j] = x[j]
            return (r * r).sum(), g


def gap(p, f):
    """f above the nearest of the known minima, relative to it or, where that is small, to 1e-5 of f at x0."""
    start = float(p(np.array(p.x0))[0])
    return min(abs(f - m) / max(abs(m), 1e-5 * min(start, 1.0)) for m in p.minima)


def problem(name, x0, *minima):
    def add(f):
        number = len(PROBLEMS) + 1
        PROBLEMS[number] = Problem(number, name, f, tuple(float(v) for v in x0), minima)
        return f
    return add


def real(x, values):
    """Data in the precision of x."""
    return np.array(values, x.real.dtype)


def count(x, m, first=1):
    return real(x, np.arange(first, first + m))


@problem("Rosenbrock", (-1.2, 1), 0)
def _(x):
    return np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])


@problem("Freudenstein and Roth", (0.5, -2), 0, 48.98425)
def _(x):
    return np.array([-13 + x[0] + ((5 - x[1]) * x[1] - 2) * x[1], -29 + x[0] + ((x[1] + 1) * x[1] - 14) * x[1]])


@problem("Powell badly scaled", (0, 1), 0)
def _(x):
    return np.array([1e4 * x[0] * x[1] - 1, np.exp(-x[0]) + np.exp(-x[1]) - 1.0001])


@problem("Brown badly scaled", (1, 1), 0)
def _(x):
    return np.array([x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2])


@problem("Beale", (1, 1), 0)
def _(x):
    return np.array([y - x[0] * (1 - x[1] ** i) for i, y in ((1, 1.5), (2, 2.25), (3, 2.625))])


@problem("Jennrich and Sampson", (0.3, 0.4), 124.3622)
def _(x):
    i = count(x, 10)
    return 2 + 2 * i - (np.exp(i * x[0]) + np.exp(i * x[1]))


@problem("helical valley", (-1, 0, 0), 0)
def _(x):
    turn = np.arctan(x[1] / x[0]) / (2 * np.pi) + (0.5 if x[0].real < 0 else 0.0)
    return np.array([10 * (x[2] - 10 * turn), 10 * (np.sqrt(x[0] ** 2 + x[1] ** 2) - 1), x[2]])


@problem("Bard", (1, 1, 1), 8.214877e-3, 17.42869)
def _(x):
    y = real(x, [.14, .18, .22, .25, .29, .32, .35, .39, .37, .58, .73, .96, 1.34, 2.10, 4.39])
    u = count(x, 15)
    v = 16 - u
    return y - (x[0] + u / (v * x[1] + np.minimum(u, v) * x[2]))


@problem("Gaussian", (0.4, 1, 0), 1.12793e-8)
def _(x):
    half = [.0009, .0044, .0175, .0540, .1295, .2420, .3521]
    t = (8 - count(x, 15)) / 2
    return x[0] * np.exp(-x[1] * (t - x[2]) ** 2 / 2) - real(x, [*half, .3989, *half[::-1]])


@problem("Meyer", (0.02, 4000, 250), 87.94586)
def _(x):
    y = real(x, [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872])
    return x[0] * np.exp(x[1] / (45 + 5 * count(x, 16) + x[2])) - y


@problem("Gulf research", (5, 2.5, 0.15), 0)
def _(x):
    t = count(x, 99) / 100
    z = 25 + (-50 * np.log(t)) ** (2 / 3) - x[1]
    z = np.where(z.real < 0, -z, z)
    return np.exp(-np.exp(x[2] * np.log(z)) / x[0]) - t


@problem("Box three-dimensional", (0, 10, 20), 0)
def _(x):
    t = count(x, 10) / 10
    return np.exp(-t * x[0]) - np.exp(-t * x[1]) - x[2] * (np.exp(-t) - np.exp(-10 * t))


@problem("Powell singular", (3, -1, 0, 1), 0)
def _(x):
    return np.array([x[0] + 10 * x[1], sqrt(5) * (x[2] - x[3]), (x[1] - 2 * x[2]) ** 2, sqrt(10) * (x[0] - x[3]) ** 2])


@problem("Wood", (-3, -1, -3, -1), 0)
def _(x):
    return np.array([10 * (x[1] - x[0] ** 2), 1 - x[0], sqrt(90) * (x[3] - x[2] ** 2), 1 - x[2],
                     sqrt(10) * (x[1] + x[3] - 2), (x[1] - x[3]) / sqrt(10)])


@problem("Kowalik and Osborne", (.25, .39, .415, .39), 3.075056e-4, 1.027340e-3)
def _(x):
    y = real(x, [.1957, .1947, .1735, .1600, .0844, .0627, .0456, .0342, .0323, .0235, .0246])
    u = real(x, [4, 2, 1, .5, .25, .167, .125, .1, .0833, .0714, .0625])
    return y - x[0] * (u * u + u * x[1]) / (u * u + u * x[2] + x[3])


@problem("Brown and Dennis", (25, 5, -5, -1), 85822.20)
def _(x):
    t = count(x, 20) / 5
    return (x[0] + t * x[1] - np.exp(t)) ** 2 + (x[2] + x[3] * np.sin(t) - np.cos(t)) ** 2


@problem("Osborne 1", (.5, 1.5, -1, .01, .02), 5.464895e-5)
def _(x):
    y = real(x, [.844, .908, .932, .936, .925, .908, .881, .850, .818, .784, .751, .718, .685, .658, .628, .603, .580,
                 .558, .538, .522, .506, .490, .478, .467, .457, .448, .438, .431, .424, .420, .414, .411, .406])
    t = 10 * count(x, 33, 0)
    return y - (x[0] + x[1] * np.exp(-t * x[3]) + x[2] * np.exp(-t * x[4]))


@problem("Biggs EXP6", (1, 2, 1, 1, 1, 1), 0, 5.655650e-3)
def _(x):
    t = count(x, 13) / 10
    y = np.exp(-t) - 5 * np.exp(-10 * t) + 3 * np.exp(-4 * t)
    return x[2] * np.exp(-t * x[0]) - x[3] * np.exp(-t * x[1]) + x[5] * np.exp(-t * x[4]) - y


@problem("Osborne 2", (1.3, .65, .65, .7, .6, 3, 5, 7, 2, 4.5, 5.5), 4.013774e-2)
def _(x):
    y = real(x, [1.366, 1.191, 1.112, 1.013, .991, .885, .831, .847, .786, .725, .746, .679, .608, .655, .616, .606,
                 .602, .626, .651, .724, .649, .649, .694, .644, .624, .661, .612, .558, .533, .495, .500, .423, .395,
                 .375, .372, .391, .396, .405, .428, .429, .523, .562, .607, .653, .672, .708, .633, .668, .645, .632,
                 .591, .559, .597, .625, .739, .710, .729, .720, .636, .581, .428, .292, .162, .098, .054])
    t = count(x, 65, 0) / 10
    return y - (x[0] * np.exp(-t * x[4]) + sum(x[k] * np.exp(-(t - x[7 + k]) ** 2 * x[4 + k]) for k in (1, 2, 3)))


@problem("Watson", np.zeros(6), 2.287670e-3)
def _(x):
    t, j = count(x, 29)[:, None] / 29, count(x, x.size, 0)
    powers = t ** j
    slope = (j[1:] * x[1:] * powers[:, :-1]).sum(1)
    return np.array([*(slope - (x * powers).sum(1) ** 2 - 1), x[0], x[1] - x[0] ** 2 - 1])


@problem("extended Rosenbrock", (-1.2, 1) * 5, 0)
def _(x):
    return np.concatenate([10 * (x[1::2] - x[::2] ** 2), 1 - x[::2]])


@problem("extended Powell singular", (3, -1, 0, 1) * 3, 0)
def _(x):
    a, b, c, d = x.reshape(-1, 4).T
    return np.concatenate([a + 10 * b, sqrt(5) * (c - d), (b - 2 * c) ** 2, sqrt(10) * (a - d) ** 2])


@problem("penalty I", range(1, 11), 7.087651e-5)
def _(x):
    return np.array([*(sqrt(1e-5) * (x - 1)), (x * x).sum() - 0.25])


@problem("penalty II", [0.5] * 10, 2.936605e-4)
def _(x):
    n, a = x.size, sqrt(1e-5)
    i = count(x, n)
    e, y = np.exp(x / 10), np.exp(i / 10)
    return np.array([x[0] - 0.2, *(a * (e[1:] + e[:-1] - y[1:] - y[:-1])), *(a * (e[1:] - exp(-0.1))),
                     ((n - i + 1) * x * x).sum() - 1])


@problem("variably dimensioned", 1 - np.arange(1, 11) / 10, 0)
def _(x):
    s = (count(x, x.size) * (x - 1)).sum()
    return np.array([*(x - 1), s, s * s])


@problem("trigonometric", [0.1] * 10, 0, 2.795056e-5)
def _(x):
    return x.size - np.cos(x).sum() + count(x, x.size) * (1 - np.cos(x)) - np.sin(x)


@problem("Brown almost linear", [0.5] * 10, 0, 1)
def _(x):
    return np.array([*(x[:-1] + x.sum() - (x.size + 1)), x.prod() - 1])


def grid(x):
    return count(x, x.size) / (x.size + 1)


@problem("discrete boundary value", [t * (t - 1) for t in np.arange(1, 11) / 11], 0)
def _(x):
    h = 1 / (x.size + 1)
    edge = np.concatenate([x[:1] * 0, x, x[:1] * 0])
    return 2 * x - edge[:-2] - edge[2:] + h * h * (x + grid(x) + 1) ** 3 / 2


@problem("discrete integral equation", [t * (t - 1) for t in np.arange(1, 11) / 11], 0)
def _(x):
    t, h = grid(x), 1 / (x.size + 1)
    cube = (x + t + 1) ** 3
    after = ((1 - t) * cube)[::-1].cumsum()[::-1]
    return x + h * ((1 - t) * (t * cube).cumsum() + t * (after - (1 - t) * cube)) / 2


@problem("Broyden tridiagonal", [-1] * 10, 0)
def _(x):
    edge = np.concatenate([x[:1] * 0, x, x[:1] * 0])
    return (3 - 2 * x) * x - edge[:-2] - 2 * edge[2:] + 1


@problem("Broyden banded", [-1] * 10, 0)
def _(x):
    near = [sum(x[j] * (1 + x[j]) for j in range(max(0, i - 5), min(x.size, i + 2)) if j != i) for i in range(x.size)]
    return x * (2 + 5 * x * x) + 1 - np.array(near)


# The linear functions have m = 20 residuals.


@problem("linear, full rank", [1] * 10, 10)
def _(x):
    return np.concatenate([x, np.zeros(10, x.dtype)]) - 2 * x.sum() / 20 - 1


@problem("linear, rank 1", [1] * 10, 20 * 19 / (2 * 41))
def _(x):
    return count(x, 20) * (count(x, 10) * x).sum() - 1


@problem("linear, rank 1, zero columns and rows", [1] * 10, (400 + 60 - 6) / (2 * 37))
def _(x):
    i = count(x, 20, 0)
    i[19] = 0
    return i * (count(x, 10) * x)[1:-1].sum() - 1


@problem("Chebyquad", np.arange(1, 9) / 9, 3.516874e-3)
def _(x):
    z = 2 * x - 1
    t = [z * 0 + 1, z]
    while len(t) <= x.size:
        t.append(2 * z * t[-1] - t[-2])
    return np.array([t[i].mean() - (-1 / (i * i - 1) if i % 2 == 0 else 0) for i in range(1, x.size + 1)])


assert len(PROBLEMS) == 35
