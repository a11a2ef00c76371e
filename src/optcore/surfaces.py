"""Functions of two variables on which optimizers show their character: value, exact gradient, Hessian, and where to
look.

Owns the formulas and, for each surface, the two lengths by which optimizers are set there: `lr` for those that follow
the gradient, `stride` for those that step by a length of their own. Knows nothing of optimizers and of drawing.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["SURFACES", "Surface", "get"]

Array = npt.NDArray[np.float64]
Field = Callable[[Array], Any]
Point = tuple[float, float]

NOISE_POINTS, NOISE_BATCH = 256, 8      # of the noisy valley: how many points, and how many make a gradient


@dataclass(frozen=True)
class Surface:
    """A function of two variables. Points are float64 arrays of shape (2,), or (2, ...) for many at once.

    value(x), gradient(x) of shape (2,), hessian(x) of shape (2, 2): the function and its exact derivatives
    start: where a race begins; minima: all minima, the lowest first; box: (left, right, bottom, top) to be drawn
    lr: learning rate of the methods that follow the gradient, stride: of those that divide its length away
    steps: how many steps tell the story
    batch: batch(seed, step) gives the value and gradient functions that a step sees, where they are noisy

    >>> from optcore import surfaces
    >>> taco = surfaces.get("taco")
    >>> taco.gradient(taco.minima[0]).tolist()
    [0.0, 0.0]
    """

    name: str
    title: str
    value: Field
    gradient: Field
    hessian: Field
    start: Point
    minima: tuple[Point, ...]
    box: tuple[float, float, float, float] | None
    lr: float
    stride: float
    steps: int = 100
    batch: Callable[[int, int], tuple[Field, Field]] | None = field(default=None, repr=False)

    def __reduce__(self) -> Any:
        """Pickled and copied by name, for the formulas of a surface of ours are functions without one."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        known = SURFACES.get(self.name)
        if known is not None:
            same = {k: v for k, v in plain.items() if callable(v) and v is getattr(known, k)}
            return _of_name, (self.name, {k: v for k, v in plain.items() if k not in same})
        return _of_name, ("", plain)


def _of_name(name: str, others: dict[str, Any]) -> Surface:
    return replace(SURFACES[name], **others) if name else Surface(**others)


def _stack(*rows: Any) -> Array:
    return np.stack(np.broadcast_arrays(*rows)).astype(np.float64)


def _matrix(xx: Any, xy: Any, yy: Any) -> Array:
    a = _stack(xx, xy, xy, yy)
    return a.reshape(2, 2, *a.shape[1:])


# ------------------------------------------------------------------------------------------------ the formulas

STEEP = 50.0                            # the taco's curvature across; along it is 1


def _taco() -> Surface:
    # f = (x^2 + 50 y^2) / 2. At lr = 1.9 / 50 gradient descent turns y into -0.9 y and x into 0.962 x.
    return Surface(
        "taco", "A valley 50 times steeper across than along",
        lambda p: 0.5 * (p[0] ** 2 + STEEP * p[1] ** 2),
        lambda p: _stack(p[0], STEEP * p[1]),
        lambda p: _matrix(1 + 0 * p[0], 0 * p[0], STEEP + 0 * p[0]),
        (-9.0, 1.6), ((0.0, 0.0),), (-10.5, 4.5, -2.6, 2.6), lr=1.9 / STEEP, stride=0.3, steps=80)


def _saddle() -> Surface:
    # f = x^2 / 2 - y^2 / 2 + y^4 / 4: a saddle at 0, minima at y = -1 and y = 1.
    return Surface(
        "saddle", "A saddle point between two minima",
        lambda p: 0.5 * p[0] ** 2 - 0.5 * p[1] ** 2 + 0.25 * p[1] ** 4,
        lambda p: _stack(p[0], p[1] ** 3 - p[1]),
        lambda p: _matrix(1 + 0 * p[0], 0 * p[0], 3 * p[1] ** 2 - 1),
        (-1.5, 1e-3), ((0.0, 1.0), (0.0, -1.0)), (-1.9, 0.9, -0.55, 1.5), lr=0.1, stride=0.03, steps=100)


