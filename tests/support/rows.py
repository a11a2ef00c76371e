"""Tables and gradients by rows for tests."""
from __future__ import annotations

import numpy as np

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
