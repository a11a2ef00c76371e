"""What people do to an optimizer's tensors, groups and state between steps: the next step takes what is there."""
from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import optcore.torch as ot
from tests.support.torch_tensors import NAMES, give, pair, same_bits

SAME_SHAPE = ("exp_avg", "exp_avg_sq", "momentum_buffer", "square_avg", "sum")


def own(opt):
    return [p for group in opt.param_groups for p in group["params"]]


def to_next_group(opt):
    first, second = (group["params"] for group in opt.param_groups)
    if len(first) > 1:
        second.insert(0, first.pop())


def replaced(opt):
    for p in own(opt)[::2]:
        p.data = p.data.clone()


def all_replaced(opt):
    """As sharding libraries do it, at each step."""
    for p in own(opt):
        p.data = p.data.clone()


def turned(opt):
    for p in own(opt):
        turn = tuple(reversed(range(p.ndim)))
        p.data = p.data.permute(turn).contiguous().permute(turn)


def spread_out(opt):
    for p in own(opt)[1:2]:
        p.data = torch.stack([p.data, p.data], -1)[..., 0]


def halved(opt):
    for state in opt.state.values():
        for key in state.keys() & set(SAME_SHAPE):
            state[key] = state[key] / 2


def forgotten(opt):
    opt.state.pop(own(opt)[1], None)


def slower(opt):
    opt.param_groups[0]["lr"] = torch.tensor(0.01)


def loaded(opt):
    opt.load_state_dict(copy.deepcopy(opt.state_dict()))


EDITS = [to_next_group, replaced, all_replaced, turned, spread_out, halved, forgotten, slower, loaded]


@given(name=st.sampled_from(NAMES), edits=st.lists(st.sampled_from(EDITS), min_size=1, max_size=6),
       missing=st.lists(st.integers(0, 4), min_size=6, max_size=6))
def test_after_any_edit_the_step_is_that_of_a_copy_that_holds_nothing_ready(name, edits, missing):
    params = pair()
    opt = getattr(ot, name)([{"params": params[:3], "lr": 0.01}, {"params": params[3:], "lr": 0.5}])
    give(params, 99)
    opt.step()
    for t, (edit, k) in enumerate(zip(edits, missing, strict=False)):
        edit(opt)
        anew = copy.deepcopy(opt)
        for each in (opt, anew):
            give(own(each), t)
            own(each)[k].grad = None
            each.step()
        assert all(map(same_bits, own(opt), own(anew)))


@pytest.mark.parametrize("name", NAMES)
def test_a_parameter_with_the_negative_bit_is_stepped_with_its_sign(name):
    """One element is contiguous whatever its strides, so that it is no detour for these."""
    negative = torch.nn.Parameter(torch.tensor([2 + 3j], dtype=torch.complex64).conj().imag)
    plain = torch.tensor([-3.0], requires_grad=True)
    assert negative.is_neg() and negative.is_contiguous()
    for _ in range(3):
        for p in (negative, plain):
            p.grad = torch.ones(1)
    a, b = getattr(ot, name)([negative]), getattr(ot, name)([plain])
    for opt in (a, b):
        opt.step()
        opt.step()
    assert same_bits(negative.detach().resolve_neg(), plain)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [2, 4])
def test_a_parameter_at_an_odd_address_is_stepped_as_any_other(name, width):
    """As one that lies in a file mapped into memory may be."""
    form = {2: torch.bfloat16, 4: torch.float32}[width]
    odd = torch.zeros(5 * width + 1, dtype=torch.uint8).numpy()[1:].view(f"i{width}")
    at_odd, plain = torch.from_numpy(odd).view(form).requires_grad_(), torch.zeros(5, dtype=form, requires_grad=True)
    assert at_odd.data_ptr() % width
    a, b = getattr(ot, name)([at_odd], seed=0), getattr(ot, name)([plain], seed=0)
    for t in range(3):
        for p, opt in ((at_odd, a), (plain, b)):
            p.grad = torch.linspace(-1, 1, 5).to(form) * (t + 1)
            opt.step()
    assert same_bits(at_odd, plain) and plain.any()


