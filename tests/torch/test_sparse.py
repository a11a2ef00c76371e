"""Sparse gradients in optcore.torch: torch's own classes over 50 steps, the NumPy classes' bits, options, refusals."""
from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import optcore as oc
import optcore.torch as ot
from tests.support.draws import ELEMENTWISE_CLASSES
from tests.support.torch_tensors import same_bits

ROWS, WIDTH = 30, 8

pytestmark = pytest.mark.filterwarnings("ignore:Sparse:UserWarning")        # torch's, of its own sparse tensors


def table(dtype=torch.float32, rows=ROWS, width=WIDTH, seed=0):
    return torch.randn(rows, width, dtype=dtype, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def sparse(rng, p, n, coalesced=False, dtype=None):
    ids = torch.from_numpy(rng.integers(0, len(p), n))
    values = torch.from_numpy(rng.standard_normal((n, *p.shape[1:])).astype(np.float32)).to(dtype or p.dtype)
    g = torch.sparse_coo_tensor(ids[None], values, p.shape, check_invariants=True)
    return g.coalesce() if coalesced else g


def model():
    torch.manual_seed(1)
    return torch.nn.ModuleDict({
        "one": torch.nn.Embedding(50, 8, sparse=True, padding_idx=3),
        "bag": torch.nn.EmbeddingBag(30, 8, sparse=True, mode="mean")})


def trained(make, steps=50):
    net = model()
    opt, g = make(net.parameters()), torch.Generator().manual_seed(3)
    for t in range(steps):
        ids, bags = torch.randint(0, 50, (40,), generator=g), torch.randint(0, 30, (6, 5), generator=g)
        opt.zero_grad()
        (net["one"](ids).square().sum() + net["bag"](bags).sin().sum()).backward()
        for p in net.parameters():
            if t % 3 == 1:
                p.grad = p.grad.coalesce()
            if t % 7 == 5:
                p.grad = sparse(np.random.default_rng(0), p, 0)         # no rows at all: still a step
        opt.step()
    return [p.detach() for p in net.parameters()], opt


@pytest.mark.parametrize("name, settings", [
    ("SparseAdam", {"lr": 0.01}), ("SparseAdam", {"lr": 0.01, "eps": 1e-2, "betas": (0.5, 0.9)}),
    ("SparseAdam", {"lr": 0.01, "maximize": True}), ("SGD", {"lr": 0.01}), ("Adagrad", {"lr": 0.01, "lr_decay": 0.1})])
def test_fifty_steps_are_torchs(name, settings):
    """In an Embedding and an EmbeddingBag. Both round each of some 15 operations of a step, and of the sum of at most
    40 values of a row, to 2^-24; a step is lr long, or a gradient of about 10 times lr. An error of a step before
    changes the next gradient by as much times the curvature, at most 2: 50 steps of lr 0.01 make of it
    e^(50 * 0.01 * 2) < 3 times."""
    ours, opt = trained(lambda p: getattr(ot, name)(list(p), **settings))
    theirs, other = trained(lambda p: getattr(torch.optim, name)(list(p), **settings))
    for a, b in zip(ours, theirs, strict=True):
        longest = 0.1 if name == "SGD" else 0.01 / min(1.0, 1 - settings.get("betas", (0.9,))[0])
        assert (a - b).abs().max() <= 3 * 50 * 55 * 2.0 ** -24 * (longest + b.abs().max() / 50)
    assert [s.keys() for s in opt.state_dict()["state"].values()] == [
        s.keys() for s in other.state_dict()["state"].values()]


def test_a_checkpoint_of_torchs_sparse_adam_goes_on_and_back():
    ours, theirs = table(), table()
    a, b = ot.SparseAdam([ours], lr=0.1), torch.optim.SparseAdam([theirs], lr=0.1)
    rng = np.random.default_rng(0)
    for t in range(12):
        ours.grad = theirs.grad = sparse(rng, ours, 20)
        a.step()
        b.step()
        if t == 4:
            saved = copy.deepcopy(b.state_dict())
            a = ot.SparseAdam([ours])
            a.load_state_dict(saved)
        if t == 8:
            saved = copy.deepcopy(a.state_dict())
            b = torch.optim.SparseAdam([theirs])
            b.load_state_dict(saved)
    assert (ours - theirs).abs().max() <= 12 * 40 * 2.0 ** -24      # steps of at most 0.1 / (1 - 0.9), as above


@pytest.mark.parametrize("form", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", [*ELEMENTWISE_CLASSES, "RowwiseAdagrad"])
def test_every_class_steps_as_the_numpy_class_does(name, form):
    """With all that a step may be asked for, a dense gradient beside the sparse one, duplicates, none."""
    settings = {"momentum": 0.9} if name == "SGD" else {}
    kept = {} if form == "float32" or not getattr(oc, name).family.keys() else {"state_dtype": "bfloat16"}
    rng = np.random.default_rng(0)
    p, q = table(), torch.ones(5).requires_grad_()
    arrays = [p.detach().numpy().copy(), q.detach().numpy().copy()]
    opt = getattr(ot, name)([p, q], **settings, **kept, seed=3, max_norm=2.0, clip_value=0.5, average=0.9)
    other = getattr(oc, name)(arrays, **settings, **kept, seed=3, average=0.9)
    for n in (7, 0, 300, 1):
        p.grad, q.grad = sparse(rng, p, n), torch.from_numpy(rng.standard_normal(5).astype(np.float32))
        ids, values = p.grad._indices()[0].numpy(), p.grad._values().numpy()
        opt.step()
        other.step([oc.Rows(ids, values), q.grad.numpy()], max_norm=2.0, clip_value=0.5)
        assert opt.grad_norm == other.grad_norm
    for a, b in zip((p, q), arrays, strict=True):
        assert same_bits(a, torch.from_numpy(b))
    for a, b in zip(opt.averages, other.averages, strict=True):
        assert same_bits(a, torch.from_numpy(b))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.complex64])
