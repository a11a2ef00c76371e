"""Trajectories by torch.optim in float64, and by exact arithmetic with the bound of another arithmetic's error."""
from __future__ import annotations

import numpy as np
import torch

from optcore import reference
from optcore.rules import RULES
from tests.support.bounded import Bounded, bounded_step


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


def bounded_trajectory(family, chosen, start, gradients, u, carried=False):
    """The exact trajectory and how far arithmetic of unit roundoff u may be from it. carried: so may its scalars, by
    as many roundings as there were steps, one more for each operation."""
    full = {**family.settings, **chosen}
    rule_name, values = family.pick(full)
    rule = RULES[rule_name]
    arrays = [Bounded.exact(start, u)] + [
        Bounded.exact(np.full(start.shape, full.get(family.fill.get(k, ""), 0.0), np.float32), u) for k in rule.keys]
    for t, g in enumerate(gradients, start=1):
        arrays = bounded_step(reference, rule, [arrays[0], Bounded.exact(g, u), *arrays[1:]],
                              rule.scalars(t, *values), u, t + 4 if carried else 1)
    return dict(zip(("p", *rule.keys), arrays, strict=True))
