"""State formats by parameter group: each tensor is stepped as by an optimizer of its own that keeps its format, and a
change of format between steps converts what there is by value."""
from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optcore as oc
from optcore.formats import form_of
from optcore.rules import FAMILIES
from tests.support.refusals import refuse, refuse_by

F = np.float32
FORMS = ["float32", "bfloat16", "int8"]
NAMES = sorted(name for name, family in FAMILIES.items() if family.keys() and not family.only_rows)
SIZES = [(300,), (5000,), (70, 70), (), (256,)]
asked = st.fixed_dictionaries({}, optional={"state_dtype": st.sampled_from(FORMS),
                                            "min_8bit_size": st.sampled_from([0, 1, 256, 301, 4096, 5001])})


def bits(opt, i=0):
    return [(key, x if key == "step" else x.tobytes()) for key, x in opt.state[i].items()]


@settings(max_examples=60)
@given(name=st.sampled_from(NAMES), first=asked, groups=st.lists(st.tuples(asked, asked), min_size=3, max_size=3),
       seed=st.integers(0, 2**32))
def test_each_group_keeps_its_formats_and_what_changes_is_converted_by_value(name, first, groups, seed):
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(shape).astype(F).reshape(shape) for shape in SIZES]
    if "row" in FAMILIES[name].shapes.values():
        arrays = [a for a in arrays if a.ndim]
    mine, theirs = [a.copy() for a in arrays], [a.copy() for a in arrays]
    opt = getattr(oc, name)([{"params": mine[k::2], **groups[0][k]} for k in (0, 1)], seed=seed, **first)
    numbers = [*range(0, len(mine), 2), *range(1, len(mine), 2)]            # of the tensors, in the optimizer's order
    theirs = [theirs[i] for i in numbers]
    group_of = [i % 2 for i in numbers]
    alone = None                        # an optimizer for each; a tensor's number is added to the seed
    for t, now in enumerate(groups):
        for k in (0, 1):
            for key in ("state_dtype", "min_8bit_size"):
                opt.param_groups[k].pop(key, None)
            opt.param_groups[k].update(now[k])
        before = alone
        alone = [getattr(oc, name)([a], seed=seed + i, **{**first, **now[group_of[i]]}) for i, a in enumerate(theirs)]
        if before is not None:
            for old, new in zip(before, alone, strict=True):
                new.load_state_dict(old.state_dict())
        for _ in range(2):
            grads = [rng.standard_normal(a.shape).astype(F).reshape(a.shape) for a in theirs]
            opt.step(grads)
            for one, g in zip(alone, grads, strict=True):
                one.step([g])
        for i, one in enumerate(alone):
            assert bits(opt, i) == bits(one), (t, i)
            assert opt._layout.params[i].tobytes() == theirs[i].tobytes()
    again = getattr(oc, name)([{"params": [a.copy() for a in opt.param_groups[k]["params"]]} for k in (0, 1)],
                              seed=seed, **first)
    again.load_state_dict(opt.state_dict())
    for other in (again, copy.deepcopy(opt), pickle.loads(pickle.dumps(opt))):
        assert [bits(other, i) for i in range(len(mine))] == [bits(opt, i) for i in range(len(mine))]
        assert [{k: v for k, v in g.items() if k != "params"} for g in other.param_groups] == [
            {k: v for k, v in g.items() if k != "params"} for g in opt.param_groups]


def test_embeddings_and_norms_in_float32_and_the_rest_in_8_bits():
    table, norm, w, b = (np.ones(s, F) for s in ((100, 64), (64,), (64, 64), (64,)))
    opt = oc.AdamW([{"params": {"table": table, "norm": norm}, "state_dtype": "float32"},
                    {"params": {"w": w, "b": b}, "min_8bit_size": 0}], state_dtype="int8")
    opt.step({name: np.ones_like(a) for name, a in {"table": table, "norm": norm, "w": w, "b": b}.items()})
    assert [form_of(opt.state[i]["exp_avg"]) for i in range(4)] == ["float32", "float32", "int8", "int8"]
    opt.add_param_group({"params": {"x": np.ones(300, F)}, "state_dtype": {"exp_avg": "bfloat16"}})
    opt.step({"table": None, "norm": None, "w": None, "b": None, "x": np.ones(300, F)})
    assert [form_of(opt.state[4][k]) for k in ("exp_avg", "exp_avg_sq")] == ["bfloat16", "float32"]


