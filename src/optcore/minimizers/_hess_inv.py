"""The inverse Hessian that L-BFGS ends with, with the names of SciPy's LbfgsInvHessProduct.

Owns no pairs: it reads the rows of the model, which calls keep() before it writes to them. A run that ends
copies nothing. Imports SciPy, so it is imported when a result is made.
"""
from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from optcore.minimizers._compact import weights
from optcore.minimizers.vectors import Vector


class InverseHessian(LinearOperator):       # type: ignore[misc]
    """H = c I + S E + Y B of the last pairs, n x n, symmetric and positive definite: H @ v and todense().

    sk, yk: the steps and the differences of gradients, float64 of shape (n_corrs, n), oldest first, made when asked
    for. rho: 1 / s.y of each. Unlike SciPy's, whose first matrix is I, the first matrix is c I with c = s.y / y.y of
    the last pair: that with which the run went on. It can be pickled and copied.
    """

    def __init__(self, n: int, s: list[Vector], y: list[Vector], sy: Vector, yy: Vector) -> None:
        super().__init__(np.dtype(np.float64), (n, n))
        self._s, self._y = s, y
        self._sy, self._yy = sy, yy         # the model replaces these, and never writes to them
        self._kept = False

    def keep(self) -> None:
        """Read copies of the rows from now on."""
        if not self._kept:
            self._s, self._y = [np.array(a) for a in self._s], [np.array(a) for a in self._y]
            self._kept = True

    @property
    def n_corrs(self) -> int:
        return len(self._s)

    @property
    def sk(self) -> Vector:
        return self._stacked(self._s)

    @property
    def yk(self) -> Vector:
        return self._stacked(self._y)

    @property
    def rho(self) -> Vector:
        inverse: Vector = 1 / np.diag(self._sy)
        return inverse

    def _stacked(self, rows: list[Vector]) -> Vector:
        return np.array(rows, np.float64).reshape(len(rows), self.shape[0])

    def _matvec(self, v: Any) -> Vector:
        v = np.asarray(v, np.float64).reshape(-1)
        c, e, b = weights(self._sy, self._yy, *(np.array([row @ v for row in rows]) for rows in (self._s, self._y)))
        out: Vector = c * v
        for weight, row in zip([*e, *b], [*self._s, *self._y], strict=True):
            out += weight * row
        return out

    def _adjoint(self) -> InverseHessian:
        return self

    _transpose = _adjoint

    def todense(self) -> Vector:
        """The matrix, n x n."""
        n = self.shape[0]
        made = np.empty((n, n))
        unit = np.zeros(n)
        for i in range(n):
            unit[i] = 1.0
            made[i] = self._matvec(unit)
            unit[i] = 0.0
        return (made + made.T) / 2          # it is symmetric but for the order of its sums

    def __getstate__(self) -> dict[str, Any]:
        # Rows alone, not the whole grid that they are views of.
        rows = {name: [np.array(a) for a in getattr(self, name)] for name in ("_s", "_y")}
        return {**self.__dict__, **rows, "_kept": True}
