"""The limited-memory BFGS direction from the Gram matrix of the stored pairs.

Owns the pairs s = x' - x, y = g' - g of the last m steps and their dots; knows no line search.

An iteration walks over the pairs twice: once for the new row of dots, once to combine (_compact.py says with which
weights).
"""
from __future__ import annotations

import weakref
from math import inf, sqrt
from typing import Any

import numpy as np

from optcore.minimizers import _state, vectors
from optcore.minimizers._compact import weights
from optcore.minimizers.model import Model
from optcore.minimizers.vectors import Vector

# A pair is kept if s.y exceeds this share of |s| |y|: below, it is rounding or no curvature at all.
CURVATURE = 2.0 ** -40


def grown(a: Vector) -> Vector:
    """a with one more row and column of zeros."""
    b = np.zeros((len(a) + 1, len(a) + 1))
    b[:-1, :-1] = a
    return b


class LBFGS(Model):
    def __init__(self, n: int, dtype: Any, *, maxcor: int, num_threads: int) -> None:
        self.n, self.maxcor, self.num_threads = n, maxcor, num_threads
        # One pair more than is used: the new one is made in the spare rows, and may turn out unfit.
        self.s = vectors.rows(maxcor + 1, n, dtype)
        self.y = vectors.rows(maxcor + 1, n, dtype)
        self.lent: list[weakref.ref[Any]] = []          # inverse Hessians that read the rows
        self.skipped = 0
        self.reset()

    def reset(self) -> None:
        """Forget all pairs."""
        self.slots: list[int] = []                      # rows in use, oldest pair first
        self.sy = np.zeros((0, 0))                      # s_i.y_j, exact in its upper triangle only
        self.yy = np.zeros((0, 0))
        self.sg = np.zeros(0)
        self.yg = np.zeros(0)

    @property
    def empty(self) -> bool:            # type: ignore[override]
        return not self.slots

    def accept(self, x_new: Vector, x: Vector, g_new: Vector, g: Vector, shares: tuple[float, float]) -> None:
        """Take the step from x to x_new in; g becomes g_new."""
        if self.lent:
            self._take_back()
        spare = next(k for k in range(self.maxcor + 1) if k not in self.slots)
        kept = self.slots
        rows = [self.s[k] for k in kept] + [self.y[k] for k in kept]
        dots = vectors.pair(x_new, x, g_new, g, self.s[spare], self.y[spare], rows, self.num_threads,
                            *shares)
        m = len(kept)
        self.sg, self.yg = dots[:m, 1], dots[m:2 * m, 1]
        ss, sy, yy = dots[2 * m + 2, 0], dots[2 * m, 0], dots[2 * m + 1, 0]
        if not (sy > CURVATURE * sqrt(ss) * sqrt(yy) and 0 < yy < inf):
            self.skipped += 1
            return
        self.sy, self.yy = grown(self.sy), grown(self.yy)
        self.sy[:m, m], self.sy[m, m] = dots[:m, 0], sy
        self.yy[:m, m] = self.yy[m, :m] = dots[m:2 * m, 0]
        self.yy[m, m] = yy
        self.sg = np.append(self.sg, dots[2 * m, 1])
        self.yg = np.append(self.yg, dots[2 * m + 1, 1])
        self.slots = [*kept, spare]
        if m == self.maxcor:
            self.slots = self.slots[1:]
            self.sy, self.yy, self.sg, self.yg = self.sy[1:, 1:], self.yy[1:, 1:], self.sg[1:], self.yg[1:]

    def turn(self, g: Vector) -> None:
        self.sg = np.array([vectors.dot(self.s[k], g, self.num_threads) for k in self.slots])
        self.yg = np.array([vectors.dot(self.y[k], g, self.num_threads) for k in self.slots])

    def direction(self, x: Vector, g: Vector, d: Vector, trial: Vector, step: float) -> tuple[float, float]:
        """d = -H g and trial = x + step d. Returns g.d and d.d."""
        c, e, b = weights(self.sy, self.yy, self.sg, self.yg)
        rows = [self.s[k] for k in self.slots] + [self.y[k] for k in self.slots]
        return vectors.combine(trial, x, step, d, g, -c, rows, [*-e, *-b], self.num_threads)

    def inverse_hessian(self) -> Any:
        """H as a SciPy LinearOperator. It reads the rows of this model, until they are needed for other pairs."""
        from optcore.minimizers._hess_inv import InverseHessian

        made = InverseHessian(self.n, [self.s[k] for k in self.slots], [self.y[k] for k in self.slots],
                              self.sy, self.yy)
        self.lent = [ref for ref in self.lent if ref() is not None] + [weakref.ref(made)]
        return made

    def _take_back(self) -> None:
        """The rows are about to be written: what was handed out gets copies of its own."""
        for ref in self.lent:
            made = ref()
            if made is not None:
                made.keep()
        self.lent = []

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "lent": []}            # a copy of this model has rows of its own

    def state(self) -> dict[str, Any]:
        return {"slots": list(self.slots), "sy": self.sy.copy(), "yy": self.yy.copy(), "sg": self.sg.copy(),
                "yg": self.yg.copy(), "skipped": self.skipped, "s": self.s[self.slots], "y": self.y[self.slots]}

    def load(self, state: dict[str, Any]) -> None:
        _state.pairs(state, self.maxcor, self.n, self.s.dtype)
        self._take_back()
        self.slots = list(state["slots"])
        self.s[self.slots], self.y[self.slots] = state["s"], state["y"]
        self.sy, self.yy, self.sg, self.yg = (np.array(state[k], np.float64) for k in ("sy", "yy", "sg", "yg"))
        self.skipped = state["skipped"]
