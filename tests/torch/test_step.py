"""What a step of optcore.torch does with the tensors a training loop brings: memory orders, sizes, changes between
steps, hooks, schedulers."""
from __future__ import annotations

import copy
import io
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import optcore as oc
import optcore.torch as ot
from optcore.rules import FAMILIES
from tests.support.torch_tensors import NAMES, give, pair, same_bits

ORDERS = {
    "plain": lambda shape: torch.randn(shape),
    "transposed": lambda shape: torch.randn(shape[::-1]).permute(*reversed(range(len(shape)))),
    "channels last": lambda shape: torch.randn(shape).to(memory_format=torch.channels_last),
    "with holes": lambda shape: torch.randn(*shape, 2)[..., 0],
    "offset": lambda shape: torch.randn(int(np.prod(shape)) + 3)[3:].view(shape),
    "turned": lambda shape: torch.randn(*shape[:2], shape[3], shape[2]).transpose(2, 3),
}


@given(order=st.sampled_from(sorted(ORDERS)), grad_order=st.sampled_from(sorted(ORDERS)),
       name=st.sampled_from(["SGD", "Adam", "Rprop"]), seed=st.integers(0, 2**31))
def test_memory_order_changes_no_bit(order, grad_order, name, seed):
    torch.manual_seed(seed)
    shape = (2, 3, 4, 5)
    ours = ORDERS[order](shape).detach().requires_grad_()
    plain = ours.detach().contiguous().numpy().copy()
    strides = ours.stride()
    opt, core = getattr(ot, name)([ours], lr=0.1), getattr(oc, name)([plain], lr=0.1)
    for _ in range(3):
        ours.grad = ORDERS[grad_order](shape)
        kept = ours.grad.clone()
        core.step([ours.grad.contiguous().numpy()])
        opt.step()
        np.testing.assert_array_equal(ours.detach().numpy(), plain)
        assert ours.stride() == strides and torch.equal(ours.grad, kept)


def test_a_gradient_of_a_conjugate_is_read_with_its_sign():
    """Such a gradient's memory holds the numbers with the other sign, which a bit of the tensor says."""
    a, b = (torch.ones(4, requires_grad=True) for _ in range(2))
    opt = ot.SGD([a, b], lr=1.0)
    a.grad = torch.complex(torch.zeros(4), torch.ones(4)).conj().imag
    b.grad = a.grad.clone()
    assert a.grad.is_neg() and not b.grad.is_neg()
    opt.step()
    assert torch.equal(a, b) and a[0] == 2.0


@pytest.mark.parametrize("name", NAMES)
def test_parameters_without_gradient_have_no_state_and_count_no_step(name):
    params = pair()
    opt = getattr(ot, name)(params)
    for t in range(4):
        give(params, t)
        params[1].grad = None
        if t < 2:
            params[0].grad = None
        before = params[1].detach().clone()
        opt.step()
        assert torch.equal(before, params[1])
        assert not opt.state.get(params[1]) or name == "Adagrad" and opt.state[params[1]]["step"] == 0
    if opt.counted and opt.state[params[2]]:
        assert [int(opt.state[params[k]]["step"]) for k in (0, 2, 4)] == [2, 4, 4]


def test_late_parameters_take_the_steps_of_a_fresh_one():
    early, late = pair(), pair()
    opt, fresh = ot.NAdam(early), ot.NAdam([late[0]])
    for t in range(6):
        give(early, t)
        if t < 3:
            early[0].grad = None
        else:
            late[0].grad = early[0].grad.clone()
        opt.step()
        fresh.step()
    assert same_bits(early[0], late[0])


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_a_parameter_whose_memory_was_replaced_is_stepped_where_it_is_now(name):
    moved, stayed = pair(), pair()
    a, b = getattr(ot, name)(moved, lr=0.1), getattr(ot, name)(stayed, lr=0.1)
    for t in range(4):
        give(moved, t)
        give(stayed, t)
        if t == 1:
            moved[1].data = moved[1].data.clone()
        if t == 2:
            moved[4].data = moved[4].data.to(memory_format=torch.channels_last)
        if t == 3:
            old = moved[0].data
            moved[0].data = torch.cat([old, old])[:5]
        a.step()
        b.step()
        assert all(map(same_bits, moved, stayed))