def _rosenbrock() -> Surface:
    # f = (1 - x)^2 + 100 (y - x^2)^2
    def gradient(p: Array) -> Array:
        r = p[1] - p[0] ** 2
        return _stack(-2 * (1 - p[0]) - 400 * p[0] * r, 200 * r)

    return Surface(
        "rosenbrock", "Rosenbrock's curved valley",
        lambda p: (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2, gradient,
        lambda p: _matrix(2 - 400 * (p[1] - 3 * p[0] ** 2), -400 * p[0], 200 + 0 * p[0]),
        (-1.2, 1.0), ((1.0, 1.0),), (-1.75, 1.6, -0.5, 2.2), lr=1e-3, stride=0.05, steps=400)


def _beale() -> Surface:
    # f = sum over (c, k) of (c - x + x y^k)^2
    terms = ((1.5, 1), (2.25, 2), (2.625, 3))

    def gradient(p: Array) -> Array:
        x, y = p
        r = [(c - x + x * y ** k, k) for c, k in terms]
        return _stack(sum(2 * t * (y ** k - 1) for t, k in r), sum(2 * t * k * x * y ** (k - 1) for t, k in r))

    def hessian(p: Array) -> Array:
        x, y = p
        r = [(c - x + x * y ** k, k, y ** k - 1, k * x * y ** (k - 1)) for c, k in terms]
        return _matrix(
            sum(2 * u * u for _, _, u, _ in r),
            sum(2 * (u * v + t * k * y ** (k - 1)) for t, k, u, v in r),
            sum(2 * (v * v + t * k * (k - 1) * x * y ** max(k - 2, 0)) for t, k, _, v in r))

    return Surface(
        "beale", "Beale's plateau and its steep corner",
        lambda p: sum((c - p[0] + p[0] * p[1] ** k) ** 2 for c, k in terms), gradient, hessian,
        (1.0, 1.5), ((3.0, 0.5),), (-0.5, 4.3, -1.3, 1.9), lr=0.005, stride=0.05, steps=150)


def _himmelblau() -> Surface:
    # f = (x^2 + y - 11)^2 + (x + y^2 - 7)^2
    def gradient(p: Array) -> Array:
        u, v = p[0] ** 2 + p[1] - 11, p[0] + p[1] ** 2 - 7
        return _stack(4 * p[0] * u + 2 * v, 2 * u + 4 * p[1] * v)

    def hessian(p: Array) -> Array:
        u, v = p[0] ** 2 + p[1] - 11, p[0] + p[1] ** 2 - 7
        return _matrix(8 * p[0] ** 2 + 4 * u + 2, 4 * (p[0] + p[1]), 2 + 8 * p[1] ** 2 + 4 * v)

    # Where both brackets vanish: x = 3, y = 2, and the other roots of x + (11 - x^2)^2 = 7.
    others = [float(r) for r in np.roots([1, 3, -13, -38]).real]         # the quartic divided by x - 3
    return Surface(
        "himmelblau", "Himmelblau's four minima around a hill",
        lambda p: (p[0] ** 2 + p[1] - 11) ** 2 + (p[0] + p[1] ** 2 - 7) ** 2, gradient, hessian,
        (0.0, -0.8), ((3.0, 2.0), *((x, 11 - x * x) for x in others)), (-5.2, 5.2, -5.0, 4.8), lr=0.01, stride=0.1,
        steps=100)


def _noisy() -> Surface:
    # Least squares, f = mean (a . p - b)^2 / 2 over 256 points; a step sees 8 of them.
    rng = np.random.default_rng(20)
    a = rng.standard_normal((NOISE_POINTS, 2)) * (0.4, 1.6)
    b = a @ (1.0, 0.5) + rng.standard_normal(NOISE_POINTS)

    def over(rows: Any) -> tuple[Field, Field, Field]:
        a_, b_ = a[rows], b[rows]
        h, c, d = a_.T @ a_ / len(b_), a_.T @ b_ / len(b_), b_ @ b_ / (2 * len(b_))
        return (lambda p: 0.5 * (h[0, 0] * p[0] ** 2 + 2 * h[0, 1] * p[0] * p[1] + h[1, 1] * p[1] ** 2)
                - c[0] * p[0] - c[1] * p[1] + d,
                lambda p: _stack(h[0, 0] * p[0] + h[0, 1] * p[1] - c[0], h[0, 1] * p[0] + h[1, 1] * p[1] - c[1]),
                lambda p: _matrix(*(x + 0 * p[0] for x in (h[0, 0], h[0, 1], h[1, 1]))))

    def batch(seed: int, step: int) -> tuple[Field, Field]:
        rows = np.random.default_rng((seed, step)).choice(NOISE_POINTS, NOISE_BATCH, replace=False)
        return over(rows)[:2]

    value, gradient, hessian = over(slice(None))
    lowest = np.linalg.lstsq(a, b, rcond=None)[0]
    return Surface(
        "noisy", "A valley seen through mini-batches of 8", value, gradient, hessian,
        (-4.0, 2.5), ((float(lowest[0]), float(lowest[1])),), (-4.8, 3.2, -1.6, 3.2), lr=0.1, stride=0.1, steps=150,
        batch=batch)


def _sharp() -> Surface:
    # A wide bowl less two wells of Gaussian shape (depth, width, place): a sharp one on the way to a flat one.
    wells = ((0.75, 0.28, (-1.2, 0.0)), (1.6, 1.1, (2.0, 0.0)))
    bowl, centre = 0.08, (1.5, 0.0)

    def shapes(p: Array) -> list[tuple[Any, Any, Any, float]]:
        found = []
        for depth, width, (cx, cy) in wells:
            u, v = p[0] - cx, p[1] - cy
            found.append((depth * np.exp(-(u * u + v * v) / (2 * width ** 2)), u, v, width ** -2))
        return found

    def value(p: Array) -> Any:
        return (0.5 * bowl * ((p[0] - centre[0]) ** 2 + (p[1] - centre[1]) ** 2)
                - sum(e for e, _, _, _ in shapes(p)))

    def gradient(p: Array) -> Array:
        return _stack(bowl * (p[0] - centre[0]) + sum(e * u * w for e, u, _, w in shapes(p)),
                      bowl * (p[1] - centre[1]) + sum(e * v * w for e, _, v, w in shapes(p)))

    def hessian(p: Array) -> Array:
        s = shapes(p)
        return _matrix(bowl + sum(e * w * (1 - u * u * w) for e, u, _, w in s),
                       -sum(e * w * w * u * v for e, u, v, w in s),
                       bowl + sum(e * w * (1 - v * v * w) for e, _, v, w in s))

    minima = tuple(_settle(gradient, hessian, well[2]) for well in reversed(wells))
    return Surface(
        "sharp", "A sharp minimum on the way to a flat one", value, gradient, hessian,
        (-3.2, 0.25), minima, (-4.2, 4.6, -2.4, 2.4), lr=0.15, stride=0.05, steps=150)


def _settle(gradient: Field, hessian: Field, near: Point) -> Point:
    """The minimum beside a point, by Newton's steps."""
    p = np.array(near)
    for _ in range(20):
        p = p - np.linalg.solve(hessian(p), gradient(p))
    return float(p[0]), float(p[1])


# ------------------------------------------------------------------------------------------------ finding one

SURFACES: dict[str, Surface] = {s.name: s for s in (
    _taco(), _saddle(), _rosenbrock(), _beale(), _himmelblau(), _noisy(), _sharp())}


def get(name: str) -> Surface:
    """The surface of this name. ValueError lists the names there are."""
    try:
        return SURFACES[name.lower()]
    except KeyError:
        raise ValueError(f"surface {name!r} is unknown; there are {', '.join(SURFACES)}") from None
