"""Gradients by rows: what an embedding table's batch touches, without the rest.

Owns the class that users make, and its sum by rows in plain NumPy, in the order in which the kernels add
(kernels/grouping.pxd). What may be in one is gradients.py's. Imports nothing compiled.
"""
from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from optcore.formats import FORMATS, decode, form_of

Array = npt.NDArray[Any]

RUN = 256                       # values of one row that are added one after another


class Rows:
    """A gradient that is zero but for some rows of its parameter.

        gradient[ids[k]] += values[k] for every k

    ids: numbers of rows, an array of whole numbers of one dimension; in any order, any of them more than once, or none.
    values: float32, float64, bfloat16 or float16, of shape (len(ids), *p.shape[1:]). It stands wherever a gradient may:
    in `step` of the classes and in the functions of functional and reference. The parameter lies in C order. Values of
    the same row are added in the order in which they stand (in runs of 256, then the runs' sums), in the parameter's
    arithmetic. Rows that are not named are neither read nor written; what that means is said by rows= of the classes.

    >>> import numpy as np, optcore as oc
    >>> table = np.zeros((4, 2), np.float32)
    >>> opt = oc.SGD([table], lr=1.0)
    >>> opt.step([oc.Rows(np.array([2, 0, 2]), np.ones((3, 2), np.float32))])
    >>> table[:, 0]
    array([-1.,  0., -2.,  0.], dtype=float32)
    """

    __slots__ = ("ids", "values")

    def __init__(self, ids: Any, values: Any) -> None:
        self.ids, self.values = ids, values

    def __repr__(self) -> str:
        return f"Rows(ids of shape {np.shape(self.ids)}, values of shape {np.shape(self.values)})"


def summed(g: Rows, arithmetic: str) -> tuple[Array, Array]:
    """The rows that are touched, in ascending order, and the gradient of each."""
    ids, values = g.ids, decode(g.values, arithmetic)
    order = np.argsort(ids, kind="stable")
    touched, first, counts = np.unique(ids[order], return_index=True, return_counts=True)
    at = np.arange(ids.size) - np.repeat(first, counts)             # which of its row's values each one is
    runs = -(-counts // RUN)
    before = np.cumsum(runs) - runs
    run = np.repeat(before, counts) + at // RUN
    sums = np.zeros((int(runs.sum()), *values.shape[1:]), values.dtype)
    for k in range(min(RUN, int(counts.max(initial=0)))):
        now = at % RUN == k
        sums[run[now]] = values[order[now]] if k == 0 else sums[run[now]] + values[order[now]]
    total = sums[before]
    for k in range(1, int(runs.max(initial=0))):
        more = runs > k
        total[more] = total[more] + sums[before[more] + k]
    return touched, total


def by_row(a: Array, p: Array) -> list[Array]:
    """Views of the parts of an array that belongs to p, whose first dimension counts p's rows: codes in blocks and
    their units are two."""
    if FORMATS[form_of(a)].block == 1:
        return [a]
    return [a[:p.size].reshape(len(p), -1), a[p.size:].reshape(len(p), -1)]