def test_a_resized_parameter_is_refused_until_its_state_fits():
    p = torch.ones(4, requires_grad=True)
    opt = ot.Adam([p])
    p.grad = torch.ones(4)
    opt.step()
    p.data, p.grad = torch.ones(6), None
    p.grad = torch.ones(6)
    with pytest.raises(ValueError, match="exp_avg.*shape"):
        opt.step()
    assert torch.equal(p, torch.ones(6))
    opt.state.clear()
    opt.step()
    assert (p < 1).all()


def test_state_that_was_replaced_or_cleared_counts():
    params, fresh = pair(), pair()
    opt, other = ot.AdamW(params), ot.AdamW(fresh)
    for t in range(3):
        give(params, t)
        opt.step()
    for p, q in zip(params, fresh, strict=True):
        q.data.copy_(p.data)
    opt.state.clear()
    for t in range(3):
        give(params, t)
        give(fresh, t)
        opt.step()
        other.step()
    assert all(map(same_bits, params, fresh))
    opt.state[params[0]]["exp_avg"] = torch.zeros(5)
    other.state[fresh[0]]["exp_avg"].zero_()
    opt.state[params[0]]["step"].fill_(9)
    other.state[fresh[0]]["step"] = torch.tensor(9.0)
    give(params, 7)
    give(fresh, 7)
    opt.step()
    other.step()
    assert all(map(same_bits, params, fresh)) and int(opt.state[params[0]]["step"]) == 10


def test_closures_run_with_gradients_on_and_first():
    p = torch.ones(3, requires_grad=True)
    opt = ot.SGD([p], lr=0.25)

    def closure():
        opt.zero_grad()
        loss = p.square().sum()
        loss.backward()
        return loss

    with torch.no_grad():
        assert opt.step(closure) == 3.0
    assert torch.equal(p, torch.full((3,), 0.5))


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("Rprop",)])
def test_lr_as_a_tensor_and_schedulers(name):
    a, b = pair(), pair()
    opt, other = getattr(ot, name)(a, lr=torch.tensor(0.5)), getattr(ot, name)(b, lr=0.5)
    schedule = torch.optim.lr_scheduler.ExponentialLR(opt, 0.5)
    for t in range(4):
        give(a, t)
        give(b, t)
        opt.step()
        other.step()
        schedule.step()
        other.param_groups[0]["lr"] *= 0.5
    assert all(map(same_bits, a, b))


def test_hooks_names_and_versions():
    params = pair()
    opt = ot.Adam([(f"p{k}", p) for k, p in enumerate(params)])
    seen = []
    opt.register_step_pre_hook(lambda *_: seen.append("before"))
    opt.register_step_post_hook(lambda *_: seen.append("after"))
    give(params, 0)
    params[1].grad = None
    versions = [p._version for p in params]
    opt.step()
    assert seen == ["before", "after"]
    assert [p._version > v for p, v in zip(params, versions, strict=True)] == [True, False, True, True, True]
    assert opt.state_dict()["param_groups"][0]["param_names"] == [f"p{k}" for k in range(5)]
    params[1].grad = torch.ones(3, 4).to_sparse()
    with pytest.raises(ValueError, match=r"params\['p1'\] has 2 sparse dimensions"):
        opt.step()


def test_autograd_notices_a_step_between_forward_and_backward():
    p = torch.ones(3, requires_grad=True)
    opt = ot.SGD([p], lr=0.1)
    loss = p.square().sum()
    p.grad = torch.ones(3)
    opt.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("name", NAMES)
def test_copies_and_files_go_on_alike(name):
    params = pair()
    opt = getattr(ot, name)(params, seed=3, zero_grads=True, state_dtype="bfloat16" if FAMILIES[name].keys() else
                            "float32")
    for t in range(3):
        give(params, t)
        opt.step()
    assert all((p.grad == 0).all() for p in params)
    twin = copy.deepcopy(opt)
    assert {k for k in vars(opt) if not k.startswith("_")} == {k for k in vars(twin) if not k.startswith("_")}
    theirs = [p for g in twin.param_groups for p in g["params"]]
    file = io.BytesIO()
    torch.save(opt.state_dict(), file)
    file.seek(0)
    again = pair()
    for p, q in zip(params, again, strict=True):
        q.data.copy_(p.data)
    reader = getattr(ot, name)(again, seed=3, state_dtype=opt.state_dtype)
    reader.load_state_dict(torch.load(file, weights_only=True))
    for t in range(3, 6):
        for some, o in ((params, opt), (theirs, twin), (again, reader)):
            give(some, t)
            o.step()
    assert all(map(same_bits, params, theirs)) and twin.zero_grads
    if opt.counted:                 # SGD's state has no count, which the noise of bfloat16 goes by
        assert all(map(same_bits, params, again))


