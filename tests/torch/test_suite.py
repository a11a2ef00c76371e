"""torch's own optimizer suite over our classes: the inputs and error inputs of optim_db, which ship in the wheel, and
the behaviours that test/test_optim.py::TestOptimRenewed asks of every optimizer, in words of our own.

A case is one behaviour with one input of one class, in float32 and in float64; the two about complex parameters are in
both widths of these. Left out are those about what these classes do not take, and say so: sparse gradients,
differentiable=True, other devices. test_step.py has their refusals; and those that compare torch's implementations
(foreach, fused, compiled) with each other.
"""
from __future__ import annotations

import copy
import io
import warnings

import pytest
import torch
from torch.optim.lr_scheduler import ExponentialLR, LinearLR, PolynomialLR, ReduceLROnPlateau, StepLR
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

import optcore.torch as ot
from optcore.rules import FAMILIES
from tests.support.torch_cases import OptimizerErrorEnum, optim_db

INFOS = [info for info in optim_db if info.optim_cls.__name__ in FAMILIES and not info.only_supports_sparse_grads]


def cases(inputs):
    return [(info, getattr(ot, info.optim_cls.__name__), case) for info in INFOS for case in inputs(info)]


def names(some):
    return [f"{cls.__name__}-{k}" for k, (_, cls, _) in enumerate(some)]


INPUTS = cases(lambda info: info.optim_inputs_func("cpu"))
ERRORS = cases(lambda info: info.optim_error_inputs_func("cpu", torch.float32))
BEHAVIOURS = []


def behaviour(f):
    BEHAVIOURS.append(f)
    return f


def test_the_number_of_cases_that_the_readme_names():
    assert (len(INFOS), len(INPUTS), len(ERRORS), len(BEHAVIOURS)) == (11, 70, 89, 23)
    assert 2 * len(BEHAVIOURS) * len(INPUTS) + len(ERRORS) == 3309


@pytest.mark.parametrize(("info", "cls", "case"), ERRORS, ids=names(ERRORS))
def test_error_inputs(info, cls, case):
    given, expected = case.optimizer_error_input, case.error_type
    with warnings.catch_warnings():
        warnings.simplefilter("error" if issubclass(expected, Warning) else "default")
        if case.error_on is OptimizerErrorEnum.CONSTRUCTION_ERROR:
            with pytest.raises(expected, match=case.error_regex):
                cls(given.params, **given.kwargs)
        else:
            opt = cls(given.params, **given.kwargs)
            with pytest.raises(expected, match=case.error_regex):
                opt.step()


