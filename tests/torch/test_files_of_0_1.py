"""Checkpoints of optcore.torch 0.1.0 are loaded, and the next steps have the bits that they had there.

tests/saving/files_0_1/README.md says how they came about.
"""
from __future__ import annotations

import hashlib
import json

import pytest
import torch

import optcore.torch as ot
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
    for k in (1, 2):
        p.grad = torch.full(p.shape, 0.1 * k)
        opt.step()
    sha = hashlib.sha256(p.detach().numpy().tobytes())
    for _, x in sorted(opt.state[p].items()):
        sha.update(x.numpy().tobytes())
    assert sha.hexdigest() == EXPECTED[name]
