"""torch.optim as a judge we did not write: the same trajectories over 25 steps, every class, any settings.

Two comparisons, each with a derived tolerance. torch in float64 against our reference in float64 shows that the
formulas are the same, far below what float32 could show. torch in float64 against our float32 kernels shows that
the kernels stay within the bound of their own rounding. The bounds are those of bounded.py, carried along over
all steps. torch orders its operations differently, but does not do twice as many, so its own error is taken as
twice the bound at float64.
"""
from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import optcore as oc
from optcore.rules import FAMILIES
from tests.support.bounded import U32, U64, bounded_trajectory
from tests.support.draws import ELEMENTWISE_CLASSES
from tests.support.torch_oracle import torch_trajectory

STEPS = 25
LR = st.sampled_from([1e-3, 0.1, 0.01])
DECAY = st.sampled_from([0.0, 0.01, 0.3])
FRACTION = st.sampled_from([0.0, 0.3, 0.9, 0.999])
COMMON = {"lr": LR, "weight_decay": DECAY, "maximize": st.booleans()}
BETAS = st.tuples(st.sampled_from([0.0, 0.6, 0.9]), FRACTION)
ADAM = {**COMMON, "betas": BETAS, "eps": st.sampled_from([1e-8, 1e-3]),
        "amsgrad": st.booleans()}
SETTINGS = {
    "SGD": st.one_of(
        st.fixed_dictionaries({**COMMON, "momentum": st.sampled_from([0.0, 0.5, 0.9]),
                               "dampening": st.sampled_from([0.0, 0.4, 1.0])}),
        st.fixed_dictionaries({**COMMON, "momentum": st.sampled_from([0.5, 0.9]), "nesterov": st.just(True)})),
    "Adagrad": st.fixed_dictionaries({**COMMON, "lr_decay": st.sampled_from([0.0, 0.1]),
                                      "initial_accumulator_value": st.sampled_from([0.0, 0.125]),
                                      "eps": st.sampled_from([1e-10, 1e-3])}),
    "RMSprop": st.fixed_dictionaries({**COMMON, "alpha": st.sampled_from([0.5, 0.9, 0.99]),
                                      "eps": st.sampled_from([1e-8, 1e-3]),
                                      "momentum": st.sampled_from([0.0, 0.9]), "centered": st.booleans()}),
    "Adam": st.fixed_dictionaries(ADAM),
    "AdamW": st.fixed_dictionaries(ADAM),
    "Adadelta": st.fixed_dictionaries({**COMMON, "lr": st.sampled_from([1.0, 0.1]), "rho": st.sampled_from([0.5, 0.9]),
                                       "eps": st.sampled_from([1e-6, 1e-3])}),
    "Adamax": st.fixed_dictionaries({**COMMON, "betas": BETAS, "eps": st.sampled_from([1e-8, 1e-3])}),
    "NAdam": st.fixed_dictionaries({**COMMON, "betas": BETAS, "eps": st.sampled_from([1e-8, 1e-3]),
                                    "momentum_decay": st.sampled_from([0.0, 4e-3, 0.5, 30.0]),
                                    "decoupled_weight_decay": st.booleans()}),
    "RAdam": st.fixed_dictionaries({**COMMON, "betas": BETAS, "eps": st.sampled_from([1e-8, 1e-3]),
                                    "decoupled_weight_decay": st.booleans()}),
    "Rprop": st.fixed_dictionaries({"lr": LR, "maximize": st.booleans(),
                                    "etas": st.sampled_from([(0.5, 1.2), (0.3, 1.5), (0.9, 1.01)]),
                                    "step_sizes": st.sampled_from([(1e-6, 50.0), (1e-2, 0.2), (0.3, 0.3)])}),
    "ASGD": st.fixed_dictionaries({**COMMON, "lambd": st.sampled_from([0.0, 1e-4, 0.5]),
                                   "alpha": st.sampled_from([0.0, 0.75, 2.0]),
                                   "t0": st.sampled_from([0.0, 1.0, 7.5, 1e6])}),
}


def test_every_class_that_torch_has_is_compared():
    assert set(SETTINGS) == {name for name in ELEMENTWISE_CLASSES if hasattr(torch.optim, name)}


@pytest.mark.parametrize("name", sorted(SETTINGS))
@settings(max_examples=40)
@given(data=st.data(), n=st.sampled_from([1, 7, 8, 17, 65, 1025]), seed=st.integers(0, 2**32 - 1))
def test_trajectory_agrees_with_torch(name, data, n, seed):
    family = FAMILIES[name]
    chosen = data.draw(SETTINGS[name])
    rng = np.random.default_rng(seed)
    count = -(-64 // n)                 # tensors of this size: enough elements that one does not decide the share below
    start = rng.standard_normal(count * n).astype(np.float32)
    gradients = [(rng.standard_normal(count * n) * 10.0 ** rng.integers(-3, 3)).astype(np.float32)
                 for _ in range(STEPS)]
    end, state = torch_trajectory(name, chosen, start, gradients)
    exact = bounded_trajectory(family, chosen, start, gradients, U64)
    rounded = bounded_trajectory(family, chosen, start, gradients, U32)
    params = [p.copy() for p in start.reshape(count, n)]
    opt = getattr(oc, name)(params, **chosen)
    for g in gradients:
        opt.step(list(g.reshape(count, n)))
    ours = {key: np.concatenate([s[key] for s in opt.state]) for key in opt.state[0] if key != "step"}
    ours["p"] = np.concatenate(params)
    assert ours.keys() - {"p"} <= state.keys()
    for key, bound in exact.items():
        judge = end if key == "p" else state[key].numpy()
        off = np.abs(judge - bound.value)
        known = np.isfinite(bound.error)
        assert known.mean() > 0.9
        assert (off <= 3 * bound.error)[known].all(), f"{chosen}: the formulas of {key} differ by {off.max()}"
        known &= np.isfinite(rounded[key].error)
        off = np.abs(ours[key].astype(np.float64) - judge)
        assert (off <= rounded[key].error + 3 * bound.error)[known].all(), (
            f"{chosen}: float32 {key} is off by {off.max()}")


def test_classical_nesterov_is_torchs_nesterov_in_other_variables():
    """torch stores the look-ahead point p + mu v; its path is that of our look-ahead points, step for step.
    The function is a convex quadratic, whose steps do not enlarge errors: 100 steps of some ten float32
    roundings each of numbers below 2 stay under 100 * 10 * 2 * 2^-24 = 1.2e-4."""
    rng = np.random.default_rng(3)
    curvature = np.linspace(0.1, 5.0, 33).astype(np.float32)
    start = rng.uniform(-1, 1, 33).astype(np.float32)
    theta = torch.from_numpy(start.astype(np.float64)).requires_grad_()
    judge = torch.optim.SGD([theta], lr=0.1, momentum=0.9, nesterov=True)
    p = start.copy()
    ours = oc.NesterovClassical([p], lr=0.1, momentum=0.9)
    for _ in range(100):
        with ours.lookahead():
            np.testing.assert_allclose(p, theta.detach().numpy(), rtol=0, atol=1.2e-4)
            g = curvature * p
        ours.step([g])
        theta.grad = torch.from_numpy(curvature.astype(np.float64)) * theta.detach()
        judge.step()
    assert np.abs(p).max() < 0.1
