"""Gradients by rows in the NumPy classes: what a step may be asked for, what lasts, refusals, tables in files."""
from __future__ import annotations

import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optcore as oc
from optcore.rules import FAMILIES
from tests.support.bits import assert_same_bits
from tests.support.rows import drawn_ids

ROWS, WIDTH = 12, 40
NAMES = sorted(FAMILIES)


def dense_of(ids, values, shape):
    """Sums in float64, rounded once: exact for the values that are drawn here."""
    g = np.zeros(shape)
    np.add.at(g, ids, values)
    return g.astype(np.float32)


def whole(rng, n):
    """Values whose sums of a few hundred are exact in float32."""
    return rng.integers(-64, 65, (n, WIDTH)).astype(np.float32) / 64


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), threads=st.integers(1, 3), max_norm=st.sampled_from([None, 0.5, np.inf]),
       clip=st.sampled_from([None, 0.3]), scale=st.sampled_from([None, 8.0]), average=st.sampled_from([None, 0.9]))
def test_all_that_a_step_may_be_asked_for(name, seed, threads, max_norm, clip, scale, average):
    """Where every row is named, a step is the dense one, beside a dense parameter, to the bit; the norm is that of the
    sums (in a shape of its own: each row is summed by itself), so it is compared to 2^-50 of it, and not asked to clip
    to the bit."""
    rng = np.random.default_rng(seed)
    start = [rng.standard_normal((ROWS, WIDTH)).astype(np.float32), rng.standard_normal(7).astype(np.float32)]
    one, two = ([a.copy() for a in start] for _ in range(2))
    a, b = (getattr(oc, name)(params, average=average) for params in (one, two))
    ask = {"clip_value": clip, "grad_scale": scale, "num_threads": threads}
    for _ in range(3):
        ids = np.concatenate([drawn_ids(rng, ROWS), rng.permutation(ROWS)])
        values, other = whole(rng, ids.size), rng.standard_normal(7).astype(np.float32)
        g = dense_of(ids, values, start[0].shape)
        limit = None if max_norm is None else np.inf
        a.step([oc.Rows(ids, values), other], max_norm=limit, **ask)
        b.step([g, other], max_norm=limit, **ask)
        if limit is not None:
            assert abs(a.grad_norm - b.grad_norm) <= 2.0 ** -50 * b.grad_norm
    for x, y in zip(one, two, strict=True):
        assert_same_bits(x, y)
    if max_norm == 0.5:
        a.step([oc.Rows(ids, values), other], max_norm=max_norm)
        b.step([g, other], max_norm=max_norm)
        for x, y in zip(one, two, strict=True):         # the factor may be another double, by 2^-50
            np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)


def test_clearing_and_what_is_not_finite():
    w = np.ones((ROWS, WIDTH), np.float32)
    ids, values = np.array([1, 3, 1]), np.ones((3, WIDTH), np.float32)
    opt = oc.Adam({"w": w}, nonfinite="skip")
    opt.step({"w": oc.Rows(ids, values)}, zero_grads=True)
    assert not values.any() and (w[[0, 2]] == 1).all() and (w[[1, 3]] != 1).all()
    before = w.copy()
    values[2, 5] = np.inf
    opt.step({"w": oc.Rows(ids, values)})
    assert opt.skipped == 1
    assert_same_bits(w, before)
    opt = oc.Adam({"w": w}, nonfinite="raise")
    with pytest.raises(FloatingPointError, match=r"grads\['w'\].values is inf at index \(2, 5\)"):
        opt.step({"w": oc.Rows(ids, values)})
    huge = np.full((2, WIDTH), 3e38, np.float32)            # each is finite, their sum is not
    with pytest.raises(FloatingPointError, match="add up to infinity"):
        opt.step({"w": oc.Rows(np.array([1, 1]), huge)})
    assert_same_bits(w, before)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["float32", "int8"])
