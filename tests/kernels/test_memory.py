"""No byte outside the arrays is read or written, and none inside is missed, at any size.

Guard pages: the arrays of a rule lie flush against pages that may not be touched, and the gradient lies in a
page that may only be read; a process that oversteps dies of it. Past 2**31 elements: a few MiB of physical
memory are mapped again and again, so each mapping is walked as if it were memory of its own, and the number of
updates that an element received says how often it was met.
"""
from __future__ import annotations

import ctypes
import mmap
import os
import signal
import subprocess
import sys
import tempfile

import numpy as np
import pytest

import optcore as oc
from optcore import _dispatch
from optcore.rules import RULES

# Not tests.support's: this file runs as a program of its own too.
ELEMENTWISE = [name for name, rule in RULES.items() if all(s.shape == "parameter" for s in rule.state)]

PAGE = mmap.PAGESIZE
FLOATS = PAGE // 4                          # elements in a page
NONE, READ, WRITE = 0, mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE
MAP_FIXED = 0x10                            # the same number on Linux and macOS; the mmap module has no name for it
CANARY = np.float32(0.75)                   # what every byte around an array must still say afterwards

libc = ctypes.CDLL(None, use_errno=True)
libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
libc.mmap.restype = ctypes.c_void_p

# Every size to beyond two of the widest vectors, so that unrolled bodies and their tails occur; the chunk (4096).
SIZES = [*range(35), 63, 64, 65, 127, 129, 1023, 1024, 1025, 4095, 4097, 8193]

# ------------------------------------------------------------------------------------------- guard pages


