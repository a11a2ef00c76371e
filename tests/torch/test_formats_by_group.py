"""State formats by parameter group in torch: the bits of the NumPy classes, what a checkpoint carries, refusals."""
from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import optcore as oc
import optcore.torch as ot
from optcore.rules import FAMILIES

F = np.float32
NAMES = sorted(name for name, family in FAMILIES.items() if family.keys() and not family.only_rows)
asked = st.fixed_dictionaries({}, optional={"state_dtype": st.sampled_from(["float32", "bfloat16", "int8"]),
                                            "min_8bit_size": st.sampled_from([0, 256, 301, 4096, 5001])})


def plain(x):
    return (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).numpy().tobytes()


@settings(max_examples=60)
@given(name=st.sampled_from(NAMES), first=asked, groups=st.lists(st.tuples(asked, asked), min_size=3, max_size=3),
       seed=st.integers(0, 2**32))
def test_formats_by_group_and_their_changes_have_the_bits_of_the_numpy_class(name, first, groups, seed):
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(shape).astype(F) for shape in ((300,), (70, 72), (256,))]
    params = [torch.nn.Parameter(torch.from_numpy(a.copy())) for a in arrays]
    core = getattr(oc, name)([{"params": arrays[:2], **groups[0][0]}, {"params": arrays[2:], **groups[0][1]}],
                             seed=seed, **first)
    opt = getattr(ot, name)([{"params": params[:2], **groups[0][0]}, {"params": params[2:], **groups[0][1]}],
                            seed=seed, **first)
    for now in groups:
        for some in (core, opt):
            for k in (0, 1):
                for key in ("state_dtype", "min_8bit_size"):
                    some.param_groups[k].pop(key, None)
                some.param_groups[k].update(now[k])
        for _ in range(2):
            grads = [rng.standard_normal(a.shape).astype(F) for a in arrays]
            for p, g in zip(params, grads, strict=True):
                p.grad = torch.from_numpy(g)
            core.step(grads)
            opt.step()
        for k, p in enumerate(params):
            assert plain(p.detach()) == arrays[k].tobytes()
            for key in FAMILIES[name].keys():
                if key in core.state[k]:
                    assert plain(opt.state[p][key]) == core.state[k][key].tobytes(), (key, k)
        clones = [torch.nn.Parameter(p.detach().clone()) for p in params]
        again = getattr(ot, name)([{"params": clones[:2]}, {"params": clones[2:]}], seed=seed, **first)
        again.load_state_dict(opt.state_dict())
        copies = [again, copy.deepcopy(opt), pickle.loads(pickle.dumps(opt))]
        for other in copies:
            mine = [p for group in other.param_groups for p in group["params"]]
            for p, q, g in zip(params, mine, grads, strict=True):
                p.grad = q.grad = torch.from_numpy(g)
            other.step()
            assert all({k: v for k, v in a.items() if k != "params"} == {k: v for k, v in b.items() if k != "params"}
                       for a, b in zip(other.param_groups, opt.param_groups, strict=True))
        opt.step()
        core.step(grads)
        for other in copies:
            mine = [p for group in other.param_groups for p in group["params"]]
            assert all(plain(p.detach()) == plain(q.detach()) for p, q in zip(params, mine, strict=True))


def two():
    params = [torch.nn.Parameter(torch.ones(5000)) for _ in range(2)]
    for p in params:
        p.grad = torch.linspace(-1, 1, 5000)
    return params


def test_a_group_keeps_its_own_formats_where_a_checkpoint_has_none():
    a, b = two()
    opt = ot.Adam([{"params": [a]}, {"params": [b], "state_dtype": "int8"}])
    theirs = torch.optim.Adam([{"params": [a]}, {"params": [b]}])
    theirs.step()
    opt.load_state_dict(theirs.state_dict())
    assert opt.param_groups[1]["state_dtype"] == "int8" and "state_dtype" not in opt.param_groups[0]
    opt.step()
    assert opt.state[a]["exp_avg"].dtype == torch.float32 and opt.state[b]["exp_avg"].dtype == torch.uint8
    file = io.BytesIO()
    torch.save(opt.state_dict(), file)
    file.seek(0)
    again = ot.Adam([{"params": [a], "state_dtype": "bfloat16"}, {"params": [b]}])
    again.load_state_dict(torch.load(file))
    assert [group.get("state_dtype") for group in again.param_groups] == ["bfloat16", "int8"]


