"""torch's own grid of settings (optim_db, which ships in the wheel) over our classes, against torch.optim in float32.

Two comparisons of each case. With optcore's NumPy classes bit for bit, which the reference judges in turn. With
torch.optim, one tensor at a time and not fused, within a derived bound: ours and theirs are each within their own of
the exact trajectory. torch orders its operations differently, but does not do twice as many, so its bound is taken
as twice ours; and it carries some scalars as float32 state (NAdam's mu_product, ASGD's eta), so in both they may be off
by a rounding for each step.
"""
from __future__ import annotations

import numpy as np
import pytest
import torch

import optcore as oc
import optcore.torch as ot
from optcore.rules import FAMILIES
from tests.support.bounded import U32, bounded_trajectory
from tests.support.draws import ELEMENTWISE_CLASSES
from tests.support.torch_cases import GRID, settings_of

STEPS = 22
SIZES = (0, 1, 7, 8, 9, 15, 16, 17, 63, 64, 65, 1023, 1024, 1025)


def test_the_grid_has_every_class_of_torch_that_the_table_has():
    assert {name for name, _ in GRID} == {name for name in ELEMENTWISE_CLASSES if hasattr(torch.optim, name)}
    assert len(GRID) == 70


@pytest.mark.parametrize(("name", "chosen"), GRID, ids=[f"{n}-{i}" for i, (n, _) in enumerate(GRID)])
def test_grid(name, chosen):
    rng = np.random.default_rng(len(name))
    starts = [rng.standard_normal(n).astype(np.float32) for n in SIZES]
    gradients = [[(rng.standard_normal(n) * 10.0 ** rng.integers(-3, 3)).astype(np.float32) for n in SIZES]
                 for _ in range(STEPS)]
    theirs = [torch.from_numpy(s.copy()).requires_grad_() for s in starts]
    ours = [torch.from_numpy(s.copy()).requires_grad_() for s in starts]
    plain = [s.copy() for s in starts]
    judge = getattr(torch.optim, name)(theirs, foreach=False, **chosen)
    opt = getattr(ot, name)(ours, **chosen)
    core = getattr(oc, name)(plain, **settings_of(chosen))
    for grads in gradients:
        for p, q, g in zip(theirs, ours, grads, strict=True):
            p.grad, q.grad = torch.from_numpy(g.copy()), torch.from_numpy(g.copy())
        judge.step()
        opt.step()
        core.step(grads)
    judged = asked = 0
    for k, (p, q, n) in enumerate(zip(theirs, ours, plain, strict=True)):
        np.testing.assert_array_equal(q.detach().numpy(), n)
        assert opt.state[q].keys() == judge.state[p].keys()
        bound = bounded_trajectory(FAMILIES[name], settings_of(chosen), starts[k], [g[k] for g in gradients], U32,
                                   carried=True)
        got = {**opt.state[q], "p": q.detach()}
        want = {**judge.state[p], "p": p.detach()}
        for key, exact in bound.items():
            known = np.isfinite(exact.error)
            judged += known.sum()
            asked += known.size
            off = np.abs(got[key].numpy().astype(np.float64) - want[key].numpy())
            assert (off <= 3 * exact.error)[known].all(), f"{key} is off by {off.max()}"
        if "step" in got:
            assert got["step"] == want["step"] == STEPS
    assert judged > 0.9 * asked
