"""What is decided at import, and that an import and a step leave their surroundings as they were: the choice of
the build, what build_info() says, environment variables, floating-point modes, other modules.

What is decided at import is looked at in a process of its own.
"""
from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import runpy
import sys
import tomllib
import types
from pathlib import Path

import numpy as np
import pytest

import optcore as oc
from optcore import _dispatch, _kernels
from optcore.rules import RULES
from tests.support.arrays import random_arrays
from tests.support.bits import assert_same_bits
from tests.support.processes import STEPS, run, value_of
from tests.support.steps import reference_step

USABLE = _dispatch.available()
UNUSABLE = [isa for isa in _dispatch.LEVELS if isa not in USABLE]

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

def test_pyinstaller_is_told_of_every_module_that_is_imported_by_name(monkeypatch):
    root = Path(__file__).parents[2]
    told = tomllib.loads((root / "pyproject.toml").read_text())["project"]["entry-points"]["pyinstaller40"]["hook-dirs"]
    module, function = told.split(":")
    (folder,) = getattr(importlib.import_module(module), function)()
    hooks = types.ModuleType("PyInstaller.utils.hooks")
    hooks.copy_metadata = lambda name: [(name, name)]
    monkeypatch.setitem(sys.modules, "PyInstaller", types.ModuleType("PyInstaller"))
    monkeypatch.setitem(sys.modules, "PyInstaller.utils", types.ModuleType("PyInstaller.utils"))
    monkeypatch.setitem(sys.modules, "PyInstaller.utils.hooks", hooks)
    hook = runpy.run_path(str(Path(folder) / "hook-optcore.py"))
    for isa in _dispatch.built():
        assert f"optcore._kernels_{isa}" in hook["hiddenimports"]
    assert {"optcore.minimizers", "optcore.racing", "optcore.surfaces"} <= set(hook["hiddenimports"])
    assert all(importlib.util.find_spec(name) for name in hook["hiddenimports"])
    assert hook["datas"] == [("optcore", "optcore")]

# ------------------------------------------------------------------------------------------- OPTCORE_ISA


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
