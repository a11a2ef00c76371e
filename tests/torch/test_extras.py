"""What optcore.torch keeps of a parameter beside its rule's state: masters, compensations, averages. The NumPy classes
take the same steps, and formats/test_bits.py holds those against the reference."""
from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch

import optcore as oc
import optcore.torch as ot
from optcore.rules import FAMILIES
from tests.support.draws import ELEMENTWISE_CLASSES
from tests.support.torch_tensors import same_bits

NAMES = ELEMENTWISE_CLASSES
SIZES = (1, 7, 17, 65, 1025, 5000)
# The parameters' dtype and the rounding: what is kept beside them.
WAYS = [(torch.bfloat16, "kahan", "compensation"), (torch.bfloat16, "residual", "compensation"),
        (torch.bfloat16, "master", "master"),
        (torch.float16, "master", "master"), (torch.float32, "kahan", None), (torch.bfloat16, "stochastic", None)]


def made(dtype, seed=0):
    torch.manual_seed(seed)
    return [torch.randn(n).to(dtype).requires_grad_() for n in SIZES]


def give(params, t, scale=1.0):
    g = torch.Generator().manual_seed(t)
    for p in params:
        p.grad = scale * torch.randn(p.shape, generator=g).to(p.dtype)


def growing(step):
    """A schedule of averages: the mean of all so far, up to a bound."""
    return min(0.9, 1 - 1 / step)


def plain(t):
    """A tensor's memory as the NumPy classes take it."""
    a = t.detach().contiguous()
    return a.view(torch.int16).numpy().view(np.uint16) if a.dtype == torch.bfloat16 else a.numpy()


@pytest.mark.parametrize(("dtype", "rounding", "kept"), WAYS)
@pytest.mark.parametrize("average", [0.9, growing])
@pytest.mark.parametrize("name", NAMES)
def test_steps_are_those_of_the_numpy_classes(name, average, dtype, rounding, kept):
    """Through a scaler, since it and the others are to go together: the scale is a power of two, so no bit depends
    on who takes it away."""
    params = made(dtype)
    arrays = [plain(p).copy() for p in params]
    form = "bfloat16" if FAMILIES[name].keys() else "float32"
    how = {"lr": 0.1, "seed": 5, "rounding": rounding, "average": average, "state_dtype": form}
    opt, core = getattr(ot, name)(params, **how), getattr(oc, name)(arrays, **how)
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    for t in range(4):
        give(params, t, float(scaler.scale(torch.ones(()))))
        core.step([plain(p.grad) for p in params], grad_scale=64.0)
        if t == 2:                              # an overflow in between leaves all as it is
            good, params[3].grad = params[3].grad, torch.full_like(params[3], torch.inf)
            scaler.step(opt)
            params[3].grad = good
            scaler.update(64.0)
            scaler.scale(torch.ones(()))
        scaler.step(opt)
        scaler.update(64.0)
    assert opt.skipped == 1
    for p, a, theirs, mean in zip(params, arrays, core.state, opt.averages, strict=True):
        assert plain(p).tobytes() == a.tobytes()
        assert opt.state[p].keys() - {"step", "mu_product", "eta", "mu"} == theirs.keys() - {"step"}
        for key in theirs.keys() - {"step"}:
            assert plain(opt.state[p][key]).tobytes() == theirs[key].tobytes(), key
        assert {"average"} | ({kept} if kept else set()) <= opt.state[p].keys()
        assert mean is opt.state[p]["average"]


