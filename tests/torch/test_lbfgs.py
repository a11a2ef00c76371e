"""optcore.torch.LBFGS in the place of torch.optim.LBFGS."""
from __future__ import annotations

import copy
import doctest
import io
import pickle

import numpy as np
import pytest
import torch

from optcore.torch import LBFGS, _lbfgs


def net(form=torch.float32):
    torch.manual_seed(0)
    x = torch.randn(200, 5, dtype=form)
    y = torch.sin(x).sum(1, keepdim=True)
    model = torch.nn.Sequential(torch.nn.Linear(5, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)).to(form)
    return model, x, y


def train(make, steps, form=torch.float32, scale=1.0, batches=1):
    model, x, y = net(form)
    search = make(model.parameters())
    calls, losses = [0], []
    for step in range(steps):
        part = slice(step % batches, None, batches)

        def closure(part=part):
            calls[0] += 1
            search.zero_grad()
            loss = scale * ((model(x[part]) - y[part]) ** 2).mean()
            loss.backward()
            return loss

        losses.append(float(search.step(closure).detach()) / scale)
    return losses, calls[0], model, search


@pytest.mark.parametrize("form", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_it_keeps_up_with_torchs_at_any_scale_of_the_loss(form, scale):
    """Both fall more than 500-fold; on the way their paths part, and after so many iterations one may be some factor
    ahead. At 1e-6 of the loss torch's own does not move at all, for its thresholds are absolute."""
    mine, calls, *_ = train(lambda p: LBFGS(p, tolerance_grad=0, tolerance_change=0), 8, form, scale)
    judge, *_ = train(lambda p: torch.optim.LBFGS(p, line_search_fn="strong_wolfe"), 8, form, 1.0)
    assert mine[-1] < 4 * judge[-1] and mine[-1] < mine[0] / 500 and calls <= 8 * 26


def test_batches_may_change_between_steps():
    losses, _, _, search = train(lambda p: LBFGS(p, max_iter=4, history_size=10), 40, batches=4)
    assert np.mean(losses[-4:]) < np.mean(losses[:4]) / 5
    assert search._minimizer.skipped >= 0 and not search._minimizer._model.empty


def test_damped_batches_keep_every_pair():
    losses, _, _, search = train(lambda p: LBFGS(p, max_iter=4, history_size=10, damping=True), 40, batches=4)
    assert np.mean(losses[-4:]) < np.mean(losses[:4]) / 5
    assert search._minimizer.options["damping"] and search._minimizer.skipped == 0


def test_lr_is_the_first_length_tried():
    """With nothing known that is a multiple of a unit of length."""
    for lr in (1.0, 0.125):
        x, seen = torch.zeros(1, dtype=torch.float64, requires_grad=True), []
        search = LBFGS([x], lr=lr, max_iter=3)

        def closure(x=x, seen=seen, search=search):
            search.zero_grad()
            seen.append(float(x.detach()))
            loss = ((x - 1) ** 2).sum() + 10
            loss.backward()
            return loss

        search.step(closure)
        assert seen[1] == lr


def test_a_state_of_torchs_class_gives_its_settings():
    model = net()[0]
    theirs = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=7)
    mine = LBFGS(model.parameters())
    mine.load_state_dict(theirs.state_dict())
    assert mine.param_groups[0]["max_iter"] == 7
    mine.step(lambda: sum((p ** 2).sum() for p in model.parameters()))


def test_a_loaded_state_goes_on_bit_for_bit():
    def go(search, model, x, y, steps):
        for _ in range(steps):
            def closure():
                search.zero_grad()
                loss = ((model(x) - y) ** 2).mean()
                loss.backward()
                return loss
            search.step(closure)

    model, x, y = net()
    search = LBFGS(model.parameters(), max_iter=3)
    go(search, model, x, y, 3)
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    file = io.BytesIO()
    torch.save(search.state_dict(), file)
    file.seek(0)
    saved = torch.load(file)            # weights only: nothing but tensors and plain values
    go(search, model, x, y, 2)
    other, _, _ = net()
    other.load_state_dict(weights)
    resumed = LBFGS(other.parameters(), max_iter=3)
    resumed.load_state_dict(saved)
    go(resumed, other, x, y, 2)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def closure_of(search, model, x, y, seen=None, fail_at=None, error=ZeroDivisionError):
    """The loss; it raises at the evaluation number fail_at, half of its gradients written."""
    calls = [0]

    def closure():
        calls[0] += 1
        if calls[0] == fail_at:
            raise error
        search.zero_grad()
        loss = ((model(x) - y) ** 2).mean()
        loss.backward()
        if seen is not None:
            seen.append((float(loss.detach()), [p.detach().clone() for p in model.parameters()]))
        return loss
    return closure


