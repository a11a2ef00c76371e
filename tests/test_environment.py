"""What an import and a step take from their surroundings, and that they leave these as they were: the choice of
the build and of the number of threads, the environment variables, the floating-point modes.

What is decided at import is looked at in a process of its own.
"""
from __future__ import annotations

import ast
import ctypes
import importlib.metadata
import math
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from helpers import assert_same_bits, random_arrays, reference_step
from hypothesis import given
from hypothesis import strategies as st

import optcore as oc
from optcore import _dispatch, _kernels, _threads
from optcore._specs import RULES

OURS = ("OPTCORE_ISA", "OPTCORE_NUM_THREADS")
USABLE = _dispatch.available()
UNUSABLE = [isa for isa in _dispatch.LEVELS if isa not in USABLE]


def run(code, **variables):
    """Run the code in a new process, with these environment variables and none of ours."""
    env = {k: v for k, v in os.environ.items() if k not in OURS and not k.startswith("OMP_")} | variables
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)


def value_of(code, **variables):
    """What the code prints, a Python literal."""
    done = run(code, **variables)
    assert done.returncode == 0, done.stderr
    return ast.literal_eval(done.stdout)


INFO = "import optcore as oc; i = oc.build_info(); print((i['threads'], i['threads_from']))"

# ------------------------------------------------------------------------------------------- build_info


def test_build_info_says_what_is():
    info = oc.build_info()
    assert list(info) == ["version", "isa", "isa_available", "isa_built", "compiler", "flags", "openmp",
                          "openmp_runtime", "threads", "threads_from"]
    assert info["version"] == importlib.metadata.version("optcore") == oc.__version__
    assert info["isa"] == _kernels.__name__.removeprefix("optcore._kernels_")
    assert info["isa"] == (os.environ.get("OPTCORE_ISA", "").strip().lower() or info["isa_available"][0])
    assert set(info["isa_available"]) <= set(info["isa_built"]) <= set(_dispatch.LEVELS)
    installed = {f.name.split(".")[0] for f in importlib.metadata.files("optcore") if f.suffix in (".so", ".pyd")}
    assert {f"_kernels_{isa}" for isa in info["isa_built"]} == installed
    assert info["compiler"].strip() and info["compiler"][0].isalpha()
    assert info["threads"] == oc.get_num_threads()
    assert info["openmp"] is None or 200505 <= info["openmp"] < 210000      # OpenMP 2.5 and later, as yyyymm
    assert (info["openmp_runtime"] is None) == (info["openmp"] is None)
    if info["openmp_runtime"]:
        assert Path(info["openmp_runtime"]).is_file()


@pytest.mark.parametrize("isa", USABLE)
def test_each_build_keeps_to_ieee_arithmetic(isa):
    flags = _dispatch.load(isa).info()["flags"].split()
    assert "-ffp-contract=off" in flags and "-O3" in flags
    assert not {"-ffast-math", "-Ofast", "-march=native", "-funsafe-math-optimizations"} & set(flags)


