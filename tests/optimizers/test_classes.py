"""The classes: what lasts between steps. Their steps are held against loops over optcore.reference, bit for bit."""
from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optcore as oc
from tests.support.bits import assert_same_bits
from tests.support.classes import each_variation, tensors
from tests.support.steps import ReferenceLoop


@each_variation
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(1, 6), threads=st.sampled_from([None, 1, 2, 4]))
def test_steps_equal_a_loop_over_the_reference(name, chosen, seed, steps, threads):
    """Some gradients are None, so that the tensors' counts of steps differ; lr changes on the way."""
    rng = np.random.default_rng(seed)
    mine = tensors(rng)
    loop = ReferenceLoop(name, [p.copy() for p in mine], **chosen)
    opt = getattr(oc, name)(mine, **chosen)
    for t in range(steps):
        grads = [None if rng.random() < 0.2 else g for g in tensors(rng)]
        opt.param_groups[0]["lr"] = loop.settings["lr"] = 0.1 / (1 + t)
        opt.step(grads, num_threads=threads)
        loop.step(grads)
    for i, (a, b) in enumerate(zip(mine, loop.params, strict=True)):
        assert_same_bits(a, b, f"tensor {i}")
        assert opt.state[i]["step"] == loop.steps[i]
        for k, want in loop.state[i].items():
            assert_same_bits(opt.state[i][k], want, k)


def test_state_begins_at_the_setting_of_its_tensors_own_first_step():
    """Not at that of another tensor's, nor of one that was taken back or refused."""
    a, b = np.zeros(2, np.float32), np.zeros(2, np.float32)
    g = np.ones(2, np.float32)
    opt = oc.Rprop([a, b], lr=0.5)
    opt.step([g, None])
    opt.param_groups[0]["lr"] = 2.0
    with pytest.raises(ValueError, match="shape"):
        opt.step([None, np.ones(3, np.float32)])
    assert (opt.state[1]["step_size"] == 0.5).all()
    opt.step([None, g], undoable=True)
    assert (a == -0.5).all() and (b == -2.0).all()
    opt.undo()
    opt.param_groups[0]["lr"] = 4.0
    opt.step([None, g])
    assert (a == -0.5).all() and (b == -4.0).all()


def test_groups_with_their_own_settings_and_rules():
    """Two groups that mean different kernels, and one that shares a kernel with another at other settings."""
    rng = np.random.default_rng(0)
    params = tensors(rng, ((5,), (6,), (7,), (8,)))
    loops = [ReferenceLoop("Adam", [params[0].copy(), params[1].copy()], lr=0.1),
             ReferenceLoop("Adam", [params[2].copy()], lr=0.01, weight_decay=0.3),
             ReferenceLoop("Adam", [params[3].copy()], lr=0.1, amsgrad=True)]
    opt = oc.Adam([{"params": params[:2]}, {"params": params[2], "lr": 0.01, "weight_decay": 0.3},
                   {"params": [params[3]], "amsgrad": True}], lr=0.1)
    for _ in range(5):
        grads = tensors(rng, ((5,), (6,), (7,), (8,)))
        opt.step(grads)
        loops[0].step(grads[:2])
        loops[1].step(grads[2:3])
        loops[2].step(grads[3:])
    for a, b in zip(params, [p for loop in loops for p in loop.params], strict=True):
        assert_same_bits(a, b)


def test_parameters_by_name_over_groups():
    rng = np.random.default_rng(0)
    w, b = tensors(rng, ((3, 4), (4,)))
    gw, gb = tensors(rng, ((3, 4), (4,)))
    want = [w.copy(), b.copy()]
    oc.AdamW(want).step([gw, gb])
    opt = oc.AdamW([{"params": {"w": w}}, {"params": {"b": b}}])
    opt.step({"b": gb, "w": gw})
    assert_same_bits(w, want[0])
    assert_same_bits(b, want[1])
    assert opt.state_dict()["param_groups"][1]["param_names"] == ["b"]
    numbered = oc.AdamW({0: want[0].copy(), (1, 2): want[1].copy()})
    numbered.step({(1, 2): gb, 0: gw})


