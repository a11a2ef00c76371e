"""The error of a float32 step is within the bound that rounding allows (see bounded.py), and no larger."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optcore as oc
from optcore import reference
from optcore.rules import RULES
from tests.support.arrays import random_arrays
from tests.support.bounded import U32, Bounded, bounded_step
from tests.support.draws import ELEMENTWISE, settings_for
from tests.support.steps import scalars


@pytest.mark.parametrize("name", ELEMENTWISE)
@settings(max_examples=40)
@given(data=st.data(), n=st.integers(1, 400), step=st.integers(1, 100_000), seed=st.integers(0, 2**32 - 1))
def test_error_of_a_step_is_within_the_derived_bound(name, data, n, step, seed):
    rule = RULES[name]
    values = data.draw(settings_for(rule))
    arrays = random_arrays(rule, n, np.random.default_rng(seed))
    exact = bounded_step(reference, rule, [Bounded.exact(a, U32) for a in arrays], scalars(rule, step, values), U32)
    getattr(oc.functional, name)(*arrays, step=step, **values)
    for letter, got, want in zip((rule.arrays[0], *rule.arrays[2:]), (arrays[0], *arrays[2:]), exact, strict=True):
        known = np.isfinite(want.value) & np.isfinite(want.error)
        off = np.abs(got[known].astype(np.float64) - want.value[known])
        assert (off <= want.error[known]).all(), f"{letter} is off by {off.max()}"


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_the_bound_is_tight_enough_to_mean_something(name):
    """With ordinary settings the bound is a few units in the last place of what is summed, so that a formula
    which is wrong anywhere by one part in a hundred thousand would leave it."""
    rule = RULES[name]
    arrays = random_arrays(rule, 1000, np.random.default_rng(1))
    defaults = {s.name: s.default for s in rule.all_settings}
    exact = bounded_step(reference, rule, [Bounded.exact(a, U32) for a in arrays], scalars(rule, 5, defaults), U32)
    size = np.maximum.reduce([np.abs(a) for a in arrays])
    for value in exact:
        assert np.median(value.error / np.maximum(size, np.abs(value.value))) < 1e-5
