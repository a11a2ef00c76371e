# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, binding=True, auto_pickle=False
"""The compiled core: entry points that take Python objects, and what they need to call the engine.

Design:
  a) One source, several builds. CMake compiles this file once for each instruction set, under a module name of
     its own; optcore._dispatch chooses one at import. So nothing here may depend on its module's name.
  b) Formulas stand in _rules.pxd, formats in _codecs.pxd and _eight.pxd, the walk in _engine.pxd, the choice of a
     number of threads in _pace.pxd. Here Python objects become pointers: the buffer protocol, the GIL, refusals.
  c) No NumPy at compile time: the buffer protocol is enough, and no NumPy ABI has to match.
  d) Refuse first, explain elsewhere. An entry point acquires and checks every argument before the first byte is
     written and answers False if anything is unusual; optcore._arrays then converts it (DLPack, strides of a
     gradient) or raises an error that names the argument. The usual call pays for no explanation.
  e) Counts are Py_ssize_t. The GIL is released for the walk, while the buffers are held.
"""
cimport cython
from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cython.parallel cimport parallel, threadid
from libc.math cimport INFINITY
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport qsort
from libc.string cimport memcpy, memset

from optcore.kernels.buffers cimport Interval, acquire, by_address, disjoint, fits, same_shape
from optcore.kernels.engine cimport LINE, walk
from optcore.kernels.dlpack cimport Exchange, borrow, exchange_of, same_layout
from optcore.kernels.formats cimport (AROUND, AVERAGE, COMPENSATION, COPY, FORMATS, GRADIENT, LOOP_FLOAT32, PARAMETER, STATE,
                                       Format, blocks_in, fill_formats)
from optcore.kernels.search_noise cimport GAUSSIAN, RADEMACHER, Kind, Noise, Piece, perturb_share
from optcore.kernels.team cimport Pace, choose, learn
from optcore.kernels.platform cimport (COMPILER, FLAGS, ISA, OPENMP_DATE, cpu_level, omp_get_num_threads,
                                openmp_library, seconds)
from optcore.kernels.rounding cimport noise_of
from optcore.kernels.rules cimport MAX_RULES, Registry, Rule, enlist_rules
from optcore.kernels.sums cimport BLOCK, blocks_of, pairwise, squares
from optcore.kernels.tensor cimport MAX_SCALARS, MAX_SLOTS, NEAREST, PRELUDE, STOCHASTIC, Tensor
from optcore.kernels.vectors cimport MAX_ROW_BLOCKS, OPERATIONS, Operation, Work, share_of_blocks
from optcore.kernels.vectors cimport ADVANCE, COMBINE, DOT, PAIR, RANK_TWO, SLOPE

cdef enum:
    ASIDE = 3               # arrays that may follow those of the row: compensation, copy, average
    MAX_ARRAYS = 2 + MAX_SLOTS + ASIDE

# ---------------------------------------------------------------------------------------------- formats and rules

fill_formats()


def formats():
    """The storage formats: {name: (bytes of an element, elements of a block, roles an array of it may play)}. A block's
    elements share an exponent, one byte more."""
    cdef const Format* f = FORMATS
    cdef dict found = {}
    cdef dict roles = {"parameter": PARAMETER, "gradient": GRADIENT, "state": STATE, "compensation": COMPENSATION,
                       "copy": COPY, "average": AVERAGE}
    while f.name != NULL:
        found[f.name.decode()] = f.bytes, f.block, tuple([role for role, bit in roles.items() if f.roles & <int> bit])
        f += 1
    return found



cdef Registry REGISTRY
cdef dict KNOWN = {}                     # what rules() returns, by the rules' numbers
enlist_rules(&REGISTRY, KNOWN)
cdef list NAMES = list(KNOWN)


def rules():
    """The rules this module has: {name: (names of the scalars in order, number of state arrays, a bit for each of
    these that is never negative)}."""
    return dict(KNOWN)


def rule_index(str name):
    """The number by which `apply` and `Plan` know the rule."""
    return NAMES.index(name)

# ---------------------------------------------------------------------------------------------- threads

cdef int default_threads = 1
cdef bint default_is_ours = False       # True: nobody asked for this number, so the pace may use fewer
cdef bint forked = False
cdef Py_ssize_t grain = 1024            # elements; a cut between threads falls on a multiple of it
cdef Py_ssize_t team_from = 16384       # elements; less work than this never enters OpenMP
cdef Pace paces[MAX_RULES][64]           # the last row is that of the sums


def set_default_threads(int n, bint ours):
    """How many threads a walk uses when its call does not say. `ours`: fewer may be used where they are faster."""
    global default_threads, default_is_ours
    default_threads = n
    default_is_ours = ours


def set_forked():
    """From now on this process is a forked child: serial, since OpenMP's threads did not come along."""
    global forked
    forked = True


def is_forked():
    return forked


def _tune(*, Py_ssize_t grain_elements=1024, Py_ssize_t team_from_elements=16384):
    """For tests: lets small arrays be cut among threads. Changes no bit of any result."""
    global grain, team_from
    grain = grain_elements
    team_from = team_from_elements


