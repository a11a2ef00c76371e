"""State of one number a row, in optcore.torch: the NumPy class's bits, checkpoints, what has no rows."""
from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch

import optcore as oc
import optcore.torch
from tests.support.torch_tensors import same_bits

SHAPES = ((5, 3), (4,), (0, 2), (2, 3, 4))


def pair(dtype):
    torch.manual_seed(0)
    return [torch.randn(s, dtype=dtype).requires_grad_() for s in SHAPES]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64])
def test_it_steps_as_the_numpy_class_does_and_goes_on_from_a_checkpoint(dtype):
    mine = pair(dtype)
    arrays = [p.detach().numpy().copy() for p in mine]
    settings = {"lr": 0.1, "initial_accumulator_value": 0.5, "weight_decay": 0.1}
    opt, other = optcore.torch.RowwiseAdagrad(mine, **settings), oc.RowwiseAdagrad(arrays, **settings)
    for t in range(6):
        grads = [torch.randn(p.shape, dtype=dtype) for p in mine]
        for p, g in zip(mine, grads, strict=True):
            p.grad = g
        opt.step()
        other.step([g.numpy() for g in grads])
        if t == 2:
            file = io.BytesIO()
            torch.save(opt.state_dict(), file)
            file.seek(0)
            opt = optcore.torch.RowwiseAdagrad(mine, **settings)
            opt.load_state_dict(torch.load(file))
        if t == 4:
            opt = copy.deepcopy(opt)
            mine = opt.param_groups[0]["params"]
    for p, a, s in zip(mine, arrays, other.state, strict=True):
        assert same_bits(torch.view_as_real(p) if p.is_complex() else p, torch.from_numpy(
            a.view(np.float32).reshape(*a.shape, 2) if p.is_complex() else a))
        assert same_bits(opt.state[p]["row_sum"], torch.from_numpy(s["row_sum"])) and s["row_sum"].shape == p.shape[:1]


def test_what_has_no_rows_is_refused():
    for p, words in ((torch.randn(()), r"shape \(\)"), (torch.randn(3, 4).T, "strides")):
        with pytest.raises(ValueError, match=words):
            optcore.torch.RowwiseAdagrad([torch.nn.Parameter(p)])
    p = torch.nn.Parameter(torch.ones(3, 4))
    opt = optcore.torch.RowwiseAdagrad([p])
    p.grad = torch.ones(3, 4)
    opt.step()
    saved = opt.state_dict()
    saved["state"][0]["row_sum"] = torch.ones(3, 4)
    opt.load_state_dict(saved)
    with pytest.raises(ValueError, match="row_sum"):
        opt.step()
