"""8-bit state by rows: what is cut between any two rows is put together again, to the bit."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import optcore as oc
from optcore.formats import block8, rows8

BLOCK, BYTES = block8.BLOCK, block8.BLOCK + block8.UNIT


def codes(n, seed):
    """An array of n elements with a unit of its own for each block."""
    rng = np.random.default_rng(seed)
    return block8.encode8((rng.standard_normal(n) * np.exp(rng.standard_normal(n))).astype(np.float32),
                          np.full(block8.blocks(n) * BLOCK, 1 << block8.BITS - 1, np.uint32), 0)


@given(rows=st.integers(1, 40), width=st.integers(1, 700), cuts=st.lists(st.integers(0, 40), max_size=4),
       seed=st.integers(0, 99))
@example(rows=3, width=256, cuts=[1, 2], seed=0)
@example(rows=9, width=64, cuts=[1, 2, 4], seed=0)
@example(rows=700, width=1, cuts=[1, 255, 256, 257], seed=0)
@example(rows=2, width=513, cuts=[1], seed=0)
def test_rows_are_cut_anywhere_and_put_together_again(rows, width, cuts, seed):
    n = rows * width
    whole = codes(n, seed)
    values = block8.decode8(whole, n, 0)
    by_row = rows8.to_rows(whole, 0, rows, width)
    assert by_row.shape == rows8.shape_of((rows, width)) and by_row.dtype == np.uint8
    np.testing.assert_array_equal(rows8.in_blocks(by_row, (rows, width)), whole)
    parts = sorted({0, rows, *(min(k, rows) for k in cuts)})
    for a, b in zip(parts, parts[1:], strict=False):
        first = a * width
        low, high = first // BLOCK * BLOCK, min(-(-b * width // BLOCK) * BLOCK, n)
        stored = rows8.from_rows(by_row[a:b], first, width, high - low)
        # The blocks that hold these rows have their units, and the codes of their elements.
        assert stored.shape == (block8.blocks(high - low) * BYTES,)
        np.testing.assert_array_equal(block8.units(stored), block8.units(whole)[low // BLOCK:-(-high // BLOCK)])
        np.testing.assert_array_equal(block8.decode8(stored, high - low, 0)[first - low:b * width - low],
                                      values[first:b * width])
        np.testing.assert_array_equal(rows8.to_rows(stored, first, b - a, width), by_row[a:b])


@pytest.mark.parametrize("width", [1, 2, 3, 64, 100, 255, 256, 257, 512, 700])
def test_a_row_has_as_many_units_as_it_can_touch_blocks(width):
    most = max((k * width + width - 1) // BLOCK - k * width // BLOCK + 1 for k in range(BLOCK))
    assert rows8.units_of(width) == most


def test_the_numpy_classes_take_state_over_that_lies_by_rows():
    p = np.ones((50, 100), np.float32)
    opt = oc.Adam([p], state_dtype="int8", seed=1)
    opt.step([np.linspace(-1, 1, p.size, dtype=np.float32).reshape(p.shape)])
    saved = opt.state_dict()
    by_row = {key: x if key == "step" else rows8.to_rows(x, 0, *p.shape) for key, x in saved["state"][0].items()}
    again = oc.Adam([p.copy()], state_dtype="int8", seed=1)
    again.load_state_dict({**saved, "state": {0: by_row}})
    for key, code in (("exp_avg", 0), ("exp_avg_sq", 1)):       # what fills the last block up is nobody's
        mine, theirs = again.state[0][key], opt.state[0][key]
        np.testing.assert_array_equal(block8.units(mine), block8.units(theirs))
        np.testing.assert_array_equal(*(block8.decode8(x, p.size, code) for x in (mine, theirs)))
    by_row["exp_avg"] = by_row["exp_avg"][:-1]
    with pytest.raises(ValueError, match="exp_avg"):
        again.load_state_dict({**saved, "state": {0: by_row}})