def test_it_is_torchs_class_and_counts_as_it_does():
    model, x, y = net()
    search = LBFGS(model.parameters(), max_iter=4, max_eval=100)
    assert isinstance(search, torch.optim.LBFGS)
    made = []
    for _ in range(3):
        search.step(closure_of(search, model, x, y, made))
    counts = search.state_dict()["state"][0]
    assert counts["n_iter"] == 12 and counts["func_evals"] == len(made)
    again = LBFGS(model.parameters(), max_iter=4, max_eval=100)
    again.load_state_dict(search.state_dict())
    again.step(closure_of(again, model, x, y))
    assert again.state_dict()["state"][0]["n_iter"] == 16


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("fail_at", [1, 2, 3, 5, 8])
def test_a_closure_that_raises_leaves_the_parameters_of_the_last_iteration(fail_at, error):
    model, x, y = net()
    search, seen = LBFGS(model.parameters(), max_iter=20), []
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(error):
        search.step(closure_of(search, model, x, y, seen, fail_at, error))
    now = [p.detach() for p in model.parameters()]
    reached = [k for k, (_, values) in enumerate(seen) if all(map(torch.equal, values, now))]
    assert reached or fail_at == 1 and all(map(torch.equal, before, now))
    assert search.state[next(model.parameters())]["func_evals"] == len(seen)
    if seen:
        assert seen[reached[0]][0] <= seen[0][0]
        search.step(closure_of(search, model, x, y))
        after = float(((model(x) - y) ** 2).mean().detach())
        assert after < seen[reached[0]][0]


def test_old_checkpoints_and_torchs_are_loaded():
    model, x, y = net()
    search = LBFGS(model.parameters(), max_iter=3)
    search.step(closure_of(search, model, x, y))
    old = {**search.state_dict(), "state": {}}      # 0.1 counted nothing
    del old["param_groups"][0]["damping"]
    again = LBFGS(model.parameters(), max_iter=3)
    again.load_state_dict(old)
    again.step(closure_of(again, model, x, y))
    theirs = torch.optim.LBFGS(model.parameters(), max_iter=3)
    theirs.step(closure_of(theirs, model, x, y))
    again.load_state_dict(theirs.state_dict())
    counts = again.state[next(model.parameters())]
    assert counts == {key: theirs.state[next(model.parameters())][key] for key in ("n_iter", "func_evals")}
    again.step(closure_of(again, model, x, y))
    before = float(((model(x) - y) ** 2).mean().detach())
    theirs.load_state_dict(again.state_dict())
    theirs.step(closure_of(theirs, model, x, y))
    assert float(((model(x) - y) ** 2).mean().detach()) < before


def test_a_copy_goes_on_with_the_same_bits():
    model, x, y = net()
    search = LBFGS(model.parameters(), max_iter=3)
    search.step(closure_of(search, model, x, y))
    for twin, other in (copy.deepcopy((model, search)), pickle.loads(pickle.dumps((model, search)))):
        mine, own = copy.deepcopy((model, search))
        own.step(closure_of(own, mine, x, y))
        other.step(closure_of(other, twin, x, y))
        assert all(map(torch.equal, mine.parameters(), twin.parameters()))


@pytest.mark.parametrize("name, make", [
    ("lr", lambda p: LBFGS(p, lr=0.0)), ("lr", lambda p: LBFGS(p, lr="x")), ("lr", lambda p: LBFGS(p, lr=None)),
    ("line_search_fn", lambda p: LBFGS(p, line_search_fn="armijo")),
    ("params", lambda p: LBFGS([{"params": q} for q in p])),
    ("params", lambda p: LBFGS([torch.zeros(2, dtype=torch.float16, requires_grad=True)])),
    ("closure", lambda p: LBFGS(p).step())])
def test_bad_input_is_refused_by_name(name, make):
    with pytest.raises((TypeError, ValueError), match=name):
        make(list(net()[0].parameters()))


def test_example_in_the_docstring():
    ran = doctest.testmod(_lbfgs)
    assert ran.attempted > 0 and ran.failed == 0
