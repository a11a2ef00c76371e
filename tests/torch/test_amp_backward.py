"""Mixed precision's GradScaler, and the step inside the backward pass."""
from __future__ import annotations

import gc
from itertools import accumulate

import pytest
import torch

import optcore.torch as ot
from optcore.rules import FAMILIES
from tests.support.draws import ELEMENTWISE_CLASSES
from tests.support.torch_tensors import give, pair, same_bits

NAMES = ELEMENTWISE_CLASSES


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_unscaled_in_the_walk_and_left_as_they_were(name):
    params, plain = pair(), pair()
    opt, other = getattr(ot, name)(params), getattr(ot, name)(plain)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0 ** 12)
    for t in range(3):
        give(params, t)
        give(plain, t)
        for p in params:
            p.grad *= scaler.scale(torch.ones(()))      # a power of two: exact
        scaled = [p.grad.clone() for p in params]
        scaler.step(opt)
        scaler.update()
        other.step()
        assert all(torch.equal(p.grad, g) for p, g in zip(params, scaled, strict=True))
        assert all(map(same_bits, params, plain))


@pytest.mark.parametrize("name", NAMES)
def test_a_step_that_overflowed_is_skipped_with_all_state_and_counts(name):
    params = pair()
    opt = getattr(ot, name)(params)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0 ** 12)
    for overflow in (True, False, True):
        give(params, 0)
        before = [p.detach().clone() for p in params], str(opt.state_dict())
        if overflow:
            params[4].grad[0, 0, 0, 0] = torch.inf
        scaler.scale(torch.ones(()))
        scaler.step(opt)
        scaler.update()
        assert all(map(same_bits, params, before[0])) == overflow
        assert not overflow or str(opt.state_dict()) == before[1]
    assert opt.skipped == 2 and scaler.get_scale() == 2.0 ** 10


@pytest.mark.parametrize("name", NAMES)
def test_after_a_step_that_overflowed_gradients_are_zero_and_there_is_nothing_to_undo(name):
    params = pair()
    opt = getattr(ot, name)(params, zero_grads=True, undoable=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    give(params, 0)
    opt.step()
    give(params, 1)
    params[0].grad[1] = torch.inf
    scaler.scale(torch.ones(()))
    scaler.step(opt)
    assert opt.skipped == 1 and not any(p.grad.any() for p in params)       # else the next backward adds to infinity
    with pytest.raises(RuntimeError, match="undo"):
        opt.undo()


def test_clipping_after_scaler_unscale_and_in_the_walk_agree():
    """The walk unscales and clips by one factor; unscale_ and clip_grad_norm_ round the gradient twice more, and their
    norm of 137 numbers is a float32 sum of squares: 137 roundings in any order."""
    a, b = pair(), pair()
    ours, theirs = ot.SGD(a, lr=1.0, max_norm=0.5), ot.SGD(b, lr=1.0)
    for params, opt in ((a, ours), (b, theirs)):
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0 ** 12)
        give(params, 1)
        for p in params:
            p.grad *= scaler.scale(torch.ones(()))
        if opt is theirs:
            scaler.unscale_(opt)
            torch.nn.utils.clip_grad_norm_(params, 0.5)
        scaler.step(opt)
    for p, q in zip(a, b, strict=True):
        torch.testing.assert_close(p, q, rtol=2 * 2.0 ** -24, atol=0.5 * 145 * 2.0 ** -24)


def model_and_data():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(72, 4))
    return model, [torch.randn(2, 3, 5, 5) for _ in range(4)]


@pytest.mark.parametrize("form", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_stepping_in_backward_gives_the_same_bits(name, form):
    if not FAMILIES[name].keys():
        form = "float32"
    ends = []
    for inside in (False, True):
        model, data = model_and_data()
        opt = getattr(ot, name)([{"params": model[0].parameters()}, {"params": model[3].parameters(), "lr": 3e-3}],
                                 state_dtype=form, seed=0)
        if inside:
            remove = ot.step_in_backward(model, opt)
        for k, x in enumerate(data):
            opt.param_groups[0]["lr"] = 1e-3 * (k + 1)
            model(x).square().mean().backward()
            assert all((p.grad is None) == inside for p in model.parameters())
            opt.step()
            opt.zero_grad()
        ends.append(([*model.parameters()], opt.state_dict()))
    assert all(map(same_bits, ends[0][0], ends[1][0]))
    assert ends[0][1]["state"].keys() == ends[1][1]["state"].keys()
    for number, entry in ends[0][1]["state"].items():
        assert all(same_bits(value, ends[1][1]["state"][number][key]) for key, value in entry.items())
    remove()
    model(data[0]).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def live_gradients(layers):
    return sum(p.grad is not None for layer in layers for p in layer.parameters())


def test_gradients_do_not_live_together():
    """The peak: at no parameter's step is another's gradient there, while without it all are there in the end."""
    model = torch.nn.Sequential(*[torch.nn.Linear(64, 64, bias=False) for _ in range(6)])
    opt = ot.AdamW(model.parameters())
    most = []
    for p in model.parameters():
        p.register_post_accumulate_grad_hook(lambda _: most.append(live_gradients(model)))
    ot.step_in_backward(model, opt)
    model(torch.randn(2, 64)).sum().backward()
    gc.collect()
    assert most == [1] * 6 and live_gradients(model) == 0


def peak(inside, layers, width):
    """The most bytes that were live above those before, in a training step after the first, as the profiler saw
    torch's allocator."""
    model = torch.nn.Sequential(*[torch.nn.Linear(width, width, bias=False) for _ in range(layers)])
    opt, x = ot.AdamW(model.parameters()), torch.randn(2, width)
    if inside:
        ot.step_in_backward(model, opt)

    def train():
        model(x).sum().backward()
        opt.step()
        opt.zero_grad()

    train()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as seen:
        train()
    events = [e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    return max(accumulate(e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())))


def test_peak_memory_falls_by_the_gradients_size():
    layers, width = 8, 256
    gradient, activation = 4 * width * width, 4 * 2 * width
    assert peak(False, layers, width) >= layers * gradient
    # One gradient at a time; the forward pass's outputs are live as well, and few of the backward pass's.
    assert peak(True, layers, width) <= gradient + 2 * layers * activation


def test_a_parameter_taken_out_of_the_optimizer_is_left_alone():
    model = torch.nn.Linear(2, 1)
    opt = ot.SGD(model.parameters(), lr=0.5)
    ot.step_in_backward(model, opt)
    bias = opt.param_groups[0]["params"].pop()
    before = [p.detach().clone() for p in model.parameters()]
    model(torch.ones(1, 2)).sum().backward()
    assert same_bits(bias, before[1]) and torch.equal(bias.grad, torch.ones(1))
    assert torch.equal(model.weight, before[0] - 0.5) and model.weight.grad is None


def test_what_needs_all_gradients_is_refused():
    model, data = model_and_data()
    opt = ot.SGD(model.parameters(), max_norm=1.0)
    ot.step_in_backward(model, opt)
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(ValueError, match="max_norm=1.0 needs all gradients"):
        model(data[0]).sum().backward()
    assert all(map(same_bits, model.parameters(), before))
    with pytest.raises(ValueError, match="0.weight is a parameter of the model"):
        ot.step_in_backward(model, ot.SGD(model[3].parameters()))
