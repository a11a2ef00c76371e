"""What is done in the same walk: clipping by the global norm, clearing gradients; what a non-finite one does; undo."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optcore as oc
from optcore import reference
from optcore.step import arrays as _arrays
from tests.support.arrays import stored
from tests.support.bits import assert_same_bits, compare
from tests.support.classes import each_variation, tensors
from tests.support.draws import SIZES


@settings(max_examples=80)
@given(sizes=st.lists(SIZES, max_size=6), form=st.sampled_from(_arrays.GRADIENT), threads=st.integers(1, 4),
       seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1.0, 1e-30, 1e4]))
def test_sum_of_squares_has_the_references_bits(variant, sizes, form, threads, seed, scale):
    rng = np.random.default_rng(seed)
    grads = [stored((rng.standard_normal(n) * scale).astype(np.float32), form) for n in sizes]
    rows = [(np.zeros(n, np.float32),) for n in sizes]
    plan = variant.Plan(variant.rule_index("SGD"), rows, list(range(len(sizes))))
    got = plan.squares(grads, threads)
    assert got == reference.sum_of_squares(grads)
    # Against a sum that rounds once: each of the at most 64 + 4 + 24 additions on an element's way, of numbers that
    # are not negative, is off by at most 2^-53 of the sum.
    exact = sum(float(x) ** 2 for g in grads for x in reference.decode(g).astype(np.float64))
    assert abs(got - exact) <= (92 + sum(sizes)) * 2.0**-53 * exact


@each_variation
@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), max_norm=st.sampled_from([0.0, 0.01, 1.0, 1e6]), threads=st.integers(1, 3))
def test_a_clipped_step_is_a_step_with_clipped_gradients(name, chosen, seed, max_norm, threads):
    """Bit for bit: the factor is rounded to float32 once and multiplied once, wherever that is done."""
    rng = np.random.default_rng(seed)
    mine = tensors(rng)
    other = [p.copy() for p in mine]
    clipped, plain = getattr(oc, name)(mine, **chosen), getattr(oc, name)(other, **chosen)
    for t in range(3):
        grads = tensors(rng)
        grads[t] = None
        before = [None if g is None else g.copy() for g in grads]
        clipped.step(grads, max_norm=max_norm, num_threads=threads)
        norm = np.sqrt(reference.sum_of_squares([g for g in grads if g is not None]))
        assert clipped.grad_norm == norm
        factor = np.float32(min(1.0, max_norm / (norm + 1e-6)))
        plain.step([None if g is None else np.asarray(factor * g) for g in grads])
        for a, b in zip(grads, before, strict=True):
            assert a is b is None or a.tobytes() == b.tobytes()
    for a, b in zip(mine, other, strict=True):
        assert_same_bits(a, b)


@each_variation
@pytest.mark.parametrize("form", _arrays.GRADIENT)
def test_gradients_are_cleared_in_the_walk_and_the_step_is_the_same(name, chosen, form):
    rng = np.random.default_rng(1)
    sizes = ((9000,), (17,), (), (0,), (33, 65))
    mine = tensors(rng, sizes)
    other = [p.copy() for p in mine]
    one, two = getattr(oc, name)(mine, **chosen), getattr(oc, name)(other, **chosen)
    for threads in (1, 2, 3):
        grads = [np.asarray(stored(np.atleast_1d(g), form)).reshape(g.shape) for g in tensors(rng, sizes)]
        two.step([g.copy() for g in grads])
        one.step(grads, zero_grads=True, num_threads=threads)
        assert not any(g.view(np.uint8 if g.ndim else g.dtype).any() for g in grads)
    for a, b in zip(mine, other, strict=True):
        assert_same_bits(a, b)


@each_variation
@pytest.mark.parametrize("form", ["float32", "bfloat16"])
def test_undo_gives_the_previous_bits_back(name, chosen, form):
    rng = np.random.default_rng(3)
    mine = tensors(rng)
    opt = getattr(oc, name)(mine, **chosen, state_dtype=form)
    with pytest.raises(RuntimeError, match="undo"):
        opt.undo()
    for t in range(4):
        grads = tensors(rng)
        grads[t] = None
        before = [p.copy() for p in mine], opt.state_dict()
        opt.step(grads, undoable=True)
        after = [p.copy() for p in mine], opt.state_dict()
        opt.undo()
        compare((mine, opt.state_dict()), before)
        with pytest.raises(RuntimeError, match="undo"):
            opt.undo()
        opt.step(grads, undoable=True)
        with pytest.raises(ValueError, match="grads"):
            opt.step([grads[0], *grads[:-1]], undoable=True)
        opt.undo()                                          # a refused step does not count as one
        compare((mine, opt.state_dict()), before)
        opt.step(grads, undoable=t % 2 == 0)
        compare((mine, opt.state_dict()), after)
    with pytest.raises(RuntimeError, match="undo"):
        opt.undo()                                          # the last step was not undoable


def fresh(**settings):
    rng = np.random.default_rng(2)
    params = [rng.standard_normal(n).astype(np.float32) for n in (50, 3000)]
    opt = oc.Adam(params, **settings)
    opt.step([p.copy() for p in params])
    return opt, params


def everything(opt):
    return [p.tobytes() for p in opt.param_groups[0]["params"]] + [
        (s["step"], s["exp_avg"].tobytes(), s["exp_avg_sq"].tobytes()) for s in opt.state]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("form", _arrays.GRADIENT)
@pytest.mark.parametrize("where", [0, 1234, 2999])
@pytest.mark.parametrize("max_norm", [None, 1.0])
def test_non_finite_gradients(bad, form, where, max_norm):
    for policy in ("skip", "raise", "propagate"):
        opt, params = fresh(nonfinite=policy)
        grads = [np.ones(50, np.float32), np.ones(3000, np.float32)]
        grads[1][where] = bad
        grads = [stored(g, form) for g in grads]
        before = everything(opt)
        if policy == "skip":
            opt.step(grads, max_norm=max_norm)
            assert opt.skipped == 1 and everything(opt) == before
            with pytest.raises(RuntimeError, match="undo"):
                opt.undo()
            opt.step(grads, max_norm=max_norm, zero_grads=True)
            assert opt.skipped == 2 and everything(opt) == before and not any(g.any() for g in grads)
            opt.step(grads, max_norm=max_norm)
            assert opt.skipped == 2 and [s["step"] for s in opt.state] == [2, 2]
        elif policy == "raise":
            with pytest.raises(FloatingPointError, match=rf"grads\[1\] is .* at index {where};"):
                opt.step(grads, max_norm=max_norm)
            assert everything(opt) == before
        else:
            opt.step(grads, max_norm=max_norm)
            assert not np.isfinite(params[1][where]) or np.isnan(opt.state[1]["exp_avg"][where])
            # As with torch: a NaN norm makes every gradient NaN, an infinite one clips all others to zero.
            everywhere = max_norm is not None and np.isnan(bad)
            assert np.isnan(params[0]).all() if everywhere else np.isfinite(params[0]).all()


def test_large_but_finite_gradients_are_not_taken_for_infinite():
    opt, params = fresh(nonfinite="raise")
    opt.step([np.full(50, 3e38, np.float32), np.full(3000, -3e38, np.float32)], max_norm=1.0)
    assert opt.grad_norm == pytest.approx(3e38 * np.sqrt(3050), rel=1e-6)   # 3e38 in float32 is off by 2^-24 at most
    assert all(np.isfinite(p).all() for p in params)


def test_mistakes_are_refused_before_anything_is_changed():
    opt, params = fresh()
    good = [np.ones(50, np.float32), np.ones(3000, np.float32)]
    locked = [good[0], np.ones(3000, np.float32)]
    locked[1].flags.writeable = False
    shared = np.ones(3050, np.float32)
    before = everything(opt)
    for message, attempt in {
        "max_norm=-1": lambda: opt.step(good, max_norm=-1),
        "max_norm=nan": lambda: opt.step(good, max_norm=float("nan")),
        "max_norm: a number": lambda: opt.step(good, max_norm="1"),
        r"grads\[1\] is read-only": lambda: opt.step(locked, zero_grads=True),
        r"grads\[1\] has holes": lambda: opt.step([good[0], np.ones(6000, np.float32)[::2]], zero_grads=True),
        r"grads\[\d\] overlaps grads": lambda: opt.step([shared[:50], shared[49:3049]], zero_grads=True),
        "nonfinite='ignore'": lambda: oc.Adam(params, nonfinite="ignore"),
    }.items():
        with pytest.raises((TypeError, ValueError), match=message):
            attempt()
        assert everything(opt) == before and (shared == 1).all() and (good[0] == 1).all()
    opt.step([shared[:50], shared[50:]], zero_grads=True)
    assert not shared.any()
