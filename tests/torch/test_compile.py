"""torch.compile of a training step leaves ours alone: one break of the graph, no warning, the same bits."""
from __future__ import annotations

import warnings

import pytest
import torch
import torch._dynamo

import optcore.torch as ot


def loss(params):
    return sum((p * p).sum() for p in params)


@pytest.mark.parametrize("name", ["SGD", "AdamW", "Lion"])
def test_a_compiled_training_step_breaks_its_graph_once_at_ours(name):
    torch.manual_seed(0)
    params = [torch.nn.Parameter(torch.randn(8, 8)) for _ in range(5)]
    twins = [torch.nn.Parameter(p.detach().clone()) for p in params]
    ours, theirs = getattr(ot, name)(params, lr=0.1), getattr(ot, name)(twins, lr=0.1)

    def eagerly():
        loss(twins).backward()
        theirs.step()
        theirs.zero_grad()

    @torch.compile(backend="eager")
    def compiled():
        ours.step()

    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(4):
            loss(params).backward()
            compiled()
            ours.zero_grad()
            eagerly()
    # The caller breaks once, where it would take the step into its graph, and the wrapper of the step once: the frames
    # are the caller's, what follows the break in it, and the wrapper. Nothing below them is traced.
    counters = torch._dynamo.utils.counters
    assert 0 < counters["frames"]["total"] <= 3 and 0 < sum(counters["graph_break"].values()) <= 2, counters
    for p, q in zip(params, twins, strict=True):
        assert torch.equal(p, q)
