"""What a search is told: values by order or by key, numbers of every kind; whose arrays it moves; flags and states."""
from __future__ import annotations

import collections
import copy
import math
import pickle
import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import optcore as oc
from tests.support.bits import assert_same_bits

SEARCHES = {"RandomSearch": dict(sigma=0.3, samples=3), "ES": dict(lr=0.2, sigma=0.3, samples=2),
            "SPSA": dict(lr=0.01, sigma=0.01, samples=2, noise="gaussian")}
each = pytest.mark.parametrize("name", sorted(SEARCHES))
VALUES = [9.0, 1.0, 5.0, 7.0]


def made(name, x=None, **changed):
    x = np.linspace(-1, 1, 40, dtype=np.float32) if x is None else x
    return x, getattr(oc, name)(x, **{**SEARCHES[name], **changed})


@given(name=st.sampled_from(sorted(SEARCHES)), order=st.permutations(range(4)), kind=st.sampled_from([int, np.int64]),
       rounds=st.integers(1, 3))
def test_a_mapping_is_taken_by_its_keys_in_any_order(name, order, kind, rounds):
    """Trials are numbered by ask(), which for RandomSearch begins at 1 once the value is known."""
    (x, one), (y, other) = made(name), made(name)
    for _ in range(rounds):
        trials = list(one.ask())
        told = {t: VALUES[t] for t in trials}
        one.tell([told[t] for t in trials])
        other.tell({kind(t): told[t] for t in sorted(told, key=order.index)})
        assert one.value == other.value
    assert_same_bits(x, y)


@pytest.mark.parametrize("form", [tuple, np.array, np.float32, collections.deque, lambda v: [np.float32(x) for x in v],
                                  lambda v: [Fraction(x) for x in v], lambda v: [np.array([x]) for x in v],
                                  lambda v: [np.array(x) for x in v], lambda v: [int(x) for x in v]])
