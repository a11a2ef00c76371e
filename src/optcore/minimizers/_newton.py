"""Newton's directions: from the whole Hessian, or from its products with vectors.

Owns what is done where the Hessian is not positive definite, so that a direction always leads down, and a saddle
point is left.

`Newton` solves H d = -g by Cholesky. Where that fails it factors PHP' = LDL' (Bunch and Kaufman) and takes the
eigenvalues of D by their size (Cheng and Higham, SIAM J. Matrix Anal. 19, 1998).

`NewtonCG` solves H d = -g by conjugate gradients, as far as the gradient is worth, and stops at a direction of negative
curvature (Steihaug, SIAM J. Numer. Anal. 20, 1983).

Where the gradient vanishes both ask whether H has a negative eigenvalue, the second of a vector with no preference, and
if so step along it.
"""
from __future__ import annotations

from collections.abc import Callable
from math import frexp, ldexp, sqrt
from typing import Any

import numpy as np

from optcore.minimizers import vectors
from optcore.minimizers.model import Model
from optcore.minimizers.vectors import Vector

FLAT = 2.0 ** -26               # an eigenvalue below this share of the largest is no curvature
LOOKS = 30                      # products that the search for a saddle's way out may take


class _Curved(Model):
    """A direction is found as soon as the curvature is known."""

    unit_first = False

    def __init__(self, n: int) -> None:
        self.d = np.zeros(n)

    def reset(self) -> None:
        self.empty, self.escaping = True, False

    def direction(self, x: Vector, g: Vector, d: Vector, trial: Vector, step: float) -> tuple[float, float]:
        d[:] = self.d if self.escaping or not self.empty else -g
        vectors.advance(trial, x, step, d)
        return vectors.dot(g, d), vectors.dot(d, d)

    def _escape(self, v: Vector, curvature: float, g: Vector) -> None:
        v = v / np.sqrt(v @ v)
        self.d[:] = -v if g @ v > 0 else v
        self.escaping, self.curvature = True, float(curvature)

    def state(self) -> dict[str, Any]:
        return {"nhev": self.nhev, "empty": self.empty}

    def load(self, state: dict[str, Any]) -> None:
        self.nhev, self.empty = state["nhev"], state["empty"]


class Newton(_Curved):
    def look(self, g: Vector, hess: Any, hessp: Callable[[Vector], Vector] | None, flat: bool) -> str:
        h = np.asarray(hess() if callable(hess) else hess, np.float64)
        self.nhev += 1
        self.empty, self.escaping = flat, False
        if h.shape != (g.size, g.size):
            raise ValueError(f"hess has shape {h.shape}, {(g.size, g.size)} is needed")
        if not np.isfinite(h).all():
            return "hess is not finite"
        if flat:
            values, directions = np.linalg.eigh(h)
            if values.min(initial=0) < -FLAT * np.abs(values).max(initial=0):
                self._escape(directions[:, 0], values[0], g)
        else:
            with np.errstate(over="ignore", invalid="ignore"):     # too long a direction is refused for its length
                self.d[:] = -solved(h, g)
        return ""


def solved(h: Vector, g: Vector) -> Vector:
    """|H|^-1 g, where |H| is H if that is positive definite and a matrix near it if not."""
    from scipy.linalg import cho_factor, cho_solve, ldl, solve_triangular

    try:
        factor = cho_factor(h)
        diagonal = np.abs(np.diag(factor[0]))
        if diagonal.min() > FLAT * diagonal.max():
            x: Vector = cho_solve(factor, g)
            return x
    except np.linalg.LinAlgError:
        pass
    outer, d, p = ldl(h)
    if not (np.isfinite(outer).all() and np.isfinite(d).all()):     # a pivot so small that its inverse is infinite
        return g
    lower = outer[p]
    u = solve_triangular(lower, g[p], lower=True, unit_diagonal=True)
    least = max(FLAT * np.abs(d).max(), np.finfo(np.float64).tiny)
    i = 0
    while i < g.size:
        size = 2 if i + 1 < g.size and d[i + 1, i] != 0 else 1
        block = slice(i, i + size)
        values, directions = np.linalg.eigh(d[block, block])
        u[block] = directions @ ((directions.T @ u[block]) / np.maximum(np.abs(values), least))
        i += size
    x = np.empty_like(u)
    x[p] = solve_triangular(lower.T, u, unit_diagonal=True, check_finite=False)
    return x


class NewtonCG(_Curved):
    def look(self, g: Vector, hess: Any, hessp: Callable[[Vector], Vector] | None, flat: bool) -> str:
        if hessp is None:
            h = hess() if callable(hess) else hess
            hessp = (h if hasattr(h, "__matmul__") else np.asarray(h)).__matmul__
        self.empty, self.escaping = flat, False
        if flat:
            # Of no preference and the same each time: a vector orthogonal to the way out would miss it.
            b = np.random.default_rng(g.size).standard_normal(g.size)
            _, way, curvature = self._solve(hessp, b, 0.0, min(g.size, LOOKS))
            if way is not None:
                self._escape(way, curvature, g)
            return ""
        unit = ldexp(1.0, frexp(np.abs(g).max())[1] - 1)        # so that no square overflows
        b = -g / unit
        size = sqrt(vectors.dot(b, b))
        d, way, _ = self._solve(hessp, b, min(0.5, sqrt(unit * size)) * size, 10 * g.size)
        if way is not None and not d.any():
            d = way                             # -g itself
        self.d[:] = unit * d
        return ""

    def _solve(self, hessp: Callable[[Vector], Vector], b: Vector, tolerance: float,
               most: int) -> tuple[Vector, Vector | None, float]:
        """Conjugate gradients on H d = b: d, and the direction of negative curvature that ended them, with its
        curvature, if one did."""
        d, r, p = np.zeros_like(b), b.copy(), b.copy()
        rr, largest = vectors.dot(r, r), 0.0
        for _ in range(most):
            if sqrt(rr) <= tolerance or rr == 0:
                break
            hp = np.ascontiguousarray(hessp(p), np.float64).reshape(-1)
            self.nhev += 1
            if hp.size != p.size:
                raise ValueError(f"hessp gave {hp.size} numbers, {p.size} are needed")
            pp, php = vectors.dot(p, p), vectors.dot(p, hp)
            if not np.isfinite(php):
                break
            largest = max(largest, sqrt(vectors.dot(hp, hp) / pp))
            if php < -FLAT * largest * pp:
                return d, p, php / pp
            if php <= FLAT * FLAT * largest * pp:       # flat: nothing more to be learnt along p
                break
            d = d + rr / php * p
            r = r - rr / php * hp
            rr, before = vectors.dot(r, r), rr
            p = r + rr / before * p
        return (d if d.any() else b), None, 0.0