def test_groups_of_different_rules_and_a_group_added_later():
    a, b = pair(), pair()
    grouped = ot.SGD([{"params": a[:2], "momentum": 0.9}, {"params": a[2:4]}], lr=0.1)
    one, two = ot.SGD(b[:2], lr=0.1, momentum=0.9), ot.SGD(b[2:4], lr=0.1)
    for t in range(4):
        give(a, t)
        give(b, t)
        if t == 2:
            grouped.add_param_group({"params": a[4:], "weight_decay": 0.5})
            three = ot.SGD(b[4:], lr=0.1, weight_decay=0.5)
        for o in (grouped, one, two, *([three] if t >= 2 else [])):
            o.step()
    assert all(map(same_bits, a, b))


@pytest.mark.parametrize("rules", ["one", "two"])
def test_clipping_and_policies(rules):
    a, b = pair(), pair()
    groups = (lambda p: p) if rules == "one" else (lambda p: [{"params": p[:2]}, {"params": p[2:], "momentum": 0.5}])
    opt, other = ot.SGD(groups(a), lr=0.1, max_norm=1.0, nonfinite="skip"), ot.SGD(groups(b), lr=0.1)
    for t in range(3):
        give(a, t)
        give(b, t)
        kept = [p.grad.clone() for p in a]
        norm = torch.nn.utils.clip_grad_norm_(b, 1.0)
        opt.step()
        other.step()
        assert all(torch.equal(p.grad, g) for p, g in zip(a, kept, strict=True))
        # The norm is summed here in float64, there in float32: 130 squares and a root, 70 roundings in any order.
        assert opt.grad_norm == pytest.approx(float(norm), rel=70 * 2.0 ** -24)
        for p, q in zip(a, b, strict=True):
            # And so much, with four roundings of the step, may each step of at most 0.1 be off.
            torch.testing.assert_close(p, q, rtol=4 * 2.0 ** -24 * (t + 1), atol=0.1 * 80 * 2.0 ** -24 * (t + 1))
    before = [p.detach().clone() for p in a]
    a[4].grad[1, 2, 3, 4] = torch.inf
    opt.step()
    assert opt.skipped == 1 and all(map(same_bits, a, before))
    opt.nonfinite = "raise"
    with pytest.raises(FloatingPointError, match=r"is inf at index \(1, 2, 3, 4\)"):
        opt.step()
    assert all(map(same_bits, a, before))


@pytest.mark.parametrize("name", ["AdamW", "NAdam", "ASGD"])       # two with state that torch carries, beside arrays
def test_undo_takes_back_parameters_state_and_counts(name):
    a, b = pair(), pair()
    opt, other = getattr(ot, name)(a, undoable=True), getattr(ot, name)(b)
    for t in range(4):
        if t == 2:
            give(a, 99)
            before = copy.deepcopy(opt.state_dict()["state"])
            opt.step()
            opt.undo()
            for n, entry in opt.state_dict()["state"].items():
                assert all(same_bits(x, before[n][key]) for key, x in entry.items())
            with pytest.raises(RuntimeError, match="undo"):
                opt.undo()
        give(a, t)
        give(b, t)
        opt.step()
        other.step()
    assert all(map(same_bits, a, b)) and all(int(s["step"]) == 4 for s in opt.state.values())


