"""Where settings change from step to step, the run is torch's: NAdam's product of momenta and ASGD's eta and mu are
what torch carries."""
from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import optcore.torch as ot
from tests.support.torch_tensors import give as give_all
from tests.support.torch_tensors import pair, same_bits

STEPS = 30


def one_cycle(opt):
    return torch.optim.lr_scheduler.OneCycleLR(opt, max_lr=0.1, total_steps=STEPS + 1)


def cyclic(opt):
    return torch.optim.lr_scheduler.CyclicLR(opt, base_lr=0.01, max_lr=0.1, step_size_up=4, cycle_momentum=True,
                                             base_momentum=0.5, max_momentum=0.95)


def cosine(opt):
    return torch.optim.lr_scheduler.CosineAnnealingLR(opt, STEPS)


class DecayGrows:
    """momentum_decay by hand."""

    def __init__(self, opt):
        self.opt = opt

    def step(self):
        self.opt.param_groups[0]["momentum_decay"] *= 1.5


CASES = [("NAdam", {}, one_cycle), ("NAdam", {"decoupled_weight_decay": True, "weight_decay": 0.1}, cyclic),
         ("NAdam", {"momentum_decay": 0.01}, DecayGrows), ("NAdam", {}, cosine),
         ("ASGD", {"t0": 3.0, "lambd": 0.01}, cosine), ("ASGD", {}, cosine)]


def run(name, chosen, schedule, makers, first=0, last=STEPS, late=None):
    """The parameters after these steps, the optimizers changing from maker to maker through state_dict()."""
    params = pair()
    opt, scheduler = None, None
    for t in range(first, last):
        if t % (STEPS // len(makers)) == 0:
            new = getattr(makers[t * len(makers) // STEPS], name)(params, **chosen)
            if opt is not None:
                new.load_state_dict(copy.deepcopy(opt.state_dict()))
                saved = scheduler.state_dict() if hasattr(scheduler, "state_dict") else {}
            opt, before = new, copy.deepcopy(new.param_groups) if opt is not None else None
            scheduler = schedule(opt)
            if before is not None:
                if saved:
                    scheduler.load_state_dict(saved)
                for group, was in zip(opt.param_groups, before, strict=True):
                    group.update({k: v for k, v in was.items() if k != "params"})
        give_all(params, t)
        if late and t < late:
            params[2].grad = None
        opt.step()
        scheduler.step()
    return params, opt


@pytest.mark.parametrize(("name", "chosen", "schedule"), CASES)
@pytest.mark.parametrize("late", [None, 7])
def test_the_run_is_torchs(name, chosen, schedule, late):
    """Float32 in both. A step rounds a parameter below 4 by 2^-23 at most and its update, 0.1 at most, in some eight
    operations by 2^-24 of it each: if all of them add up in both runs, 30 * 2 * (1.2e-7 + 8 * 6e-9) = 1e-5. They do
    not: the bound is 2e-6 and 2e-5 of the parameter. mu_product is rounded twice a step: 60 * 2^-24 = 3.6e-6 of it."""
    ours, mine = run(name, chosen, schedule, [ot], late=late)
    theirs, judge = run(name, chosen, schedule, [torch.optim], late=late)
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=2e-5, atol=2e-6)
        for key in {"NAdam": ["mu_product"], "ASGD": ["eta", "mu"]}[name]:
            torch.testing.assert_close(mine.state[p][key], judge.state[q][key], rtol=3.6e-6, atol=0.0)


@pytest.mark.parametrize(("name", "chosen", "schedule"), CASES[:4:3] + CASES[4:5])
@pytest.mark.parametrize("makers", [[torch.optim, ot], [ot, torch.optim], [ot, torch.optim, ot]])
def test_it_is_also_through_checkpoints(name, chosen, schedule, makers):
    """Within the bound of above."""
    ours, _ = run(name, chosen, schedule, makers)
    theirs, _ = run(name, chosen, schedule, [torch.optim])
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=2e-5, atol=2e-6)


@given(betas=st.lists(st.sampled_from([(0.9, 0.999), (0.85, 0.999), (0.95, 0.99)]), min_size=2, max_size=8),
       cut=st.integers(1, 7), name=st.sampled_from(["NAdam", "ASGD"]))
def test_a_run_that_was_cut_has_the_bits_of_one_that_was_not(betas, cut, name):
    params, again = pair(), pair()
    opt, other = getattr(ot, name)(params), getattr(ot, name)(again)
    for t, beta in enumerate(betas):
        if t == cut:
            saved = copy.deepcopy(other.state_dict())
            other = getattr(ot, name)(again)
            other.load_state_dict(saved)
        for some, o in ((params, opt), (again, other)):
            if name == "NAdam":
                o.param_groups[0]["betas"] = beta
            o.param_groups[0]["lr"] = beta[0] / 90
            give_all(some, t)
            o.step()
    assert all(map(same_bits, params, again))
