"""What a process's surroundings say about its share of the machine: cgroup, other ranks, joblib, the stack of a thread.

Owns the reading of files and of other programs' environment variables; never decides a number of threads
(step/threads.py), sets nothing and imports nothing compiled.
"""
from __future__ import annotations

import math
import os
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path

# By which launchers tell each process how many they started on its machine. The first one set counts: torchrun and
# mpirun are started inside a job of Slurm.
RANKS = (
    "LOCAL_WORLD_SIZE",                 # torchrun, accelerate, DeepSpeed
    "OMPI_COMM_WORLD_LOCAL_SIZE",       # Open MPI
    "MV2_COMM_WORLD_LOCAL_SIZE",        # MVAPICH2
    "MPI_LOCALNRANKS",                  # MPICH and Intel MPI (Hydra)
    "PMI_LOCAL_SIZE",                   # Cray's and other PMI
    "PALS_LOCAL_SIZE",                  # HPE's PALS
    "SLURM_NTASKS_PER_NODE",            # srun
)


def cgroup_cpus(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float:
    """Processors that the cgroup's quota is worth; inf without one."""
    best = math.inf
    try:
        lines = own.read_text(errors="replace").splitlines()
    except OSError:
        return best
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":                                       # version 2: one tree; a parent's quota binds too
            inner = root / path.lstrip("/")
            for folder in (inner, *inner.parents):
                best = min(best, _ratio(folder / "cpu.max"))
                if folder == root:
                    break
        elif "cpu" in controllers.split(","):                       # version 1
            inner = root / "cpu" / path.lstrip("/")
            for folder in (inner, *inner.parents):
                best = min(best, _ratio(folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us"))
                if folder == root / "cpu":
                    break
    return best


def _ratio(*files: Path) -> float:
    try:
        quota, period = " ".join(f.read_text() for f in files).split()
        return int(quota) / int(period) if int(quota) > 0 and int(period) > 0 else math.inf
    except (OSError, ValueError):                                   # no such file, or "max"
        return math.inf


def affinity() -> int:
    """Processors that the calling thread may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ranks_here(processors: int) -> tuple[int, str]:
    """How many processes share this one's processors, and the variable that says so; 1 if each was given its own."""
    name = next((name for name in RANKS if os.environ.get(name)), "")
    ranks = os.environ.get(name, "")
    if not ranks.isdecimal() or int(ranks) < 2:
        return 1, name
    if name.startswith("SLURM") and "SLURM_JOB_ID" in os.environ and "SLURM_STEP_ID" not in os.environ:
        return 1, name                                      # the job's script itself, which srun did not start
    given = os.environ.get("SLURM_CPUS_ON_NODE", "")        # Slurm's parent process stands outside the job
    if given.isdecimal():
        whole = int(given)
    else:
        try:
            whole = len(os.sched_getaffinity(os.getppid()))
        except (AttributeError, OSError):
            whole = os.cpu_count() or 1
    # As many as all ranks together would have if each were bound to its own.
    return (1 if processors * int(ranks) <= whole else int(ranks)), name


def joblibs_number() -> int | None:
    """How many threads joblib wants in this process, if it is one of joblib's (loky's) workers.

    There OMP_NUM_THREADS is joblib's wish for this worker: inner_max_num_threads, or the processors divided by the
    workers. Elsewhere it may be a launcher's 1, meant for libraries that would otherwise take all processors each.
    """
    module = sys.modules.get("multiprocessing.process")
    if module is None:
        return None
    process = module.current_process()
    if ".loky." not in f".{type(process).__module__}." and not process.name.startswith("LokyProcess"):
        return None
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(wanted) if wanted.isdecimal() and int(wanted) > 0 else None


def in_fresh_thread(look: Callable[[], int]) -> int:
    """What `look` returns in a thread that nobody has told anything; in this one, where no thread can be started."""
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(look()))
    try:
        thread.start()
    except RuntimeError:
        return look()
    thread.join()
    return found[0]


def stack_of_a_thread() -> int:
    """Bytes of stack that OpenMP was told to give each of its threads; 0: the system's default."""
    for name in ("OMP_STACKSIZE", "GOMP_STACKSIZE", "KMP_STACKSIZE"):
        found = re.fullmatch(r"\s*(\d+)\s*([bkmg]?)\s*", os.environ.get(name, ""), re.IGNORECASE)
        if found:
            return int(found[1]) << {"b": 0, "": 10, "k": 10, "m": 20, "g": 30}[found[2].lower()]
    return 0