@pytest.mark.parametrize(("dtype", "rounding", "kept"), WAYS)
@pytest.mark.parametrize("name", ["SGD", "AdamW", "NAdam"])
def test_copies_files_and_undo_go_on_alike(name, dtype, rounding, kept):
    params = made(dtype)
    how = {"lr": 0.1, "seed": 5, "rounding": rounding, "average": 0.9}
    opt = getattr(ot, name)(params, **how)
    for t in range(3):
        give(params, t)
        opt.step()
    twin = copy.deepcopy(opt)
    theirs = [p for g in twin.param_groups for p in g["params"]]
    file = io.BytesIO()
    torch.save(opt.state_dict(), file)
    file.seek(0)
    again = [p.detach().clone().requires_grad_() for p in params]
    reader = getattr(ot, name)(again, **how)
    reader.load_state_dict(torch.load(file, weights_only=True))
    undone = [p.detach().clone().requires_grad_() for p in params]
    last = getattr(ot, name)(undone, undoable=True, **how)
    last.load_state_dict(opt.state_dict())
    give(undone, 99)
    last.step()
    last.undo()
    for t in range(3, 6):
        for some, o in ((params, opt), (theirs, twin), (again, reader), (undone, last)):
            give(some, t)
            o.step()
    for some, o in ((theirs, twin), (again, reader), (undone, last)):
        assert all(map(same_bits, params, some))
        assert all(map(same_bits, opt.averages, o.averages))
        assert kept is None or all(same_bits(opt.state[p][kept], o.state[q][kept])
                                   for p, q in zip(params, some, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_within_averaged_the_parameters_are_their_averages(dtype):
    named = [(f"p{k}", p) for k, p in enumerate(made(dtype))]
    params = [p for _, p in named]
    opt = ot.AdamW(named, lr=0.1, average=0.5)
    with pytest.raises(RuntimeError, match=r"averaged\(\): there are none before the first step"), opt.averaged():
        pass
    give(params, 0)
    params[2].grad = None
    opt.step()
    before = [p.detach().clone() for p in params]
    assert list(opt.averages) == [f"p{k}" for k in range(len(params))]
    with opt.averaged():
        for (name, p), was in zip(named, before, strict=True):
            assert same_bits(p, opt.averages[name].to(dtype))
            assert torch.equal(p, was) == (name == "p2")
        with pytest.raises(RuntimeError, match="already entered"), opt.averaged():
            pass
        with pytest.raises(RuntimeError, match=r"step\(\) inside averaged\(\)"):
            opt.step()
    assert all(map(same_bits, params, before))
    opt.step()
    opt.average = None
    with pytest.raises(RuntimeError, match="averages: there are none"):
        opt.averages  # noqa: B018


def test_what_a_changed_setting_no_longer_keeps_is_let_go_and_begins_anew():
    params, fresh = made(torch.bfloat16), made(torch.bfloat16)
    opt = ot.SGD(params, lr=0.1, rounding="master", average=0.9)
    give(params, 0)
    opt.step()
    opt.rounding, opt.average = "nearest", None
    opt.step()
    assert all(entry.keys() == {"step"} for entry in opt.state.values())
    opt.rounding = "master"
    for p, q in zip(params, fresh, strict=True):
        q.data.copy_(p.data)
    other = ot.SGD(fresh, lr=0.1, rounding="master")
    for some, o in ((params, opt), (fresh, other)):
        give(some, 1)
        o.step()
    assert all(map(same_bits, params, fresh))
    assert all(same_bits(opt.state[p]["master"], other.state[q]["master"]) for p, q in zip(params, fresh, strict=True))


def test_strides_with_and_without_holes_change_no_bit():
    torch.manual_seed(0)
    orders = [lambda t: t, lambda t: t.to(memory_format=torch.channels_last),
              lambda t: torch.stack([t, t], -1)[..., 0]]
    start, ends = torch.randn(2, 3, 4, 5).bfloat16(), []
    for order in orders:
        p = order(start.clone()).requires_grad_()
        opt = ot.Adam([p], lr=0.1, rounding="master", average=0.5)
        for t in range(3):
            give([p], t)
            opt.step()
        ends.append([p, opt.averages[0], opt.state[p]["master"]])
    assert all(same_bits(a, b) for end in ends[1:] for a, b in zip(end, ends[0], strict=True))


def test_8_bit_state_stays_with_its_elements_when_the_strides_change():
    """Its blocks are of elements in C order whatever the strides, in mid-run and from a file."""
    ends = []
    for turned in (False, True):
        torch.manual_seed(0)
        p = torch.randn(8, 8, 16, 8).requires_grad_()
        opt = ot.Adam([p], lr=0.1, state_dtype="int8", seed=0)
        for t in range(6):
            if turned and t == 2:
                p.data = p.data.to(memory_format=torch.channels_last)
            if turned and t == 3:
                saved, opt = opt.state_dict(), ot.Adam([p], lr=0.1, state_dtype="int8", seed=0)
                opt.load_state_dict(saved)
            if turned and t == 4:
                p.data = p.data.contiguous()
            give([p], t)
            opt.step()
        assert opt.state[p]["exp_avg"].dtype == torch.uint8
        ends.append([p, opt.state[p]["exp_avg"], opt.state[p]["exp_avg_sq"]])
    assert all(map(same_bits, *ends))


def test_stepping_in_backward_keeps_them_too():
    ends = []
    for inside in (False, True):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(9, 5), torch.nn.Linear(5, 3)).bfloat16()
        opt = ot.AdamW(model.parameters(), rounding="kahan", average=0.9, seed=0)
        if inside:
            ot.step_in_backward(model, opt)
        for t in range(3):
            x = torch.randn(4, 9, generator=torch.Generator().manual_seed(t)).bfloat16()
            model(x).square().mean().backward()
            opt.step()
            opt.zero_grad()
        ends.append([*model.parameters(), *opt.averages])
    assert all(map(same_bits, *ends))


@pytest.mark.parametrize("how", [
    {"rounding": "kahan"}, {"rounding": "residual"}, {"rounding": "master"}, {"state_dtype": "int8"}])
def test_classical_nesterov_looks_ahead_of_what_is_kept(how):
    p = torch.linspace(-1, 1, 5000).bfloat16().requires_grad_()
    array = plain(p).copy()
    opt, core = ot.NesterovClassical([p], lr=0.1, seed=0, **how), oc.NesterovClassical([array], lr=0.1, **how)
    for t in range(3):
        with opt.lookahead(), core.lookahead():
            assert plain(p).tobytes() == array.tobytes()
        give([p], t)
        opt.step()
        core.step([plain(p.grad)])
        assert plain(p).tobytes() == array.tobytes()


def test_what_is_refused():
    half = torch.ones(3, dtype=torch.float16, requires_grad=True)
    with pytest.raises(TypeError, match='float16.*is needed: rounding="master" takes it'):
        ot.Adam([half])
    for average in (1.0, -0.1, float("nan"), lambda step: 1.5):
        with pytest.raises(ValueError, match="average"):
            ot.Adam([half], rounding="master", average=average)
    opt = ot.Adam([half], rounding="master")
    half.grad = torch.ones(3, dtype=torch.float16)
    opt.rounding = "up"
    with pytest.raises(ValueError, match="rounding='up'"):
        opt.step()
    assert not opt.state


def bfloat16_step(rounding, **how):
    p = torch.linspace(-1, 1, 5000).bfloat16().requires_grad_()
    p.grad = torch.linspace(1, 2, 5000).bfloat16()
    opt = ot.Adam([p], lr=0.1, rounding=rounding, **how)
    opt.step()
    return p, opt


@pytest.mark.parametrize(("ours", "other"), [("residual", "kahan"), ("kahan", "residual")])
def test_what_is_kept_beside_another_rounding_is_refused(ours, other):
    p, opt = bfloat16_step(ours)
    opt.load_state_dict(bfloat16_step(other)[1].state_dict())
    before = p.detach().clone()
    with pytest.raises(TypeError, match="state 'compensation' is torch"):
        opt.step()
    assert same_bits(p, before)


def test_a_residual_is_for_bfloat16_alone():
    wide = torch.ones(3, requires_grad=True)
    with pytest.raises(TypeError, match=r"rounding='residual'.*\['params'\]\[0\] is float32"):
        ot.Adam([wide], rounding="residual")
    wide.grad = torch.ones(3)
    opt = ot.Adam([wide])
    opt.rounding = "residual"
    with pytest.raises(TypeError, match=r"rounding='residual'.*is float32"):
        opt.step()
    assert not opt.state and (wide == 1).all()


@pytest.mark.parametrize("form", ["float32", "int8"])
def test_a_residual_goes_to_the_numpy_class_and_back(form):
    p, opt = bfloat16_step("residual", seed=0, state_dtype=form)
    array = plain(p).copy()
    core = oc.Adam([array], lr=0.1, rounding="residual", seed=0, state_dtype=form)
    core.load_state_dict(opt.state_dict())
    back = core.state_dict()["state"][0]["compensation"]
    assert back.dtype == torch.int8 and torch.equal(back, opt.state[p]["compensation"]) and back.any()
    opt.step()
    core.step([plain(p.grad)])
    assert plain(p).tobytes() == array.tobytes()
    assert plain(opt.state[p]["compensation"]).tobytes() == core.state[0]["compensation"].tobytes()
