"""Whose arrays are trained: those that the caller holds, after every kind of rebinding, editing and copying."""
from __future__ import annotations

import copy
import pickle
from collections import OrderedDict, UserDict

import joblib
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optcore as oc

F = np.float32


def ones(n=4, dtype=F):
    return np.ones(n, dtype)


class Listed(list):
    """Not exactly a list."""


@pytest.mark.parametrize("kind", [dict, OrderedDict, UserDict, list, Listed])
@pytest.mark.parametrize("dtype", [F, ml_dtypes.bfloat16])
def test_what_is_bound_to_another_array_is_trained_with_the_state_it_had(kind, dtype):
    def step(opt, given):
        opt.step([ones(p.shape) for p in given] if isinstance(given, list) else {
            k: ones(p.shape) for k, p in given.items()})

    def make():
        arrays = [ones(4, dtype), ones(3, dtype)]
        return kind(arrays) if issubclass(kind, list) else kind(zip("ab", arrays, strict=True))

    given, twin = make(), make()
    first = 0 if isinstance(given, list) else "a"
    opt, other = oc.SGD(given, lr=0.25, momentum=0.5), oc.SGD(twin, lr=0.25, momentum=0.5)
    for _ in range(2):
        step(opt, given)
        step(other, twin)
    old = given[first]
    given[first] = (old * dtype(2)).astype(dtype)
    twin[first] *= dtype(2)
    kept = old.copy()
    step(opt, given)
    step(other, twin)
    for a, b in zip(*(x if isinstance(x, list) else x.values() for x in (given, twin)), strict=True):
        np.testing.assert_array_equal(a.astype(F), b.astype(F))
    np.testing.assert_array_equal(old.astype(F), kept.astype(F))


@pytest.mark.parametrize(("change", "message"), [
    (lambda P: P.update(a=ones(5)), r"params\['a'\] was bound to an array of float32 and shape \(5,\)"),
    (lambda P: P.update(a=ones(4, np.int32)), r"params\['a'\] is int32"),
    (lambda P: P.pop("a"), r"params\['a'\] is no longer"),
    (lambda P: P.update(a=P["b"]), r"overlaps"),
    (lambda P: P.update(a=None), r"params\['a'\]"),
])
def test_what_cannot_take_its_place_is_refused_by_name_and_nothing_is_stepped(change, message):
    P = {"a": ones(), "b": ones()}
    opt = oc.Adam(P)
    opt.step({"a": ones(), "b": ones()})
    before = P["b"].copy()
    change(P)
    with pytest.raises((TypeError, ValueError), match=message):
        opt.step({"a": ones(), "b": ones()})
    np.testing.assert_array_equal(P["b"], before)
    assert [s["step"] for s in opt.state] == [1, 1]         # state_dict() would look, and refuse as well


def test_a_parameter_may_come_in_after_another_went():
    a, b, c, d = (ones() for _ in range(4))
    opt = oc.SGD([a, b, c], lr=0.5)
    del opt.param_groups[0]["params"][0]
    opt.step([ones(), ones()])
    opt.add_param_group({"params": [d]})
    opt.step([ones(), ones(), ones()])
    assert [x[0] for x in (a, b, c, d)] == [1, 0, 0, 0.5]
    with pytest.raises(ValueError, match=r"grads\[1\] has shape \(5,\), params\[1\]"):     # by the places of now
        opt.step([ones(), ones(5), ones()])


def test_a_mapping_that_makes_its_arrays_anew_keeps_the_state():
    class Fresh(UserDict):
        def __getitem__(self, key):
            return self.data[key].view()

    w = ones()
    opt = oc.SGD(Fresh({"w": w}), lr=0.25, momentum=0.5)
    share = None
    for n in range(3):
        opt.step({"w": ones()})
        assert n == 0 or opt._layout.shares[0] is share         # nothing was laid out anew
        share, = opt._layout.shares
    assert w[0] == 1 - 0.25 * (1 + 1.5 + 1.75) and opt.state[0]["step"] == 3


