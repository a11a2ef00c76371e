"""A program of several processes, for tests/torch/test_processes.py: torch_ranks.py WHAT RANK RANKS FOLDER.

Each WHAT is a function below; it raises where something is not as it should be. The ranks meet by a file in FOLDER.
"""
from __future__ import annotations

import copy
import os
import sys

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

import optcore.torch as ot

STEPS = 4
CLASSES = {"SGD": {"lr": 0.1, "momentum": 0.9}, "AdamW": {"lr": 0.01, "amsgrad": True}, "NAdam": {"lr": 0.01},
           "Rprop": {"lr": 0.01}}


def model():
    """Rows that two ranks and four cannot share evenly; the last layer has one row for all of them."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(7, 13), torch.nn.Tanh(), torch.nn.Linear(13, 1))


def larger():
    """Rows of 70 elements: the shards of two, three and four ranks begin and end within blocks."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(70, 31), torch.nn.Linear(31, 64))


def data(rank, t):
    return torch.randn(6, 7, generator=torch.Generator().manual_seed(100 * rank + t))


def whole(t):
    return t.full_tensor() if isinstance(t, DTensor) else t


def same(some, others):
    return all(torch.equal(whole(a.detach()), b.detach()) for a, b in zip(some, others, strict=True))


def follow(alone, opt, grads):
    for p, g in zip(alone.parameters(), grads, strict=True):
        p.grad = g
    opt.step()


def ddp(rank, ranks, folder):
    for name, chosen in CLASSES.items():
        alone, net = model(), DistributedDataParallel(model(), gradient_as_bucket_view=name == "AdamW")
        opt, judge = getattr(ot, name)(net.parameters(), **chosen), getattr(ot, name)(alone.parameters(), **chosen)
        for t in range(STEPS):
            net(data(rank, t)).square().mean().backward()
            follow(alone, judge, [p.grad.clone() for p in net.parameters()])
            opt.step()
            assert same(net.parameters(), alone.parameters()), (name, t)
            opt.zero_grad()


def zero(rank, ranks, folder):
    for name, chosen in CLASSES.items():
        for view in (True, False):
            alone, net = model(), DistributedDataParallel(model())
            opt = ZeroRedundancyOptimizer(net.parameters(), optimizer_class=getattr(ot, name),
                                          parameters_as_bucket_view=view, **chosen)
            judge = getattr(ot, name)(alone.parameters(), **chosen)
            for t in range(STEPS):
                net(data(rank, t)).square().mean().backward()
                follow(alone, judge, [p.grad.clone() for p in net.parameters()])
                opt.step()
                assert same(net.parameters(), alone.parameters()), (name, view, t)
                opt.zero_grad()
            opt.consolidate_state_dict(0)
            if rank == 0:
                got, want = opt.state_dict()["state"], judge.state_dict()["state"]
                assert all(torch.equal(got[n][k], v) for n, entry in want.items() for k, v in entry.items())


def sharded(ranks, dtype=torch.float32, make=model):
    net = make().to(dtype)
    mesh = init_device_mesh("cpu", (ranks,))
    for layer in net:
        if isinstance(layer, torch.nn.Linear):
            fully_shard(layer, mesh=mesh)
    return fully_shard(net, mesh=mesh), mesh


def fsdp(rank, ranks, folder):
    for name, chosen in CLASSES.items():
        alone, (net, _) = model(), sharded(ranks)
        opt, judge = getattr(ot, name)(net.parameters(), **chosen), getattr(ot, name)(alone.parameters(), **chosen)
        for t in range(STEPS):
            net(data(rank, t)).square().mean().backward()
            follow(alone, judge, [p.grad.full_tensor() for p in net.parameters()])
            opt.step()
            assert same(net.parameters(), alone.parameters()), (name, t)
            opt.zero_grad()
        for p, q in zip(net.parameters(), alone.parameters(), strict=True):
            for key, value in judge.state[q].items():
                assert torch.equal(whole(opt.state[p][key]), value), (name, key)
                assert isinstance(opt.state[p][key], DTensor) == (value.shape == q.shape)


