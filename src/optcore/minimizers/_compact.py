"""L-BFGS in compact form: from the dots of the pairs to the weights with which they make H g.

With R the upper triangle of S'Y and D its diagonal, Nocedal's two-loop recursion is two small triangular solves:

    R a = S'g          q.y = Y'g - Y'Y a          R' e = D a - c Y'q          H g = c g - c Y a + S e

where c = s.y / y.y of the last pair is the scale of the first matrix. Sources: Nocedal (Math. Comp. 35, 1980); Byrd,
Nocedal and Schnabel (Math. Prog. 63, 1994) for the compact form.
"""
from __future__ import annotations

import numpy as np

from optcore.minimizers.vectors import Vector


def upper_solve(r: Vector, b: Vector) -> Vector:
    """x with r x = b, r upper triangular."""
    x = np.array(b)
    for i in range(len(b) - 1, -1, -1):
        x[i] = (x[i] - r[i, i + 1:] @ x[i + 1:]) / r[i, i]
    return x


def weights(sy: Vector, yy: Vector, sg: Vector, yg: Vector) -> tuple[float, Vector, Vector]:
    """H g = c g + S e + Y b for pairs with these dots, and a g with those: c, e, b."""
    if not len(sy):
        return 1.0, sg, yg
    c = sy[-1, -1] / yy[-1, -1]
    a = upper_solve(np.triu(sy), sg)
    late = np.diag(sy) * a - c * (yg - yy @ a)
    e = upper_solve(np.triu(sy).T[::-1, ::-1], late[::-1])[::-1]
    return float(c), e, -c * a
