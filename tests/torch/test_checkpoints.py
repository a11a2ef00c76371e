"""Checkpoints between torch.optim and optcore.torch, both ways and in mid-run, for every class and torch's grid."""
from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch

import optcore.torch as ot
from optcore.rules import FAMILIES
from tests.support.bounded import U32, bounded_trajectory
from tests.support.torch_cases import GRID, settings_of
from tests.support.torch_tensors import give, pair, same_bits

BEFORE, AFTER = 7, 9
DERIVED = {"mu_product", "eta", "mu"}       # taken anew here, carried by torch: equal to rounding only
IDS = [f"{n}-{i}" for i, (n, _) in enumerate(GRID)]


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def run(opt, params, first, last):
    for t in range(first, last):
        give(params, t)
        opt.step()


def assert_same_state(got, want):
    assert got["param_groups"] == want["param_groups"]
    assert got["state"].keys() == want["state"].keys()
    for number, entry in want["state"].items():
        assert got["state"][number].keys() == entry.keys()
        for key, value in entry.items():
            if key in DERIVED:
                # As many roundings as steps, one more for each operation of the closed form.
                assert float(got["state"][number][key]) == pytest.approx(float(value), rel=(BEFORE + 6) * U32)
            else:
                assert same_bits(got["state"][number][key], value), key


@pytest.mark.parametrize(("name", "chosen"), GRID, ids=IDS)
@pytest.mark.parametrize("way", ["torch to ours", "ours to torch"])
def test_state_crosses_bit_for_bit_and_the_run_goes_on(way, name, chosen):
    makers = [lambda p: getattr(torch.optim, name)(p, foreach=False, **chosen),
              lambda p: getattr(ot, name)(p, **chosen)]
    writer, reader = makers if way == "torch to ours" else makers[::-1]
    start, params = pair(), pair()
    first = writer(params)
    run(first, params, 0, BEFORE)
    crossed = [p.detach().clone().requires_grad_() for p in params]
    second = reader(crossed)
    saved = through_a_file(first.state_dict())
    kept = copy.deepcopy(saved)
    second.load_state_dict(saved)
    assert_same_state(second.state_dict(), first.state_dict())
    run(second, crossed, BEFORE, BEFORE + AFTER)
    if reader is makers[1]:
        assert_same_state(saved, kept)          # loading shares nothing with what was loaded; torch shares the counts
    run(first, params, BEFORE, BEFORE + AFTER)
    # Both are one trajectory, made by two arithmetics in turn: within the bound of test_torch_grid.
    for k, (p, q, s) in enumerate(zip(params, crossed, start, strict=True)):
        gradients = []
        for t in range(BEFORE + AFTER):
            give(start, t)
            gradients.append(start[k].grad.numpy())
        exact = bounded_trajectory(FAMILIES[name], settings_of(chosen), s.detach().numpy(), gradients, U32,
                                   carried=True)
        off = np.abs(p.detach().numpy().astype(np.float64) - q.detach().numpy())
        known = np.isfinite(exact["p"].error)
        assert (off <= 3 * exact["p"].error)[known].all()


@pytest.mark.parametrize(("name", "chosen"), GRID, ids=IDS)
def test_there_and_back_again_is_the_uninterrupted_run(name, chosen):
    """Through torch.optim and back without a step between: the same bits as if nothing had happened."""
    params, straight = pair(), pair()
    opt, other = getattr(ot, name)(params, **chosen), getattr(ot, name)(straight, **chosen)
    run(opt, params, 0, BEFORE)
    run(other, straight, 0, BEFORE + AFTER)
    between = getattr(torch.optim, name)([p.detach().clone().requires_grad_() for p in params], **chosen)
    between.load_state_dict(through_a_file(opt.state_dict()))
    opt = getattr(ot, name)(params, **chosen)
    opt.load_state_dict(through_a_file(between.state_dict()))
    run(opt, params, BEFORE, BEFORE + AFTER)
    assert all(map(same_bits, params, straight))