def fsdp_narrow(rank, ranks, folder):
    """The noise of stochastic rounding goes by an element's place in the whole tensor, so shards round as it does."""
    for name, chosen in CLASSES.items():
        for rounding in ("stochastic", "kahan", "residual", "master"):
            how = {**chosen, "state_dtype": "bfloat16", "rounding": rounding, "average": 0.5, "seed": 3}
            alone, (net, _) = model().bfloat16(), sharded(ranks, torch.bfloat16)
            opt, judge = getattr(ot, name)(net.parameters(), **how), getattr(ot, name)(alone.parameters(), **how)
            for t in range(STEPS):
                stepped((opt, judge), t)
            assert same(net.parameters(), alone.parameters()), (name, rounding)
            assert same(opt.averages, judge.averages), (name, rounding)
            for p, q in zip(net.parameters(), alone.parameters(), strict=True):
                assert opt.state[p].keys() == judge.state[q].keys()
                for key, value in judge.state[q].items():
                    assert torch.equal(whole(opt.state[p][key]), value), (name, rounding, key)
            with opt.averaged(), judge.averaged():
                assert same(net.parameters(), alone.parameters())


EIGHT = {"state_dtype": "int8", "min_8bit_size": 0, "seed": 3}      # blocks of all, shared by ranks or not


def fsdp_8bit(rank, ranks, folder):
    """Blocks are counted over the whole tensor, whichever ranks have its elements."""
    ways = [(torch.float32, {}), (torch.float32, {"average": 0.5, "max_norm": 0.5}),
            (torch.bfloat16, {"rounding": "kahan"})]
    for name, chosen in CLASSES.items():
        for make in (model, larger):
            for dtype, more in ways:
                how = {**chosen, **EIGHT, **more}
                alone, (net, _) = make().to(dtype), sharded(ranks, dtype, make)
                opt, judge = getattr(ot, name)(net.parameters(), **how), getattr(ot, name)(alone.parameters(), **how)
                for t in range(STEPS):
                    stepped((opt, judge), t)
                    agree(opt, judge, name, dtype, more, t)


def stepped(some, t):
    """Step optimizers of the same parameters, distributed and not, with the same gradients."""
    for opt in some:
        give((p for group in opt.param_groups for p in group["params"]), t)
        opt.step()


def pair(rank, ranks, kind, dtype=torch.float32, **how):
    (net, _), alone = sharded(ranks, dtype, larger), larger().to(dtype)
    how = {**EIGHT, **how}
    return net, alone, kind(net.parameters(), **how), kind(alone.parameters(), **how)


def agree(opt, judge, *where):
    assert same((p for g in opt.param_groups for p in g["params"]),
                (p for g in judge.param_groups for p in g["params"])), where
    got, want = opt.state_dict()["state"], judge.state_dict()["state"]
    assert got.keys() == want.keys()
    for k, entry in want.items():
        assert got[k].keys() == entry.keys() and same(
            (got[k][key] for key in entry), entry.values()), (k, *where)


def fsdp_8bit_formats(rank, ranks, folder):
    """State that changes its format between steps: blocks that ranks share are made of all their elements."""
    for dtype in (torch.float32, torch.bfloat16):
        _, _, opt, judge = pair(rank, ranks, ot.AdamW, dtype, state_dtype="float32", rounding="stochastic")
        for t, form in enumerate(["float32", "int8", "bfloat16", "int8", "int8", "float32", {"exp_avg_sq": "int8"}]):
            for some in (opt, judge):
                some.param_groups[0]["state_dtype"] = form
            stepped((opt, judge), t)
            agree(opt, judge, dtype, t)
        for some in (opt, judge):
            some.param_groups[0]["min_8bit_size"] = 100
        stepped((opt, judge), 9)
        agree(opt, judge, dtype, 9)


