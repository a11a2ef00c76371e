"""Kernel == reference, bit for bit: every rule, flag, size, offset, number of threads and build of the kernels;
and a tensor updated whole, in shards, or among others gives the same bits."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optcore as oc
from optcore.rules import RULES
from tests.support.arrays import placed, random_arrays
from tests.support.bits import assert_same_bits
from tests.support.draws import ELEMENTWISE, OFFSETS, RULE_NAMES, SIZES, settings_for
from tests.support.steps import kernel_step, reference_step, scalars

KINDS = st.sampled_from(["normal", "normal", "tiny", "huge", "mixed"])


@pytest.mark.parametrize("name", sorted(RULES))
@settings(max_examples=60)
@given(data=st.data(), n=SIZES, threads=st.integers(1, 4), kind=KINDS, step=st.integers(1, 2000),
       seed=st.integers(0, 2**32 - 1))
def test_kernel_equals_reference(variant, name, data, n, threads, kind, step, seed):
    rule = RULES[name]
    values = data.draw(settings_for(rule))
    arrays = [placed(a, data.draw(OFFSETS)) for a in random_arrays(rule, n, np.random.default_rng(seed), kind)]
    want = [a.copy() for a in arrays]
    for t in (step, step + 1):
        kernel_step(variant, rule, arrays, t, values, threads)
        reference_step(rule, want, t, values)
    for letter, a, b in zip(rule.arrays, arrays, want, strict=True):
        assert_same_bits(a, b, f"{name}: {letter}")


@pytest.mark.parametrize("name", sorted(RULES))
@pytest.mark.parametrize("n", [100_003, 1 << 20])
def test_large_arrays_through_the_public_functions(name, n):
    """With the cuts and chunks as users have them."""
    rule = RULES[name]
    arrays = random_arrays(rule, n, np.random.default_rng(7))
    want = [a.copy() for a in arrays]
    reference_step(rule, want, 3, {})
    for threads in (1, 2, 3, 4, None):
        got = [a.copy() for a in arrays]
        getattr(oc.functional, name)(*got, step=3, num_threads=threads)
        for letter, a, b in zip(rule.arrays, got, want, strict=True):
            assert_same_bits(a, b, f"{letter}, {threads} threads")


@settings(max_examples=60)
@given(name=RULE_NAMES, n=st.integers(1, 700), cuts=st.lists(st.integers(0, 700), max_size=5),
       seed=st.integers(0, 2**32 - 1), threads=st.integers(1, 4))
def test_shards_equal_the_whole(variant, name, n, cuts, seed, threads):
    rule = RULES[name]
    whole = random_arrays(rule, n, np.random.default_rng(seed))
    shards = [a.copy() for a in whole]
    values = {s.name: s.default for s in rule.all_settings}
    kernel_step(variant, rule, whole, 2, values, threads)
    edges = sorted({0, n, *(c for c in cuts if c < n)})
    for low, high in zip(edges, edges[1:], strict=False):
        kernel_step(variant, rule, [a[low:high] for a in shards], 2, values, 1)
    for a, b in zip(shards, whole, strict=True):
        assert_same_bits(a, b, name)


@settings(max_examples=60)
@given(name=RULE_NAMES, sizes=st.lists(SIZES, max_size=12), data=st.data(), seed=st.integers(0, 2**32 - 1),
       threads=st.integers(1, 4), grain=st.sampled_from([1, 3, 16, 1024]))
def test_many_tensors_in_one_walk_equal_one_by_one(variant, name, sizes, data, seed, threads, grain):
    """Tensors with None for a gradient stay as they are; each takes the scalars that are named for it."""
    rule = RULES[name]
    rng = np.random.default_rng(seed)
    tensors = [[placed(a, data.draw(OFFSETS)) for a in random_arrays(rule, n, rng)] for n in sizes]
    want = [[a.copy() for a in t] for t in tensors]
    blocks = [scalars(rule, step, {s.name: s.default for s in rule.all_settings})
              for step in range(1, 1 + min(2, len(sizes)))]
    which = [int(k) for k in rng.integers(0, max(1, len(blocks)), len(sizes))]
    left_out = rng.random(len(sizes)) < 0.25
    variant._tune(grain_elements=grain, team_from_elements=0)
    plan = variant.Plan(variant.rule_index(rule.kernel), [(t[0], *t[2:]) for t in tensors],
                        list(range(len(tensors))))
    grads = [None if out else t[1] for out, t in zip(left_out, tensors, strict=True)]
    assert plan.step(([(1, b) for b in blocks], which), grads, threads) == int((~left_out).sum())
    for t, w, block, out in zip(tensors, want, which, left_out, strict=True):
        if not out:
            assert variant.apply(variant.rule_index(rule.kernel), tuple(w), blocks[block], 1)
        for a, b in zip(t, w, strict=True):
            assert_same_bits(a, b, name)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_shapes_and_layouts_of_any_rank(variant, name):
    rule = RULES[name]
    for shape in ((), (1,), (0, 3), (5, 7), (2, 3, 4), (3, 1, 1, 17)):
        n = int(np.prod(shape))
        flat = random_arrays(rule, n, np.random.default_rng(0))
        shaped = [a.copy().reshape(shape) for a in flat]
        values = {s.name: s.default for s in rule.all_settings}
        kernel_step(variant, rule, flat, 1, values, 2)
        kernel_step(variant, rule, shaped, 1, values, 2)
        for a, b in zip(shaped, flat, strict=True):
            assert_same_bits(a.ravel(), b, f"{name} {shape}")