@pytest.mark.parametrize("changes", [
    ("SGD", [{"momentum": 0.0}, {"momentum": 0.9, "dampening": 0.5},
             {"momentum": 0.9, "dampening": 0.0, "nesterov": True},
             {"momentum": 0.0, "nesterov": False}]),
    ("Adam", [{"amsgrad": False}, {"amsgrad": True}, {"betas": (0.5, 0.9)}, {"weight_decay": 0.1}]),
    ("RMSprop", [{"centered": False}, {"momentum": 0.9}, {"maximize": True}]),
], ids=lambda c: c[0])
def test_settings_may_change_between_steps(changes):
    name, stages = changes
    rng = np.random.default_rng(5)
    mine = tensors(rng)
    loop = ReferenceLoop(name, [p.copy() for p in mine])
    opt = getattr(oc, name)(mine)
    for stage in stages:
        opt.param_groups[0].update(stage)
        loop.settings.update(stage)
        for _ in range(3):
            if name == "SGD" and "momentum_buffer" not in loop.state[0]:
                loop.steps = [0] * len(mine)        # as in torch, steps count from the first state on
            grads = tensors(rng)
            opt.step(grads)
            loop.step(grads)
    for a, b in zip(mine, loop.params, strict=True):
        assert_same_bits(a, b)


@each_variation
def test_saved_state_continues_to_the_same_bits(name, chosen):
    rng = np.random.default_rng(9)
    first, grads = tensors(rng), [tensors(rng) for _ in range(8)]
    through, resumed = [p.copy() for p in first], [p.copy() for p in first]
    opt = getattr(oc, name)(through, **chosen)
    for g in grads:
        opt.step(g)
    before = getattr(oc, name)(resumed, **chosen)
    before.param_groups[0]["lr"] = opt.param_groups[0]["lr"]
    for g in grads[:4]:
        before.step(g)
    saved = before.state_dict()
    before.step(grads[0])                           # what was saved is a copy: this must not reach it
    for p, q in zip(resumed, first, strict=True):
        p[...] = q
    again = getattr(oc, name)(resumed)
    warm = getattr(oc, name)([p.copy() for p in first], **chosen)
    for g in grads[:4]:
        warm.step(g)
    for p, q in zip(resumed, warm.param_groups[0]["params"], strict=True):
        p[...] = q
    again.load_state_dict(pickle.loads(pickle.dumps(saved)))
    for g in grads[4:]:
        again.step(g)
    for a, b in zip(resumed, through, strict=True):
        assert_same_bits(a, b)


@each_variation
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["copy", "pickle"])
def test_copies_go_their_own_way(name, chosen, duplicate):
    rng = np.random.default_rng(2)
    params, grads = tensors(rng), [tensors(rng) for _ in range(4)]
    opt = getattr(oc, name)(params, **chosen)
    opt.step(grads[0])
    twin = duplicate(opt)
    for g in grads[1:]:
        opt.step(g)
    for g in grads[1:]:
        twin.step(g)
    for a, b in zip(twin.param_groups[0]["params"], params, strict=True):
        assert a is not b
        assert_same_bits(a, b)


def test_loading_what_does_not_fit_changes_nothing():
    rng = np.random.default_rng(1)
    params = tensors(rng, ((3,), (4,)))
    opt = oc.Adam(params)
    opt.step(tensors(rng, ((3,), (4,))))
    good = opt.state_dict()

    def spoiled(change):
        bad = copy.deepcopy(good)
        change(bad)
        return bad

    cases = {
        "param_groups: 1": lambda d: d["param_groups"].append(d["param_groups"][0]),
        "params": lambda d: d["param_groups"][0]["params"].append(2),
        "settings lr": lambda d: d["param_groups"][0].pop("lr"),
        "lr=-1": lambda d: d["param_groups"][0].update(lr=-1),
        "betas": lambda d: d["param_groups"][0].update(betas=0.9),
        "state.7": lambda d: d["state"].update({7: {"step": 1}}),
        "shape": lambda d: d["state"][1].update(exp_avg=np.zeros(5, np.float32)),
        "int64": lambda d: d["state"][1].update(exp_avg=np.zeros(4, np.int64)),
        "exp_avg.*not finite": lambda d: d["state"][1].update(exp_avg=np.full(4, np.nan, np.float32)),
        "exp_avg_sq.*negative": lambda d: d["state"][1].update(exp_avg_sq=np.full(4, -1, np.float32)),
        "exp_avg_sq.*missing": lambda d: d["state"][1].pop("exp_avg_sq"),
        r"state\[1\]\['step'\] is missing": lambda d: d["state"][1].pop("step"),
        r"state_dict\['state'\] is missing": lambda d: d.pop("state"),
        r"state_dict\['param_groups'\] is a int": lambda d: d.update(param_groups=3),
        r"state\[1\]: a dict": lambda d: d["state"].update({1: [1, 2]}),
        "whole number": lambda d: d["state"][1].update(step=1.5),
        "colour": lambda d: d["state"][1].update(colour=np.zeros(4, np.float32)),
        "step": lambda d: d["state"][1].update(step=-1),
    }
    for message, change in cases.items():
        with pytest.raises((ValueError, TypeError), match=message):
            opt.load_state_dict(spoiled(change))
        now = opt.state_dict()
        assert now["param_groups"] == good["param_groups"]
        for i, entries in good["state"].items():
            assert now["state"][i]["step"] == entries["step"]
            for k in ("exp_avg", "exp_avg_sq"):
                assert_same_bits(now["state"][i][k], entries[k])