def test_undo_keeps_no_more_than_the_rows(name, form):
    if form == "int8" and not FAMILIES[name].keys():
        form = "float32"
    rng = np.random.default_rng(0)
    w = rng.standard_normal((ROWS, 512)).astype(np.float32)
    opt = getattr(oc, name)([w], state_dtype=form)
    for n in (5, 30):
        opt.step([oc.Rows(rng.integers(0, ROWS, n), rng.standard_normal((n, 512)).astype(np.float32))])
    before, state = w.copy(), [{k: np.copy(x) for k, x in s.items()} for s in opt.state]
    ids = np.array([2, 7, 2])
    opt.step([oc.Rows(ids, rng.standard_normal((3, 512)).astype(np.float32))], undoable=True)
    assert sum(a.nbytes for a in opt._before[1]) <= 2 * (w.nbytes + sum(
        x.nbytes for x in opt.state[0].values() if isinstance(x, np.ndarray))) // ROWS + 64
    assert not (w == before).all()
    opt.undo()
    assert_same_bits(w, before)
    for a, b in zip(opt.state, state, strict=True):
        for k in b:
            np.testing.assert_array_equal(a[k], b[k])


def test_what_lasts_lasts():
    rng = np.random.default_rng(0)
    w = rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
    twin = w.copy()
    a, b = oc.RowwiseAdagrad({"w": w}, lr=0.1), oc.RowwiseAdagrad({"w": twin}, lr=0.1)
    for t in range(6):
        g = oc.Rows(rng.integers(0, ROWS, 9), rng.standard_normal((9, WIDTH)).astype(np.float32))
        a.step({"w": pickle.loads(pickle.dumps(g)) if t == 2 else g})
        b.step({"w": g})
        if t == 3:
            saved = a.state_dict()
            a = oc.RowwiseAdagrad({"w": w})
            a.load_state_dict(saved)
    assert_same_bits(w, twin)
    assert a.state[0]["row_sum"].shape == (ROWS,)
    saved = a.state_dict()
    saved["state"][0]["row_sum"] = np.ones((ROWS, WIDTH), np.float32)
    with pytest.raises(ValueError, match=r"row_sum'\] has shape \(12, 40\)"):
        a.load_state_dict(saved)


W = np.ones((ROWS, WIDTH), np.float32)
V = np.ones((2, WIDTH), np.float32)
BAD = {
    "above": (np.array([1, ROWS]), V, ValueError, r"ids\[1\] is 12: params\['w'\] has 12 rows"),
    "negative": (np.array([-1, 0]), V, ValueError, r"ids\[0\] is -1"),
    "above, int32": (np.array([1, ROWS], np.int32), V, ValueError, r"ids\[1\] is 12"),
    "far above": (np.array([1, 2**62]), V, ValueError, r"ids\[1\] is 4611686018427387904"),
    "unsigned, far above": (np.array([1, 2**63 + 1], np.uint64), V, ValueError, "2\\^63"),
    "floats": (np.array([1.0, 2.0]), V, TypeError, "ids is float64, an array of whole numbers"),
    "bools": (np.array([True, False]), V, TypeError, "ids is bool"),
    "two dimensions": (np.array([[1, 2]]), V, ValueError, r"ids has shape \(1, 2\), one dimension"),
    "a list": ([1, 2], V, TypeError, "ids: an array is needed"),
    "too few values": (np.array([1]), V, ValueError, r"values has shape \(2, 40\): for 1 rows"),
    "too narrow": (np.array([1, 2]), V[:, 1:], ValueError, r"values has shape \(2, 39\)"),
    "flat": (np.array([1, 2]), V.ravel(), ValueError, r"values has shape \(80,\)"),
    "whole numbers": (np.array([1, 2]), V.astype(int), TypeError, "values is int64"),
    "its own rows": (np.array([1, 2]), W[:2], ValueError, r"values overlaps params\['w'\]"),
}


@pytest.mark.parametrize("stepped", [False, True], ids=["at the first step", "later"])
@pytest.mark.parametrize("what", BAD)
def test_bad_rows_are_refused_by_name_and_change_nothing(what, stepped):
    ids, values, error, words = BAD[what]
    W[:] = 1
    opt = oc.Adam({"w": W, "b": np.ones(3, np.float32)})
    good = {"w": oc.Rows(np.array([3]), np.ones((1, WIDTH), np.float32)), "b": np.ones(3, np.float32)}
    if stepped:
        opt.step(good)
    before = pickle.dumps((W, opt.state_dict()))
    with pytest.raises(error, match="grads.*" + words):
        opt.step({**good, "w": oc.Rows(ids, values)})
    words = "overlaps" if "overlaps" in words else "g.*" + words.replace(r"params\['w'\]", "p")
    with pytest.raises(error, match=words):
        oc.functional.sgd(W, oc.Rows(ids, values), step=1)
    assert pickle.dumps((W, opt.state_dict())) == before
    opt.step(good)


