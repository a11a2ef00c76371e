"""Rows of a table that have missed steps, under rows="dense": until when each is up to date, and what the steps were.

Owns that record, for one tensor, and how far back it goes; what is done with it is kernels/catching_up.pxd's. Knows no
front end. Imports nothing compiled.
"""
from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from optcore.rules import Rule

SCALARS, PRELUDE, STATES = 16, 3, 3     # MAX_SCALARS, PRELUDE and MAX_SLOTS in kernels/tensor.pxd
Array = npt.NDArray[Any]
WIDEST = 1024                   # elements of a row whose own number changes as it is brought up (kernels/rows.pxd)


class Behind:
    """rows, width: of the tensor, all of whose rows are up to date at step `step`. arithmetic: the tensor's."""

    def __init__(self, rows: int, width: int, step: int, arithmetic: str) -> None:
        self.width, self.arithmetic = width, arithmetic
        self.last = np.full(rows, step, np.int64)       # of each row: the step that it was brought up to
        self.first = step + 1                           # the step of the first record
        self.terms = 0                                  # how many are made one by one after a row's last; -1: all
        self.narrow: Array = np.zeros((0, SCALARS), np.float32)
        self.wide: Array = np.zeros((0, SCALARS))
        self.fading: Array = np.zeros((0, STATES + 1))

    def record(self, step: int, now: int, rule: Rule, values: tuple[Any, ...], scalars: tuple[float, ...],
               weight: float = 0.0) -> None:
        """What the tensor's next step is made with: settings and scalars of its rule, weight of the average. now: the
        optimizer's step, by which schedules go."""
        if self.width > WIDEST and scalars[1] != 0 and any(x.shape == "row" for x in rule.state):
            raise ValueError(f"weight_decay: under rows=\"dense\" {rule.name} takes it for rows of {WIDEST} elements "
                             f"at most, this table's have {self.width}")
        k = step - self.first
        if k == len(self.wide):
            self.trim(step)
            k = step - self.first
        if k == len(self.wide):
            self.narrow, self.wide, self.fading = (
                np.concatenate([a, np.zeros((max(64, k), a.shape[1]), a.dtype)])
                for a in (self.narrow, self.wide, self.fading))
        with np.errstate(over="ignore"):
            self.narrow[k, :len(scalars)] = self.wide[k, :len(scalars)] = scalars
        terms = rule.idling(now, values, scalars)
        own = (self.narrow if self.arithmetic == "float32" else self.wide)[k, PRELUDE:].astype(np.float64)
        factors = [1.0 if which < 0 else 1.0 - own[which] if less else own[which] for which, less in rule.fading]
        self.fading[k] = [*factors, *[1.0] * (STATES - len(factors)), weight]
        self.terms = -1 if terms < 0 or self.terms < 0 else max(terms, self.terms)

    def trim(self, step: int) -> None:
        """Before this step: forget those that every row has taken."""
        least = int(self.last.min(initial=step - 1)) + 1 - self.first
        if least > 0:
            self.narrow, self.wide, self.fading = (a[least:].copy() for a in (self.narrow, self.wide, self.fading))
            self.first += least

    def history(self) -> tuple[Any, ...]:
        """As Plan.behind takes it."""
        return self.last, self.first, self.narrow, self.wide, self.fading, self.terms