def between_guards(floats):
    """Float32 memory of whole pages, at least `floats` elements, with an untouchable page on either side."""
    pages = -(-floats // FLOATS)
    raw = np.frombuffer(mmap.mmap(-1, (pages + 2) * PAGE), np.float32)
    for at in (raw.ctypes.data, raw.ctypes.data + (pages + 1) * PAGE):
        assert libc.mprotect(at, PAGE, NONE) == 0
    return raw[FLOATS:-FLOATS]


def walk_between_guards(isa):
    """Every rule, size and number of threads, with the arrays at the first and at the last bytes allowed."""
    module = _dispatch.load(isa)
    module._tune(grain_elements=1, team_from_elements=0)
    arenas = {room: [between_guards(room) for _ in range(5)] for room in (FLOATS, max(SIZES))}
    for five in arenas.values():
        five[1][:] = 0.25
        assert libc.mprotect(five[1].ctypes.data, five[1].nbytes, READ) == 0
    for name, rule in RULES.items():
        number = module.rule_index(rule.kernel)
        scalars = rule.scalars(3, *(s.default for s in rule.all_settings))
        for n in SIZES:
            used = arenas[FLOATS if n <= FLOATS else max(SIZES)][:len(rule.arrays)]
            for where in (slice(0, n), slice(used[0].size - n, used[0].size)):
                arrays = tuple(a[where] for a in used)
                written = [(used[k], arrays[k]) for k in range(len(used)) if k != 1]
                for threads in (1, 2 + n % 2):
                    for arena, a in written:
                        arena[:] = CANARY
                        a[:] = 0.5
                    print(isa, name, n, where, threads, file=sys.stderr)
                    assert module.apply(number, arrays, scalars, threads)
                    assert (arrays[0] != 0.5).all()
                    for arena, a in written:
                        assert (a == a[:1]).all()                   # equal inputs: none left out or met twice
                        around = arena[n:] if where.start == 0 else arena[:-n or None]
                        assert around.size == arena.size - n and (around == CANARY).all()


def walk_narrow_between_guards(isa):
    """The same for two-byte formats: bfloat16 state in the loop, and gradients and mixed state through the scratch."""
    module = _dispatch.load(isa)
    module._tune(grain_elements=1, team_from_elements=0)
    arenas = [between_guards(max(SIZES)) for _ in range(5)]
    half = {np.float32: 0.5, np.float16: 0.5, np.uint16: 0x3F00}
    for name, rule in ((name, RULES[name]) for name in ELEMENTWISE):
        number = module.rule_index(rule.kernel)
        scalars = rule.scalars(3, *(s.default for s in rule.all_settings))
        for gradient, state in ((np.float32, np.uint16), (np.uint16, np.uint16), (np.float16, np.float32)):
            kinds = [np.float32, gradient, *[state] * (len(rule.arrays) - 3), np.uint16][:len(rule.arrays)]
            for n in SIZES:
                for end in (False, True):
                    arrays = []
                    for arena, kind in zip(arenas, kinds, strict=False):
                        whole = arena.view(kind)
                        whole[:] = half[kind]
                        arrays.append(whole[whole.size - n:] if end else whole[:n])
                    print(isa, name, kinds, n, end, file=sys.stderr)
                    assert module.apply(number, tuple(arrays), scalars, 1 + n % 3, 1, 3, 0)
                    for arena, kind in zip(arenas, kinds, strict=False):
                        whole = arena.view(kind)
                        around = whole[:whole.size - n] if end else whole[n:]
                        assert (around == half[kind]).all()


# Parameters, gradient, first and other state arrays, and what follows them: compensation, copy, average. The state in
# the loop and through the scratch, the parameters rounded in each way, and nothing but what follows.
HALF = {"float32": np.float32(0.5), "float16": np.float16(0.5), "bfloat16": np.uint16(0x3F00), "int8": np.uint8(0),
        "residual": np.int8(0)}
COMBINATIONS = [("float32", "float32", "int8", "int8", None, "float16", "float32"),
                ("bfloat16", "bfloat16", "int8", "int8", "bfloat16", "bfloat16", None),
                ("bfloat16", "float16", "int8", "float32", None, None, "float32"),
                ("bfloat16", "float32", "bfloat16", "int8", None, "float16", None),
                ("bfloat16", "bfloat16", "int8", "int8", "residual", None, "float32"),
                ("bfloat16", "float32", "bfloat16", "bfloat16", "residual", "bfloat16", None),
                ("float32", "float32", "float32", "float32", None, "bfloat16", "float32")]
FILL = 0x5A
AROUND_BLOCKS = (0, 1, 3, 7, 8, 9, 16, 17, 31, 33, 65, 255, 256, 257, 511, 513, 1023, 1024, 1025, 4097)


def laid(arena, form, n, end):
    """n elements of a format (or their blocks) at the first or the last bytes of an arena that is filled."""
    arena[:] = FILL
    size = -(-n // 256) * 260 if form == "int8" else n * HALF[form].nbytes
    first = arena.size - size if end else 0
    first -= first % (4 if form == "int8" else 1)                   # codes lie at words
    a = arena[first:first + size].view(HALF[form].dtype)
    a[:] = HALF[form]
    return a, (slice(0, first), slice(first + size, None))


def walk_formats_between_guards(isa):
    """The same for 8-bit state, narrow parameters, copies and averages."""
    module = _dispatch.load(isa)
    module._tune(grain_elements=1, team_from_elements=0)
    arenas = [between_guards(max(AROUND_BLOCKS)).view(np.uint8) for _ in range(8)]
    for name, rule in ((name, RULES[name]) for name in ELEMENTWISE):
        number = module.rule_index(rule.kernel)
        scalars = rule.scalars(3, *(s.default for s in rule.all_settings))
        for p, g, state, others, *after in COMBINATIONS:
            forms = [p, g, *[state, others, others][:len(rule.arrays) - 2], *after]
            for n in AROUND_BLOCKS:
                for end in (False, True):
                    placed = [None if form is None else laid(arena, form, n, end)
                              for arena, form in zip(arenas, forms, strict=False)]
                    arrays = [x and x[0] for x in placed]
                    before = arrays[1].copy()
                    print(isa, name, forms, n, end, file=sys.stderr)
                    assert module.apply(number, tuple(arrays), scalars, 1 + (n % 5 == 0), 1, 3, 0, False, 0.25, 0.5)
                    assert (arrays[1] == before).all()
                    for arena, x in zip(arenas, placed, strict=False):
                        assert x is None or all((arena[part] == FILL).all() for part in x[1])
                    if arrays[-1] is not None and name != "lookahead":      # equal inputs: none left out or met twice
                        assert (arrays[-1] == arrays[-1][:1]).all() and (arrays[-1] != 0.5).all()


def walk_rows_between_guards(isa):
    """Gradients by rows: tables, numbers and values each at the first and at the last bytes allowed; in place (rows of
    32 elements and more), copied together, in parts; the first and the last row are touched, the middle one is not."""
    module = _dispatch.load(isa)
    module.take_by_rows(oc.Rows)
    module._tune(grain_elements=1, team_from_elements=0)
    arenas = [between_guards(4 * 2100) for _ in range(6)]
    for name, rule in RULES.items():
        if rule.decay is None:
            continue
        number = module.rule_index(rule.kernel)
        scalars = rule.scalars(3, *(s.default for s in rule.all_settings))
        for width in (1, 3, 31, 32, 64, 1024, 2100):
            for end in (False, True):
                for arena in arenas:
                    arena[:] = CANARY
                ids = arenas[5].view(np.int64)
                ids = ids[-4:] if end else ids[:4]
                ids[:] = [2, 0, 2, 0]
                rows = [4, *[3] * (len(rule.arrays) - 1)]
                used = [arenas[1], arenas[0], *arenas[2:5]][:len(rule.arrays)]
                sizes = [n * (1 if k > 1 and rule.state[k - 2].shape == "row" else width) for k, n in enumerate(rows)]
                parts = [a[a.size - n:] if end else a[:n] for a, n in zip(used, sizes, strict=True)]
                values, p, *state = (
                    a if n != m * width else a.reshape(m, width) for a, n, m in zip(parts, sizes, rows, strict=True))
                if width == 1:
                    state = [a.reshape(-1) if s.shape == "row" else a for a, s in zip(state, rule.state, strict=True)]
                values[:], p[:] = 0.25, 0.5
                for a in state:
                    a[:] = 0.5
                print(isa, name, width, end, file=sys.stderr)
                arrays = (p, oc.Rows(ids, values), *state)
                assert module.apply(number, arrays, scalars, 1 + width % 3)
                assert (p[1] == 0.5).all() and (p[::2] != 0.5).all() and (values == 0.25).all()
                for arena, a in zip(used, parts, strict=True):
                    around = arena[:arena.size - a.size] if end else arena[a.size:]
                    assert (around == CANARY).all()


def overstep():
    """What the kernels must not do: read one element past the last."""
    a = between_guards(1)
    return ctypes.c_float.from_address(a.ctypes.data + a.nbytes).value


def run_alone(*argv):
    """This file as a program of its own, since the fault that is looked for ends the process."""
    return subprocess.run([sys.executable, __file__, *argv], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("isa", _dispatch.available())
def test_nothing_outside_the_arrays_is_touched(isa):
    done = run_alone(isa)
    assert done.returncode == 0, f"{done.returncode}, last seen: {done.stderr[-2000:]}"
    assert done.stdout == "walked\n"


@pytest.mark.parametrize("isa", _dispatch.available())
def test_nothing_outside_narrow_arrays_is_touched(isa):
    done = run_alone("narrow", isa)
    assert done.returncode == 0, f"{done.returncode}, last seen: {done.stderr[-2000:]}"
    assert done.stdout == "walked\n"


@pytest.mark.parametrize("isa", _dispatch.available())
def test_nothing_outside_the_arrays_of_other_formats_is_touched(isa):
    done = run_alone("formats", isa)
    assert done.returncode == 0, f"{done.returncode}, last seen: {done.stderr[-2000:]}"
    assert done.stdout == "walked\n"


@pytest.mark.parametrize("isa", _dispatch.available())
def test_nothing_outside_tables_is_touched(isa):
    done = run_alone("rows", isa)
    assert done.returncode == 0, f"{done.returncode}, last seen: {done.stderr[-2000:]}"
    assert done.stdout == "walked\n"


def test_the_guard_pages_do_guard():
    assert run_alone("overstep").returncode in (-signal.SIGSEGV, -signal.SIGBUS)


# ------------------------------------------------------------------------------------------- past 2**31 elements

PIECE = 4 << 20                             # bytes; a multiple of every page size there is
REPEATS = 1023                              # mappings of each shared piece
# p consists of these pieces: 0, 2 and 4 stand once each, at its start, in its middle (where two threads share
# it out) and wholly past 2**31 elements; 1 and 3 stand 1023 times in a row.
LAYOUT = [0, *[1] * REPEATS, 2, *[3] * REPEATS, 4]
COUNTS = [1, REPEATS, 1, REPEATS, 1]
LEFT_OUT = 5                                # elements at the end that are not part of p: the last vector is not full


def temporary_file(size):
    """An unnamed file of zeros, in memory where the system has such."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("optcore")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, size)
    return fd


def map_pieces(fd, pieces):
    """The file's pieces in this order at consecutive addresses, as one float32 array."""
    size = PIECE * len(pieces)
    start = libc.mmap(None, size, NONE, mmap.MAP_PRIVATE | mmap.MAP_ANON, -1, 0)    # addresses, no memory
    for k, piece in enumerate(pieces):
        at = libc.mmap(start + k * PIECE, PIECE, WRITE, mmap.MAP_SHARED | MAP_FIXED, fd, piece * PIECE)
        assert at == start + k * PIECE, os.strerror(ctypes.get_errno())
    return np.frombuffer((ctypes.c_float * (size // 4)).from_address(start), np.float32)


@pytest.fixture
def huge():
    """(p, the memory behind p by pieces, g): p and g have more than 2**31 elements, p zeros, g ones."""
    fds = [temporary_file(5 * PIECE), temporary_file(PIECE)]
    maps = [map_pieces(fds[0], LAYOUT), map_pieces(fds[0], range(5)), map_pieces(fds[1], [0] * len(LAYOUT))]
    maps[2][:PIECE // 4] = 1
    p, behind, g = maps[0][:-LEFT_OUT], maps[1].reshape(5, -1), maps[2][:-LEFT_OUT]
    assert p.size > 2**31 and (LAYOUT.index(4) * PIECE) // 4 >= 2**31
    yield p, behind, g
    for a in maps:
        assert libc.munmap(a.ctypes.data, a.nbytes) == 0
    for fd in fds:
        os.close(fd)


def assert_each_met_once(behind, lr):
    """Each update subtracted lr * 1, a power of two, from sums below 2**24 of it: exact."""
    want = np.repeat(np.float32(COUNTS)[:, None] * -lr, behind.shape[1], axis=1)
    want[-1, -LEFT_OUT:] = 0
    np.testing.assert_array_equal(behind, want)


@pytest.mark.parametrize("threads", [1, 2])
def test_more_than_2_31_elements(huge, threads):
    """With two threads, too: each then has one of the shared pieces to itself, and only the single one in the
    middle is shared out, so no two threads meet at one element of physical memory."""
    p, behind, g = huge
    oc.functional.sgd(p, g, step=1, lr=2**-10, num_threads=threads)
    assert_each_met_once(behind, 2**-10)


def test_more_than_2_31_elements_before_another_tensor(huge):
    """The walk over many tensors counts elements from the first tensor's first on."""
    p, behind, g = huge
    small = [np.zeros(1001, np.float32) for _ in range(2)]
    opt = oc.SGD([small[0], p, small[1]], lr=2**-10)
    opt.step([np.ones_like(small[0]), g, np.ones_like(small[1])], num_threads=1)
    assert_each_met_once(behind, 2**-10)
    for a in small:
        assert (a == -2**-10).all()


if __name__ == "__main__":
    if sys.argv[1] == "overstep":
        overstep()
    else:
        walks = {"narrow": walk_narrow_between_guards, "formats": walk_formats_between_guards,
                 "rows": walk_rows_between_guards}
        walks.get(sys.argv[1], walk_between_guards)(sys.argv[-1])
        print("walked")
