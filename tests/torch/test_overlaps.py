"""A step of several kernels in optcore.torch: what one of them would write under another's eyes is refused."""
from __future__ import annotations

import pytest
import torch

import optcore.torch as ot


@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize("reader", [0, 1])
@pytest.mark.parametrize("options", [{}, {"max_norm": 1.0}, {"undoable": True}, {"zero_grads": True}])
def test_a_gradient_that_is_a_parameter_of_the_optimizer_is_refused_by_name(momentum, reader, options):
    params = [torch.nn.Parameter(torch.full((4,), float(k))) for k in range(2)]
    groups = [{"params": params[:1], "momentum": 0.0}, {"params": params[1:], "momentum": momentum}]
    opt = ot.SGD(groups, lr=0.5, **options)
    for first in (True, False):                 # before there is state, and with it
        for p in params:
            p.grad = torch.zeros(4)
        params[reader].grad = params[1 - reader].detach()
        before = [p.detach().clone() for p in params]
        with pytest.raises(ValueError, match=rf"gradient of param_groups\[{reader}\]\['params'\]\[0\] overlaps"):
            opt.step()
        assert all(map(torch.equal, params, before))
        for p in params:
            p.grad = torch.zeros(4)
        if first:
            opt.step()


def test_a_step_with_an_unusual_gradient_names_no_parameter_in_vain(monkeypatch):
    """Names are made for errors only: looking one up goes through all parameters."""
    params = [torch.nn.Parameter(torch.ones(2)) for _ in range(30)]
    opt = ot.Adam(params)
    for t in range(3):
        for p in params:
            p.grad = torch.ones(2)
        params[7].grad = torch.ones(()).expand(2)
        if t == 1:
            monkeypatch.setattr(type(opt), "_name_of", lambda self, p: pytest.fail("asked"))
        opt.step()
    assert all(map(torch.equal, params, params[1:]))
