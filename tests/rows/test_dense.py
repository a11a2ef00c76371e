"""rows="dense": what a row that is not named means, held against the dense step and a loop over the reference."""
from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optcore as oc
from optcore.rules import RULES
from optcore.rules.settings import negligible_after
from tests.support.bits import assert_same_bits
from tests.support.meanings import CLASSES
from tests.support.rows import DenseLoop

WITH_ROWS = sorted(CLASSES)
KINDS = [("SGD", {}), ("SGD", {"weight_decay": 0.1}), ("SGD", {"momentum": 0.9}),
         ("SGD", {"momentum": 0.5, "nesterov": True}), ("Adagrad", {}), ("RowwiseAdagrad", {}),
         ("RowwiseAdagrad", {"weight_decay": 0.1}), ("RMSprop", {}), ("RMSprop", {"momentum": 0.8}), ("Adam", {}),
         ("Adam", {"amsgrad": True}), ("Adam", {"weight_decay": 0.01}), ("AdamW", {}), ("AdamW", {"weight_decay": 0.0}),
         ("Lion", {}), ("Lion", {"weight_decay": 0.1}), ("NAdam", {})]


def batches(rng, rows, steps, most):
    """Which rows each step names: one is named every 1 to `most` steps."""
    every = np.exp(rng.uniform(0, np.log(most), rows))
    return [np.flatnonzero(rng.random(rows) < 1 / every) for _ in range(steps)]


@pytest.mark.parametrize("name", WITH_ROWS)
@settings(max_examples=12)
@given(width=st.sampled_from([1, 5, 33, 64]), threads=st.integers(1, 3), seed=st.integers(0, 2**32 - 1),
       dtype=st.sampled_from([np.float32, np.float64]), most=st.sampled_from([3, 12]))
def test_short_gaps_give_the_dense_steps_bits(name, width, threads, seed, dtype, most):
    """Where every row is named again before the steps stop being made one by one: any rule, also one whose gaps have no
    closed form. Where steps are not made one by one (without a first moment; decoupled decay of a row whose state is
    still zero), a product is rounded once, not each time."""
    kind, chosen = CLASSES[name]
    rng, rule = np.random.default_rng(seed), RULES[name]
    a = rng.standard_normal((9, width)).astype(dtype)
    b = a.copy()
    one, other = kind([a], rows="dense", **chosen), kind([b], **chosen)
    for ids in batches(rng, 9, 15, most):
        v = rng.standard_normal((ids.size, width)).astype(dtype)
        g = np.zeros_like(b)
        g[ids] = v
        one.step([oc.Rows(ids, v)], num_threads=threads)
        other.step([g], num_threads=threads)
    one.catch_up()
    at_once = rule.idle is not None and rule.idle(*(s.default for s in rule.settings)) == 0 and any(rule.fades)
    if at_once or rule.decoupled:
        room = 30 * np.finfo(dtype).eps * max(1, np.abs(b).max())       # 15 steps, 2 roundings each
        np.testing.assert_allclose(a, b, rtol=0, atol=room)
        return
    assert_same_bits(a, b)
    for key, s in one.state[0].items():
        np.testing.assert_array_equal(s, other.state[0][key])


@pytest.mark.parametrize("name, chosen", KINDS, ids=[f"{n}{c or ''}" for n, c in KINDS])
def test_gaps_of_any_length_against_the_dense_step(name, chosen):
    """2000 steps, each row named every 1 to 500. What differs is rounding: of a state array multiplied k times, each
    time rounded (2^-24), or once by the product; the same of a parameter that decays; and what the first moment would
    still have moved, under 2^-25 of a step of about lr (negligible_after). None of it grows: a moment forgets, a
    parameter's error adds up to 2000 * 2^-24 of it where it decays; where it does not, to as many units of it as there
    were gaps (2000 at most), and a step's own to 500 * 2^-24 of it, by the root of v, twice that with m's."""
    rng = np.random.default_rng(5)
    a = rng.standard_normal((60, 16)).astype(np.float32)
    b = a.copy()
    one, other = getattr(oc, name)([a], rows="dense", **chosen), getattr(oc, name)([b], **chosen)
    moved = 0.0
    for t, ids in enumerate(batches(rng, 60, 2000, 500)):
        v = rng.standard_normal((ids.size, 16)).astype(np.float32)
        g = np.zeros_like(b)
        g[ids] = v
        before = b.copy()
        one.step([oc.Rows(ids, v)])
        other.step([g])
        moved = moved + np.abs(b - before)
        if t % 100 == 7:
            some = rng.integers(0, 60, 5)
            one.catch_up(0, some)
            assert np.abs(a - b)[some].max() <= (2000 * np.abs(b).max() + 1000 * np.max(moved)) * 2.0 ** -24
    one.catch_up()
    assert np.abs(a - b).max() <= (2000 * np.abs(b).max() + 1000 * np.max(moved)) * 2.0 ** -24


