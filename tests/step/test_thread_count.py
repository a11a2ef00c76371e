"""How many threads a step may use: set by a call, a variable of ours, the affinity mask or the cgroup, and by no
other library's variable; and that a step has as many as it was given.

What is decided at import is looked at in a process of its own.
"""
from __future__ import annotations

import math
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import optcore as oc
from optcore.step import surroundings
from optcore.step import threads as _threads
from tests.support.processes import STEPS, run, value_of

INFO = "import optcore as oc; i = oc.build_info(); print((i['threads'], i['threads_from']))"


def test_set_and_get_round_trip():
    before = oc.get_num_threads(), _threads._source
    try:
        for n in (1, 2, 7, np.int64(3)):
            assert oc.set_num_threads(n) is None
            assert oc.get_num_threads() == oc.build_info()["threads"] == n
            assert oc.build_info()["threads_from"] == "set_num_threads"
        for bad in (0, -1, _threads.LIMIT + 1, 2.0, "2", None):
            with pytest.raises((TypeError, ValueError), match="num_threads"):
                oc.set_num_threads(bad)
        assert oc.get_num_threads() == 3
    finally:
        _threads._count, _threads._source = before
        _threads._tell()


def test_the_environment_variable_sets_the_number():
    for n in (1, 3):
        assert value_of(INFO, OPTCORE_NUM_THREADS=str(n)) == (n, "OPTCORE_NUM_THREADS")
    assert value_of(INFO, OPTCORE_NUM_THREADS="") == value_of(INFO)


@pytest.mark.parametrize("word", ["0", "-2", "2.5", "two", "1000000"])
def test_a_bad_number_in_the_environment_is_refused(word):
    done = run("import optcore", OPTCORE_NUM_THREADS=word)
    assert done.returncode == 1
    assert f"ValueError: OPTCORE_NUM_THREADS={word!r}" in done.stderr


def test_other_libraries_variables_do_not_set_it():
    """Launchers of training jobs set OMP_NUM_THREADS=1; an optimizer on one thread is then the bottleneck."""
    assert value_of(INFO, OMP_NUM_THREADS="1", MKL_NUM_THREADS="1") == value_of(INFO)


WORKERS = """
import os, numpy as np, optcore as oc
p = np.ones(1 << 17, np.float32)
count = lambda: len(os.listdir("/proc/self/task"))
before = count()
oc.functional.sgd(p, p.copy(), step=1, lr=0.5{})
print((count() - before, bool((p == 0.5).all())))
"""


def test_the_step_has_the_threads_that_were_asked_for():
    listed = Path("/proc/self/task").is_dir()
    for code in (WORKERS.format(", num_threads=3"), WORKERS.format("")):
        if not listed:                      # no list of a process's threads on this system: the result alone
            code = code.replace('len(os.listdir("/proc/self/task"))', "0")
        got = value_of(code, OMP_NUM_THREADS="1", OPTCORE_NUM_THREADS="3")
        assert got == (2 if listed else 0, True)


def test_a_smaller_team_than_asked_for_does_all_the_work():
    for name, word in (("OMP_THREAD_LIMIT", "1"), ("OMP_THREAD_LIMIT", "2"), ("OMP_DYNAMIC", "true")):
        assert value_of(STEPS, **{name: word})[1] == value_of(STEPS)[1]


AS_BOUND = [{"OMP_PROC_BIND": "true"}, {"OMP_PROC_BIND": "spread"}, {"OMP_PLACES": "threads"}, {"OMP_PLACES": "cores"}]


@pytest.mark.parametrize("told", AS_BOUND, ids=str)
def test_a_main_thread_that_openmp_binds_does_not_make_it_one(told):
    """Bound, its affinity mask has one processor left; tests/torch has the same where torch loads OpenMP first."""
    assert value_of(INFO, **told) == value_of(INFO)


def test_places_that_leave_out_processors_are_heeded():
    first = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    openmp = oc.build_info()["openmp"] is not None
    count, source = value_of(INFO, OMP_PLACES=f"{{{first}}}")
    assert count == 1 or not openmp and source == "built without OpenMP"


def test_affinity_limits_the_default():
    code = """
import os, sys
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
import optcore as oc
from optcore.step.surroundings import affinity, cgroup_cpus
print((oc.get_num_threads(), oc.build_info()["threads_from"], affinity(), cgroup_cpus() < affinity()))
"""
    threads, source, cpus, quota_binds = value_of(code)
    assert cpus == (1 if hasattr(os, "sched_setaffinity") else os.cpu_count())
    assert source == ("cgroup" if quota_binds else "affinity")
    assert threads <= cpus and (quota_binds or threads == cpus)

# ------------------------------------------------------------------------------------------- cgroups


def tree(root, files, own):
    """A fake /sys/fs/cgroup and /proc/self/cgroup; the processors found in them."""
    for name, text in files.items():
        (root / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "fs" / name).write_text(text)
    (root / "own").write_text(own)
    return surroundings.cgroup_cpus(root / "fs", root / "own")


V1 = "12:pids:/a/b\n5:cpuacct,cpu:/a/b\n1:name=systemd:/\n"


@pytest.mark.parametrize("files, own, cpus", [
    ({"cpu.max": "max 100000\n"}, "0::/\n", math.inf),
    ({"cpu.max": "250000 100000\n"}, "0::/\n", 2.5),
    ({"a/cpu.max": "50000 100000\n"}, "0::/a\n", 0.5),
    ({"a/cpu.max": "400000 100000\n", "a/b/cpu.max": "max 100000\n"}, "0::/a/b\n", 4.0),
    ({"a/cpu.max": "100000 50000\n"}, "0::/elsewhere\n", math.inf),
    ({"a/cpu.max": "100000 50000\n"}, "0::/a/with:colon\n", 2.0),
    ({}, "0::/a\n", math.inf),
    ({}, "", math.inf),
    ({"cpu.max": "garbage"}, "0::/\n", math.inf),
    ({"cpu.max": "0 100000"}, "0::/\n", math.inf),
    ({"cpu/a/b/cpu.cfs_quota_us": "150000\n", "cpu/a/b/cpu.cfs_period_us": "100000\n"}, V1, 1.5),
    ({"cpu/a/b/cpu.cfs_quota_us": "-1\n", "cpu/a/b/cpu.cfs_period_us": "100000\n"}, V1, math.inf),
    # In a container the files of the process's own group stand at the root of what it sees.
    ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, V1, 3.0),
    # A group between the root and the process's own binds too.
    ({"cpu/a/cpu.cfs_quota_us": "200000\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, V1, 2.0),
    ({"cpu.max": "200000 100000\n"}, V1 + "0::/\n", 2.0),
])
def test_quota_of_a_cgroup(tmp_path, files, own, cpus):
    assert tree(tmp_path, files, own) == cpus


@given(st.lists(st.one_of(st.none(), st.integers(1, 10**7)), min_size=1, max_size=6))
def test_the_smallest_quota_on_the_way_to_the_root_binds(quotas):
    folders = ["a/" * depth for depth in range(len(quotas))]
    files = {f + "cpu.max": f"{'max' if q is None else q} 100000\n" for f, q in zip(folders, quotas, strict=True)}
    with tempfile.TemporaryDirectory() as root:
        found = tree(Path(root), files, f"0::/{folders[-1].rstrip('/')}\n")
    assert found == min((q / 100000 for q in quotas if q is not None), default=math.inf)


def test_no_cgroup_files_at_all(tmp_path):
    assert surroundings.cgroup_cpus(tmp_path / "fs", tmp_path / "missing") == math.inf