def test_the_optimizers_own_formats_may_be_changed_between_steps():
    a, b = two()
    opt = ot.Adam([{"params": [a]}, {"params": [b], "min_8bit_size": 5001}])
    opt.step()
    exact = opt.state[a]["exp_avg_sq"].clone()
    opt.state_dtype = "int8"
    opt.param_groups[0]["lr"] = opt.param_groups[1]["lr"] = 0.0
    a.grad = b.grad = None
    opt.step()                              # of nothing: nothing is converted
    assert opt.state[a]["exp_avg"].dtype == torch.float32
    a.grad = torch.zeros(5000)
    opt.step()
    assert opt.state[a]["exp_avg"].dtype == torch.uint8 and opt.state[b]["exp_avg"].dtype == torch.float32
    opt.state_dtype = "float32"
    opt.step()
    # Two steps of decay; half one of the 4 bits after the first for the conversion, half for the rounding of a step;
    # the smallest code is an eighth of the block's unit, of which its largest has 2^15 at least.
    assert ((opt.state[a]["exp_avg_sq"] - 0.999 ** 2 * exact).abs() <= exact / 15 + exact.max() * 2.0 ** -17).all()


@pytest.mark.parametrize("name, bad", [("state_dtype", "float16"), ("state_dtype", 8), ("state_dtype", {"x": "int8"}),
                                       ("state_dtype", torch.ones(2)), ("min_8bit_size", -1),
                                       ("min_8bit_size", 0.5), ("min_8bit_size", torch.ones(2))], ids=str)
@pytest.mark.parametrize("way", ["constructor", "group", "add_param_group", "load_state_dict", "edit", "attribute"])
def test_bad_formats_are_refused_by_name_before_anything_is_changed(way, name, bad):
    a, b = two()
    opt = ot.Adam([a])
    opt.step()
    before, saved = [t.clone() for t in (a.detach(), *opt.state[a].values())], copy.deepcopy(opt.state_dict())
    with pytest.raises((TypeError, ValueError), match=name):
        if way == "constructor":
            ot.Adam([b], **{name: bad})
        elif way == "group":
            ot.Adam([{"params": [b], name: bad}])
        elif way == "add_param_group":
            opt.add_param_group({"params": [b], name: bad})
        elif way == "load_state_dict":
            saved["param_groups"][0][name] = bad
            opt.load_state_dict(saved)
        elif way == "edit":
            opt.param_groups[0][name] = bad
            opt.step()
        else:
            setattr(opt, name, bad)
            opt.step()
    assert len(opt.param_groups) == 1
    assert all(torch.equal(x, y) for x, y in zip(before, (a.detach(), *opt.state[a].values()), strict=True))


@pytest.mark.parametrize("kind", [torch.float64, torch.complex64])
@pytest.mark.parametrize("way", ["add_param_group", "load_state_dict", "edit"])
def test_formats_that_a_parameter_cannot_have_are_refused_between_steps_too(way, kind):
    p = torch.nn.Parameter(torch.ones(5000, dtype=kind))
    p.grad = torch.ones_like(p)
    opt = ot.Adam([p])
    opt.step()
    before, saved = p.detach().clone(), opt.state_dict()
    with pytest.raises(TypeError, match="state_dtype='int8'.*param_groups"):
        if way == "add_param_group":
            opt.add_param_group({"params": [torch.nn.Parameter(torch.ones(5000, dtype=kind))], "state_dtype": "int8"})
        elif way == "load_state_dict":
            saved["param_groups"][0]["state_dtype"] = "int8"
            opt.load_state_dict(saved)
        else:
            opt.param_groups[0]["state_dtype"] = "int8"
            opt.step()
    assert torch.equal(p, before) and opt.state[p]["step"] == 1 and opt.state[p]["exp_avg"].dtype == kind


def test_a_conversion_is_taken_back_where_the_layout_is_refused():
    a, b = two()
    opt = ot.Adam([a, b])
    opt.step()
    kept = opt.state[a]["exp_avg"]
    opt.param_groups[0]["state_dtype"] = "int8"
    opt.state[b]["exp_avg"] = torch.ones(3)
    with pytest.raises(ValueError, match="exp_avg"):
        opt.step()
    assert opt.state[a]["exp_avg"] is kept