def test_a_parameter_that_became_read_only_is_named():
    P = {"w": ones()}
    opt = oc.SGD(P, lr=0.5)
    P["w"].flags.writeable = False
    with pytest.raises(ValueError, match=r"params\['w'\] is read-only"):
        opt.step({"w": ones()})


def test_edits_of_a_groups_list_do_what_they_do_in_torch():
    a, b, new = ones(), ones(), ones()
    opt = oc.Adam([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.25)
    opt.step([ones(), ones()])
    opt.param_groups[0]["params"][0] = new
    opt.step([ones(), ones()])
    assert [s["step"] for s in opt.state] == [1, 2] and a[0] == 0.75 and new[0] == 0.75 and b[0] < 0.5
    opt.param_groups.pop()
    at = b[0]
    opt.step([ones()])
    assert b[0] == at and len(opt.state) == 1 and opt.state[0]["step"] == 2
    opt.param_groups[0]["params"].append(b)
    opt.step([ones(), ones()])
    assert [s["step"] for s in opt.state] == [3, 1] and b[0] < at
    opt.param_groups.append({"lr": 1.0})
    with pytest.raises(TypeError, match=r"param_groups\[1\]"):
        opt.step([ones(), ones()])


def through_joblib(x, folder):
    joblib.dump(x, folder / "x")
    return joblib.load(folder / "x")


@pytest.mark.parametrize("way", [
    lambda x, _: copy.deepcopy(x), lambda x, _: pickle.loads(pickle.dumps(x)), through_joblib],
    ids=["deepcopy", "pickle", "joblib"])
@pytest.mark.parametrize("dtype", [F, ml_dtypes.bfloat16, np.uint16])
@pytest.mark.parametrize("kind", [dict, list])
def test_copies_of_parameters_and_optimizer_together_stay_connected(way, dtype, kind, tmp_path):
    def values(x):
        return x.view(ml_dtypes.bfloat16) if x.dtype == np.uint16 else x

    w = ones(4, ml_dtypes.bfloat16).view(np.uint16) if dtype == np.uint16 else ones(4, dtype)
    P = {"w": w} if kind is dict else [w]
    opt = oc.SGD(P, lr=0.5, average=0.5)
    opt.step({"w": ones()} if kind is dict else [ones()])
    P2, opt2 = way((P, opt), tmp_path)
    opt2.step({"w": ones()} if kind is dict else [ones()])
    (mine,), (theirs,) = ((x.values() if kind is dict else x) for x in (P, P2))
    assert float(values(mine)[0]) == 0.5 and float(values(theirs)[0]) == 0.0
    assert opt2.state[0]["step"] == 2 and opt.state[0]["step"] == 1
    assert opt2.param_groups[0]["lr"] == 0.5
    opt2.param_groups[0]["lr"] = 0.25           # the list that the caller sees is the one that steps
    opt2.step({"w": ones()} if kind is dict else [ones()])
    assert float(values(theirs)[0]) == -0.25


EDITS = st.lists(st.sampled_from(["step", "rebind", "copy", "list", "group", "save"]), max_size=12)


@settings(max_examples=60)
@given(edits=EDITS, seed=st.integers(0, 1000))
def test_after_any_edits_every_held_array_moves_and_counts_as_often(edits, seed):
    """With lr 1 and gradients of 1 a parameter counts its own steps: none is made that is not counted, and none is made
    to an array that nobody holds."""
    P = [np.zeros(3, F), np.zeros(2, F)]
    opt = oc.SGD(P, lr=1.0, momentum=0.0)
    made = [0, 0]
    for edit in edits:
        if edit == "step":
            opt.step([ones(p.shape) for p in P])
            made = [n + 1 for n in made]
        elif edit == "rebind":
            P[0] = P[0].copy()
        elif edit == "copy":
            P, opt = copy.deepcopy((P, opt))
        elif edit == "list":
            opt.param_groups[0]["params"][:] = list(opt.param_groups[0]["params"])
        elif edit == "group":
            P, opt = pickle.loads(pickle.dumps((P, opt)))
        else:
            opt.load_state_dict(opt.state_dict())
        for p, n in zip(P, made, strict=True):
            assert (p == -n).all()
