"""Whatever cannot be used is refused by an error that names it, before anything has changed.

Every rule is tried through optcore.functional and through the class that means it. "Nothing has changed" is
taken literally: the bytes of all arrays, those between the elements of a strided one included, and the state and
the step counts of an optimizer; and the next good step is what it would have been.
"""
from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optcore as oc
from optcore.rules import FAMILIES, RULES
from optcore.rules.settings import FLAG
from optcore.step import threads as _threads
from tests.support.arrays import SHAPE, good_arrays
from tests.support.bad_arrays import BAD, BAD_BESIDE, BAD_SHAPE, BAD_TARGET, bad_numbers, others
from tests.support.bits import assert_same_bits
from tests.support.draws import ELEMENTWISE
from tests.support.meanings import CLASSES, numbers_of, of_class
from tests.support.refusals import (
    build,
    functional_refuses,
    gradients_refused,
    parameters_refused,
    refuse,
    refuse_by,
    replaced,
    same_from_here,
)
from tests.support.steps import reference_step

N = 24
NAMES = ELEMENTWISE
MEANT = [name for name in sorted(CLASSES) if name in ELEMENTWISE]


def call(name, arrays, **settings):
    getattr(oc.functional, name)(*arrays, **{"step": 2, **settings})


# ------------------------------------------------------------------------------------------- functional


@pytest.mark.parametrize("name", NAMES)
def test_functional_refuses_bad_arrays(name):
    rule = RULES[name]
    for k, letter in enumerate(rule.arrays):
        kinds = BAD | BAD_SHAPE | {"None": lambda a: None}
        kinds |= others("gradient") if k == 1 else BAD_BESIDE if k else BAD_TARGET
        functional_refuses(name, k, kinds)
        arrays = good_arrays(rule, (1,))
        arrays[k] = arrays[k].reshape(())
        refuse(letter, arrays, call, name, arrays)


