"""Gradients by rows: kernel == reference, bit for bit, for every rule, format, width, kind of numbers, number of
threads and build; and the same as the dense step, where every row is there once."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optcore import Rows
from optcore.formats import playing
from optcore.rules import RULES
from tests.support.arrays import placed, stored
from tests.support.bits import assert_same_bits
from tests.support.draws import OFFSETS, settings_for
from tests.support.rows import copy_of, drawn_ids, table
from tests.support.steps import kernel_step, reference_step, scalars

# Around the width below which rows are copied together (32), the vectors', a scratch (1024), blocks of state (256).
WIDTHS = st.sampled_from([1, 2, 3, 7, 16, 31, 32, 33, 64, 100, 256, 1000, 1024, 1025, 2048 + 5])
GRADIENTS = st.sampled_from(playing("gradient"))
WITH_GRADIENT = sorted(name for name, rule in RULES.items() if rule.decay is not None)


@pytest.mark.parametrize("name", WITH_GRADIENT)
@settings(max_examples=50)
@given(data=st.data(), width=WIDTHS, threads=st.integers(1, 4), step=st.integers(1, 2000),
       seed=st.integers(0, 2**32 - 1), arithmetic=st.sampled_from(["float32", "float32", "float64"]), form=GRADIENTS,
       kind=st.sampled_from([np.int32, np.int64]))
def test_kernel_equals_reference(variant, name, data, width, threads, step, seed, arithmetic, form, kind):
    rule, rng = RULES[name], np.random.default_rng(seed)
    values = data.draw(settings_for(rule))
    rows = int(rng.integers(1, 40))
    p, *state = (placed(a, data.draw(OFFSETS)) for a in table(rule, rows, width, rng, arithmetic))
    want = [copy_of(a) for a in (p, *state)]
    for t in (step, step + 1):
        ids = drawn_ids(rng, rows, kind)
        g = rng.standard_normal((ids.size, width)).astype(np.float32)
        g = Rows(ids, g if form == "float32" else stored(g, form))
        kernel_step(variant, rule, [p, g, *state], t, values, threads)
        reference_step(rule, [want[0], g, *want[1:]], t, values)
    for letter, a, b in zip((rule.arrays[0], *rule.arrays[2:]), (p, *state), want, strict=True):
        assert_same_bits(a, b, f"{name}: {letter}")


@pytest.mark.parametrize("name", sorted(name for name, rule in RULES.items() if rule.decay is not None))
@settings(max_examples=30)
@given(data=st.data(), narrow=st.sampled_from(["bfloat16", "int8"]), parameter=st.sampled_from(["float32", "bfloat16"]),
       threads=st.integers(1, 3), seed=st.integers(0, 2**32 - 1),
       beside=st.sampled_from(["", "compensation", "residual", "copy", "average"]))
def test_narrow_formats(variant, name, data, narrow, parameter, threads, seed, beside):
    """State in bfloat16 or blocks of 8 bits, parameters in bfloat16, what stands beside them, clipping."""
    rule, rng = RULES[name], np.random.default_rng(seed)
    width = data.draw(st.sampled_from([256, 512, 1280] if narrow == "int8" else [1, 5, 33, 256, 1025]))
    rows = int(rng.integers(1, 12))
    p, *state = table(rule, rows, width, rng, "float32")
    state = [stored(a.ravel() if narrow == "int8" else a, narrow, s.code) if s.shape != "row" else a
             for s, a in zip(rule.state, state, strict=True)]
    p = p if parameter == "float32" else stored(p, parameter)
    extra = {"compensation": np.zeros(p.shape, np.uint16) if parameter != "float32" else None,
             "copy": np.zeros(p.shape, np.float16), "average": np.zeros(p.shape, np.float32)}
    if beside == "residual" and extra["compensation"] is not None:
        beside, extra["compensation"] = "compensation", np.zeros(p.shape, np.int8)
    others = {k: a if k == beside else None for k, a in extra.items()}
    values = {s.name: s.default for s in rule.all_settings}
    got, want = [[copy_of(a) for a in (p, *state, *others.values())] for _ in range(2)]
    for t in (3, 4):
        ids = drawn_ids(rng, rows, np.int64)
        g = Rows(ids, rng.standard_normal((ids.size, width)).astype(np.float32))
        assert variant.apply(variant.rule_index(rule.kernel), (got[0], g, *got[1:]), scalars(rule, t, values), threads,
                             5, t, 0, False, 0.7, 0.25)
        reference_step(rule, [want[0], g, *want[1:1 + len(state)]], t, {
            **values, **dict(zip(others, want[1 + len(state):], strict=True)), "seed": 5, "clip_value": 0.7,
            "average_weight": 0.25})
    for k, (a, b) in enumerate(zip(got, want, strict=True)):
        if a is not None:
            assert_same_bits(a, b, f"{name}: array {k}")


@pytest.mark.parametrize("name", WITH_GRADIENT)
@settings(max_examples=15)
@given(width=WIDTHS, threads=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
def test_all_rows_once_are_the_dense_step(variant, name, width, threads, seed):
    rule, rng = RULES[name], np.random.default_rng(seed)
    rows = int(rng.integers(1, 30))
    values = {s.name: s.default for s in rule.all_settings}
    p, *state = table(rule, rows, width, rng, "float32")
    g = rng.standard_normal((rows, width)).astype(np.float32)
    want = [copy_of(a) for a in (p, g, *state)]
    order = rng.permutation(rows)
    kernel_step(variant, rule, [p, Rows(order, g[order]), *state], 3, values, threads)
    kernel_step(variant, rule, want, 3, values, threads)
    for a, b in zip((p, *state), (want[0], *want[2:]), strict=True):
        assert_same_bits(a, b, name)


@settings(max_examples=60)
@given(width=st.sampled_from([1, 5, 64, 1100]), n=st.integers(0, 20_000), threads=st.integers(1, 4),
       seed=st.integers(0, 2**32 - 1), skew=st.sampled_from([1, 3, 20]), big=st.booleans())
def test_sums_have_one_shape(variant, width, n, threads, seed, skew, big):
    """Of rows that come seldom, often and nearly always, at any number of threads: as the reference adds them; and it
    adds every value once."""
    rng = np.random.default_rng(seed)
    n = n if width < 100 else n % 3000
    rows = 3_000_000 // width if big else 50
    ids = (rows * rng.random(n) ** skew).astype(np.int64)
    values = rng.integers(-8, 9, (n, width)).astype(np.float32)         # whole numbers: their sums are exact
    p = np.zeros((rows, width), np.float32)
    kernel_step(variant, RULES["sgd"], [p, Rows(ids, values)], 1, {
        "lr": 1.0, "weight_decay": 0.0, "maximize": True}, threads)
    exact = np.zeros((rows, width))
    np.add.at(exact, ids, values.astype(np.float64))
    np.testing.assert_array_equal(p, exact)
    values = rng.standard_normal((n, width)).astype(np.float32)
    q, p = np.zeros_like(p), np.zeros_like(p)
    kernel_step(variant, RULES["sgd"], [p, Rows(ids, values)], 1, {
        "lr": 1.0, "weight_decay": 0.0, "maximize": True}, threads)
    reference_step(RULES["sgd"], [q, Rows(ids, values)], 1, {"lr": 1.0, "weight_decay": 0.0, "maximize": True})
    assert_same_bits(p, q)
