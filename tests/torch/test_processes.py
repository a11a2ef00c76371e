"""Several processes on torch.distributed with gloo: DDP, ZeroRedundancyOptimizer, FSDP2, checkpoints of shards.

torch_ranks.py has what the ranks do and check; each run here starts them and waits.
"""
from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import optcore as oc

PROGRAM = str(Path(__file__).parent.parent / "support" / "torch_ranks.py")
QUIET = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "OPTCORE_"))}


def start(what, ranks, folder):
    """Run the parts (joined by +) on so many ranks; all must end well."""
    processes = [subprocess.Popen([sys.executable, PROGRAM, what, str(folder)], stderr=subprocess.PIPE, text=True,
                                  env=QUIET | {"RANK": str(rank), "WORLD_SIZE": str(ranks), "OMP_NUM_THREADS": "1"})
                 for rank in range(ranks)]
    try:
        ends = [(p.communicate(timeout=240)[1], p.returncode) for p in processes]
    finally:
        for p in processes:
            p.kill()
    assert all(code == 0 for _, code in ends), "\n".join(f"exit status {code}\n{text}" for text, code in ends)


@pytest.mark.parametrize("part", ["ddp", "zero", "fsdp", "fsdp_narrow", "fsdp_8bit", "fsdp_norm"])
def test_sharded_and_replicated_steps_are_the_unsharded_ones_bit_for_bit(part, tmp_path):
    start(part, 2, tmp_path)


def test_optimizer_state_saved_on_two_ranks_goes_on_on_one_and_on_four(tmp_path):
    start("save", 2, tmp_path)
    start("load", 1, tmp_path)
    start("load", 4, tmp_path)


def test_uneven_shards_of_8_bit_state_step_as_the_whole(tmp_path):
    start("fsdp_8bit", 3, tmp_path)


@pytest.mark.parametrize("part, ranks", [("fsdp_8bit_formats", 2), ("fsdp_8bit_formats", 3), ("fsdp_8bit_options", 3),
                                         ("fsdp_8bit_meshes", 4), ("fsdp_8bit_full", 3)])
def test_8_bit_state_of_shards_takes_all_that_whole_state_takes(part, ranks, tmp_path):
    start(part, ranks, tmp_path)


def test_8_bit_state_saved_on_two_ranks_goes_on_on_one_three_and_four(tmp_path):
    start("save_8bit", 2, tmp_path)
    for ranks in (1, 3, 4):
        start("load_8bit", ranks, tmp_path)


def test_under_torchrun_the_ranks_share_the_processors_and_it_is_said_once(tmp_path):
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", PROGRAM,
                           "threads", str(tmp_path)], env=QUIET, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    here = len(os.sched_getaffinity(0))
    said = "optimizer steps use"
    if here // 2 > 1:
        assert done.stderr.count(said) == 1
        assert f"{said} {here // 2} threads on each rank (torchrun's ranks), not OMP_NUM_THREADS=1" in done.stderr
    else:                                       # one thread each is what torchrun's variable says too
        assert said not in done.stderr
    for rank in range(2):
        assert f"rank {rank}: {max(1, here // 2)} torchrun's ranks 1" in done.stdout


@pytest.mark.parametrize("order", ["torch, optcore", "optcore, torch"])
@pytest.mark.parametrize("told", [{"OMP_PROC_BIND": "true"}, {"OMP_PLACES": "threads"}], ids=str)
def test_whoever_loads_openmp_and_has_it_bind_the_main_thread_the_processors_are_counted(order, told):
    code = f"import {order}, torch; print(optcore.get_num_threads(), torch.get_num_threads())"
    done = subprocess.run([sys.executable, "-c", code], env=QUIET | told, capture_output=True, text=True, timeout=240,
                          check=True)
    assert int(done.stdout.split()[0]) == oc.get_num_threads()


def test_torchs_number_of_threads_is_heeded_as_a_wish():
    code = ("import torch, optcore; before = optcore.get_num_threads(); torch.set_num_threads(1)\n"
            "info = optcore.build_info(); print((before, info['threads'], info['threads_from']))")
    done = subprocess.run([sys.executable, "-c", code], env=QUIET, capture_output=True, text=True, timeout=240,
                          check=True)
    before, after, source = ast.literal_eval(done.stdout)
    assert after == 1 and (before == 1 or source == "omp_set_num_threads in this thread")


def test_what_is_said_about_threads():
    code = ("import torch, optcore.torch as ot\n"
            "for _ in range(2): ot.SGD([torch.ones(3, requires_grad=True)])")
    torchrun = {"LOCAL_WORLD_SIZE": "2", "OMP_NUM_THREADS": "1", "OPTCORE_NUM_THREADS": "3"}
    for rank, times in (("0", 1), ("1", 0)):
        done = subprocess.run([sys.executable, "-c", code], env=QUIET | torchrun | {"RANK": rank}, capture_output=True,
                              text=True, timeout=240, check=True)
        assert done.stderr.count("use 3 threads on each rank (OPTCORE_NUM_THREADS), not OMP_NUM_THREADS=1") == times
