"""State goes from torch.optim into the NumPy classes of the same name, and back."""
from __future__ import annotations

import numpy as np
import pytest
import torch

import optcore as oc

NAMES = ["SGD", "Adagrad", "RMSprop", "Adam", "AdamW", "Adadelta", "Adamax", "RAdam", "Rprop"]
MORE = {"SGD": {"momentum": 0.9}}


@pytest.mark.parametrize("name", NAMES)
def test_a_run_goes_from_torch_to_numpy_and_back(name):
    """The three runs' steps agree: a step of float32 in another order of operations is off by a few roundings of p and
    of what is subtracted, which is below lr (1e-3) times 10 of p: 1e-5 of p in six steps."""
    torch.manual_seed(0)
    start, grads = torch.randn(40), [torch.randn(40) for _ in range(6)]
    settings = {"lr": 1e-3, **MORE.get(name, {})}

    def make(x):
        p = torch.nn.Parameter(x.clone())
        return p, getattr(torch.optim, name)([p], **settings)

    def run(p, opt, some):
        for g in some:
            p.grad = g.clone()
            opt.step()

    whole, judge = make(start)
    run(whole, judge, grads)
    p, first = make(start)
    run(p, first, grads[:2])
    w = p.detach().numpy().copy()
    ours = getattr(oc, name)([w], **settings)
    ours.load_state_dict(first.state_dict())
    for g in grads[2:4]:
        ours.step([g.numpy()])
    q, last = make(torch.from_numpy(w))
    last.load_state_dict(ours.state_dict())
    run(q, last, grads[4:])
    np.testing.assert_allclose(q.detach().numpy(), whole.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_what_torchs_flag_makes_another_class_is_refused_by_that_class():
    p = torch.nn.Parameter(torch.ones(3))
    theirs = torch.optim.AdamW([p])
    p.grad = torch.ones(3)
    theirs.step()
    with pytest.raises(ValueError, match="decoupled_weight_decay.*AdamW"):
        oc.Adam([np.ones(3, np.float32)]).load_state_dict(theirs.state_dict())


def test_bfloat16_tensors_are_gradients_of_numpy_parameters():
    w = np.zeros(4, np.float32)
    oc.SGD([w], lr=1.0).step([torch.full((4,), 0.5, dtype=torch.bfloat16)])
    np.testing.assert_array_equal(w, np.full(4, -0.5, np.float32))