def fsdp_8bit_options(rank, ranks, folder):
    """What else a step may be asked for, where blocks are shared."""
    for kind, dtype, how in (
            (ot.Adam, torch.bfloat16, {"rounding": "master", "average": 0.9, "weight_decay": 0.1}),
            (ot.AdamW, torch.bfloat16, {"rounding": "stochastic", "clip_value": 0.5, "maximize": True}),
            (ot.Adagrad, torch.float32, {"initial_accumulator_value": 0.1}),
            (ot.RMSprop, torch.float32, {"centered": True, "momentum": 0.9}),
            (ot.Adam, torch.float32, {"zero_grads": True, "undoable": True, "amsgrad": True})):
        net, alone, opt, judge = pair(rank, ranks, kind, dtype, **how)
        for t in range(3):
            stepped((opt, judge), t)
            agree(opt, judge, kind, how, t)
            if opt.undoable:
                assert not any(whole(p.grad).any() for p in net.parameters())
                opt.undo()
                judge.undo()
                agree(opt, judge, kind, how, "undone", t)
                stepped((opt, judge), t + 20)
    net, alone, opt, judge = pair(rank, ranks, ot.NesterovClassical, lr=0.1)
    for t in range(3):
        with opt.lookahead(), judge.lookahead():
            assert same(net.parameters(), alone.parameters())
        stepped((opt, judge), t)
        agree(opt, judge, "lookahead", t)
    _, _, opt, judge = pair(rank, ranks, ot.Adam, nonfinite="skip")
    stepped((opt, judge), 0)
    for some in (opt, judge):               # what a neighbour lacks of a block is not finite
        first = some.param_groups[0]["params"][0]
        if not isinstance(first, DTensor):
            first.grad.view(-1)[0] = float("inf")
        elif rank == 0:
            first.grad.to_local().view(-1)[0] = float("inf")
        some.step()
        assert some.skipped == 1
    agree(opt, judge, "skipped")
    stepped((opt, judge), 1)
    agree(opt, judge, "after it")