@each
def test_lists_and_arrays_of_numbers_of_every_kind(name, form):
    (x, one), (y, other) = made(name), made(name)
    one.tell(VALUES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other.tell(form(VALUES))
    assert_same_bits(x, y)
    assert one.value == other.value


@pytest.mark.parametrize(("values", "message"), [
    (set(VALUES), "^values"), (frozenset(VALUES), "^values"), ((v for v in VALUES), "^values"),
    (map(float, VALUES), "^values"),
    (iter(VALUES), "^values"), (dict(enumerate(VALUES)).values(), "^values"), ("1234", "^values"), (b"1234", "^values"),
    (None, "^values"), (3.0, "^values"), (np.array(3.0), "^values"), (np.ones((4, 2)), r"^values\[0\]"),
    (["9", 1, 5, 7], r"^values\[0\]"), ([9, 1j, 5, 7], r"^values\[1\]"),
    ([9, 1, np.complex64(5), 7], r"^values\[2\]"),
    ([9, 1, 5, None], r"^values\[3\]"), ([9, 1, 5, [7]], r"^values\[3\]"),
    (VALUES[:3], "^values: 4 are needed.* got 3"),
    ([*VALUES, 2], "^values: 4 are needed.* got 5"), ({}, r"^values: trials \[0, 1, 2, 3\] are missing"),
    ({0: 9, 1: 1, 3: 7}, r"^values: trials \[2\] are missing"),
    ({0: 9, 1: 1, 2: 5, 3: 7, 4: 0}, r"\[4\] are none of ask"),
    ({1: 1, 2: 5, 3: 7, 4: 0}, r"\[0\] are missing, and \[4\]"),
    ({"0": 9, "1": 1, "2": 5, "3": 7}, "^values: its keys"), ({0.0: 9, 1.0: 1, 2.0: 5, 3.5: 7}, "^values: its keys"),
    ({0: 9, 1: "x", 2: 5, 3: 7}, r"^values\[1\]"),
], ids=lambda x: type(x).__name__)
@each
def test_what_is_no_value_for_each_trial_is_refused(name, values, message):
    x, opt = made(name)
    before, start = opt.state_dict(), x.copy()
    with pytest.raises((TypeError, ValueError), match=message):
        opt.tell(values)
    assert_same_bits(x, start)
    assert opt.state_dict() == before


@each
def test_one_that_is_not_finite_is_named_by_its_trial(name):
    _, opt = made(name, nonfinite="raise")
    opt.tell(VALUES)
    trials = opt.ask()
    with pytest.raises(FloatingPointError, match=rf"values\[{trials[1]}\] is nan"):
        opt.tell({t: math.nan if t == trials[1] else 1.0 for t in trials})


def test_a_whole_number_beyond_float64_is_infinite():
    _, opt = made("RandomSearch")
    opt.tell([3, 10**400, -10**400, 2])
    assert opt.value == 2 and opt.skipped == 2


# ------------------------------------------------------------------------------------------- whose arrays


@each
def test_an_array_put_in_anothers_place_is_the_one_that_moves(name):
    """In the dict or list that was given; one that does not fit is refused by name."""
    whole, opt = made(name)
    opt.tell(VALUES)
    same = np.linspace(-1, 1, 40, dtype=np.float32)
    for params, key in (({"w": same.copy()}, "w"), ([same.copy()], 0)):
        _, other = made(name, params)
        other.perturbed(1)
        dead, params[key] = params[key], params[key].copy()
        start = dead.copy()
        other.tell(VALUES)
        assert_same_bits(params[key], whole)
        assert_same_bits(dead, start)
        before = other.state_dict()
        for bad, message in ((np.zeros(3, np.float32), "shape"), (np.zeros(40), "float64"), ("x", "str")):
            params[key] = bad
            for call in (lambda o=other: o.tell([1.0] * len(o.ask())), lambda o=other: o.perturbed(1)):
                with pytest.raises((TypeError, ValueError), match=rf"params\[{key!r}\].*{message}"):
                    call()
        if isinstance(params, dict):
            params["v"] = params.pop("w")
        else:
            params.append(whole)
        with pytest.raises(ValueError, match="^params: it had"):
            other.tell([1.0] * len(other.ask()))
        assert other.state_dict() == before


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("form", [lambda x: x, lambda x: [x], lambda x: {"w": x}])
@each
def test_a_copy_moves_the_arrays_copied_with_it(name, form, copied):
    x, opt = made(name)
    y, other = made(name, form(np.linspace(-1, 1, 40, dtype=np.float32)))
    y, other = copied((y, other))
    for o in (opt, other):
        o.tell(VALUES)
    assert_same_bits(y if isinstance(y, np.ndarray) else y["w"] if isinstance(y, dict) else y[0], x)


# ------------------------------------------------------------------------------------------- flags, words, states


@each
def test_maximize_may_be_0_or_1_as_every_flag(name):
    for good in (0, 1, np.False_, np.True_):
        assert made(name, maximize=good)[1].state_dict()["maximize"] is bool(good)


@pytest.mark.parametrize("bad", ["False", 2, 1.0, None, np.array([1, 1]), []])
@each
def test_maximize_is_true_or_false(name, bad):
    with pytest.raises(TypeError, match="^maximize: True or False"):
        made(name, maximize=bad)
    _, opt = made(name)
    before = opt.state_dict()
    with pytest.raises(TypeError, match="^maximize: True or False"):
        opt.load_state_dict({**before, "maximize": bad})
    for key, wrong in (("noise", ["gaussian"]), ("noise", None), ("value", "3"), ("value", 1j), ("step", 1.5),
                       ("skipped", -1)):
        with pytest.raises((TypeError, ValueError), match=rf"^{key}"):
            opt.load_state_dict({**before, key: wrong})
    assert opt.state_dict() == before


def test_a_value_that_nothing_could_better_is_refused():
    """A mean of no usable values is NaN, and says so; the value at the parameters is none."""
    for name in SEARCHES:
        _, opt = made(name)
        state = {**opt.state_dict(), "value": math.nan}
        if name == "RandomSearch":
            with pytest.raises(ValueError, match="^value=nan"):
                opt.load_state_dict(state)
        else:
            opt.load_state_dict(state)


@pytest.mark.parametrize("name", ["ES", "SPSA"])
def test_a_step_of_no_finite_length_is_refused_without_a_warning(name):
    x, opt = made(name, lr=3e38, sigma=5e-324, samples=2)
    start = x.copy()
    with pytest.raises(FloatingPointError, match="beyond float32; nothing was changed"):
        opt.tell(VALUES)
    assert_same_bits(x, start)