@pytest.mark.parametrize("name", NAMES)
def test_functional_refuses_overlaps_and_takes_neighbours(name):
    rule = RULES[name]
    for first, second in itertools.permutations(range(len(rule.arrays)), 2):
        for distance in (0, 1, N // 2, N - 1):
            arrays = good_arrays(rule, (N,))
            memory = np.random.default_rng(0).random(2 * N, np.float32)
            arrays[first], arrays[second] = memory[:N], memory[distance:distance + N]
            for letter in (rule.arrays[first], rule.arrays[second]):
                refuse(letter, arrays, call, name, arrays)
    separate = good_arrays(rule, (N,))
    memory = np.concatenate(separate)
    call(name, [memory[k * N:(k + 1) * N] for k in range(len(separate))])
    reference_step(rule, separate, 2, {})
    assert_same_bits(memory, np.concatenate(separate))


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_functional_refuses_bad_settings(name, data):
    rule = RULES[name]
    arrays = good_arrays(rule)
    for s in rule.all_settings:
        if s.domain != FLAG:
            for bad in (data.draw(bad_numbers(s)), None):
                refuse(s.name, arrays, call, name, arrays, **{s.name: bad})


BAD_STEPS = [0, -1, -10**400, 2.5, 1.0, "x", None, float("nan"), np.float32(1), [1]]
BAD_THREADS = [0, -1, 1_000_000, 10**400, 1e6, 2.5, "2", [1], float("nan")]


@pytest.mark.parametrize("name", NAMES)
def test_functional_refuses_bad_counts(name):
    arrays = good_arrays(RULES[name])
    for step in BAD_STEPS:
        refuse("step", arrays, call, name, arrays, step=step)
    for n in BAD_THREADS:
        refuse("num_threads", arrays, call, name, arrays, num_threads=n)
    want = [a.copy() for a in arrays]
    call(name, arrays, num_threads=np.int64(_threads.LIMIT), step=np.int32(2))
    reference_step(RULES[name], want, 2, {})
    for a, b in zip(arrays, want, strict=True):
        assert_same_bits(a, b)

# ------------------------------------------------------------------------------------------- classes


def test_every_rule_that_takes_a_gradient_has_a_class():
    assert CLASSES.keys() == {name for name, rule in RULES.items() if rule.decay is not None}


@pytest.mark.parametrize("stepped", [False, True], ids=["at the first step", "later"])
@pytest.mark.parametrize("name", MEANT)
def test_classes_refuse_bad_gradients(name, stepped):
    gradients_refused(name, stepped, BAD | BAD_SHAPE | others("gradient"))
    for named in (False, True):
        opt, grads = build(name, named)
        twin, _ = build(name, named)
        if stepped:
            opt.step(grads)
            twin.step(grads)
        key, second = "ab" if named else (0, 1)
        p, other = opt._layout.params[:2]
        bad = [p, p.ravel()[:0], other]
        bad += [a for a in opt.state[0].values() if isinstance(a, np.ndarray)]
        for x in bad:
            refuse_by(opt, f"grads[{key!r}]", [x], opt.step, replaced(grads, key, x))
        refuse_by(opt, f"grads[{second!r}]", [], opt.step, replaced(grads, second, other[:]))
        for n in BAD_THREADS:
            refuse_by(opt, "num_threads", [], opt.step, grads, num_threads=n)
        same_from_here(opt, twin, grads)


@pytest.mark.parametrize("name", MEANT)
def test_classes_refuse_gradients_that_do_not_match_the_parameters(name):
    opt, grads = build(name)
    for bad in (grads[:2], [*grads, grads[0]], [], {}, dict(enumerate(grads)), None, grads[0], 1.0):
        refuse_by(opt, "grads", grads, opt.step, bad)
    same_from_here(opt, build(name)[0], grads)
    opt, grads = build(name, named=True)
    for argument, bad in ((r"'c'", {k: grads[k] for k in "ab"}), (r"'d'", {**grads, "d": grads["a"]}),
                          (r"'a'", {1: None}), ("grads", list(grads.values())), ("grads", None), ("grads", [])):
        refuse_by(opt, argument, [*grads.values()], opt.step, bad)
    same_from_here(opt, build(name, named=True)[0], grads)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_classes_refuse_bad_parameters(family):
    kind = getattr(oc, family)
    rng = np.random.default_rng(0)
    good = rng.standard_normal(SHAPE).astype(np.float32)
    opt = kind([good.copy()])
    memory = np.zeros(2 * N, np.float32)
    parameters_refused(kind, good, BAD | BAD_TARGET | {"None": lambda a: None})
    for distance in (0, 1, N - 1):
        pair = [memory[:N], memory[distance:distance + N]]
        refuse("params[1]", pair, kind, pair)
        refuse("params[1]", pair, kind, [{"params": [a]} for a in pair])
    kind([memory[:N], memory[N:]])
    for argument, group in (("params[1]", {"params": opt.param_groups[0]["params"]}),
                            ("params", {"params": {"w": good}}),
                            ("momentun", {"params": good, "momentun": 0.9}),
                            ("lr", {"params": good, "lr": -1.0})):
        refuse_by(opt, argument, [good], opt.add_param_group, group)
    refuse("params['w'] is a NumPy scalar", [], kind, {"w": np.float32(1)})
    file = io.BytesIO()
    np.savez(file, w=good)
    file.seek(0)
    with np.load(file) as opened:           # reads an array anew at each look-up
        refuse("dict(params)", [], kind, opened)
        kind(dict(opened))
    for bad in ([], (), {}, None, 0.5, "w", object()):       # as in torch, a list of none is a mistake
        refuse("params", [], kind, bad)


@pytest.mark.parametrize("name", MEANT)
def test_classes_refuse_a_gradient_that_shares_an_element_and_take_its_neighbour(name):
    kind, chosen = CLASSES[name]
    memory, far = np.random.default_rng(0).random(3 * N, np.float32), np.ones(N, np.float32)
    opt, twin = (kind([a[N:2 * N], np.zeros(N, np.float32)], **chosen) for a in (memory, memory.copy()))
    for first in (1, N - 1, N, N + 1, 2 * N - 1):
        for k in range(2):
            grads = [memory[first:first + N] if i == k else far for i in range(2)]
            refuse_by(opt, f"grads[{k}]", [memory, far], opt.step, grads)
    same_from_here(opt, twin, [memory[:N], memory[2 * N:]])


@pytest.mark.parametrize("name", MEANT)
@settings(max_examples=25)
@given(data=st.data())
def test_classes_refuse_bad_settings(name, data):
    """In the constructor, and where a group's settings are changed later, before the first step or after it."""
    kind, chosen = CLASSES[name]
    opt, grads = build(name)
    twin, _ = build(name)
    if data.draw(st.booleans()):
        opt.step(grads)
        twin.step(grads)
    group = opt.param_groups[0]
    for s in numbers_of(name):
        _, bad = of_class(kind, s.name, data.draw(bad_numbers(s)))
        key, later = of_class(kind, s.name,
                              data.draw(bad_numbers(s).filter(lambda x: isinstance(x, (int, float, str)))))
        refuse(s.name, [], kind, opt._layout.params, **{**chosen, key: bad})
        before = group[key]
        group[key] = later
        refuse_by(opt, s.name, grads, opt.step, grads)
        group[key] = before
    same_from_here(opt, twin, grads)


TUPLES = [(name, key) for name, family in FAMILIES.items() for key, value in family.settings.items()
          if isinstance(value, tuple)]


@pytest.mark.parametrize("name, key", TUPLES)
@pytest.mark.parametrize("bad", [0.9, None, (0.9,), (0.9, 0.99, 0.999, 0.9999), "abc", {}])
def test_a_tuple_of_another_length_is_named(name, key, bad):
    w = np.ones(3, np.float32)
    refuse(key, [w], getattr(oc, name), [w], **{key: bad})
    opt = getattr(oc, name)([w])
    opt.param_groups[0][key] = bad
    refuse_by(opt, key, [w], opt.step, [w.copy()])


def test_rprop_reads_its_first_step_size_once_and_checks_it():
    w = np.ones(3, np.float32)
    for bad in (-1.0, "x", lambda t: 0.1):
        refuse("lr", [w], oc.Rprop, [w], lr=bad)