def test_parameters_that_have_no_rows_one_after_another():
    g = oc.Rows(np.array([1]), np.ones((1, 3), np.float32))
    for p, words in ((np.ones((3, 4), np.float32).T, "not in C order"), (np.ones((), np.float32), "no dimension")):
        with pytest.raises(ValueError, match=words):
            oc.SGD([p]).step([g])
    with pytest.raises(ValueError, match="by rows of 40 elements, and the 8-bit state"):
        oc.Adam([np.ones((200, 40), np.float32)], state_dtype="int8").step(
            [oc.Rows(np.array([1]), np.ones((1, 40), np.float32))])
    for p in (np.ones((3, 4), np.float32).T, np.ones((), np.float32)):
        with pytest.raises(ValueError, match="one number is kept of each of its rows"):
            oc.RowwiseAdagrad([p])


@pytest.mark.parametrize("make", [
    lambda x: x.astype(np.int16), lambda x: x.astype(">i8"), lambda x: np.repeat(x, 2)[::2],
    lambda x: x.astype(np.uint64),
    lambda x: np.frombuffer(b"." + x.astype(np.int64).tobytes(), np.uint8)[1:].view(np.int64)])
def test_unusual_numbers_and_values_are_converted(make):
    x, values = np.array([3, 0, 3]), np.arange(3 * WIDTH, dtype=np.float32).reshape(3, WIDTH)
    a, b = (np.ones((ROWS, WIDTH), np.float32) for _ in range(2))
    oc.SGD([a], lr=0.1).step([oc.Rows(make(x), np.asfortranarray(values))])
    oc.SGD([b], lr=0.1).step([oc.Rows(x, values)])
    assert_same_bits(a, b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64])
def test_rows_of_other_shapes(dtype):
    """Of one dimension, of three; complex ones."""
    rng = np.random.default_rng(0)
    for shape in ((9,), (9, 2, 3)):
        p = rng.standard_normal(shape).astype(dtype)
        q, g = p.copy(), rng.standard_normal(shape).astype(dtype)
        a, b = oc.Adam([p]), oc.Adam([q])
        order = rng.permutation(9)
        a.step([oc.Rows(order, g[order])])
        b.step([g])
        np.testing.assert_array_equal(p, q)


TABLE = """
import os, resource, sys
import numpy as np
import optcore as oc
limit = 192 << 20
rows, width = 3 * limit // (4 * 64), 64
with open(sys.argv[1], "wb") as f:
    f.truncate(4 * rows * width)                        # a file of zeros that takes no disk
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
table = np.memmap(sys.argv[1], np.float32, "r+", shape=(rows, width))
opt = oc.RowwiseAdagrad([table], lr=0.1)
rng, touched = np.random.default_rng(0), set()
for _ in range(3):
    ids = rng.integers(0, rows, 500)
    touched.update(ids.tolist())
    opt.step([oc.Rows(ids, np.ones((500, width), np.float32))], undoable=True, max_norm=1e9)
pages = len({4 * width * k // 4096 for k in touched})
with open("/proc/self/smaps") as f:
    text = f.read()
mine = text[text.index(sys.argv[1]):]
resident = int(mine[mine.index("Rss:"):].split()[1]) * 1024
print(resident, pages * 4096, os.stat(sys.argv[1]).st_blocks * 512, int((table[ids] != 0).all()))
"""


def test_a_table_larger_than_memory(tmp_path):
    """A file of 3 times the memory that the process may have: of it only pages with touched rows are read, but for what
    the kernel reads ahead and maps around a fault (16 pages)."""
    done = subprocess.run([sys.executable, "-c", TABLE, str(tmp_path / "table")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    resident, pages, on_disk, changed = map(int, re.findall(r"\d+", done.stdout))
    assert changed == 1 and pages <= resident <= 17 * pages and on_disk <= 2 * pages + (1 << 20)