def test_other_parameters(dtype):
    rng = np.random.default_rng(0)
    p = table(torch.float32).detach().to(dtype).requires_grad_()
    want = p.detach().clone().requires_grad_()
    opt, dense = ot.AdamW([p], seed=0), ot.AdamW([want], seed=0)
    for _ in range(3):
        order = torch.randperm(ROWS)
        g = torch.from_numpy(rng.standard_normal((ROWS, WIDTH)).astype(np.float32)).to(dtype)
        p.grad = torch.sparse_coo_tensor(order[None], g[order], p.shape, check_invariants=True)
        want.grad = g
        opt.step()
        dense.step()
    p, want = (torch.view_as_real(x) if x.is_complex() else x for x in (p, want))
    assert same_bits(p, want)


def test_undo_keeps_touched_rows_and_takes_them_back():
    rng = np.random.default_rng(0)
    p = table()
    opt = ot.Adam([p], undoable=True)
    for _ in range(2):
        p.grad = sparse(rng, p, 20)
        opt.step()
    before, state = p.detach().clone(), {k: x.clone() for k, x in opt.state[p].items()}
    p.grad = sparse(rng, p, 5)
    opt.step()
    sizes = [copy.numel() for t, rows, copy in opt._before if rows is not None]
    assert sizes and max(sizes) <= 5 * WIDTH
    opt.undo()
    assert same_bits(p, before)
    for key, x in state.items():
        assert same_bits(opt.state[p][key], x)
    opt.step()


def test_clearing_scaling_skipping_and_stepping_in_backward():
    rng = np.random.default_rng(0)
    p, q = table(), table()
    g = sparse(rng, p, 20)
    opt, plain = ot.SGD([p], zero_grads=True, nonfinite="skip"), ot.SGD([q])
    p.grad, q.grad = g.clone(), g.clone()
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale(torch.ones(()))
    p.grad = p.grad * 8
    scaler.step(opt)
    plain.step()
    assert same_bits(p, q) and not p.grad.to_dense().any()
    p.grad = g * float("inf")
    before = p.detach().clone()
    opt.step()
    assert opt.skipped == 1 and same_bits(p, before)
    raising = ot.SGD([p], nonfinite="raise")
    p.grad = g * float("nan")
    with pytest.raises(FloatingPointError, match=r"params'\]\[0\] is nan at index \(0, 0\)"):
        raising.step()
    net, twin = (torch.nn.Embedding(10, 4, sparse=True) for _ in range(2))
    twin.load_state_dict(net.state_dict())
    ot.step_in_backward(net, ot.SGD(net.parameters(), lr=0.1))
    last = ot.SGD(twin.parameters(), lr=0.1)
    for one in (net, twin):
        one(torch.tensor([1, 2, 2])).square().sum().backward()
    last.step()
    assert same_bits(net.weight, twin.weight) and net.weight.grad is None


def test_what_is_refused_changes_nothing():
    p = table()
    rng = np.random.default_rng(0)
    good = sparse(rng, p, 6)
    opt = ot.Adam([p])
    cases = [
        (p.detach().to_sparse_csr(), RuntimeError, "layout torch.sparse_csr"),
        (p.detach().to_sparse(), ValueError, "2 sparse dimensions"),
        (good.to(torch.int32), TypeError, "torch.int32"),
    ]
    before = p.detach().clone()
    for g, error, words in cases:
        p.grad = None
        try:
            p.grad = g
        except RuntimeError:                # torch itself refuses it
            continue
        with pytest.raises(error, match=words):
            opt.step()
    p.grad = torch.sparse_coo_tensor(
        torch.tensor([[1, ROWS]]), torch.ones(2, WIDTH), p.shape, check_invariants=False)
    with pytest.raises(ValueError, match=f"index {ROWS}: its parameter has {ROWS} rows"):
        opt.step()
    assert same_bits(p, before) and not opt.state
    q = torch.randn(WIDTH, ROWS).T.requires_grad_()
    q.grad = sparse(rng, q, 3)
    with pytest.raises(ValueError, match="not contiguous"):
        ot.Adam([q]).step()
    wide = table(rows=600)
    wide.grad = sparse(rng, wide, 3)
    with pytest.raises(ValueError, match="8-bit state is in blocks of 256"):
        ot.Adam([wide], state_dtype="int8").step()
    p.grad = torch.ones_like(p)
    with pytest.raises(RuntimeError, match="takes sparse ones"):
        ot.SparseAdam([p]).step()