def fsdp_8bit_meshes(rank, ranks, folder):
    """Replicas of shards are stepped as shards are; what is cut otherwise is refused by name."""
    mesh = init_device_mesh("cpu", (2, ranks // 2), mesh_dim_names=("replicate", "shard"))
    net, alone = fully_shard(larger(), mesh=mesh), larger()
    opt, judge = (ot.Adam(some.parameters(), lr=0.01, **EIGHT) for some in (net, alone))
    for t in range(STEPS):
        stepped((opt, judge), t)
        agree(opt, judge, t)
    line = init_device_mesh("cpu", (ranks,))
    for over, cut in ((line, [Shard(1)]), (mesh, [Shard(0), Shard(0)]), (mesh, [Shard(0), Shard(1)])):
        p = torch.nn.Parameter(distribute_tensor(torch.ones(8, 64), over, cut))
        try:
            ot.Adam([p], **EIGHT)
        except ValueError as e:
            assert "['params'][0] is cut as" in str(e) and "bfloat16" in str(e)
        else:
            raise AssertionError("shards within rows were not refused")
        opt = ot.Adam([p])
        p.grad = torch.ones_like(p)
        opt.step()
        opt.param_groups[0]["state_dtype"], opt.param_groups[0]["min_8bit_size"] = "int8", 0
        try:
            opt.step()
        except ValueError as e:
            assert "is cut as" in str(e)
        else:
            raise AssertionError("shards within rows were not refused at a step")
        opt.param_groups[0]["min_8bit_size"] = 4096
        opt.step()
        assert opt.state[p]["step"] == 2


def fsdp_8bit_full(rank, ranks, folder):
    """A whole state dict goes to shards and back; by value where it is in other formats."""
    options = StateDictOptions(full_state_dict=True)
    for form in ("int8", "float32"):
        alone = larger()
        judge = ot.Adam(alone.parameters(), lr=0.01, **{**EIGHT, "state_dtype": form})
        for t in range(2):
            stepped((judge,), t)
        weights, state = get_state_dict(alone, judge)
        net, _ = sharded(ranks, make=larger)
        opt = ot.Adam(net.parameters(), **EIGHT)
        set_state_dict(net, opt, model_state_dict=copy.deepcopy(weights), optim_state_dict=copy.deepcopy(state),
                       options=options)
        judge.state_dtype = "int8"
        for t in (2, 3):
            stepped((opt, judge), t)
            agree(opt, judge, form, t)
        _, state = get_state_dict(net, opt, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
        if rank == 0:
            _, want = get_state_dict(alone, judge)
            for name, entry in want["state"].items():
                assert same((state["state"][name][key] for key in entry), entry.values()), name
        again = ot.Adam(net.parameters(), **EIGHT)     # each rank reads the whole of it
        again.load_state_dict(judge.state_dict())
        stepped((again, judge), 4)
        agree(again, judge, "read", form)


def fsdp_norm(rank, ranks, folder):
    """The norm and the check for infinities are of all shares, and every rank does the same."""
    for nonfinite in ("skip", "raise"):
        alone, (net, _) = model(), sharded(ranks)
        extra, other = (torch.nn.Parameter(torch.ones(5)) for _ in range(2))    # whole on every rank
        how = {"lr": 0.1, "max_norm": 0.5, "nonfinite": nonfinite}
        opt, judge = ot.Adam([*net.parameters(), extra], **how), ot.Adam([*alone.parameters(), other], **how)
        for t in range(STEPS):
            give(net.parameters(), t)
            give(alone.parameters(), t)
            extra.grad, other.grad = torch.full((5,), float(t)), torch.full((5,), float(t))
            opt.step()
            judge.step()
            # 123 positive numbers added in float64, in two orders: 123 * 2^-53, which the root halves.
            assert abs(opt.grad_norm - judge.grad_norm) <= 1e-14 * judge.grad_norm
            assert same(net.parameters(), alone.parameters()) and same([extra], [other])
        before = [whole(p).clone() for p in opt.param_groups[0]["params"]]
        if rank == 0:
            next(net.parameters()).grad.to_local().view(-1)[0] = float("inf")
        try:
            opt.step()
        except FloatingPointError as e:
            assert nonfinite == "raise" and ("inf" if rank == 0 else "another process") in str(e)
        else:
            assert nonfinite == "skip" and opt.skipped == 1
        assert same(opt.param_groups[0]["params"], before) and opt.grad_norm == float("inf")


def give(params, t):
    """The same whole gradients whatever the number of ranks, each rank taking its share."""
    for k, p in enumerate(params):
        g = torch.randn(p.shape, generator=torch.Generator().manual_seed(10 * t + k)).to(p.dtype)
        p.grad = distribute_tensor(g, p.device_mesh, p.placements) if isinstance(p, DTensor) else g


def save(rank, ranks, folder, more=None):
    for name, chosen in CLASSES.items():
        chosen = {**chosen, **(more or {})}
        net, _ = sharded(ranks, make=larger if more else model)
        opt = getattr(ot, name)(net.parameters(), **chosen)
        for t in range(STEPS):
            give(net.parameters(), t)
            opt.step()
        weights, state = get_state_dict(net, opt)
        dcp.save({"model": weights, "optim": state}, checkpoint_id=f"{folder}/{name}")


def save_8bit(rank, ranks, folder):
    save(rank, ranks, folder, EIGHT)


def load_8bit(rank, ranks, folder):
    load(rank, ranks, folder, EIGHT)


def load(rank, ranks, folder, more=None):
    for name, chosen in CLASSES.items():
        chosen, make = {**chosen, **(more or {})}, larger if more else model
        alone = make()
        judge = getattr(ot, name)(alone.parameters(), **chosen)
        net = sharded(ranks, make=make)[0] if ranks > 1 else make()
        opt = getattr(ot, name)(net.parameters(), **{**chosen, "lr": 0.5})
        weights, state = get_state_dict(net, opt)
        dcp.load({"model": weights, "optim": state}, checkpoint_id=f"{folder}/{name}")
        set_state_dict(net, opt, model_state_dict=weights, optim_state_dict=state,
                       options=StateDictOptions(strict=True))
        for t in range(2 * STEPS):
            give(alone.parameters(), t)
            judge.step()
            if t >= STEPS:
                give(net.parameters(), t)
                opt.step()
        assert same(net.parameters(), alone.parameters()), name
        assert opt.param_groups[0]["lr"] == chosen["lr"]


def threads(rank, ranks, folder):
    """Under torchrun: how many threads a step has, and what was said about it."""
    import optcore
    p = torch.ones(3, requires_grad=True)
    p.grad = torch.ones(3)
    for _ in range(2):
        opt = ot.SGD([p])
        opt.step()
    copy.deepcopy(opt).step()
    print(f"rank {rank}: {optcore.get_num_threads()} {optcore.build_info()['threads_from']} {torch.get_num_threads()}")


if __name__ == "__main__":
    what, folder = sys.argv[1], sys.argv[2]
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/{what}{ranks}", rank=rank, world_size=ranks)
    for part in what.split("+"):
        globals()[part](rank, ranks, folder)
    dist.barrier()
    dist.destroy_process_group()
    # What is left is torch's: a thread that still runs as the interpreter ends aborts the process now and then
    # ("terminate called without an active exception").
    sys.stdout.flush()
    os._exit(0)
