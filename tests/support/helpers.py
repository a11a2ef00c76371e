"""What several tests need: arrays to update, settings to draw, and the two ways to update them."""
from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from optcore import reference
from optcore.rules import RULES
from optcore.rules.settings import FLAG, FRACTION, _condition

# Around the widths of the vectors (4, 8, 16 floats), the head before alignment, the unrolled body, the chunk (4096).
SIZES = st.one_of(
    st.sampled_from([0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129, 1023, 1024, 1025,
                     4095, 4096, 4097, 8193]),
    st.integers(0, 300))

OFFSETS = st.integers(0, 16)                # elements past a cache line

RULE_NAMES = st.sampled_from(sorted(RULES))


@st.composite
def settings_for(draw, rule):
    """Any legal values for all settings of a rule, the edges included."""
    values = {}
    for s in rule.all_settings:
        if s.domain == FLAG:
            values[s.name] = draw(st.booleans())
        elif s.domain == FRACTION:
            values[s.name] = draw(st.sampled_from([0.0, s.default, 0.5, 0.999999]))
        else:
            legal = filter(_condition(s.domain), [0.0, s.default, 1e-3, 0.37, 2.0])
            values[s.name] = draw(st.sampled_from(list(legal)))
    return values


def placed(values, offset):
    """A copy of `values` that begins `offset` elements past the start of a cache line."""
    raw = np.zeros(values.nbytes + 128, np.uint8)
    first = -raw.ctypes.data % 64 + 4 * offset
    a = raw[first:first + values.nbytes].view(values.dtype)
    a[...] = values.ravel()
    return a.reshape(values.shape)


def random_arrays(rule, n, rng, kind="normal"):
    """(p, g, state...) for a rule. State that is a mean of squares or a size is not negative, as it never is."""
    scale = {"normal": 1.0, "tiny": 1e-41, "huge": 1e30, "mixed": 1.0}[kind]
    arrays = [(rng.standard_normal(n) * scale).astype(np.float32) for _ in rule.arrays]
    if kind == "mixed" and n:
        special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 3e38, 1e-38], np.float32)
        for a in arrays:
            where = rng.random(n) < 0.3
            a[where] = rng.choice(special, int(where.sum()))
    for k, key in enumerate(rule.keys, start=2):
        if "sq" in key or key in ("sum", "acc_delta", "exp_inf", "step_size"):
            arrays[k] = np.abs(arrays[k])
    return arrays


def scalars(rule, step, values):
    return rule.scalars(step, *(values[s.name] for s in rule.all_settings))


def kernel_step(module, rule, arrays, step, values, num_threads=0):
    """One step by one build of the kernels, past the public functions, which know one build only."""
    assert module.apply(module.rule_index(rule.kernel), tuple(arrays), scalars(rule, step, values), num_threads)


def reference_step(rule, arrays, step, values):
    getattr(reference, rule.name)(*arrays, step=step, **values)


def assert_same_bits(got, want, what=""):
    """Equal bit for bit, but that one NaN is as good as another: which of two NaNs an operation hands on
    is left open by IEEE 754, and compilers swap the operands."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.dtype == want.dtype and got.shape == want.shape, what
    nan = np.isnan(want)
    np.testing.assert_array_equal(np.isnan(got), nan, err_msg=what)
    integer = f"u{got.dtype.itemsize}"
    np.testing.assert_array_equal(np.where(nan, 0, got.view(integer)), np.where(nan, 0, want.view(integer)),
                                  err_msg=what)
