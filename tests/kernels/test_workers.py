"""The floating-point mode of the calling thread holds in every thread of its walk, and in no thread after it: so bits
do not depend on the number of threads, in whatever mode the caller is."""
from __future__ import annotations

import ctypes
import os

import pytest

import optcore as oc
from optcore import _dispatch
from tests.support.processes import value_of

OPENMP = oc.build_info()["openmp"] is not None
LISTED = os.path.isdir("/proc/self/task")

# `flush` sets the mode of the calling thread, `mode` says it. MXCSR stands at byte 28 of what glibc's fegetenv saves on
# x86-64, FPCR at byte 0 on aarch64; what there is to be set elsewhere, this test does not know.
MODE = """
import ctypes, hashlib, os, platform, numpy as np, optcore as oc
from optcore import _kernels
libm = ctypes.CDLL(None if platform.system() == "Darwin" else "libm.so.6")
word, bits, default = {"x86_64": (7, 0xe040, 0x8040),
                       "aarch64": (0, 0x1c00000, 0x1000000)}.get(platform.machine(), (0, 0, 0))

def mode():
    saved = (ctypes.c_uint32 * 16)()
    libm.fegetenv(saved)
    return saved[word] & bits

def flush(to):
    saved = (ctypes.c_uint32 * 16)()
    libm.fegetenv(saved)
    saved[word] = saved[word] & ~bits | to
    libm.fesetenv(saved)

def walk(threads):
    rng = np.random.default_rng(0)
    n = 1 << 17
    found = []
    for state in ("float32", "bfloat16", "int8"):
        p, g = ((rng.standard_normal(n) * 1e-38).astype(np.float32) for _ in range(2))
        opt = oc.Adam([p], lr=1e-39, state_dtype=state, eps=1e-30)
        for _ in range(2):
            opt.step([g], num_threads=threads)
        found.append(p.tobytes())
        found.append(opt.state[0]["exp_avg"].tobytes())
    return hashlib.sha256(b"".join(found)).hexdigest()

def walks():
    return [walk(threads) for threads in (1, 2, 3, 4, 3)]
"""

MODES = """
plain = walks()
assert len(set(plain)) == 1, plain
seen = [mode()]
for to in (default, {upward}, default | {upward}):
    flush(to)
    inside = walks()
    seen.append(mode() == to)
    flush(0)
    assert len(set(inside)) == 1, (hex(to), inside)
    if bits:
        assert inside[0] != plain[0], hex(to)
assert walks() == plain
print((seen, mode()))
"""
UPWARD = '{"x86_64": 0x4000, "aarch64": 0x400000}.get(platform.machine(), 0)'


@pytest.mark.parametrize("isa", _dispatch.available())
def test_bits_do_not_depend_on_the_number_of_threads_in_any_mode(isa):
    assert value_of(MODE + MODES.replace("{upward}", UPWARD), OPTCORE_ISA=isa) == ([0, True, True, True], 0)


def test_threads_that_were_made_in_a_mode_do_not_keep_to_it():
    """A new thread begins in the mode of the one that makes it."""
    code = MODE + "flush(default)\nfirst = walks()\nflush(0)\nprint((len(set(first)), len(set(walks()))))"
    assert value_of(code) == (1, 1)


# Looks into the threads that OpenMP keeps, by a region of its own.
LOOK = """
library = ctypes.CDLL(oc.build_info()["openmp_runtime"])
def looked():
    found = []
    seen = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: found.append(mode()))
    library.GOMP_parallel(seen, None, 4, 0)
    return found
walk(4)
before = looked()
flush(default)
walk(4)
inside = looked()
flush(0)
walk(4)
print((before, sorted(inside) == sorted([default, 0, 0, 0]), looked()))
"""


def test_after_a_walk_its_threads_are_in_the_mode_they_were_in():
    if OPENMP and LISTED and hasattr(ctypes.CDLL(oc.build_info()["openmp_runtime"]), "GOMP_parallel"):
        assert value_of(MODE + LOOK) == ([0] * 4, True, [0] * 4)


@pytest.mark.parametrize("isa", _dispatch.available())
def test_loading_a_build_leaves_the_mode_as_it_is(isa):
    """GCC's crtfastmath.o, linked in by a user's -ffast-math, would set flush-to-zero in the thread that loads it."""
    code = MODE.split("import ctypes")[1].split(", optcore as oc")[0]
    code = "import ctypes" + code + "\n" + MODE.split("from optcore import _kernels\n")[1] + f"""
import importlib.machinery, importlib.util
before = mode()
at = importlib.util.spec_from_file_location("optcore._kernels_{isa}", {_dispatch.load(isa).__file__!r})
at.loader.exec_module(importlib.util.module_from_spec(at))
print((before, mode()))
"""
    assert value_of(code) == (0, 0)
