"""Trajectories by torch.optim in float64, as a judge that we did not write."""
from __future__ import annotations

import numpy as np
import torch


def torch_trajectory(name, chosen, start, gradients):
    """The parameters in the end, and the state. Scalars kept as state (ASGD's eta) have the default dtype."""
    torch.set_default_dtype(torch.float64)
    try:
        p = torch.from_numpy(start.astype(np.float64)).requires_grad_()
        opt = getattr(torch.optim, name)([p], foreach=False, **chosen)
        for g in gradients:
            p.grad = torch.from_numpy(g.astype(np.float64))
            opt.step()
    finally:
        torch.set_default_dtype(torch.float32)
    return p.detach().numpy(), opt.state[p]
