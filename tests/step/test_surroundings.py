"""What the surroundings mean by a number of threads: OpenMP's own, lowered for the calling thread; joblib's workers;
the ranks that a launcher started on this machine."""
from __future__ import annotations

import ctypes
import os
import threading
from contextlib import contextmanager

import pytest

import optcore as oc
from optcore import _kernels
from optcore.step import surroundings
from optcore.step import threads as _threads
from tests.support.children import threads_here
from tests.support.processes import run, value_of

OPENMP = oc.build_info()["openmp"] is not None
INFO = "import optcore as oc; i = oc.build_info(); print((i['threads'], i['threads_from']))"

# ------------------------------------------------------------------------------------------- OpenMP's own number


@contextmanager
def default(count, source="affinity"):
    before = _threads._count, _threads._source
    _threads._count, _threads._source = count, source
    _threads._tell()
    try:
        yield
    finally:
        _threads._count, _threads._source = before
        _threads._tell()


@contextmanager
def openmp_told(n):
    """What threadpoolctl does: omp_set_num_threads, for the calling thread, on the runtime that serves the kernels."""
    if not OPENMP:
        yield
        return
    library = ctypes.CDLL(oc.build_info()["openmp_runtime"])
    before = library.omp_get_max_threads()
    library.omp_set_num_threads(n)
    try:
        yield
    finally:
        library.omp_set_num_threads(before)


def test_a_limit_set_in_this_thread_is_heeded_while_it_stands():
    other = 5 if _threads._usual == 3 else 3            # the usual number tells no wish
    with default(6):
        before = threads_here()
        with openmp_told(other):
            if OPENMP:
                assert threads_here() == (other, other, "omp_set_num_threads in this thread")
                found = []
                thread = threading.Thread(target=lambda: found.append(threads_here()))
                thread.start()
                thread.join()
                assert found == [before]                # it holds for the thread that was told
        assert threads_here() == before
        with openmp_told(9):                            # more than there are processors
            assert threads_here() == before


@pytest.mark.parametrize("source", _threads.ASKED)
def test_what_was_asked_of_us_stands_above_it(source):
    with default(6, source), openmp_told(3):
        assert threads_here() == ((6, 6, source) if OPENMP else (1, 1, "built without OpenMP"))


WORKERS = """
import ctypes, os, numpy as np, optcore as oc
from optcore.step import threads
threads._count = 4
threads._tell()
library = ctypes.CDLL(oc.build_info()["openmp_runtime"])
count = lambda: len(os.listdir("/proc/self/task"))
before = count()
p = np.ones(1 << 17, np.float32)
library.omp_set_num_threads(3)
for _ in range(40):
    oc.functional.sgd(p, p.copy(), step=1)
limited = count() - before
library.omp_set_num_threads(library.omp_get_num_procs())
oc.functional.sgd(p, p.copy(), step=1, num_threads=4)
print((limited, count() - before))
"""


def test_a_walk_has_no_more_threads_than_that():
    if OPENMP and os.path.isdir("/proc/self/task"):
        assert value_of(WORKERS, OMP_NUM_THREADS="1") == (2, 3)


def test_the_number_that_openmp_was_loaded_with_is_no_wish():
    """Also where another library has changed its own before we were imported."""
    code = "import ctypes; ctypes.CDLL('libgomp.so.1').omp_set_num_threads({}); " + INFO
    if OPENMP and "libgomp" in oc.build_info()["openmp_runtime"]:
        assert value_of(INFO, OMP_NUM_THREADS="1") == value_of(INFO)
        assert value_of(code.format(1), OMP_NUM_THREADS="1") == value_of(INFO)
        count, source = value_of(code.format(1), OMP_NUM_THREADS="2")
        assert count == 1 and (value_of(INFO)[0] == 1 or source == "omp_set_num_threads in this thread")


def test_a_fresh_thread_says_what_openmp_was_loaded_with():
    with openmp_told(7):
        assert surroundings.in_fresh_thread(_kernels.max_threads) == _threads._usual
    assert surroundings.in_fresh_thread(lambda: 3) == 3

# ------------------------------------------------------------------------------------------- joblib's workers


LOKY = """
import multiprocessing
multiprocessing.current_process().name = {!r}
""" + INFO


def test_in_joblibs_workers_its_number_is_heeded():
    here, _ = value_of(INFO)
    if OPENMP:
        for said, meant in (("1", 1), ("2,1", min(2, here)), ("1000", here)):
            assert value_of(LOKY.format("LokyProcess-3"), OMP_NUM_THREADS=said) == (meant, "joblib's OMP_NUM_THREADS")
    for said in ("", "0", "many"):
        assert value_of(LOKY.format("LokyProcess-3"), OMP_NUM_THREADS=said) == value_of(INFO)
    assert value_of(LOKY.format("SpawnProcess-3"), OMP_NUM_THREADS="1") == value_of(INFO)

# ------------------------------------------------------------------------------------------- ranks


