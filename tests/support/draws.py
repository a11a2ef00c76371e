"""What hypothesis draws in several tests: sizes, offsets, names of rules, legal settings, schedules."""
from __future__ import annotations

from hypothesis import strategies as st

from optcore.rules import FAMILIES, RULES
from optcore.rules.settings import FLAG, FRACTION, _condition
from optcore.schedules import constant, cosine, exponential, one_cycle, piecewise, warmup

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


VALUES = st.sampled_from([0.0, 1e-3, 0.1, 0.3, 1.0]) | st.floats(1e-6, 10.0)
COUNTS = st.integers(1, 40)
SIMPLE = st.one_of(
    st.builds(constant, VALUES), st.builds(exponential, VALUES, st.floats(0.0, 1.0)),
    st.builds(lambda v, s, e, w: cosine(v, s + w, e, w), VALUES, COUNTS, VALUES, st.integers(0, 9)),
    st.builds(one_cycle, VALUES, COUNTS, st.floats(0.0, 1.0), st.sampled_from(["cos", "linear"]),
              st.floats(1.0, 50.0), st.floats(1.0, 1e4)))
SCHEDULES = st.recursive(SIMPLE, lambda inner: st.one_of(
    st.builds(warmup, VALUES, st.integers(0, 20), VALUES, st.none() | inner),
    st.builds(lambda first, rest: piecewise({1: first, **rest}), VALUES | inner,
              st.dictionaries(st.integers(2, 50), VALUES | inner, max_size=3))), max_leaves=4)

# Rules and classes whose state has the parameter's shape, each element for itself; those that keep a number of each row
# have tests of their own in tests/rows.
ELEMENTWISE = sorted(name for name, rule in RULES.items() if all(s.shape == "parameter" for s in rule.state))
ELEMENTWISE_CLASSES = sorted(name for name, family in FAMILIES.items()
                             if set(family.rules) <= set(ELEMENTWISE) and not family.only_rows)