@pytest.mark.parametrize("name", [n for n in WITH_ROWS if RULES[n].idle is not None])
@settings(max_examples=8)
@given(seed=st.integers(0, 2**32 - 1), width=st.sampled_from([3, 40]), decay=st.booleans())
def test_long_gaps_equal_a_loop_over_the_reference(name, seed, width, decay):
    """First so many steps one by one, then products: bit for bit as the reference's formulas do it."""
    kind, chosen = CLASSES[name]
    chosen = {**chosen, **({"weight_decay": 0.1} if decay and "weight_decay" in kind.family.settings else {})}
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((5, width)).astype(np.float32)
    loop = DenseLoop(name, a.copy(), kind, chosen)
    opt = kind([a], rows="dense", **chosen)
    for ids in batches(rng, 5, 330, 300):
        v = rng.standard_normal((ids.size, width)).astype(np.float32)
        opt.step([oc.Rows(ids, v)])
        loop.step(ids, v)
    opt.catch_up()
    loop.catch_up()
    assert_same_bits(a, loop.p)


@pytest.mark.parametrize("ratio", [0.5, 0.9, 0.9 / 0.999 ** 0.5, 0.999])
def test_what_is_negligible(ratio):
    n = negligible_after(ratio)
    assert ratio ** n / (1 - ratio) <= 2.0 ** -25 < ratio ** (n - 1) / (1 - ratio)
    assert negligible_after(0.0) == 0 and negligible_after(1.0) == -1


def test_schedules_and_changed_settings_are_those_of_the_steps_that_were_missed():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((6, 8)).astype(np.float32)
    b = a.copy()
    lr = oc.schedules.cosine(0.1, 40)
    one, other = oc.SGD([a], lr=lr, momentum=0.9, rows="dense"), oc.SGD([b], lr=lr, momentum=0.9)
    for t in range(40):
        ids = np.array([t % 3]) if t else np.arange(6)
        g = np.zeros_like(b)
        g[ids] = 1
        one.step([oc.Rows(ids, g[ids])])
        other.step([g])
        if t == 20:
            for opt in (one, other):
                opt.param_groups[0]["momentum"] = 0.5
    one.catch_up()
    assert_same_bits(a, b)


def test_averages_a_dense_gradient_and_copies_of_the_optimizer():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((6, 8)).astype(np.float32)
    b = a.copy()
    one, other = oc.AdamW([a], average=0.9, rows="dense"), oc.AdamW([b], average=0.9)
    for t in range(30):
        ids = np.array([t % 4, 1])
        g = np.zeros_like(b)
        np.add.at(g, ids, 1)
        if t == 11:
            one.step([g.copy()])                # a dense one in between brings all rows up to date
        else:
            one.step([oc.Rows(ids, np.ones((2, 8), np.float32))])
        other.step([g])
        if t == 17:
            one = pickle.loads(pickle.dumps(one))
            a = one.param_groups[0]["params"][0]
        if t == 19:
            one = copy.deepcopy(one)
            a = one.param_groups[0]["params"][0]
    with pytest.raises(RuntimeError, match="behind"):
        one.state_dict()
    one.catch_up()
    assert_same_bits(a, b)
    assert_same_bits(one.averages[0], other.averages[0])
    for key, s in other.state_dict()["state"][0].items():
        np.testing.assert_array_equal(one.state_dict()["state"][0][key], s)
    kept = one.state_dict()
    again = oc.AdamW([a], average=0.9, rows="dense")
    again.load_state_dict(kept)
    again.step([oc.Rows(np.array([3]), np.ones((1, 8), np.float32))])


def test_undo_goes_back_to_what_was_missed():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((6, 8)).astype(np.float32)
    opt = oc.Adam([a], rows="dense")
    v = np.ones((2, 8), np.float32)
    for k in (0, 1, 2):
        opt.step([oc.Rows(np.array([k, 3]), v)])
    whole, before = pickle.loads(pickle.dumps(opt)), a.copy()
    opt.step([oc.Rows(np.array([0, 5]), v)], undoable=True)
    opt.undo()
    assert_same_bits(a, before)
    for o in (opt, whole):
        o.step([oc.Rows(np.array([0, 1]), v)])
        o.catch_up()
    assert_same_bits(a, whole.param_groups[0]["params"][0])
    opt.step([oc.Rows(np.array([0]), v[:1])], undoable=True)
    opt.catch_up()
    with pytest.raises(RuntimeError, match="undo"):
        opt.undo()


def test_what_is_refused():
    a = np.ones((6, 2000), np.float32)
    with pytest.raises(ValueError, match=r"rows='sparse': it must be lazy or dense"):
        oc.Adam([a], rows="sparse")
    with pytest.raises(ValueError, match=r"rows=\"dense\": params\[0\] would have state in blocks"):
        oc.Adam([a], rows="dense", state_dtype="int8")
    opt = oc.RowwiseAdagrad([a], rows="dense", weight_decay=0.1)
    with pytest.raises(ValueError, match="weight_decay"):
        opt.step([oc.Rows(np.array([0]), np.ones((1, 2000), np.float32))])
    assert (a == 1).all()
    opt = oc.Adam({"t": a}, rows="dense")
    opt.step({"t": oc.Rows(np.array([0]), np.ones((1, 2000), np.float32))})
    for name, ids, error, words in (
            ("u", None, ValueError, "name='u'"), ("t", [0], TypeError, "ids"),
            ("t", np.array([6]), ValueError, r"ids\[0\] is 6"), (None, np.array([0]), TypeError, "ids"),
            ("t", np.array([0.0]), TypeError, "float64")):
        with pytest.raises(error, match=words):
            opt.catch_up(name, ids)
    oc.Adam({"t": a}).catch_up("t", np.array([0]))          # "lazy": nothing to do
