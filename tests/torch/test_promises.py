"""Promises that wrappers and loops rely on: noise of one's own, undo of the last step only, no keyword swallowed."""
from __future__ import annotations

import copy
import io
import subprocess
import sys

import pytest
import torch

import optcore.torch as ot
from optcore.step.state import OF_GROUP
from optcore.torch._grouped import EXTRAS
from optcore.torch._optimizer import TENSORS
from tests.support.torch_tensors import same_bits

# ------------------------------------------------------------------------------------------- noise


def noisy(n, **how):
    """n optimizers of the same parameter, state in bfloat16."""
    torch.manual_seed(0)
    p = torch.randn(64, 16).bfloat16()
    params = [p.clone().requires_grad_() for _ in range(n)]
    return params, [ot.AdamW([p], state_dtype="bfloat16", **how) for p in params]


def step(params, opts, times, begin=0):
    for t in range(begin, begin + times):
        g = torch.randn(64, 16, generator=torch.Generator().manual_seed(t)).bfloat16()
        for p, opt in zip(params, opts, strict=True):
            p.grad = g.clone()
            opt.step()


def test_optimizers_that_are_given_no_seed_have_different_noise_and_others_the_same():
    params, opts = noisy(3)
    step(params, opts, 3)
    assert not any(same_bits(params[a], params[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    assert len({opt.seed for opt in opts}) == 3 and all(opt.seed % TENSORS == 0 for opt in opts)
    params, opts = noisy(2, seed=5)
    step(params, opts, 3)
    assert same_bits(*params) and opts[0].seed == opts[1].seed == 5


PROGRAM = """
import torch, optcore.torch as ot
torch.manual_seed(0)
params = [torch.randn(300).bfloat16().requires_grad_() for _ in range(2)]
opts = [ot.SGD([p]) for p in params]
ot.SGD([params[0]], seed=9)                     # one with a seed moves no other's number
opts.append(ot.SGD([params[0]]))
for p, opt in zip(params, opts):
    p.grad = torch.full((300,), 0.011).bfloat16()
    opt.step()
print([opt.seed for opt in opts], [float(p.detach().double().sum()) for p in params])
"""


def test_the_same_program_has_the_same_noise_and_the_first_optimizer_that_of_seed_0():
    runs = [subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
            for _ in range(2)]
    assert runs[0] == runs[1] and runs[0].startswith(f"[0, {TENSORS}, {2 * TENSORS}]")


@pytest.mark.parametrize("way", ["state_dict", "deepcopy"])
def test_a_saved_run_goes_on_with_its_noise(way):
    params, opts = noisy(2)
    step(params, opts, 2)
    file = io.BytesIO()
    torch.save([opt.state_dict() for opt in opts], file)
    file.seek(0)
    if way == "deepcopy":
        again, readers = copy.deepcopy((params, opts))
    else:
        again = [p.detach().clone().requires_grad_() for p in params]
        readers = [ot.AdamW([p], state_dtype="bfloat16") for p in again]
        for reader, saved in zip(readers, torch.load(file, weights_only=True), strict=True):
            reader.load_state_dict(saved)
    step(params, opts, 3, begin=2)
    step(again, readers, 3, begin=2)
    assert all(map(same_bits, params, again))


def test_a_seed_that_is_given_is_used_whatever_is_loaded_and_state_without_one_means_0():
    params, opts = noisy(1, seed=3)
    step(params, opts, 1)
    saved = opts[0].state_dict()
    for how, without, then in (({"seed": 8}, False, 8), ({}, False, 3), ({}, True, 0)):
        _, (reader,) = noisy(1, **how)
        reader.load_state_dict({k: v for k, v in saved.items() if k != "seed" or not without})
        assert reader.seed == then
    _, (reader,) = noisy(1)
    with pytest.raises(TypeError, match="seed"):
        reader.load_state_dict({**saved, "seed": "3"})
    assert not reader.state
    torch.optim.AdamW(params).load_state_dict(saved)
    reader.seed = -1
    reader.param_groups[0]["params"][0].grad = torch.ones(64, 16).bfloat16()
    with pytest.raises(ValueError, match="seed"):
        reader.step()


def test_a_seed_is_one_of_64_bits_as_elsewhere():
    _, (opt,) = noisy(1, seed=2 ** 64 - 1)
    opt.load_state_dict({**opt.state_dict(), "seed": 2 ** 60})
    with pytest.raises(ValueError, match="seed"):
        noisy(1, seed=2 ** 64)


# ------------------------------------------------------------------------------------------- undo


def nothing_given(opt, p):
    p.grad = None
    opt.step()


def overflowed(opt, p):
    opt.found_inf = torch.tensor(1.0)
    opt.step()
    del opt.found_inf


def not_finite(opt, p):
    opt.nonfinite = "skip"
    p.grad[1] = torch.nan
    opt.step()


def raised_for_a_nan(opt, p):
    opt.nonfinite = "raise"
    p.grad[1] = torch.nan
    with pytest.raises(FloatingPointError):
        opt.step()


def closure_raised(opt, p):
    with pytest.raises(ZeroDivisionError):
        opt.step(lambda: 1 // 0)


def refused(opt, p):
    opt.param_groups[0]["lr"] = -1.0
    with pytest.raises(ValueError, match="lr"):
        opt.step()


def not_undoable(opt, p):
    opt.undoable = False
    opt.step()


@pytest.mark.parametrize("last", [nothing_given, overflowed, not_finite, raised_for_a_nan, closure_raised, refused,
                                  not_undoable], ids=lambda f: f.__name__)
def test_undo_takes_back_the_last_step_that_was_asked_for_never_the_one_before(last):
    p = torch.nn.Parameter(torch.ones(3))
    opt = ot.SGD([p], lr=0.1, undoable=True)
    p.grad = torch.ones(3)
    opt.step()
    last(opt, p)
    before = p.detach().clone()
    with pytest.raises(RuntimeError, match="undo"):
        opt.undo()
    assert same_bits(p, before)


# ------------------------------------------------------------------------------------------- keywords in groups


@pytest.mark.parametrize("name", sorted(EXTRAS.keys() - OF_GROUP.keys()))
@pytest.mark.parametrize("way", ["constructor", "add_param_group", "load_state_dict", "edit"])
def test_a_keyword_of_the_optimizer_in_a_group_is_refused_by_name(way, name):
    a, b = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(3))
    opt = ot.Adam([a])
    a.grad = torch.ones(3)
    opt.step()
    before, saved = a.detach().clone(), opt.state_dict()
    number = int(way == "add_param_group")
    with pytest.raises(TypeError, match=rf"param_groups\[{number}\] has {name}="):
        if way == "constructor":
            ot.Adam([{"params": [b], name: EXTRAS[name]}])
        elif way == "add_param_group":
            opt.add_param_group({"params": [b], name: EXTRAS[name]})
        elif way == "load_state_dict":
            saved["param_groups"][0][name] = EXTRAS[name]
            opt.load_state_dict(saved)
        else:
            opt.param_groups[0][name] = EXTRAS[name]
            opt.step()
    assert same_bits(a, before) and len(opt.param_groups) == 1 and opt.state[a]["step"] == 1


def test_other_keys_of_a_group_are_the_users():
    p = torch.nn.Parameter(torch.ones(3))
    opt = ot.Adam([{"params": [p], "name": "head", "lr_scale": 0.5}])
    p.grad = torch.ones(3)
    opt.step()
    opt.param_groups[0]["note"] = 1
    opt.step()
    opt.load_state_dict(opt.state_dict())
    assert opt.param_groups[0]["name"] == "head" and opt.state[p]["step"] == 2
