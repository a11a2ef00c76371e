"""What others write into parameters that have a master or a compensation: it counts, and what is kept follows."""
from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import optcore.torch as ot
from tests.support.torch_tensors import same_bits

NARROW = [torch.bfloat16, torch.float16]


def model_of(dtype, seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(7, 5), torch.nn.Linear(5, 3)).to(dtype)


def give(model, t):
    g = torch.Generator().manual_seed(t)
    for p in model.parameters():
        p.grad = torch.randn(p.shape, generator=g).to(p.dtype)


def filled(model, t):
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(t + 2.0)


def one_element(model, t):
    with torch.no_grad():
        model[0].weight[t % 5, 3] = 9.0


def loaded(model, t):
    model.load_state_dict(model_of(model[0].weight.dtype, seed=t + 50).state_dict())


def begun_anew(model, t):
    torch.manual_seed(t)
    for p in model.parameters():
        torch.nn.init.normal_(p)


def copied_in(model, t):
    torch.nn.utils.vector_to_parameters(torch.full((sum(p.numel() for p in model.parameters()),), 0.5 + t).to(
        model[0].weight.dtype), model.parameters())


def replaced(model, t):
    model[1].weight.data = torch.full_like(model[1].weight, 3.0 + t)


def unchanged(model, t):
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.clone())


def behind_torchs_back(model, t):
    """torch does not count these."""
    for p in model.parameters():
        p.data.mul_(2.0)
        p.data[0] = 0.25 * t


def nothing(model, t):
    pass


WRITES = [filled, one_element, loaded, begun_anew, copied_in, replaced, behind_torchs_back, unchanged, nothing]


def after(opt, model):
    return [model_p.detach().clone() for model_p in model.parameters()], [
        {k: v.clone() for k, v in opt.state[p].items()} for p in model.parameters()]


@given(dtype=st.sampled_from(NARROW), name=st.sampled_from(["SGD", "AdamW"]), average=st.sampled_from([None, 0.9]),
       writes=st.lists(st.sampled_from(WRITES), min_size=1, max_size=4))
def test_of_a_master_what_was_written_counts_and_the_rest_keeps_its_bits(dtype, name, average, writes):
    """Against an optimizer whose masters are set by hand to what they should be."""
    model, twin = model_of(dtype), model_of(dtype)
    opt, judge = (getattr(ot, name)(m.parameters(), lr=0.1, rounding="master", average=average) for m in (model, twin))
    for t, write in enumerate(writes):
        for m, o in ((model, opt), (twin, judge)):
            give(m, t)
            o.step()
        write(model, t)
        with torch.no_grad():
            for p, q in zip(model.parameters(), twin.parameters(), strict=True):
                other = p != q
                judge.state[q]["master"][other] = p[other].float()
                q.data.copy_(p)
    for m, o in ((model, opt), (twin, judge)):
        give(m, 99)
        o.step()
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert same_bits(p, q)
        assert all(same_bits(opt.state[p][k], judge.state[q][k]) for k in judge.state[q])


@pytest.mark.parametrize("rounding", ["kahan", "residual"])
@pytest.mark.parametrize("write", [filled, loaded, begun_anew])
def test_what_was_written_has_no_compensation(write, rounding):
    model, fresh = model_of(torch.bfloat16), model_of(torch.bfloat16)
    opt, other = (ot.SGD(m.parameters(), lr=0.1, rounding=rounding, seed=0) for m in (model, fresh))
    for m, o in ((model, opt), (fresh, other)):
        give(m, 0)
        o.step()
    assert any(s["compensation"].any() for s in opt.state.values())
    write(model, 3)
    for p, q in zip(model.parameters(), fresh.parameters(), strict=True):
        q.data.copy_(p)
        other.state[q]["compensation"].zero_()
    for m, o in ((model, opt), (fresh, other)):
        give(m, 1)
        o.step()
    for p, q in zip(model.parameters(), fresh.parameters(), strict=True):
        assert same_bits(p, q) and same_bits(opt.state[p]["compensation"], other.state[q]["compensation"])