def test_lookahead_returns_the_parameters_to_the_bit():
    rng = np.random.default_rng(4)
    params = tensors(rng)
    opt = oc.NesterovClassical(params, lr=0.1, momentum=0.7)
    opt.step(tensors(rng))
    here = [p.copy() for p in params]
    with opt.lookahead():
        for p, q, s in zip(params, here, opt.state, strict=True):
            assert_same_bits(p, q + np.float32(0.7) * s["velocity"])
        with pytest.raises(RuntimeError, match="step"):
            opt.step(tensors(rng))
        with pytest.raises(RuntimeError, match="lookahead"), opt.lookahead():
            pass
    for p, q in zip(params, here, strict=True):
        assert_same_bits(p, q)
    with pytest.raises(KeyError), opt.lookahead():
        raise KeyError
    for p, q in zip(params, here, strict=True):
        assert_same_bits(p, q)
    opt.step(tensors(rng))


def test_the_text_of_an_optimizer_says_what_its_groups_are_set_to():
    a, b = np.ones(3, np.float32), np.ones(4, np.float32)
    opt = oc.SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.1)
    assert "lr by group, momentum=0.0" in repr(opt) and "2 tensors, 7 parameters, 2 groups" in repr(opt)
    opt.param_groups[0]["lr"] = 0.5
    assert "SGD(lr=0.5, " in repr(opt)


def test_what_an_array_of_whole_numbers_becomes_float32_by_is_said():
    with pytest.raises(TypeError, match=r"params\[0\] is int64, .*astype\(numpy.float32\) gives one, to be passed"):
        oc.SGD([np.ones(3, np.int64)])


def test_zero_size_and_no_gradients():
    p = np.ones(3, np.float32)
    opt = oc.Adam({"p": p, "empty": np.empty((0, 4), np.float32)})
    opt.step({"p": None, "empty": None})
    assert opt.state[0]["step"] == 0 and opt.state_dict()["state"] == {}
    opt.step({"p": None, "empty": np.empty((0, 4), np.float32)})
    assert [s["step"] for s in opt.state] == [0, 1]
    assert (p == 1).all()


def test_mistakes_in_the_constructor_are_named():
    p = np.ones(3, np.float32)
    for make, error, message in [
        (lambda: oc.Adam([p], learning_rate=1), TypeError, "learning_rate"),
        (lambda: oc.Adam([p], lr=-1), ValueError, "lr=-1"),
        (lambda: oc.Adam([p], betas=(0.9, 1.0)), ValueError, "beta2=1.0"),
        (lambda: oc.Adam([p], betas=0.9), ValueError, "betas=0.9"),
        (lambda: oc.SGD([p], momentum=-0.1), ValueError, "momentum"),
        (lambda: oc.SGD([p], dampening=float("nan")), ValueError, "dampening"),
        (lambda: oc.SGD([p], nesterov=True), ValueError, "nesterov"),
        (lambda: oc.Adagrad([p], initial_accumulator_value=-1), ValueError, "initial_accumulator_value"),
        (lambda: oc.Adam([{"params": [p], "lr2": 1}]), TypeError, "lr2"),
        (lambda: oc.Adam([p, p]), ValueError, r"params\[1\] overlaps params\[0\]"),
        (lambda: oc.Adam([{"params": {"w": p}}, {"params": [p.copy()]}]), ValueError, "by name"),
        (lambda: oc.Adam([{"params": {"w": p}}, {"params": {"w": p.copy()}}]), ValueError, "two groups"),
        (lambda: oc.Adam(3.0), TypeError, "params"),
    ]:
        with pytest.raises(error, match=message):
            make()
