"""State that comes in is taken over by value, whatever format it comes in, and goes to torch.optim and back."""
from __future__ import annotations

import copy

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optcore as oc
from optcore.formats import FORMATS, form_of
from optcore.rules import FAMILIES, RULES

F = np.float32
FORMS = ["float32", "bfloat16", "int8"]


def values(opt, key, i=0):
    layout = opt._layout
    a = layout.state[i][key]
    return FORMATS[form_of(a)].decode(a, layout.params[i].size, layout.codes[key])


@settings(max_examples=40)
@given(name=st.sampled_from(sorted(FAMILIES)), given_form=st.sampled_from(FORMS), kept_form=st.sampled_from(FORMS),
       seed=st.integers(0, 1000))
def test_state_of_any_format_is_converted_by_value(name, given_form, kept_form, seed):
    """To nearest: within half a unit in the last place of the coarser of both formats. bfloat16 has 8 bits of
    significand. Codes have 5, evenly spaced where they are small: by an eighth of a unit, of which a block's largest
    has 2^7 at least; and no unsigned code is below the first of them."""
    rng = np.random.default_rng(seed)
    p, q = (np.ones(5000, F) for _ in range(2))
    a, b = (getattr(oc, name)([x], state_dtype=form) for x, form in ((p, given_form), (q, kept_form)))
    for _ in range(3):
        a.step([rng.standard_normal(5000).astype(F)])
    b.load_state_dict(a.state_dict())
    assert b.state[0]["step"] == 3
    for key in RULES[FAMILIES[name].pick(a.param_groups[0])[0]].keys:
        x, y = values(a, key), values(b, key)
        kept = FORMATS[form_of(b._layout.state[0][key])]
        if form_of(a._layout.state[0][key]) == kept.name:
            np.testing.assert_array_equal(x, y)
            continue
        bits = {"float32": 24, "bfloat16": 8, "int8": 5}[kept.name]
        least = np.abs(x).max() * 2.0 ** -10 if kept.name == "int8" else 2.0 ** -133
        assert (np.abs(y - x) <= 2.0 ** -bits * np.abs(x) + least).all()


def test_what_comes_from_ml_dtypes_float64_and_float16_is_taken_over():
    p = np.ones(8, F)
    opt = oc.Adam([p])
    opt.step([np.ones(8, F)])
    good = opt.state_dict()
    for dtype in (ml_dtypes.bfloat16, np.float64, np.float16):
        d = copy.deepcopy(good)
        d["state"][0]["exp_avg"] = d["state"][0]["exp_avg"].astype(dtype)
        opt.load_state_dict(d)
        np.testing.assert_array_equal(opt.state[0]["exp_avg"], d["state"][0]["exp_avg"].astype(F))


def test_keys_of_the_users_own_are_taken_along(tmp_path):
    w = np.ones(4, F)
    opt = oc.Adam([w])
    opt.param_groups[0] |= {"name": "head", "initial_lr": 0.5}
    opt.step([w.copy()])
    opt.save(tmp_path / "x")
    other = oc.Adam([w])
    other.load(tmp_path / "x")
    assert other.param_groups[0]["name"] == "head" and other.param_groups[0]["initial_lr"] == 0.5
    other.load_state_dict(oc.Adam([w]).state_dict())
    assert "name" not in other.param_groups[0]


def test_an_average_begins_at_the_parameters_as_they_are_at_the_first_step():
    w = np.ones(4, F)
    opt = oc.SGD([w], lr=1.0, average=0.5)
    start = opt.state_dict()
    for _ in range(3):
        opt.step([np.ones(4, F)])
    opt.load_state_dict(start)
    w[...] = 8
    opt.step([np.ones(4, F)])
    np.testing.assert_array_equal(opt.averages[0], np.full(4, 7.5, F))


@pytest.mark.parametrize("bad", [{}, None, 3, [], {"state": {}}, {"param_groups": []},
                                 {"param_groups": {}, "state": {}}, {"param_groups": [3], "state": {}},
                                 {"param_groups": [{}], "state": {}}])
def test_odd_dictionaries_are_refused_by_what_they_lack(bad):
    opt = oc.Adam([np.ones(4, F)])
    with pytest.raises((TypeError, ValueError), match="state|param_groups"):
        opt.load_state_dict(bad)