def test_files_carry_a_groups_formats(tmp_path):
    rng = np.random.default_rng(0)
    a, b = np.ones(5000, F), np.ones(5000, F)
    opt = oc.Adam([{"params": [a], "state_dtype": {"exp_avg": "int8"}}, {"params": [b], "state_dtype": "bfloat16"}])
    grads = [rng.standard_normal(5000).astype(F) for _ in range(2)]
    opt.step(grads)
    opt.save(tmp_path / "x")
    c, d = a.copy(), b.copy()
    again = oc.Adam([{"params": [c]}, {"params": [d], "min_8bit_size": 7}])
    again.load(tmp_path / "x")
    assert again.param_groups[1]["state_dtype"] == "bfloat16" and again.param_groups[1]["min_8bit_size"] == 7
    opt.step(grads)
    again.step(grads)
    assert (a == c).all() and (b == d).all() and [bits(again, i) for i in (0, 1)] == [bits(opt, i) for i in (0, 1)]


def test_a_dict_of_formats_may_be_changed_in_place():
    opt = oc.Adam([np.ones(5000, F)], state_dtype={"exp_avg": "int8"})
    opt.param_groups[0]["state_dtype"] = {"exp_avg": "int8"}
    opt.step([np.ones(5000, F)])
    opt.param_groups[0]["state_dtype"]["exp_avg"] = "bfloat16"
    opt.step([np.ones(5000, F)])
    assert form_of(opt.state[0]["exp_avg"]) == "bfloat16"


def test_undo_after_a_change_of_format_and_gradients_by_rows():
    w = np.ones((40, 256), F)
    opt = oc.Adam([w], min_8bit_size=0)
    grads = [oc.Rows(np.array([3, 5]), np.ones((2, 256), F))]
    opt.step(grads)
    opt.param_groups[0]["state_dtype"] = "int8"
    opt.step(grads, undoable=True)
    before = w.copy()
    opt.undo()
    assert form_of(opt.state[0]["exp_avg"]) == "int8" and opt.state[0]["step"] == 1
    opt.step(grads)
    assert (w == before).all() and (w[3] < 1).all() and (w[4] == 1).all()


BAD = [("state_dtype", "float16"), ("state_dtype", 8), ("state_dtype", None), ("state_dtype", {"colour": "int8"}),
       ("state_dtype", {"exp_avg": "x"}), ("state_dtype", {"exp_avg": []}), ("state_dtype", np.ones(2)),
       ("min_8bit_size", -1), ("min_8bit_size", 2.5), ("min_8bit_size", "1"), ("min_8bit_size", None),
       ("min_8bit_size", np.ones(2))]


@pytest.mark.parametrize("name, bad", BAD, ids=str)
def test_bad_formats_are_refused_by_name_before_anything_is_changed(name, bad):
    p, g = np.ones(5000, F), np.ones(5000, F)
    refuse(name, [p], oc.Adam, [p], **{name: bad})
    refuse(name, [p], oc.Adam, [{"params": [p], name: bad}])
    opt = oc.Adam([p])
    refuse_by(opt, name, [], opt.add_param_group, {"params": [np.ones(3, F)], name: bad})
    for _ in range(2):                      # before there is state, and after
        opt.param_groups[0][name] = bad
        refuse_by(opt, name, [g], opt.step, [g])
        del opt.param_groups[0][name]
        saved = opt.state_dict()
        saved["param_groups"][0][name] = bad
        refuse_by(opt, name, [], opt.load_state_dict, saved)
        opt.step([g])


@pytest.mark.parametrize("array, how", [(np.ones(5000), {}), (np.ones((64, 65), F, order="F"), {}),
                                        (np.ones((64, 65), F), {"rows": "dense"})], ids=["float64", "order", "dense"])
def test_formats_that_a_parameter_cannot_have_are_refused_between_steps_too(array, how):
    opt = oc.Adam([array], **how)
    g = np.ones_like(array)
    opt.step([g])
    opt.param_groups[0]["state_dtype"] = "int8"
    refuse_by(opt, "params[0]", [g], opt.step, [g])
    del opt.param_groups[0]["state_dtype"]
    saved = opt.state_dict()
    saved["param_groups"][0]["state_dtype"] = "int8"
    refuse_by(opt, "params[0]", [], opt.load_state_dict, saved)
    refuse_by(opt, "params[1]", [], opt.add_param_group, {"params": [np.ones_like(array)], "state_dtype": "int8"})
    opt.step([g])
