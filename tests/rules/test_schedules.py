"""Schedules as functions: values that can be compared and pickled, ends met exactly, composition, bad arguments.
test_scheduled_settings.py has them as settings, tests/torch/test_schedules.py has torch's as a judge."""
from __future__ import annotations

import copy
import math
import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optcore import schedules
from optcore.schedules import constant, cosine, exponential, one_cycle, piecewise, warmup
from tests.support.draws import COUNTS, SCHEDULES, VALUES

U = 2.0 ** -53


@given(s=SCHEDULES, t=st.integers(1, 200))
def test_a_schedule_is_a_value(s, t):
    """A value between a and b is two products and a sum, three roundings past the larger at most."""
    for twin in (pickle.loads(pickle.dumps(s)), copy.deepcopy(s), eval(repr(s), vars(schedules).copy())):
        assert twin == s and hash(twin) == hash(s) and twin(t) == s(t)
    assert s(np.int64(t)) == s(t) and type(s(t)) is float and 0.0 <= s(t) <= 10.0 * (1 + 3 * U)
    with pytest.raises(FrozenInstanceError):
        s.value = 1.0
    for bad, error in ((0, ValueError), (-1, ValueError), (1.5, TypeError)):
        with pytest.raises(error, match="step"):
            s(bad)


@given(a=VALUES, b=VALUES, steps=COUNTS, wait=st.integers(1, 20), beyond=st.integers(1, 2**40))
def test_ends_are_met_exactly_and_kept(a, b, steps, wait, beyond):
    for s, first, last, end in [
            (constant(a), a, 1, a), (warmup(a, steps, b), b, steps + 1, a), (cosine(a, steps, b), a, steps + 1, b),
            (cosine(a, steps + wait, b, wait), 0.0, steps + wait + 1, b),
            (one_cycle(a, steps + 3), a / 25.0, steps + 3, a / 25.0 / 1e4),
            (piecewise({1: b, steps + 1: a}), b, steps + 1, a), (exponential(a, 1.0), a, 1, a)]:
        assert s(1) == first
        assert s(last) == s(last + 1) == s(last + beyond) == end
    assert warmup(a, 0, b)(1) == a


@given(v=VALUES, end=VALUES, wait=st.integers(1, 20), steps=COUNTS, t=st.integers(1, 80))
def test_composed_schedules_count_from_their_own_beginning(v, end, wait, steps, t):
    after = cosine(v, steps, end)
    want = (warmup(v, wait)(t) if t <= wait else after(t - wait))
    assert cosine(v, wait + steps, end, wait)(t) == want
    assert warmup(v, wait, then=after)(t) == want
    assert piecewise({wait + 1: after, 1: warmup(v, wait)})(t) == want


@pytest.mark.parametrize("make, error, message", [
    (lambda: constant("x"), TypeError, "value"), (lambda: constant(constant(1.0)), TypeError, "value"),
    (lambda: warmup(-1.0, 3), ValueError, "value=-1"), (lambda: warmup(1.0, 3, math.nan), ValueError, "start=nan"),
    (lambda: warmup(1.0, -1), ValueError, "steps=-1"), (lambda: warmup(1.0, 3, then=0.1), TypeError, "then"),
    (lambda: cosine(1.0, 0), ValueError, "steps=0"), (lambda: cosine(1.0, 2.5), TypeError, "steps"),
    (lambda: cosine(1.0, 5, math.inf), ValueError, "end=inf"), (lambda: cosine(1.0, 5, 0.0, 5), ValueError, "warmup=5"),
    (lambda: one_cycle(None, 5), TypeError, "peak"), (lambda: one_cycle(1.0, 5, 1.5), ValueError, "pct_start=1.5"),
    (lambda: one_cycle(1.0, 5, anneal_strategy="exp"), ValueError, "anneal_strategy='exp'"),
    (lambda: one_cycle(1.0, 5, div_factor=0.0), ValueError, "div_factor=0"),
    (lambda: one_cycle(1.0, 5, final_div_factor=1e-300), ValueError, "peak / div_factor / final_div_factor"),
    (lambda: exponential(1.0, -0.5), ValueError, "gamma=-0.5"), (lambda: piecewise(0.1), TypeError, "pieces"),
    (lambda: piecewise({}), ValueError, "pieces.*step 1"), (lambda: piecewise({0: 0.1}), ValueError, "pieces.*=0"),
    (lambda: piecewise({1: 0.1, 5: -1}), ValueError, r"pieces\[5\]=-1"),
])
def test_bad_arguments_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
