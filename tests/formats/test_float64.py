"""float64 parameters, and any order of memory: the reference's bits for every rule, at every step of a class, over
threads; scalars that are not rounded to float32; what does not go with them is refused."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optcore as oc
from optcore import functional, reference
from optcore.formats import playing
from optcore.rules import RULES
from tests.support.arrays import random_arrays, stored
from tests.support.bits import assert_same_bits
from tests.support.draws import ELEMENTWISE_CLASSES, SIZES, settings_for
from tests.support.refusals import refuse

ORDERS = st.sampled_from(["C", "F", "turned"])


def laid_out(a, order):
    """The same numbers in another order of memory."""
    if order == "turned":
        return np.ascontiguousarray(np.moveaxis(a, 0, -1)).transpose(a.ndim - 1, *range(a.ndim - 1))
    return np.array(a, order=order)


@pytest.mark.parametrize("name", sorted(RULES))
@settings(max_examples=40)
@given(data=st.data(), n=SIZES, threads=st.integers(1, 3), kind=st.sampled_from(["normal", "tiny", "mixed"]),
       step=st.integers(1, 10**6), seed=st.integers(0, 2**32 - 1), gradient=st.sampled_from(playing("gradient")))
def test_function_equals_reference(name, data, n, threads, kind, step, seed, gradient):
    rule = RULES[name]
    values = data.draw(settings_for(rule))
    rng = np.random.default_rng(seed)
    arrays = [a * (1 + 2.0 ** -40) for a in map(np.float64, random_arrays(rule, n, rng, kind))]
    with np.errstate(all="ignore"):
        arrays[1] = arrays[1] if gradient == "float64" else stored(arrays[1].astype(np.float32), gradient)
    want = [a.copy() for a in arrays]
    for t in (step, step + 1):
        getattr(functional, name)(*arrays, step=t, num_threads=threads, **values)
        getattr(reference, name)(*want, step=t, **values)
    for letter, a, b in zip(rule.arrays, arrays, want, strict=True):
        assert_same_bits(a, b, letter)


@pytest.mark.parametrize("form", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("family", ELEMENTWISE_CLASSES)
@settings(max_examples=10)
@given(order=ORDERS, other=ORDERS, seed=st.integers(0, 2**32 - 1), threads=st.integers(1, 3))
def test_any_order_of_memory_gives_the_same_numbers(family, form, order, other, seed, threads):
    """Rounding to nearest, as noise goes by the order in memory. State lies as the parameter does."""
    rng = np.random.default_rng(seed)
    shape = (3, 5, 7)
    start = stored(rng.standard_normal(shape).astype(np.float32), form)
    p, q = laid_out(start, order), start.copy()
    a, b = (getattr(oc, family)([x], rounding="nearest", average=0.9) for x in (p, q))
    for t in range(3):
        g = rng.standard_normal(shape).astype(np.float32)
        a.step([laid_out(g, other)], num_threads=threads, undoable=t == 1)
        b.step([g])
        if t == 1:
            a.undo()
            a.step([g], max_norm=np.inf)
    assert_same_bits(p, q)
    for key, x in b.state[0].items():
        assert_same_bits(a.state[0][key], x, key)
        assert key == "step" or [s // a.state[0][key].itemsize for s in a.state[0][key].strides] == [
            s // p.itemsize for s in p.strides]
    loaded = getattr(oc, family)([laid_out(start, other)], rounding="nearest", average=0.9)
    loaded.load_state_dict(a.state_dict())
    for key, x in b.state[0].items():
        assert_same_bits(loaded.state[0][key], x, key)


@pytest.mark.parametrize("kind", [np.complex64, np.complex128])
@pytest.mark.parametrize("family", ELEMENTWISE_CLASSES)
@settings(max_examples=10)
@given(order=ORDERS, seed=st.integers(0, 2**32 - 1))
def test_complex_parameters_are_stepped_as_pairs(family, kind, order, seed):
    rng = np.random.default_rng(seed)

    def drawn():
        return (rng.standard_normal((3, 5)) + 1j * rng.standard_normal((3, 5))).astype(kind)

    def pairs(a):
        return np.stack([a.real, a.imag], axis=-1)

    p = laid_out(drawn(), order)
    q = pairs(p)
    a, b = (getattr(oc, family)({"w": x}, average=0.9) for x in (p, q))
    for t in range(3):
        g = drawn()
        b.step({"w": pairs(g)}, max_norm=3.0)
        given = laid_out(g, order)
        a.step({"w": given}, max_norm=3.0, undoable=True, zero_grads=True)
        assert not given.any()
        if t == 1:
            a.undo()
            a.step({"w": g}, max_norm=3.0)
    assert_same_bits(pairs(p), q)
    for key, x in b.state[0].items():
        assert_same_bits(a.state[0][key], x, key)
    again = getattr(oc, family)({"w": p}, average=0.9)
    again.load_state_dict(a.state_dict())
    for key, x in a.state[0].items():
        assert_same_bits(again.state[0][key], x, key)
    refuse("complex", [p], a.step, {"w": np.ones((3, 5))})


def test_complex_arrays_in_functions():
    p, g = np.full(3, 1 + 2j), np.full(3, 3 - 4j)
    m, v = oc.state_array(p), oc.state_array(p)
    q, n, w = p.copy(), m.copy(), v.copy()
    assert m.shape == (3, 2)
    functional.adam(p, g, m, v, step=1)
    reference.adam(q, g, n, w, step=1)
    for a, b in ((p, q), (m, n), (v, w)):
        assert a.tobytes() == b.tobytes()


def test_scalars_are_not_rounded_to_float32():
    p = np.ones(3)
    oc.SGD([p], lr=1 / 3).step([np.full(3, 0.1)])
    assert (p == 1 - 1 / 3 * 0.1).all()
    opt = oc.SGD([p := np.ones(3)], lr=1.0, average=0.9)
    opt.step([np.full(3, 0.1)], clip_value=1 / 30)
    assert (p == 1 - 1 / 30).all() and opt.averages[0].dtype == np.float64


def test_both_kinds_in_one_optimizer():
    rng = np.random.default_rng(0)
    start = [rng.standard_normal(n) for n in (5, 3000)]
    both = [start[0].copy(), start[1].astype(np.float32)]
    alone = [x.copy() for x in both]
    opt, ones = oc.Adam(both), [oc.Adam([x]) for x in alone]
    for _ in range(3):
        g = [rng.standard_normal(5), rng.standard_normal(3000).astype(np.float32)]
        opt.step(g)
        for one, x in zip(ones, g, strict=True):
            one.step([x])
    for a, b in zip(both, alone, strict=True):
        assert_same_bits(a, b)


def test_norms_are_of_the_gradients_as_they_are():
    g = np.array([1.0, 2.0 ** -30, 1e30]) / 3
    opt = oc.SGD([np.zeros(3)])
    opt.step([g], max_norm=np.inf)
    assert opt.grad_norm == np.sqrt(reference.sum_of_squares([g], "float64"))
    huge = oc.SGD([p := np.zeros(1)], nonfinite="raise")
    with pytest.raises(FloatingPointError, match="add up to infinity"):
        huge.step([np.array([1e200])])
    assert p[0] == 0


def test_what_does_not_go_with_float64_is_refused():
    p = np.ones(300)
    for form in ("bfloat16", "int8"):
        refuse("state_dtype", [p], oc.Adam, [p], state_dtype=form)
        refuse("dtype", [p], oc.state_array, p, form)
    assert oc.state_array(p).dtype == np.float64
    arrays = [p, np.ones(300), np.zeros(300, np.float32), np.zeros(300)]
    refuse("m", arrays, functional.adam, *arrays, step=1)
    refuse("m", arrays, reference.adam, *arrays, step=1)
    good = [p, np.ones(300), np.zeros(300), np.zeros(300)]
    refuse("copy", good, functional.adam, *good, step=1, copy=np.zeros(300, np.float16))
    refuse("average", good, functional.adam, *good, step=1, average=np.zeros(300, np.float32), average_weight=0.1)
    refuse("state_dtype", [], oc.Adam, [np.asfortranarray(np.ones((64, 65), np.float32))], state_dtype="int8")