@pytest.mark.parametrize("rounding", ["kahan", "residual", "master"])
def test_what_the_optimizer_itself_writes_changes_nothing(rounding):
    """averaged(), lookahead(), undo() and a skipped step put back what was there."""
    model, twin = model_of(torch.bfloat16), model_of(torch.bfloat16)
    how = {"lr": 0.1, "momentum": 0.9, "rounding": rounding, "average": 0.9, "nonfinite": "skip", "seed": 0}
    opt = ot.NesterovClassical(model.parameters(), undoable=True, **how)
    other = ot.NesterovClassical(twin.parameters(), **how)
    for t in range(3):
        for m, o in ((model, opt), (twin, other)):
            give(m, t)
            o.step()
        with opt.averaged():
            pass
        with opt.lookahead():
            pass
        give(model, 7)
        opt.step()
        opt.undo()
        model[0].bias.grad[0] = torch.inf
        opt.step()
        opt.state_dict()
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert same_bits(p, q)
        assert all(same_bits(opt.state[p][k], other.state[q][k]) for k in other.state[q])


@pytest.mark.parametrize("way", ["state_dict", "deepcopy"])
def test_what_was_written_before_the_state_was_saved_is_in_it(way):
    model = model_of(torch.bfloat16)
    opt = ot.SGD(model.parameters(), lr=0.5, rounding="master")
    give(model, 0)
    opt.step()
    filled(model, 8)
    if way == "deepcopy":
        model, opt = copy.deepcopy((model, opt))
    else:
        saved, weights = opt.state_dict(), model.state_dict()
        model = model_of(torch.bfloat16)
        model.load_state_dict(weights)
        opt = ot.SGD(model.parameters(), lr=0.5, rounding="master")
        opt.load_state_dict(saved)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    opt.step()
    assert all((p == 9.5).all() for p in model.parameters())


@pytest.mark.parametrize("optimizer_first", [False, True])
@pytest.mark.parametrize("rounding", ["master", "kahan", "residual"])
def test_the_order_in_which_a_checkpoint_is_loaded_changes_no_bit(optimizer_first, rounding):
    model, again = model_of(torch.bfloat16), model_of(torch.bfloat16, seed=1)
    opt, reader = (ot.AdamW(m.parameters(), lr=0.1, rounding=rounding, seed=0) for m in (model, again))
    give(model, 0)
    opt.step()
    loads = [(again, model), (reader, opt)]
    for to, of in loads[::-1] if optimizer_first else loads:
        to.load_state_dict(of.state_dict())
    for m, o in ((model, opt), (again, reader)):
        give(m, 1)
        o.step()
    assert all(map(same_bits, model.parameters(), again.parameters()))


def test_another_model_loaded_after_the_optimizer_counts():
    model, again = model_of(torch.bfloat16), model_of(torch.bfloat16)
    opt, reader = (ot.SGD(m.parameters(), lr=0.5, rounding="master") for m in (model, again))
    give(model, 0)
    opt.step()
    reader.load_state_dict(opt.state_dict())
    filled(again, 8)
    for p in again.parameters():
        p.grad = torch.ones_like(p)
    reader.step()
    assert all((p == 9.5).all() for p in again.parameters())


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
@pytest.mark.parametrize("by", ["hand", "load"])
def test_masters_may_be_the_float32_weights_that_a_module_had(name, by):
    """Kept before the module became bfloat16, and given before the first step: then nothing of them is lost."""
    exact = model_of(torch.float32)
    narrow = copy.deepcopy(exact).bfloat16()
    opt = getattr(ot, name)(narrow.parameters(), lr=0.1, rounding="master")
    masters = [p.detach().clone() for p in exact.parameters()]
    if by == "hand":
        for p, master in zip(narrow.parameters(), masters, strict=True):
            opt.state[p]["master"] = master
    else:
        state = {k: {"master": m, "step": torch.tensor(0.0)} for k, m in enumerate(masters)}
        opt.load_state_dict({**opt.state_dict(), "state": state})
    judge = getattr(ot, name)(exact.parameters(), lr=0.1)
    for t in range(3):
        give(narrow, t)
        for p, q in zip(narrow.parameters(), exact.parameters(), strict=True):
            q.grad = p.grad.float()
        opt.step()
        judge.step()
    for p, q in zip(narrow.parameters(), exact.parameters(), strict=True):
        assert same_bits(opt.state[p]["master"], q) and same_bits(p, q.bfloat16())
