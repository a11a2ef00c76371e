"""Checkpoints of optcore.torch 0.1.0 are loaded, and the next steps have the bits that they had there; of 8-bit state
those of its values, since that format has changed.

tests/saving/files_0_1/README.md says how they came about.
"""
from __future__ import annotations

import hashlib
import json

import pytest
import torch

import optcore as oc
import optcore.torch as ot
from optcore.formats import block8
from tests.support.paths import FILES_0_1

EXPECTED = json.loads((FILES_0_1 / "expected.json").read_text())

SAVED = {"torch_adamw": ("AdamW", {}), "torch_nadam_int8": ("NAdam", {"state_dtype": "int8", "seed": 3}),
         "torch_sgd": ("SGD", {"momentum": 0.9, "average": 0.9})}


def test_every_file_is_read():
    assert {path.stem for path in FILES_0_1.glob("*.pt")} == set(SAVED)
    assert {name for name in EXPECTED if name.startswith("torch_")} == set(SAVED)


@pytest.mark.parametrize("name", SAVED)
def test_an_optimizer_goes_on_with_the_same_bits(name):
    family, extras = SAVED[name]
    saved = torch.load(FILES_0_1 / f"{name}.pt", weights_only=True)
    p = torch.nn.Parameter(saved["p"])
    opt = getattr(ot, family)([p], **extras)
    opt.load_state_dict(saved["optimizer"])
    if "int8" in name:                          # what an optimizer of today is given as float32 goes on alike
        old, other = saved["optimizer"]["state"][0], getattr(oc, family)([p.detach().numpy().copy()], **extras)
        values = {key: block8.decode_0_1(old[key].numpy(), p.numel(), key == "exp_avg_sq").reshape(p.shape)
                  for key in ("exp_avg", "exp_avg_sq")}
        other.load_state_dict({**other.state_dict(), "state": {0: {"step": int(old["step"]), **values}}})
        opt.step()                              # without a gradient: nothing
        for k in (1, 2):
            p.grad = torch.full(p.shape, 0.1 * k)
            opt.step()
            other.step([p.grad.numpy()])
        for key in values:
            assert (opt.state[p][key].numpy() == other.state[0][key]).all()
        assert (p.detach().numpy() == other.param_groups[0]["params"][0]).all()
        return
    for k in (1, 2):
        p.grad = torch.full(p.shape, 0.1 * k)
        opt.step()
    sha = hashlib.sha256(p.detach().numpy().tobytes())
    for _, x in sorted(opt.state[p].items()):
        sha.update(x.numpy().tobytes())
    assert sha.hexdigest() == EXPECTED[name]