cdef int team(int num_threads, Py_ssize_t total, Pace* pace, int* way) noexcept:
    """How many threads a walk over `total` elements takes. num_threads 0: the default, by `pace` if it is ours;
    way[0] is then what learn() is to be told, else -1."""
    cdef int threads = num_threads
    way[0] = -1
    if forked or total < team_from:
        return 1
    if threads == 0:
        threads = default_threads
        if default_is_ours and threads > 1:
            way[0] = choose(pace)
            if way[0] == 0:
                return 1
    return threads


cdef inline int log2(Py_ssize_t n) noexcept:
    cdef int k = 0
    while n >> (k + 1):
        k += 1
    return k


cdef void run(int rule, const Tensor* tensors, Py_ssize_t count, Py_ssize_t total, int num_threads) noexcept:
    """The walk, serial or in one parallel region."""
    cdef Py_ssize_t grain_now = grain
    cdef Pace* pace = &paces[rule][log2(total)]
    cdef int way
    cdef int threads = team(num_threads, total, pace, &way)
    cdef double start = 0
    with nogil:
        if way >= 0:
            start = seconds()
        if threads == 1:
            walk(tensors, count, total, grain_now, 0, 1)
        else:
            with parallel(num_threads=threads):
                walk(tensors, count, total, grain_now, threadid(), omp_get_num_threads())
        if way >= 0:
            start = seconds() - start
    if way >= 0:
        learn(pace, way, start)


cdef double sum_of_squares(const Tensor* tensors, Py_ssize_t count, Py_ssize_t total, int num_threads) except? -1:
    """Of all gradients, in a fixed shape."""
    cdef Pace* pace = &paces[MAX_RULES - 1][log2(total)]
    cdef Py_ssize_t blocks = 0, i
    cdef int way
    cdef int threads = team(num_threads, total, pace, &way)
    cdef double start = 0, result
    cdef double* sums
    for i in range(count):
        blocks += blocks_of(&tensors[i])
    sums = <double*> PyMem_Calloc(blocks + 1, sizeof(double))
    if sums == NULL:
        raise MemoryError
    with nogil:
        if way >= 0:
            start = seconds()
        if threads == 1:
            squares(tensors, count, sums, blocks, 0, 1)
        else:
            with parallel(num_threads=threads):
                squares(tensors, count, sums, blocks, threadid(), omp_get_num_threads())
        result = pairwise(sums, blocks)
        if way >= 0:
            start = seconds() - start
    PyMem_Free(sums)
    if way >= 0:
        learn(pace, way, start)
    return result

# ---------------------------------------------------------------------------------------------- one tensor


cdef int fill(float* to, tuple scalars, int rule) except -1:
    cdef int k = 0, count = PRELUDE + REGISTRY.rules[rule].fields
    if len(scalars) != count:
        raise ValueError(f"{NAMES[rule]} takes {count} scalars, got {len(scalars)}")
    for x in scalars:
        to[k] = x                       # double to float: rounded once, to nearest
        k += 1
    return 0


cdef inline void choose_loop(Tensor* t, int rule) noexcept:
    """Once every array is attached: which loop the tensor takes, and whether it needs decoding."""
    cdef const Rule* r = &REGISTRY.rules[rule]
    cdef const Format* first = t.s_format[0] if r.slots else FORMATS
    cdef const Format* f
    cdef bint in_loop = first.loop != AROUND
    cdef int k
    t.block = 1
    t.nonnegative = r.nonnegative
    for k in range(r.slots):
        f = t.s_format[k]
        in_loop = in_loop and f == first
        if f.block > 1:
            t.block = max(t.block, f.block)
            t.e[k] = <uint8_t*> t.s[k] + blocks_in(f, t.n) * f.block * f.bytes
    t.narrow_in_loop = in_loop and first.decode != NULL
    t.plain = in_loop and t.p_format.decode == NULL and t.g_format.decode == NULL
    t.each = r.spans[<int> (first.loop if in_loop else LOOP_FLOAT32)]


cdef inline bint attach(Tensor* t, int rule, int which, const Py_buffer* b, const Format* f) noexcept:
    """Let the tensor's array number `which` (p, g, state..., compensation, copy, average) be this buffer. False if it is
    a compensation whose format is not p's."""
    cdef int role = role_of(rule, which)
    if role == PARAMETER:
        t.p = b.buf
        t.p_format = f
        t.n = b.len // f.bytes
    elif role == GRADIENT:
        t.g = b.buf
        t.g_format = f
    elif role == STATE:
        t.s[which - 2] = b.buf
        t.s_format[which - 2] = f
    elif role == COMPENSATION:
        t.compensation = b.buf
        return f == t.p_format
    elif role == COPY:
        t.copy = b.buf
        t.copy_format = f
    else:
        t.average = <float*> b.buf
    return True


cdef inline int role_of(int rule, int which) noexcept:
    """What array number `which` is."""
    cdef int after = which - 2 - REGISTRY.rules[rule].slots
    if which < 2:
        return PARAMETER if which == 0 else GRADIENT
    return STATE if after < 0 else (COMPENSATION if after == 0 else (COPY if after == 1 else AVERAGE))


