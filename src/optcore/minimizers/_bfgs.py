"""The BFGS direction: the whole inverse Hessian, touched once an iteration.

Owns H, float64. The update by a pair (s, y) is of rank two,

    H+ = H + s w' + w s',    w = (1 + y.Hy / s.y) / (2 s.y) s - Hy / s.y

and needs Hy first. So the update waits: one pass over H applies the last pair's and multiplies the result by the new
y and the new g; the direction then follows from vectors alone. O(n^2), one read and one write of H an iteration.
Source: Nocedal and Wright, Numerical Optimization, section 6.1.
"""
from __future__ import annotations

from math import inf, sqrt
from typing import Any

import numpy as np

from optcore.minimizers import _state, vectors
from optcore.minimizers._lbfgs import CURVATURE
from optcore.minimizers.model import Model
from optcore.minimizers.vectors import Vector


class BFGS(Model):
    def __init__(self, n: int, dtype: Any, *, hess_inv0: Vector | None, num_threads: int) -> None:
        if hess_inv0 is not None and hess_inv0.shape != (n, n):
            raise ValueError(f"hess_inv0 has shape {hess_inv0.shape}, {(n, n)} is needed")
        self.n, self.num_threads = n, num_threads
        self.unit_first = hess_inv0 is None
        self.start = hess_inv0
        self.h = np.zeros((n, n))
        self.s, self.w = np.zeros(n), np.zeros(n)
        self.hy, self.hg = np.zeros(n), np.zeros(n)
        self.skipped = 0
        self.reset()

    def reset(self) -> None:
        """Back to the first matrix: the one given, or the identity, which the first pair scales."""
        self.empty = True
        self.s[:] = self.w[:] = 0.0                     # the update that waits
        self.h[:] = 0.0
        if self.start is None:
            np.fill_diagonal(self.h, 1.0)
        else:
            self.h[:] = self.start

    def accept(self, x_new: Vector, x: Vector, g_new: Vector, g: Vector, shares: tuple[float, float]) -> None:
        """Take the step from x to x_new in; g becomes g_new."""
        s, old_g = x_new - x, g.copy()
        y = g_new - old_g
        g[:] = g_new
        sy, yy = vectors.dot(s, y), vectors.dot(y, y)
        if not (sy > CURVATURE * sqrt(vectors.dot(s, s)) * sqrt(yy) and 0 < yy < inf):
            self.skipped += 1
            self._multiply(y, g)
            self.s[:] = self.w[:] = 0.0
            return
        if self.empty and self.start is None:
            np.fill_diagonal(self.h, sy / yy)
        self.empty = False
        self._multiply(y, g)
        yhy = vectors.dot(y, self.hy)
        self.s[:] = s
        self.w[:] = (1 + yhy / sy) / (2 * sy) * s - self.hy / sy
        # H+ g by the update's formula, from H g.
        self.hg += s * vectors.dot(self.w, g) + self.w * vectors.dot(s, g)

    def turn(self, g: Vector) -> None:
        if not self.empty:
            self._multiply(g, g)
            self.s[:] = self.w[:] = 0.0

    def _multiply(self, y: Vector, g: Vector) -> None:
        vectors.rank_two(self.h, self.s, self.w, y, g, self.hy, self.hg, self.num_threads)

    def direction(self, x: Vector, g: Vector, d: Vector, trial: Vector, step: float) -> tuple[float, float]:
        """d = -H g and trial = x + step d. Returns g.d and d.d."""
        if self.empty:
            self._multiply(g, g)
        np.negative(self.hg, out=d)
        vectors.advance(trial, x, step, d)
        return vectors.dot(g, d), vectors.dot(d, d)

    def inverse_hessian(self) -> Vector:
        return self.h + (self.s[:, None] * self.w + self.w[:, None] * self.s)

    def state(self) -> dict[str, Any]:
        return {"h": self.h.copy(), "s": self.s.copy(), "w": self.w.copy(), "hg": self.hg.copy(),
                "empty": self.empty, "skipped": self.skipped}

    def load(self, state: dict[str, Any]) -> None:
        _state.matrix(state, self.n)
        self.h[:], self.s[:], self.w[:], self.hg[:] = state["h"], state["s"], state["w"], state["hg"]
        self.empty, self.skipped = state["empty"], state["skipped"]
