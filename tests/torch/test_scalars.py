"""NAdam's product of momenta and ASGD's eta and mu against torch, which keeps them as state; and what these rules do
with zeros, infinities and NaNs, as torch does."""
from __future__ import annotations

import numpy as np
import pytest
import torch

import optcore as oc
from optcore.rules.averaging import asgd_eta_mu
from optcore.rules.nadam import nadam_mu_product
from tests.support.bits import assert_same_bits
from tests.support.bounded import U64
from tests.support.torch_oracle import torch_trajectory


@pytest.mark.parametrize("chosen", [{}, {"betas": (0.5, 0.9), "momentum_decay": 0.3}, {"momentum_decay": 0.0}])
def test_the_product_of_momenta_is_torchs_state(chosen):
    """25 products of numbers with a few roundings each, in both: below 25 * 20 u."""
    _, state = torch_trajectory("NAdam", chosen, np.ones(1, np.float32), [np.ones(1, np.float32)] * 25)
    full = {"betas": (0.9, 0.999), "momentum_decay": 4e-3, **chosen}
    ours = nadam_mu_product(25, full["betas"][0], full["momentum_decay"])
    assert abs(ours - float(state["mu_product"])) <= 500 * U64 * ours


@pytest.mark.parametrize("chosen", [{}, {"lr": 0.5, "lambd": 0.1, "alpha": 2.0, "t0": 3.0}, {"t0": 0.0, "alpha": 0.0}])
def test_eta_and_mu_are_torchs_state_for_the_next_step(chosen):
    _, state = torch_trajectory("ASGD", chosen, np.ones(1, np.float32), [np.ones(1, np.float32)] * 25)
    full = {"lr": 1e-2, "lambd": 1e-4, "alpha": 0.75, "t0": 1e6, **chosen}
    eta, mu = asgd_eta_mu(26, **full)
    assert abs(eta - float(state["eta"])) <= 8 * U64 * eta      # one power and two products
    assert mu == float(state["mu"])


SPECIAL = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-30, -1e-30, 1e30, -1e30, 1.0, -1.0], np.float32)


@pytest.mark.parametrize("name, chosen", [("Rprop", {}), ("Adamax", {}), ("Adamax", {"eps": 0.0}), ("RAdam", {}),
                                          ("ASGD", {"t0": 0.0}), ("Adadelta", {}), ("NAdam", {})])
def test_zeros_infinities_and_nans_go_where_they_go_in_torch(name, chosen):
    """Every pair of such gradients, then an ordinary one: which elements are NaN, infinite or (Rprop, whose
    operations are torch's) anything else. Three steps: too few for RAdam to divide."""
    first, second = (x.ravel().copy() for x in np.meshgrid(SPECIAL, SPECIAL))
    gradients = [first, second, np.full(first.shape, 0.5, np.float32)]
    theirs = torch.ones(first.shape, requires_grad=True)
    judge = getattr(torch.optim, name)([theirs], foreach=False, **chosen)
    p = np.ones(first.shape, np.float32)
    ours = getattr(oc, name)([p], **chosen)
    for g in gradients:
        theirs.grad = torch.from_numpy(g.copy())
        judge.step()
        ours.step([g])
    found = {"p": p, **ours.state[0]}
    found.pop("step")
    for key, got in found.items():
        want = (theirs.detach() if key == "p" else judge.state[theirs][key]).numpy()
        for what in (np.isnan, np.isposinf, np.isneginf):
            np.testing.assert_array_equal(what(got), what(want), err_msg=f"{key}: {what.__name__}")
        if name == "Rprop":
            assert_same_bits(got, want, key)
