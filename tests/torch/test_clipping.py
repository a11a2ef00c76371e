"""Clipping by the global norm against torch's."""
from __future__ import annotations

import numpy as np
import torch

import optcore as oc


def test_clipping_is_torchs():
    """In float64 torch's norm and ours differ by their summation alone: n 2^-53 of it, n = 1000. The clipped
    trajectory of plain SGD is that of torch within float32's rounding: 10 steps of three roundings each of numbers
    below 8."""
    rng = np.random.default_rng(0)
    p = rng.standard_normal(1000).astype(np.float32)
    theirs = torch.from_numpy(p.astype(np.float64)).requires_grad_()
    judge, ours = torch.optim.SGD([theirs], lr=0.1), oc.SGD([p], lr=0.1)
    for _ in range(10):
        g = rng.standard_normal(1000).astype(np.float32)
        theirs.grad = torch.from_numpy(g.astype(np.float64))
        norm = torch.nn.utils.clip_grad_norm_([theirs], 2.0)
        judge.step()
        ours.step([g], max_norm=2.0)
        assert abs(ours.grad_norm / float(norm) - 1) < 1000 * 2.0**-53
    assert np.abs(p - theirs.detach().numpy()).max() < 30 * 8 * 2.0**-24