@pytest.fixture
def env(monkeypatch):
    for name in (*surroundings.RANKS, "SLURM_CPUS_ON_NODE", "SLURM_JOB_ID", "SLURM_STEP_ID"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize("name", surroundings.RANKS)
def test_ranks_of_every_launcher_share_the_processors(env, name):
    assert surroundings.ranks_here(8) == (1, "")
    whole = len(os.sched_getaffinity(os.getppid())) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    env.setenv(name, str(whole + 1))
    assert surroundings.ranks_here(whole) == (whole + 1, name)
    for word in ("1", "0", "many", ""):
        env.setenv(name, word)
        assert surroundings.ranks_here(whole)[0] == 1
    env.setenv(name, str(whole + 1))
    count, source = value_of(INFO)
    assert count == 1
    assert source == ("built without OpenMP" if not OPENMP else "torchrun's ranks" if name == "LOCAL_WORLD_SIZE"
                      else f"ranks of {name}")


def test_ranks_that_were_each_bound_to_their_own_do_not_share_them(env):
    env.setenv("SLURM_CPUS_ON_NODE", "8")
    env.setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "4")
    assert surroundings.ranks_here(2)[0] == 1           # four ranks of two processors each
    assert surroundings.ranks_here(8)[0] == 4           # nobody was bound
    assert surroundings.ranks_here(4)[0] == 4           # bound by pairs: rather too few threads than too many


def test_the_launcher_nearest_to_the_process_counts(env):
    env.setenv("SLURM_CPUS_ON_NODE", "8")
    env.setenv("SLURM_NTASKS_PER_NODE", "2")
    assert surroundings.ranks_here(8)[0] == 2
    env.setenv("SLURM_JOB_ID", "1")                     # the job's script, before any srun
    assert surroundings.ranks_here(8)[0] == 1
    env.setenv("SLURM_STEP_ID", "0")
    assert surroundings.ranks_here(8)[0] == 2
    env.setenv("LOCAL_WORLD_SIZE", "8")                 # torchrun, started by srun
    assert surroundings.ranks_here(8) == (8, "LOCAL_WORLD_SIZE")

# ------------------------------------------------------------------------------------------- threads that cannot be had


@pytest.mark.parametrize("word, size", [
    ("64k", 65536), ("64", 65536), (" 2 M ", 2 << 20), ("100000B", 100000), ("1g", 1 << 30), ("", 0), ("lots", 0)])
def test_the_size_of_a_stack(monkeypatch, word, size):
    for name in ("OMP_STACKSIZE", "GOMP_STACKSIZE", "KMP_STACKSIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_STACKSIZE", word)
    assert surroundings.stack_of_a_thread() == size


REFUSED = """
import os, resource, subprocess, sys, numpy as np, optcore as oc
from optcore.step import threads
p = np.ones(1 << 17, np.float32)
threads._count = 2
threads._tell()
{limit}
for _ in range(3):
    oc.functional.sgd(p, np.ones_like(p), step=1, lr=0.25)
info = oc.build_info()["threads_from"], oc.get_num_threads()
for ask in (lambda: oc.functional.sgd(p, np.ones_like(p), step=1, lr=0.25, num_threads=3),
            lambda: oc.set_num_threads(3),
            lambda: oc.Adam([p]).step([np.ones_like(p)], num_threads=3)):
    try:
        ask()
        raise SystemExit("it was not refused")
    except RuntimeError as e:
        assert "num_threads=3" in str(e), e
assert (p == 0.25).all(), p
oc.functional.sgd(p, np.ones_like(p), step=1, lr=0.25, num_threads=1)
{lift}
oc.functional.sgd(p, p.copy(), step=1, lr=1)
print((*info, bool((p == 0).all()), oc.get_num_threads() > 1))
"""
# The limit of processes binds no root, so it becomes nobody; the soft limit alone is lowered, and raised again.
PROCESSES = """
if os.getuid() == 0: os.setuid(65534)
hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
resource.setrlimit(resource.RLIMIT_NPROC, (1, hard))
"""
MEMORY = """
import re
hard = resource.getrlimit(resource.RLIMIT_AS)[1]
resource.setrlimit(resource.RLIMIT_AS, (int(re.search(r"VmSize:\\s*(\\d+)", open("/proc/self/status").read())[1]) * 1024
                                        + (6 << 20), hard))
"""


def test_threads_that_the_system_refuses_make_a_serial_step_or_an_error():
    """OpenMP alone would end the process: "libgomp: Thread creation failed: Resource temporarily unavailable"."""
    if OPENMP and os.path.isdir("/proc/self/task"):
        lift = "resource.setrlimit(resource.RLIMIT_NPROC, (hard, hard))"
        assert value_of(REFUSED.format(limit=PROCESSES, lift=lift)) == ("threads cannot be started", 1, True, True)


def test_stacks_that_are_too_small_for_a_walk():
    if OPENMP and os.path.isdir("/proc/self/task"):
        code = REFUSED.format(limit="", lift="")
        for told in ({"OMP_STACKSIZE": "64k"}, {"GOMP_STACKSIZE": "40"}):
            assert value_of(code, **told) == ("threads cannot be started", 1, True, False)
        done = run(f"import subprocess, sys; print(subprocess.run(['sh', '-c', 'ulimit -s 100; exec \"$@\"', 'sh', "
                   f"sys.executable, '-c', {code!r}], capture_output=True, text=True).stdout)")
        assert "('threads cannot be started', 1, True, False)" in done.stdout


def test_every_rule_walks_on_the_smallest_stack_that_is_allowed():
    code = "from tests.support.children import all_rules; import hashlib; print((all_rules(),))"
    assert value_of(code, OMP_STACKSIZE="128k", PYTHONPATH=".") == value_of(code, PYTHONPATH=".")


def test_memory_that_does_not_suffice_for_stacks():
    code = REFUSED.split("for ask")[0].replace("{limit}", MEMORY) + """
try:
    oc.functional.sgd(p, np.ones_like(p), step=1, lr=0.25, num_threads=9)
except (RuntimeError, MemoryError):
    pass
print((info[1], np.unique(p).size))
"""
    if OPENMP and os.path.isdir("/proc/self/task"):
        assert value_of(code) in ((1, 1), (2, 1))       # a stack of the import may be there to be used again