def test_the_builds_that_run_are_those_whose_instructions_the_processor_has():
    if platform.machine() != "x86_64":
        assert USABLE == ["generic"]
        return
    assert USABLE[-1] == "baseline"
    if sys.platform == "linux":
        has = set(Path("/proc/cpuinfo").read_text().split("flags", 1)[1].split("\n", 1)[0].split())
        v3 = has >= {"avx2", "fma", "bmi1", "bmi2"}
        v4 = v3 and has >= {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
        expected = {"v4": v4, "v3": v3, "baseline": True, "generic": False}
        assert USABLE == [isa for isa in _dispatch.built() if expected[isa]]

# ------------------------------------------------------------------------------------------- OPTCORE_ISA


STEPS = """
import hashlib, numpy as np, optcore as oc
rng = np.random.default_rng(0)
p, g, m, v = (rng.standard_normal(100_003).astype(np.float32) for _ in range(4))
v = abs(v)
for t in (1, 2, 3):
    oc.functional.adam(p, g, m, v, step=t, lr=0.01, weight_decay=0.1, num_threads=2)
print((oc.build_info()["isa"], hashlib.sha256(p.tobytes() + m.tobytes() + v.tobytes()).hexdigest()))
"""


def test_every_build_gives_the_same_bits_under_its_name():
    got = {isa: value_of(STEPS, OPTCORE_ISA=isa) for isa in USABLE}
    assert {isa: name for isa, (name, _) in got.items()} == {isa: isa for isa in USABLE}
    best = value_of(STEPS)
    assert best[0] == USABLE[0]
    assert {bits for _, bits in got.values()} == {best[1]}
    assert value_of(STEPS, OPTCORE_ISA=f" {USABLE[-1].upper()} ") == (USABLE[-1], best[1])


@pytest.mark.parametrize("word", ["v5", "avx2", "native", *UNUSABLE])
def test_a_build_that_is_not_there_is_refused(word):
    done = run("import optcore", OPTCORE_ISA=word)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError") and f"OPTCORE_ISA={word!r}" in last
    assert all(isa in last for isa in USABLE)

# ------------------------------------------------------------------------------------------- how many threads


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


def test_affinity_limits_the_default():
    code = """
import os, sys
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
import optcore as oc
from optcore._threads import _affinity, _cgroup_cpus
print((oc.get_num_threads(), oc.build_info()["threads_from"], _affinity(), _cgroup_cpus() < _affinity()))
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
    return _threads._cgroup_cpus(root / "fs", root / "own")


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
    assert _threads._cgroup_cpus(tmp_path / "fs", tmp_path / "missing") == math.inf

# ------------------------------------------------------------------------------------------- left as it was


LEFT = """
import ctypes, os, sys
import numpy as np
def environ():
    at = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
    found = []
    while at[len(found)] is not None:
        found.append(at[len(found)])
    return sorted(found), dict(os.environ)
{modes}
before = environ(), modes()
import optcore as oc
imported = environ(), modes()
p, g, m, v = (np.full(1 << 17, 1e-41, np.float32) for _ in range(4))
for threads in (1, 2, None):
    oc.functional.adam(p, g, m, v, step=1, num_threads=threads)
oc.Adam([p]).step([g])
stepped = environ(), modes()
print((before == imported == stepped, [m for m in ("torch", "jax", "matplotlib") if m in sys.modules]))
"""
# The control bits of MXCSR: flush-to-zero, denormals-are-zero, rounding, exception masks; it stands at byte 28
# of what glibc's fegetenv saves. Elsewhere: whether this thread's arithmetic keeps a denormal.
MXCSR = """
def modes():
    saved = (ctypes.c_uint32 * 8)()
    assert ctypes.CDLL("libm.so.6").fegetenv(saved) == 0
    assert saved[7] & 0x1f80            # the exceptions are masked: this is the register
    return saved[7] & 0xffc0
"""
DENORMALS = """
def modes():
    return (np.float32(1e-40) * np.float32(0.5)).tobytes()
"""
GLIBC_X86 = sys.platform == "linux" and platform.machine() == "x86_64" and platform.libc_ver()[0] == "glibc"


def test_import_and_step_leave_environment_and_floating_point_modes_and_import_no_framework():
    assert value_of(LEFT.replace("{modes}", MXCSR if GLIBC_X86 else DENORMALS)) == (True, [])


@pytest.mark.parametrize("name", sorted(RULES))
def test_denormals_survive_in_every_thread(name):
    """A thread that flushed them to zero would show in its part of the array."""
    rule, n = RULES[name], 1 << 17
    got = random_arrays(rule, n, np.random.default_rng(0), "tiny")
    want = [a.copy() for a in got]
    getattr(oc.functional, name)(*got, step=2, num_threads=4)
    reference_step(rule, want, 2, {})
    denormal = [(a != 0) & (np.abs(a) < np.finfo(np.float32).tiny) for a in want]
    # In each of many short stretches some result is denormal, so that no thread's part is without one.
    assert np.logical_or.reduce(denormal).reshape(256, -1).any(axis=1).all()
    for letter, a, b in zip(rule.arrays, got, want, strict=True):
        assert_same_bits(a, b, letter)