def apply(int rule, tuple arrays, tuple scalars, int num_threads=0, uint64_t seed=0, uint64_t step=0,
          uint64_t offset=0, bint nearest=False, float clip=INFINITY, float weight=0):
    """Update one tensor: arrays are (p, g, state...), changed in place but for g; they may be followed by a
    compensation (of p's format), a copy and an average, each of them an array or None.

    seed, step and offset (the number of p's first element, where p is a shard of a larger tensor) fix the noise
    by which what is narrow is rounded. nearest: parameters are not rounded stochastically. True when done; False,
    with nothing changed, when an array is not usable as it stands.
    """
    cdef Py_buffer held[MAX_ARRAYS]
    cdef float values[MAX_SCALARS]
    cdef Tensor t
    cdef const Format* form
    cdef int slots = REGISTRY.rules[rule].slots
    cdef Py_ssize_t count = len(arrays), got = 0, which, k
    cdef bint good = True
    fill(values, scalars, rule)
    if count != 2 + slots and count != 2 + slots + ASIDE:
        raise ValueError(f"{NAMES[rule]} takes {2 + slots} arrays, got {count}")
    memset(&t, 0, sizeof(t))
    try:
        for which in range(count):
            if which >= 2 + slots and arrays[which] is None:
                continue
            good = acquire(arrays[which], &held[got], which != 1, role_of(rule, which), &form)
            if not good:
                break
            got += 1
            good = fits(&held[0], &held[got - 1], form)
            for k in range(got - 1):
                good = good and disjoint(&held[k], &held[got - 1])
            good = good and attach(&t, rule, which, &held[got - 1], form)
            if not good:
                break
        if good:
            choose_loop(&t, rule)
            good = not (t.block > 1 and offset % <uint64_t> t.block)
        if good:
            t.scalars = values
            t.offset = offset
            t.seed = seed
            t.step = step
            t.noise = noise_of(seed, step)
            t.rounding = NEAREST if nearest else STOCHASTIC
            t.clip = clip
            t.weight = weight
            run(rule, &t, 1, t.n, num_threads)
    finally:
        for k in range(got):
            PyBuffer_Release(&held[k])
    return good

include "kernels/plan.pxi"
include "kernels/vectors.pxi"
include "kernels/search_noise.pxi"

# ---------------------------------------------------------------------------------------------- the machine


cdef inline void stream(float* p, const float* g, float* a, float* b, int states,
                        Py_ssize_t lo, Py_ssize_t hi) noexcept nogil:
    cdef Py_ssize_t i
    cdef float x
    for i in range(lo, hi):
        x = g[i] * <float> 1e-30
        p[i] = p[i] + x
        if states > 0: a[i] = a[i] + x
        if states > 1: b[i] = b[i] + x


cdef void stream_share(float** x, int states, Py_ssize_t n, Py_ssize_t k, Py_ssize_t parts) noexcept nogil:
    # Equal shares of whole cache lines of p, as the engine has them: the roof must not lose by misalignment.
    cdef Py_ssize_t line = LINE // <Py_ssize_t> sizeof(float)
    cdef Py_ssize_t first = min(n, (LINE - (<Py_ssize_t> x[0] & (LINE - 1))) % LINE // <Py_ssize_t> sizeof(float))
    cdef Py_ssize_t share = (n - first) // line // parts * line
    stream(x[0], x[1], x[2], x[3], states, first + share * k if k else 0,
           first + share * (k + 1) if k + 1 < parts else n)


def roof(*arrays, int num_threads=1):
    """What memory allows: read p, g and up to two state arrays, write all but g, and hardly compute.

    The yardstick of the benchmarks. It shares no code with the engine: equal shares, one loop.
    """
    cdef Py_buffer held[4]
    cdef float* x[4]
    cdef int count = len(arrays), got = 0, k
    cdef const Format* form
    cdef Py_ssize_t n
    if not 2 <= count <= 4 or num_threads < 1:
        raise ValueError("the roof takes p, g, up to two state arrays, and num_threads >= 1")
    try:
        while got < count:
            if not acquire(arrays[got], &held[got], got != 1, AVERAGE, &form):      # float32 and nothing else
                raise ValueError(f"array {got} is not a C-contiguous float32 buffer")
            x[got] = <float*> held[got].buf
            got += 1
            if held[got - 1].len != held[0].len:
                raise ValueError("the arrays differ in size")
        n = held[0].len // <Py_ssize_t> sizeof(float)
        with nogil, parallel(num_threads=num_threads):
            stream_share(x, count - 2, n, threadid(), omp_get_num_threads())
    finally:
        for k in range(got):
            PyBuffer_Release(&held[k])


def info():
    """How this module was built and what serves OpenMP in this process."""
    cdef const char* library = openmp_library()
    return {
        "isa": ISA.decode(),
        "compiler": COMPILER.decode(),
        "flags": FLAGS.decode(),
        "openmp": OPENMP_DATE,
        "openmp_runtime": None if library == NULL else library.decode("utf-8", "replace"),
        "cpu_level": cpu_level(),
    }