def test_what_old_checkpoints_look_like():
    """A count as a number, settings that did not exist yet, SGD's buffer as None."""
    params = pair()
    opt = ot.AdamW(params)
    run(opt, params, 0, 3)
    old = copy.deepcopy(opt.state_dict())
    for entry in old["state"].values():
        entry["step"] = int(entry["step"])
    for key in ("maximize", "foreach", "fused", "decoupled_weight_decay"):
        del old["param_groups"][0][key]
    again = [p.detach().clone().requires_grad_() for p in params]
    reader = ot.AdamW(again)
    reader.load_state_dict(old)
    for some, o in ((params, opt), (again, reader)):
        run(o, some, 3, 5)
    assert all(map(same_bits, params, again))

    params, again = pair(), pair()
    opt, reader = ot.SGD(params, momentum=0.9, dampening=0.5), ot.SGD(again, momentum=0.9, dampening=0.5)
    state = reader.state_dict()
    state["state"] = {k: {"momentum_buffer": None} for k in range(5)}
    reader.load_state_dict(state)
    run(opt, params, 0, 3)
    run(reader, again, 0, 3)
    assert all(map(same_bits, params, again))


def test_state_of_another_format_is_converted():
    params = pair()
    opt = ot.Adam(params)
    run(opt, params, 0, 3)
    again = [p.detach().clone().requires_grad_() for p in params]
    narrow = ot.Adam(again, state_dtype="bfloat16")
    narrow.load_state_dict(opt.state_dict())
    run(narrow, again, 3, 4)
    assert narrow.state[again[0]]["exp_avg"].dtype == torch.bfloat16
    back = ot.Adam(again)
    back.load_state_dict(narrow.state_dict())
    kept = narrow.state[again[0]]["exp_avg"].clone()
    for p in again:
        p.grad = None
    give(again[1:], 0)
    back.step()
    assert torch.equal(back.state[again[0]]["exp_avg"].bfloat16(), kept)


def test_a_checkpoint_that_does_not_fit_is_refused():
    params = pair()
    opt = ot.Adam(params)
    run(opt, params, 0, 1)
    other = ot.Adam(pair()[:3])
    with pytest.raises(ValueError, match="doesn't match the size"):
        other.load_state_dict(opt.state_dict())
    assert not other.state


def test_load_hooks_see_and_change_what_is_loaded():
    params, again = pair(), pair()
    opt, reader = ot.Adam(params), ot.Adam(again)
    run(opt, params, 0, 2)

    def doubled(_, state):
        return {**state, "state": {n: {**e, "exp_avg": 2 * e["exp_avg"]} for n, e in state["state"].items()}}

    reader.register_load_state_dict_pre_hook(doubled)
    reader.load_state_dict(opt.state_dict())
    assert torch.equal(reader.state[again[0]]["exp_avg"], 2 * opt.state[params[0]]["exp_avg"])


def test_hooks_after_loading_have_the_last_word():
    params, again = pair(), pair()
    opt, reader = ot.Adam(params), ot.Adam(again)
    run(opt, params, 0, 2)
    reader.register_load_state_dict_post_hook(lambda o: [e.update(exp_avg=-e["exp_avg"]) for e in o.state.values()])
    reader.load_state_dict(opt.state_dict())
    assert all(torch.equal(reader.state[q]["exp_avg"], -opt.state[p]["exp_avg"])
               for p, q in zip(params, again, strict=True))


class Elsewhere(torch.Tensor):
    """A tensor that says it is on a GPU, as those of a checkpoint read without map_location."""

    @staticmethod
    def __new__(cls, here):
        return torch.Tensor._make_wrapper_subclass(cls, here.shape, dtype=here.dtype, device="cuda")

    def __init__(self, here):
        self.here = here

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._to_copy.default and kwargs.get("device") == torch.device("cpu"):
            return func(args[0].here, **kwargs)
        return cls(func(*(a.here if isinstance(a, cls) else a for a in args), **(kwargs or {})))


def test_a_checkpoint_of_another_device_comes_to_the_parameters():
    a, b = pair(), pair()
    opt, other = ot.Adam(a), ot.Adam(b)
    run(opt, a, 0, 2)
    saved = copy.deepcopy(opt.state_dict())
    for entry in saved["state"].values():
        entry.update({key: Elsewhere(value) for key, value in entry.items() if key != "step"})
    for p, q in zip(a, b, strict=True):
        q.data.copy_(p.data)
    other.load_state_dict(saved)
    run(opt, a, 2, 4)
    run(other, b, 2, 4)
    assert all(map(same_bits, a, b))
