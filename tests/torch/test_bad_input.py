"""What optcore.torch refuses: parameters, gradients and settings, each before anything is changed."""
from __future__ import annotations

import copy

import pytest
import torch

import optcore.torch as ot
from optcore.schedules import cosine
from tests.support.torch_tensors import NAMES, give, pair, same_bits

REFUSED = [
    (lambda: torch.ones(3, dtype=torch.float16), TypeError,
     "float16.*torch.float32 or torch.bfloat16 or torch.float64 is needed.*torch.optim.Adam"),
    (lambda: torch.ones(3, dtype=torch.complex64).conj(), TypeError, "conjugated.*resolve_conj"),
    (lambda: torch.ones(3, device="meta"), ValueError, "on meta.*CPU.*torch.optim.Adam"),
    (lambda: torch.ones(3).to_sparse(), ValueError, "layout"),
]


@pytest.mark.parametrize(("make", "kind", "message"), REFUSED)
def test_parameters_that_cannot_be_stepped_are_refused_as_they_come(make, kind, message):
    good = torch.ones(3, requires_grad=True)
    opt = ot.Adam([good])
    with pytest.raises(kind, match=message):
        opt.add_param_group({"params": [make().requires_grad_()]})
    assert len(opt.param_groups) == 1
    with pytest.raises(kind, match=message):
        ot.Adam([good, make().requires_grad_()])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("first", [True, False])
def test_a_refused_step_changes_nothing(name, first):
    params = pair()
    opt = getattr(ot, name)(params)
    if not first:
        give(params, 0)
        opt.step()
    give(params, 1)
    params[4].grad = params[4].grad.to_sparse()
    state = copy.deepcopy(opt.state_dict())
    before = [p.detach().clone() for p in params]
    with pytest.raises(ValueError, match="4 sparse dimensions: one, which counts rows"):
        opt.step()
    assert all(map(same_bits, params, before))
    assert str(state) == str(opt.state_dict())
    params[4].grad = None
    nan = float("nan")
    opt.param_groups[0].update({"etas": (nan, 1.2)} if name == "Rprop" else {"weight_decay": nan})
    with pytest.raises(ValueError, match="=nan"):
        opt.step()
    assert all(map(same_bits, params, before)) and str(state["state"]) == str(opt.state_dict()["state"])


def test_two_parameters_on_the_same_memory_are_refused():
    raw = torch.ones(6)
    a, b = raw[:4].requires_grad_(), raw[2:].requires_grad_()
    opt = ot.SGD([a, b], lr=0.1)
    a.grad, b.grad = torch.ones(4), torch.ones(4)
    with pytest.raises(ValueError, match="overlap"):
        opt.step()
    assert torch.equal(raw, torch.ones(6))
    with pytest.warns(UserWarning, match="duplicate"):
        opt = ot.Adam([a, a])
    with pytest.raises(ValueError, match="twice"):
        opt.step()
    a.grad = a.detach()
    opt = ot.SGD([("a", a)], lr=0.1)
    with pytest.raises(ValueError, match=r"the gradient of params\['a'\] overlaps"):
        opt.step()
    assert torch.equal(raw, torch.ones(6))


def test_settings_that_are_refused():
    p = torch.ones(3, requires_grad=True)
    with pytest.raises(ValueError, match="differentiable.*torch.optim.Adam"):
        ot.Adam([p], differentiable=True)
    with pytest.raises(ValueError, match="nonfinite"):
        ot.Adam([p], nonfinite="ignore")
    with pytest.raises(ValueError, match="state_dtype"):
        ot.Adam([p], state_dtype="float64")
    with pytest.raises(ValueError, match="max_norm"):
        ot.Adam([p], max_norm=-1.0)
    with pytest.raises(ValueError, match="num_threads"):
        ot.Adam([p], num_threads=0)
    with pytest.raises(ValueError, match="lr"):
        ot.Lion([p], lr=-1.0)
    with pytest.raises(TypeError, match="beta"):
        ot.Lion([p], beta=0.5)
    for kind in (ot.SGD, ot.Adam):
        for arguments, named in (((cosine(0.1, 10),), {}), ((), {"lr": cosine(0.1, 10)})):
            with pytest.raises(TypeError, match="lr: a number.*lr_scheduler"):
                kind([p], *arguments, **named)
