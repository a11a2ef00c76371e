"""What is made of the table for torch: constructors with torch's arguments, examples that run, stubs that are true."""
from __future__ import annotations

import inspect

import pytest
import torch

import optcore as oc
import optcore.torch
from optcore.rules import FAMILIES
from tests.support.paths import ROOT, modules_of
from tests.support.texts import examples_run, stubtest, type_checks


def test_settings_are_torchs():
    """Names, order and defaults of the constructors, for every argument that both have."""
    for name in FAMILIES:
        if not hasattr(torch.optim, name):
            continue
        ours = inspect.signature(getattr(oc, name)).parameters
        theirs = inspect.signature(getattr(torch.optim, name)).parameters
        for k, x in ours.items():
            if k in ("state_dtype", "min_8bit_size", "seed", "rows", "nonfinite", "rounding", "average"):
                continue
            assert k in theirs, (name, k)
            assert x.default is inspect.Parameter.empty or x.default == theirs[k].default, (name, k)
        positional = [k for k, x in theirs.items() if x.kind is x.POSITIONAL_OR_KEYWORD and k in ours]
        assert list(ours)[:len(positional)] == positional, name


@pytest.mark.parametrize("module", [optcore.torch, optcore.torch._backward], ids=lambda m: m.__name__)
def test_examples_in_docstrings(module):
    assert examples_run(module) > 0


def test_stubs_agree_with_the_module(tmp_path):
    stubtest(tmp_path, ["optcore.torch"], [
        r"optcore\.torch\.\w+\.__signature__",          # put together at run time, of torch's and ours
        r"optcore\.torch\._optimizer\._tell_threads"])    # functools.cache hides that it takes no arguments


def test_the_package_type_checks(tmp_path):
    type_checks(
        tmp_path, "import torch\n"
        "import optcore.torch as ot\n"
        "net = torch.nn.Linear(2, 1)\n"
        "fused: torch.optim.AdamW = ot.AdamW(net.parameters(), lr=1e-3, max_norm=1.0)\n"
        "fused.step()\n"
        "ot.AdamW(net.parameters(), learning_rate=1e-3)  # type: ignore[call-arg]\n")


def test_written_stubs_are_up_to_date():
    """Here because what writes them all takes torch's signatures for those of optcore.torch."""
    make_stubs, = modules_of(ROOT / "tools", "make_stubs")
    for name, text in make_stubs.texts().items():
        assert (ROOT / "src" / "optcore" / name).read_text() == text, "run: python tools/make_stubs.py"