@pytest.mark.parametrize("name", ["Adam", "SGD"])
@pytest.mark.parametrize("convert", [torch.Tensor.double, torch.Tensor.half, lambda t: torch.zeros(7)])
def test_a_frozen_parameter_that_became_something_else_stops_no_other(name, convert):
    (a, frozen), (b, _) = pair(shapes=((4,), (5,))), pair(shapes=((4,), (5,)))
    opt, other = getattr(ot, name)([a, frozen]), getattr(ot, name)([b])
    for t in range(3):
        give([a], t)
        give([b], t)
        frozen.grad = torch.ones(5) if t == 0 else None
        if t == 1:
            frozen.data = convert(frozen.data)
            a.data = a.data.clone()             # so that all are looked up anew
        opt.step()
        other.step()
    assert same_bits(a, b)


@pytest.mark.parametrize("name", NAMES)
def test_the_default_device_is_not_asked(name):
    a, b = pair(), pair()
    give(a, 0)
    give(b, 0)
    opt, other = getattr(ot, name)(a, max_norm=1.0), getattr(ot, name)(b, max_norm=1.0)
    opt.step()
    with torch.device("meta"):
        other.step()
    assert all(map(same_bits, a, b))


def test_parameters_stepped_in_copies_must_stand_alone():
    raw = torch.ones(3, 4)
    for a, b, refused in ((raw, raw[:, :2], True), (raw[:, :2], raw[:, 1:3], True), (raw[:, ::2], raw[:, 1::2], False)):
        a, b = torch.nn.Parameter(a), torch.nn.Parameter(b)
        opt = ot.SGD([("a", a), ("b", b)], lr=0.5, momentum=0.9)
        a.grad, b.grad = torch.ones_like(a), torch.ones_like(b)
        if refused:
            with pytest.raises(ValueError, match=r"params\['b'\] overlaps"):
                opt.step()
            assert torch.equal(raw, torch.ones(3, 4)) and not opt.state
        else:
            opt.step()
            assert torch.equal(raw, torch.full((3, 4), 0.5))
    p = torch.ones(1).expand(3).requires_grad_()
    p.grad = torch.ones(3)
    opt = ot.Adam([p])
    with pytest.raises(ValueError, match="is expanded"):
        opt.step()
    assert p[0] == 1 and not opt.state


@pytest.mark.parametrize("wrong, said", [(torch.zeros(3, device="meta"), "on meta"), (1.0, "a float"),
                                         (torch.zeros(3).to_sparse(), "sparse"), (torch.zeros(2), "shape")])
def test_state_that_cannot_be_used_is_named(wrong, said):
    p = torch.ones(3, requires_grad=True)
    p.grad = torch.ones(3)
    opt = ot.Adam([p])
    opt.step()
    before = p.detach().clone()
    opt.state[p]["exp_avg"] = wrong
    with pytest.raises((TypeError, ValueError), match=f"'exp_avg'.*{said}"):
        opt.step()
    assert same_bits(p, before)


@pytest.mark.parametrize("how", [{}, {"state_dtype": "bfloat16"}, {"state_dtype": "int8"}, {"average": 0.9}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_parameters_whose_memory_is_replaced_at_each_step_are_not_laid_out_anew(dtype, how):
    """What is kept is told where they lie: a new layout takes fifty steps' time."""
    (a, late), (b, other) = ([torch.linspace(-1, 1, n).to(dtype).requires_grad_() for n in (5000, 7)] for _ in range(2))
    opt, judge = ot.AdamW([a, late], lr=0.1, seed=0, **how), ot.AdamW([b, other], lr=0.1, seed=0, **how)
    layouts = set()
    for t in range(6):
        a.data = a.data.clone()
        for params, o in (([a, late], opt), ([b, other], judge)):
            for p in params:
                p.grad = torch.linspace(-1, 1 + t, len(p)).to(dtype)
            if t < 2:
                params[1].grad = None
            o.step()
        layouts.add(opt._layouts[None])
    assert same_bits(a, b) and same_bits(late, other) and len(layouts) <= 2
    a.data = a.data.to(torch.float16)
    with pytest.raises(TypeError, match="float16"):
        opt.step()