@pytest.fixture(params=[torch.float32, torch.float64], ids=str)
def default_dtype(request):
    """Parameters are made in it."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("asked", range(23))
@pytest.mark.parametrize(("info", "cls", "case"), INPUTS, ids=names(INPUTS))
def test_behaviours(asked, info, cls, case, default_dtype):
    torch.manual_seed(0)
    BEHAVIOURS[asked](info, cls, copy.deepcopy(case.kwargs))


def problem(contiguous=True):
    """weight, bias and the loss of a linear map."""
    make = torch.randn if contiguous else (lambda *shape: torch.randn(*shape, 2)[..., 0])
    weight, bias, x = (torch.nn.Parameter(make(10, 5)), torch.nn.Parameter(make(10)), torch.randn(5))
    return [weight, bias], lambda: (weight.mv(x) + bias).square().sum()


def closure_of(opt, loss):
    def closure():
        opt.zero_grad()
        value = loss()
        value.backward()
        return value
    return closure


def goes_right(cls, params, loss, kwargs, schedules=(), steps=25):
    opt = cls(params, **copy.deepcopy(kwargs))      # a scheduler changes an lr that is a tensor in place
    schedulers = [make(opt) for make in schedules]
    start = closure_of(opt, loss)().item()
    for _ in range(steps):
        opt.step(closure_of(opt, loss))
        for s in schedulers:
            s.step(*([loss().detach()] if isinstance(s, ReduceLROnPlateau) else []))
    end = loss().item()
    assert end > start if kwargs.get("maximize") else end < start


def step_some(opt, loss, n=3):
    for _ in range(n):
        opt.step(closure_of(opt, loss))


def clone(params):
    return [torch.nn.Parameter(p.detach().clone()) for p in params]


def fixed_loss(params):
    """A loss of any parameters alike, so that copies of them can be driven alike."""
    return sum((p * torch.linspace(-1, 2, p.numel()).view(p.shape) + 0.3).square().sum() for p in params)


def equal_trees(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal_trees(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal_trees, a, b))
    return a == b


@behaviour
def the_loss_goes_the_right_way(info, cls, kwargs):
    params, loss = problem()
    goes_right(cls, params, loss, kwargs)


@behaviour
def also_with_parameters_that_are_not_contiguous(info, cls, kwargs):
    params, loss = problem(contiguous=False)
    goes_right(cls, params, loss, kwargs)


@behaviour
def also_with_the_schedulers_that_torch_names_for_the_class(info, cls, kwargs):
    for contiguous in (True, False):
        for schedules in info.scheduler_inputs:
            params, loss = problem(contiguous)
            goes_right(cls, params, loss, kwargs, schedules)


@behaviour
def also_with_groups_and_schedulers(info, cls, kwargs):
    for make in (lambda o: StepLR(o, 10, 0.9), lambda o: LinearLR(o, 0.4, total_iters=4),
                 lambda o: ExponentialLR(o, 0.9),
                 lambda o: ReduceLROnPlateau(o, mode="max" if kwargs.get("maximize") else "min"),
                 lambda o: PolynomialLR(o, 30)):
        (weight, bias), loss = problem()
        lr = float(kwargs.get("lr", 0.01))
        goes_right(cls, [{"params": [weight]}, {"params": [bias], "lr": lr / 2}], loss, kwargs, [make])


@behaviour
def lr_may_be_a_tensor_of_one_element(info, cls, kwargs):
    for shape in ((), (1,)):
        params, _ = problem()
        others = clone(params)
        lr = float(torch.tensor(float(kwargs.get("lr", 0.01))))
        opt, other = cls(params, **{**kwargs, "lr": torch.full(shape, lr)}), cls(others, **{**kwargs, "lr": lr})
        for make in (None, lambda o: StepLR(o, 2, 0.5)):
            schedulers = [make(o) for o in (opt, other)] if make else []
            for _ in range(4):
                step_some(opt, lambda p=params: fixed_loss(p), 1)
                step_some(other, lambda p=others: fixed_loss(p), 1)
                [s.step() for s in schedulers]
        assert all(map(torch.equal, params, others))


@behaviour
def without_gradients_nothing_happens(info, cls, kwargs):
    params, _ = problem()
    before = clone(params)
    opt = cls(params, **kwargs)
    opt.step()
    assert all(map(torch.equal, params, before)) and (not opt.state or cls is ot.Adagrad)


@behaviour
def gradients_of_zero_without_decay_move_nothing(info, cls, kwargs):
    params, _ = problem()
    for p in params:
        p.grad = torch.zeros_like(p)
    before = clone(params)
    if "weight_decay" in info.optim_cls(params).defaults:
        kwargs["weight_decay"] = 0.0
    if cls is ot.ASGD:
        kwargs["lambd"] = 0.0                   # decay by another name
    cls(params, **kwargs).step()
    assert all(map(torch.equal, params, before))


@behaviour
def weight_decay_of_a_group_is_its_own(info, cls, kwargs):
    if "weight_decay" not in info.optim_cls(problem()[0]).defaults:
        return goes_right(cls, *problem(), kwargs)
    (weight, bias), _ = problem()
    others = clone([weight, bias])
    opt = cls([{"params": [weight], "weight_decay": 0.5}, {"params": [bias]}], **{**kwargs, "weight_decay": 0.0})
    plain = cls(others, **{**kwargs, "weight_decay": 0.0})
    for p in (weight, bias, *others):
        p.grad = torch.full_like(p, 0.5)
    for _ in range(2):
        opt.step()
        plain.step()
    assert torch.equal(bias, others[1]) and not torch.equal(weight, others[0])


@behaviour
def lr_of_a_group_is_its_own(info, cls, kwargs):
    (weight, bias), _ = problem()
    still = weight.detach().clone()
    opt = cls([{"params": [weight], "lr": 0.0}, {"params": [bias]}],
              **{**kwargs, "weight_decay": 0.0} if "weight_decay" in kwargs else kwargs)
    moving = bias.detach().clone()
    for p in (weight, bias):
        p.grad = torch.full_like(p, 0.5)
    opt.step()
    assert not torch.equal(bias, moving)
    assert torch.equal(weight, still) or cls is ot.Rprop       # clamps its step sizes from below


@behaviour
def it_can_be_printed(info, cls, kwargs):
    text = repr(cls(problem()[0], **kwargs))
    assert info.optim_cls.__name__ in text and "Parameter Group 0" in text


@behaviour
def the_state_dict_determines_the_run(info, cls, kwargs):
    params, _ = problem()
    opt = cls(params, **kwargs)
    step_some(opt, lambda: fixed_loss(params))
    others = clone(params)
    other = cls(others, **kwargs)
    saved = copy.deepcopy(opt.state_dict())
    other.load_state_dict(saved)
    for _ in range(3):
        step_some(opt, lambda: fixed_loss(params), 1)
        step_some(other, lambda: fixed_loss(others), 1)
        assert all(map(torch.equal, params, others))
    assert equal_trees(opt.state_dict(), other.state_dict())
    assert not equal_trees(saved["state"], opt.state_dict()["state"]) or not saved["state"]


@behaviour
def older_state_dicts_load(info, cls, kwargs):
    params, _ = problem()
    opt = cls(params, **kwargs)
    step_some(opt, lambda: fixed_loss(params))
    for key in info.not_og_supported_flags:
        state = copy.deepcopy(opt.state_dict())
        for group in state["param_groups"]:
            group.pop(key, None)
        again = clone(params)
        other = cls(again, **kwargs)
        other.load_state_dict(state)
        step_some(other, lambda again=again: fixed_loss(again), 1)


@behaviour
def named_and_unnamed_state_dicts_load_into_each_other(info, cls, kwargs):
    for named_first in (True, False):
        params, _ = problem()
        named = [(f"n{k}", p) for k, p in enumerate(params)]
        others = clone(params)
        opt = cls(named if named_first else params, **kwargs)
        other = cls(others if named_first else [(f"n{k}", p) for k, p in enumerate(others)], **kwargs)
        step_some(opt, lambda p=params: fixed_loss(p))
        other.load_state_dict(opt.state_dict())
        assert other.param_groups[0].get("param_names") == ["n0", "n1"]


@behaviour
def torch_save_with_weights_only_keeps_everything(info, cls, kwargs):
    params, _ = problem()
    opt = cls(params, **kwargs)
    step_some(opt, lambda: fixed_loss(params))
    file = io.BytesIO()
    torch.save(opt.state_dict(), file)
    file.seek(0)
    assert equal_trees(torch.load(file, weights_only=True), opt.state_dict())


@behaviour
def a_count_that_is_a_number_loads(info, cls, kwargs):
    params, _ = problem()
    opt = cls(params, **kwargs)
    step_some(opt, lambda: fixed_loss(params))
    state = copy.deepcopy(opt.state_dict())
    for entry in state["state"].values():
        if "step" in entry:
            entry["step"] = entry["step"].item()
    others = clone(params)
    other = cls(others, **kwargs)
    other.load_state_dict(state)
    for some, o in ((params, opt), (others, other)):
        step_some(o, lambda some=some: fixed_loss(some), 1)
    assert all(map(torch.equal, params, others))


@behaviour
def step_hooks_are_called_in_order(info, cls, kwargs):
    params, _ = problem()
    opt, seen = cls(params, **kwargs), []
    handles = [register_optimizer_step_pre_hook(lambda *_: seen.append("global before")),
               register_optimizer_step_post_hook(lambda *_: seen.append("global after")),
               opt.register_step_pre_hook(lambda *_: seen.append("before")),
               opt.register_step_post_hook(lambda *_: seen.append("after"))]
    step_some(opt, lambda: fixed_loss(params), 2)
    assert seen == 2 * ["global before", "before", "after", "global after"]
    for handle in handles:
        handle.remove()
    step_some(opt, lambda: fixed_loss(params), 1)
    assert len(seen) == 8


@behaviour
def state_dict_hooks_are_called(info, cls, kwargs):
    params, _ = problem()
    opt, seen = cls(params, **kwargs), []
    opt.register_state_dict_pre_hook(lambda o: seen.append("before"))
    opt.register_state_dict_post_hook(lambda o, state: {**state, "more": len(seen)})
    assert opt.state_dict()["more"] == 1 and seen == ["before"]


@behaviour
def load_state_dict_hooks_are_called(info, cls, kwargs):
    params, _ = problem()
    opt, seen = cls(params, **kwargs), []
    state = copy.deepcopy(opt.state_dict())

    def halved(o, s):
        seen.append("before")
        return {**s, "param_groups": [{**g, "lr": 0.5 * float(g["lr"])} for g in s["param_groups"]]}

    opt.register_load_state_dict_pre_hook(halved)
    opt.register_load_state_dict_post_hook(lambda o: seen.append("after"))
    opt.load_state_dict(state)
    assert seen == ["before", "after"]
    assert float(opt.param_groups[0]["lr"]) == 0.5 * float(state["param_groups"][0]["lr"])


@behaviour
def a_deep_copy_has_all_public_attributes_and_goes_on_alike(info, cls, kwargs):
    params, _ = problem()
    opt = cls(params, **kwargs)
    step_some(opt, lambda: fixed_loss(params), 2)
    twin = copy.deepcopy(opt)
    assert {k for k in vars(opt) if k[0] != "_"} == {k for k in vars(twin) if k[0] != "_"}
    others = twin.param_groups[0]["params"]
    step_some(opt, lambda: fixed_loss(params), 2)
    step_some(twin, lambda: fixed_loss(others), 2)
    assert all(map(torch.equal, params, others))


@behaviour
def after_a_step_no_state_is_empty(info, cls, kwargs):
    params, _ = problem()
    opt = cls(params, **kwargs)
    step_some(opt, lambda: fixed_loss(params), 1)
    assert all(len(entry) for entry in opt.state.values())


@behaviour
def what_torch_keeps_of_the_accepted_flags_is_kept(info, cls, kwargs):
    params, _ = problem()
    opt, theirs = cls(params, **kwargs), info.optim_cls(params, **kwargs)
    assert equal_trees(opt.defaults, theirs.defaults) and isinstance(opt, info.optim_cls)
    for flag in ("foreach", "fused", "capturable"):
        if flag in theirs.defaults and not isinstance(kwargs.get("lr"), torch.Tensor):
            flagged = cls(params, **{**kwargs, flag: True})
            step_some(flagged, lambda: fixed_loss(params), 1)
            assert flagged.state_dict()["param_groups"][0][flag] is True


@behaviour
def complex_parameters_are_stepped_as_pairs_of_real_ones(info, cls, kwargs):
    kind = torch.complex128 if torch.get_default_dtype() == torch.float64 else torch.complex64
    params = [torch.nn.Parameter(torch.randn(10, 5, dtype=kind)), torch.nn.Parameter(torch.randn(10, dtype=kind))]
    pairs = [torch.nn.Parameter(torch.view_as_real(p.detach()).clone()) for p in params]
    opt, other = cls(params, **copy.deepcopy(kwargs)), cls(pairs, **copy.deepcopy(kwargs))
    for _ in range(3):
        for p, pair in zip(params, pairs, strict=True):
            p.grad = torch.randn_like(p)
            pair.grad = torch.view_as_real(p.grad).clone()
        opt.step()
        other.step()
        for p, pair in zip(params, pairs, strict=True):
            assert torch.equal(torch.view_as_real(p.detach()), pair)
            for key, x in opt.state[p].items():
                real = torch.view_as_real(x) if x.is_complex() else x
                assert torch.equal(real, other.state[pair][key].view_as(real)), key
    again = clone(params)
    twin = cls(again, **copy.deepcopy(kwargs))
    twin.load_state_dict(copy.deepcopy(opt.state_dict()))
    for p, q in zip(params, again, strict=True):
        p.grad = q.grad = torch.ones_like(p)
    opt.step()
    twin.step()
    assert all(map(torch.equal, params, again))


@behaviour
def complex_parameters_take_the_way_of_torchs(info, cls, kwargs):
    """A function of one complex number, which torch.optim and we descend; the ways part by roundings alone, as the loss
    is smooth and 25 steps are few. What a step rounds is at most some units of the last place of what it moves."""
    kind = torch.complex128 if torch.get_default_dtype() == torch.float64 else torch.complex64
    kwargs.setdefault("lr", 1e-3)
    kwargs = {**kwargs, "lr": float(kwargs["lr"])}
    starts = torch.randn(3, dtype=kind)
    ends = []
    for made in (cls, info.optim_cls):
        z = torch.nn.Parameter(starts.clone())
        opt = made([z], **copy.deepcopy(kwargs))
        for _ in range(25):
            opt.zero_grad()
            loss = ((z - 1 - 2j).abs().square() + (z * z).real.sin()).sum()
            loss.backward()
            opt.step()
        ends.append(z.detach())
    unit = torch.finfo(kind).eps
    torch.testing.assert_close(ends[0], ends[1], rtol=1000 * unit, atol=1000 * unit)