def test_a_first_step_that_was_skipped_or_undone_leaves_the_next_one_the_first():
    """SGD's first gradient is the momentum buffer, without dampening: also if all is looked up anew in between."""
    settings = {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}
    for way in ("skip", "undo"):
        (p, late), (q, _) = pair(shapes=((5,), (3,))), pair(shapes=((5,), (3,)))
        opt, other = ot.SGD([p, late], nonfinite="skip", undoable=True, **settings), ot.SGD([q], **settings)
        p.grad = torch.full((5,), torch.inf if way == "skip" else 1.0)
        opt.step()
        if way == "undo":
            opt.undo()
        give([p, late], 1)
        give([q], 1)
        opt.step()
        other.step()
        assert same_bits(p, q)


def test_a_gradient_of_two_parameters_is_cleared_when_both_have_read_it():
    a, b = pair(shapes=((4,), (4,)))
    begin, g = b.detach().clone(), torch.ones(4)
    opt = ot.SGD([{"params": [a]}, {"params": [b], "momentum": 0.9}], lr=0.5, zero_grads=True)   # two rules, two walks
    a.grad = b.grad = g
    opt.step()
    assert torch.equal(b, begin - 0.5) and not g.any()


def test_classical_nesterov_looks_ahead():
    p = torch.linspace(-1, 1, 9).requires_grad_()
    plain = p.detach().numpy().copy()
    opt, core = ot.NesterovClassical([p], lr=0.1), oc.NesterovClassical([plain], lr=0.1)
    for _ in range(5):
        before = p.detach().clone()
        with opt.lookahead(), core.lookahead():
            np.testing.assert_array_equal(p.detach().numpy(), plain)
            g = 2 * plain
            p.grad = None
            p.square().sum().backward()
            with pytest.raises(RuntimeError, match="inside lookahead"):
                opt.step()
        assert same_bits(p, before)
        opt.step()
        core.step([g])
        np.testing.assert_array_equal(p.detach().numpy(), plain)


def test_importing_optcore_does_not_import_torch():
    code = "import sys, optcore; assert 'torch' not in sys.modules; import optcore.torch; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    code = "import sys; sys.modules['torch'] = None; import optcore"
    subprocess.run([sys.executable, "-c", code], check=True)


def bits(t):
    return t.detach().contiguous().view(torch.int16).numpy().view(np.uint16)


@pytest.mark.parametrize("rounding", ["stochastic", "nearest"])
@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_parameters_take_the_steps_of_the_numpy_classes(name, rounding):
    """torch 2.13's fused SGD leaves such parameters as they are from some elements on (pytorch#191763)."""
    sizes = (1, 7, 8, 9, 15, 17, 33, 65, 1023, 1025, 5000)
    params = [torch.randn(n).bfloat16().requires_grad_() for n in sizes]
    plain = [bits(p).copy() for p in params]
    form = "int8" if FAMILIES[name].keys() else "float32"
    opt = getattr(ot, name)(params, lr=0.5, seed=7, rounding=rounding, state_dtype=form, clip_value=1.5)
    core = getattr(oc, name)(plain, lr=0.5, seed=7, rounding=rounding, state_dtype=form)
    for _ in range(3):
        for p in params:
            p.grad = torch.randn(p.shape).bfloat16()
        core.step([bits(p.grad) for p in params], clip_value=1.5)
        before = [p.detach().clone() for p in params]
        opt.step()
        for p, q, was in zip(params, plain, before, strict=True):
            np.testing.assert_array_equal(bits(p), q)
            assert p.numel() < 64 or not torch.equal(p, was)        # a few elements may all round back


def test_torchs_fused_kernels_misread_what_ours_read():
    """torch 2.13's fused kernels on the CPU read a gradient with other strides in storage order."""
    torch.manual_seed(0)
    start, g = torch.randn(33, 65), torch.randn(65, 33).T
    ends = []
    for make in (ot.Adam, lambda p: torch.optim.Adam(p, foreach=False, fused=False)):
        p = start.clone().requires_grad_()
        p.grad = g
        make([p]).step()
        ends.append(p.detach())
    # One step of 1e-3; a few roundings of it and of the parameter.
    torch.testing.assert_close(*ends, rtol=4 * 2.0 ** -24, atol=1e-3 * 8 * 2.0 ** -24)


def test_a_profiler_sees_the_step():
    p = torch.ones(3, requires_grad=True)
    p.grad = torch.ones(3)
    opt = ot.Adam([p])
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        opt.step()
    assert any(event.key == "Optimizer.step#Adam.step" for event in seen.key_averages())
