"""Tables and gradients by rows for tests."""
from __future__ import annotations

import numpy as np

from optcore import reference
from optcore.rules import RULES
from tests.support.arrays import random_arrays


def shape_for(state, shape):
    """Of a state array of a parameter of this shape."""
    return shape[:1] if state.shape == "row" else shape


def table(rule, rows, width, rng, arithmetic):
    """(p, state...) of a rule for a table."""
    p, _, *state = random_arrays(rule, rows * width, rng)
    return [p.reshape(rows, width).astype(arithmetic)] + [
        a[:rows].astype(arithmetic) if s.shape == "row" else a.reshape(rows, width).astype(arithmetic)
        for s, a in zip(rule.state, state, strict=True)]


def drawn_ids(rng, rows, kind=np.int64):
    """No numbers, a few, or many of which some rows have hundreds."""
    n = int(rng.choice([0, 1, 5, 40, 700]))
    return (rows * rng.random(n) ** rng.choice([1, 4])).astype(kind)


def copy_of(a):
    return None if a is None else a.copy()


class DenseLoop:
    """What rows="dense" should do for one float32 table, row by row, with the reference's functions alone."""

    def __init__(self, name, p, kind, chosen):
        self.rule, self.p, self.steps = RULES[name], p, 0
        named = {s.name: s.default for s in self.rule.all_settings}
        group = {**kind.family.settings, **chosen}
        self.values = dict(zip(named, kind.family.pick(group)[1], strict=True))
        self.state = [np.full(shape_for(s, p.shape), group.get(kind.family.fill.get(s.key, ""), 0.0), np.float32)
                      for s in self.rule.state]
        self.last = np.zeros(len(p), int)

    def scalars(self, t):
        return np.array(self.rule.scalars(t, *self.values.values()), np.float32)

    def apply(self, row, g, t):
        arrays = [a[row:row + 1] for a in self.state]
        getattr(reference, self.rule.name)(self.p[row:row + 1], g, *arrays, step=t, **self.values)

    def bring_up(self, row, now):
        missed = range(int(self.last[row]) + 1, now)
        terms = self.rule.idling(now, tuple(self.values.values()), self.scalars(now))
        count = len(missed) if terms < 0 else terms
        if terms >= 0 and not any(a[row].any() for a in self.state):
            count = min(terms, 1)
        for t in missed[:count]:
            self.apply(row, np.zeros_like(self.p[:1]), t)
        products = np.ones(len(self.state) + 1)
        for t in missed[count:]:
            own = self.scalars(t).astype(np.float64)
            factors = [1.0 if k < 0 else 1 - own[3 + k] if less else own[3 + k] for k, less in self.rule.fading]
            products = products * [own[2], *factors]
        for a, factor in zip((self.p, *self.state), products.astype(np.float32), strict=True):
            if factor != 1:
                a[row] = a[row] * factor

    def step(self, ids, values):
        self.steps += 1
        for row, g in zip(ids, values, strict=True):
            self.bring_up(row, self.steps)
            self.apply(row, g[None], self.steps)
            self.last[row] = self.steps

    def catch_up(self):
        for row in range(len(self.p)):
            self.bring_up(row, self.steps + 1)
            self.last[row] = self.steps
