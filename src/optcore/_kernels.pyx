# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, binding=True, auto_pickle=False
"""The compiled core: entry points that take Python objects, and what they need to call the engine.

Design:
  a) One source, several builds. CMake compiles this file once for each instruction set, under a module name of
     its own; optcore._dispatch chooses one at import. So nothing here may depend on its module's name.
  b) Formulas stand in kernels/rules.pxi, formats in kernels/formats.pxd, the walk in kernels/engine.pxd, threads in
     kernels/team.pxd. Here Python objects become pointers: the buffer protocol, the GIL, refusals.
  c) No NumPy at compile time: the buffer protocol is enough, and no NumPy ABI has to match.
  d) Refuse first, explain elsewhere. An entry point acquires and checks every argument before the first byte is
     written and answers False if anything is unusual; optcore.step.arrays then converts it (DLPack, strides of a
     gradient) or raises an error that names the argument. The usual call pays for no explanation.
  e) Counts are Py_ssize_t. The GIL is released for the walk, while the buffers are held.
"""
cimport cython
from cpython.buffer cimport (PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_ND, PyBUF_WRITABLE, PyBuffer_Release,
                             PyObject_GetBuffer)
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from cpython.weakref cimport PyWeakref_NewRef
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from optcore.kernels.buffers cimport (Interval, Watched, acquire, acquire_float32, apart, dense, disjoint, fits,
                                      is_as_it_was, lies_in_c_order, same_layout, same_shape, watch)
from optcore.kernels.catching_up cimport takes_part
from optcore.kernels.dlpack cimport DLTensor, Exchange, borrow, describe, exchange_of, has_format, lend
from optcore.kernels.engine cimport LINE, Walk, walk
from optcore.kernels.formats cimport (AROUND, AVERAGE, COMPENSATION, COPY, FORMATS, GRADIENT, LOOP_FLOAT32, LOOP_FLOAT64,
                                      PARAMETER, STATE, Format, blocks_in, fill_formats)
from optcore.kernels.grouping cimport (MOST_DIGIT, MOST_SECTIONS, RUN, SECTION, Grouping, all_below, bits_for, count_digits,
                                       count_rows, list_rows, make_room, put_in_order, runs_of, sum_runs)
from optcore.kernels.platform cimport (COMPILER, FLAGS, ISA, OPENMP_DATE, cpu_level, omp_get_max_threads, openmp_library,
                                       processors)
from optcore.kernels.rounding cimport Noise, noise_of
from optcore.kernels.rules cimport enlist_rules
from optcore.kernels.rules64 cimport enlist_rules as enlist_rules64
from optcore.kernels.search_noise cimport GAUSSIAN, RADEMACHER, Kind, Piece, Search, SearchNoise, perturb_share
from optcore.kernels.sums cimport SUM_BLOCK, Squares, blocks_of, pairwise, squares
from optcore.kernels.table cimport MAX_RULES, Registry, Rule
from optcore.kernels.team cimport SIZES, Pace, Team, default_threads, region, run, share_fn, size_class
from optcore.kernels.tensor cimport MAX_SCALARS, MAX_SLOTS, NEAREST, OF_ROW, PRELUDE, STOCHASTIC, Behind, Rows, Tensor
from optcore.kernels.vectors cimport MAX_ROW_BLOCKS, OPERATIONS, Operation, Work, share_of_blocks
from optcore.kernels.vectors cimport ADVANCE, COMBINE, DOT, PAIR, RANK_TWO, SLOPE
from optcore.kernels.workers cimport can_start, refuses, set_stack, try_again

cdef enum:
    ASIDE = 3               # arrays that may follow those of the row: compensation, copy, average
    MAX_ARRAYS = 2 + MAX_SLOTS + ASIDE


cdef void* zeros(Py_ssize_t n, size_t size) except NULL:
    """Memory for n things of this size, all zero; of at least one, so that it has an address."""
    cdef void* memory = PyMem_Calloc(n + 1, size)
    if memory == NULL:
        raise MemoryError
    return memory

# ---------------------------------------------------------------------------------------------- formats and rules

fill_formats()
if sizeof(Tensor) > 256:
    raise SystemError(f"kernels/tensor.pxd: a Tensor has {sizeof(Tensor)} bytes, more than it says it may")


def formats():
    """The storage formats: {name: (bytes of an element, elements of a block, roles an array of it may play)}. A block's
    elements share a unit, 4 bytes more."""
    cdef const Format* f = FORMATS
    cdef dict table = {}
    cdef dict roles = {"parameter": PARAMETER, "gradient": GRADIENT, "state": STATE, "compensation": COMPENSATION,
                       "copy": COPY, "average": AVERAGE}
    while f.name != NULL:
        table[f.name.decode()] = f.bytes, f.block, tuple([role for role, bit in roles.items() if f.roles & <int> bit])
        f += 1
    return table


cdef Registry REGISTRY
cdef dict KNOWN = {}                     # what rules() returns, by the rules' numbers
enlist_rules(&REGISTRY, KNOWN)
enlist_rules64(&REGISTRY, KNOWN)
cdef list NAMES = list(KNOWN)


def rules():
    """The rules this module has: {name: (names of the scalars in order, number of state arrays, and two digits of 4 bits
    for each of these: its code and which scalar decays it, as Traits in kernels/rules.pxi says)}."""
    return dict(KNOWN)


def rule_index(str name):
    """The number by which `apply` and `Plan` know the rule."""
    return NAMES.index(name)

# ---------------------------------------------------------------------------------------------- threads

cdef Team TEAM = Team(threads=1, ours=False, usual=0, forked=False, grain=1024, least=16384)
cdef Pace paces[MAX_RULES][<int> SIZES]
cdef Pace square_paces[<int> SIZES]


def set_default_threads(int n, bint ours, int usual, size_t stack):
    """How many threads a walk uses when its call does not say. `ours`: fewer may be used where they are faster, or where
    OpenMP has been told a lower number that is not its `usual` one. stack: bytes of stack that OpenMP was told to give
    each thread, 0 for the system's number. What could not be started before is tried again."""
    TEAM.threads = n
    TEAM.ours = ours
    TEAM.usual = usual
    set_stack(stack)
    try_again()


def get_default_threads():
    """How many a walk in this thread may use when its call does not say."""
    return default_threads(&TEAM)


def can_start_threads(int n):
    """Whether the system lets this thread have a team of n; True where a walk would not ask for one. Tries again."""
    try_again()
    return TEAM.forked or bool(can_start(n))


def threads_refused():
    """Whether the default number of threads could not be started, so that walks are serial."""
    return bool(refuses(TEAM.threads))


def max_threads():
    """OpenMP's own number for the calling thread."""
    return omp_get_max_threads()


def set_forked():
    """From now on this process is a forked child: serial, since OpenMP's threads did not come along."""
    TEAM.forked = True


def is_forked():
    return bool(TEAM.forked)


def _tune(*, Py_ssize_t grain_elements=1024, Py_ssize_t team_from_elements=16384):
    """For tests: lets small arrays be cut among threads. Changes no bit of any result."""
    TEAM.grain = grain_elements
    TEAM.least = team_from_elements


cdef void step_all(int rule, const Tensor* tensors, Py_ssize_t count, Py_ssize_t total, int num_threads) noexcept:
    cdef Walk work = Walk(tensors, count, total, TEAM.grain)
    cdef Pace* pace = &paces[rule][size_class(total)]
    with nogil:
        run(&TEAM, num_threads, total, pace, 1, walk, &work)


cdef double sum_of_squares(const Tensor* tensors, Py_ssize_t count, Py_ssize_t total, int num_threads) except? -1:
    """Of all gradients, in a fixed shape."""
    cdef Pace* pace = &square_paces[size_class(total)]
    cdef Squares work = Squares(tensors, count, NULL, 0)
    cdef Py_ssize_t i
    cdef double result
    for i in range(count):
        work.blocks += blocks_of(&tensors[i])
    work.sums = <double*> zeros(work.blocks, sizeof(double))
    with nogil:
        run(&TEAM, num_threads, total, pace, 1, squares, &work)
        result = pairwise(work.sums, work.blocks)
    PyMem_Free(work.sums)
    return result

# ---------------------------------------------------------------------------------------------- one tensor


cdef struct Scalars:        # one block of them, in both arithmetics
    float[MAX_SCALARS] narrow
    double[MAX_SCALARS] wide


cdef int fill(Scalars* to, tuple scalars, int rule) except -1:
    cdef int k = 0, count = PRELUDE + REGISTRY.rules[rule].fields
    if len(scalars) != count:
        raise ValueError(f"{NAMES[rule]} takes {count} scalars, got {len(scalars)}")
    for x in scalars:
        to.wide[k] = x
        to.narrow[k] = <float> to.wide[k]       # rounded once, to nearest
        k += 1
    return 0


cdef inline const void* scalars_of(const Tensor* t, const Scalars* block) noexcept:
    return <const void*> block.wide if t.wide else <const void*> block.narrow


cdef bint is_numbered(int rule) noexcept:
    """Whether its first state array holds one number a row."""
    return REGISTRY.rules[rule].slots > 0 and REGISTRY.rules[rule].codes & 15 == OF_ROW


cdef inline void choose_loop(Tensor* t, int rule) noexcept:
    """Once every array is attached: which loop the tensor takes, and whether it needs decoding."""
    cdef const Rule* r = &REGISTRY.rules[rule]
    cdef const Format* first = t.s_format[0] if r.slots else FORMATS
    cdef const Format* f
    cdef bint in_loop = first.loop != AROUND
    cdef int k
    t.block = 1
    if t.wide:
        t.each = r.spans[<int> LOOP_FLOAT64]
        t.direct = t.each if t.g_format.loop == LOOP_FLOAT64 else NULL
        return
    t.codes = r.codes
    t.decays = r.decays
    for k in range(r.slots):
        f = t.s_format[k]
        in_loop = in_loop and f == first
        if f.block > 1:
            t.block = max(t.block, f.block)
            t.e[k] = <uint8_t*> t.s[k] + blocks_in(f, t.n) * f.block * f.bytes
    t.narrow_in_loop = in_loop and first.decode != NULL
    t.each = r.spans[<int> (first.loop if in_loop else LOOP_FLOAT32)]
    t.direct = NULL
    if in_loop and t.p_format.decode == NULL:
        if t.g_format.decode == NULL:
            t.direct = t.each
        elif not t.narrow_in_loop and t.g_format.gradient != AROUND:
            t.direct = r.spans[<int> t.g_format.gradient]
    if is_whole(t, r.slots):
        t.direct = r.spans[<int> t.p_format.whole]


cdef inline bint is_whole(const Tensor* t, int slots) noexcept:
    """Whether all of the tensor's arrays have one format, which has a loop for that, and nothing else is asked."""
    cdef bint alike = t.p_format.whole != AROUND and t.g_format == t.p_format
    cdef int k
    for k in range(slots):
        alike = alike and t.s_format[k] == t.p_format
    return (alike and t.rounding == STOCHASTIC and t.compensation == NULL and t.copy == NULL and t.average == NULL)


cdef inline bint attach(Tensor* t, int rule, int which, const Py_buffer* b, const Format* f) noexcept:
    """Let the tensor's array number `which` (p, g, state..., compensation, copy, average) be this buffer. False if its
    format does not go with p's: float64 with anything but float64, but for the gradient, or a compensation beside what
    lacks nothing."""
    cdef int role = role_of(rule, which)
    if role == PARAMETER:
        t.p = b.buf
        t.p_format = f
        t.wide = f.loop == LOOP_FLOAT64
        t.n = b.len // f.bytes
    elif role == GRADIENT:
        t.g = b.buf
        t.g_format = f
    elif role == STATE:
        t.s[which - 2] = b.buf
        t.s_format[which - 2] = f
        if which == 2 and is_numbered(rule) and f.decode != NULL and f.loop != LOOP_FLOAT64:
            return False
        return t.wide == (f.loop == LOOP_FLOAT64)
    elif role == COMPENSATION:
        t.compensation = b.buf
        t.c_format = f
        return t.p_format.nearest != NULL       # what is never rounded lacks nothing
    elif role == COPY:
        t.copy = b.buf
        t.copy_format = f
        return not t.wide
    else:
        t.average = b.buf
        return t.wide == (f.loop == LOOP_FLOAT64)
    return True


cdef inline int role_of(int rule, int which) noexcept:
    """What array number `which` is."""
    cdef int after = which - 2 - REGISTRY.rules[rule].slots
    if which < 2:
        return PARAMETER if which == 0 else GRADIENT
    return STATE if after < 0 else (COMPENSATION if after == 0 else (COPY if after == 1 else AVERAGE))


include "kernels/rows.pxi"


def apply(int rule, tuple arrays, tuple scalars, int num_threads=0, uint64_t seed=0, uint64_t step=0,
          uint64_t offset=0, bint round_to_nearest=False, double clip_value=INFINITY, double weight=0):
    """Update one tensor: arrays are (p, g, state...), changed in place but for g, which may be by rows; they may be followed
    by a compensation, a copy and an average, each of them an array or None.

    seed, step and offset (the number of p's first element, where p is a shard of a larger tensor) fix the noise
    by which what is narrow is rounded. round_to_nearest: parameters are not rounded stochastically. True when done;
    False, with nothing changed, when an array is not usable as it stands.
    """
    cdef Py_buffer held[MAX_ARRAYS]
    cdef RowStep step_by_rows
    cdef RowStep* r = &step_by_rows
    cdef Scalars values
    cdef Tensor t
    cdef const Format* form
    cdef int slots = REGISTRY.rules[rule].slots
    cdef Py_ssize_t count = len(arrays), got = 0, which, k
    cdef bint good = True, numbered = is_numbered(rule)
    fill(&values, scalars, rule)
    if count != 2 + slots and count != 2 + slots + ASIDE:
        raise ValueError(f"{NAMES[rule]} takes {2 + slots} arrays, got {count}")
    memset(&t, 0, sizeof(t))
    memset(r, 0, sizeof(step_by_rows))
    try:
        for which in range(count):
            if which >= 2 + slots and arrays[which] is None:
                continue
            array = arrays[which]
            if which == 1 and type(array) is BY_ROWS:
                r.given = True
                r.of = rows_in(&held[0])
                good = hold_ids(r, array.ids)
                if not good:
                    break
                good = disjoint(&held[0], &r.ids)
                array = array.values
            good = good and acquire(array, &held[got], which != 1, role_of(rule, which), &form)
            if not good:
                break
            got += 1
            if which == 1 and (r.given or numbered):
                good = values_fit(&held[0], &held[1], r.sort.count if r.given else rows_in(&held[0]), held[0].itemsize,
                                  held[1].itemsize)
            elif which == 2 and numbered:
                good = fits_numbers(&held[0], &held[2], form, form.bytes)
            else:
                good = fits(&held[0], &held[got - 1], form) if got > 1 else dense(&held[0])
            good = good and (not r.given or which < 2 or disjoint(&r.ids, &held[got - 1]))
            for k in range(got - 1):
                good = good and disjoint(&held[k], &held[got - 1])
            good = good and attach(&t, rule, which, &held[got - 1], form)
            if not good:
                break
        if good:
            t.rounding = NEAREST if round_to_nearest else STOCHASTIC
            choose_loop(&t, rule)
            good = not (t.block > 1 and offset % <uint64_t> t.block)
        if good and (r.given or numbered):
            r.of = rows_in(&held[0])
            r.rows.numbered = numbered
            r.rows.width = t.n // max(r.of, 1)
            walk_by_rows(r, &t, rule)
            good = whole_blocks(&t, r.rows.width)
            if good:
                group_rows(r, &t, num_threads)
        if good:
            t.scalars = scalars_of(&t, &values)
            t.offset = offset
            t.noise = noise_of(seed, step)
            t.clip_value = clip_value
            t.weight = weight
            step_all(rule, &t, 1, t.n, num_threads)
    finally:
        for k in range(got):
            PyBuffer_Release(&held[k])
        PyBuffer_Release(&r.ids)
        PyMem_Free(r.memory)
        PyMem_Free(r.partials)
    return good

include "kernels/owners.pxi"
include "kernels/plan.pxi"
include "kernels/turn.pxi"
include "kernels/vectors.pxi"
include "kernels/search_noise.pxi"
include "kernels/roofline.pxi"
include "kernels/torch_find.pxi"

# ---------------------------------------------------------------------------------------------- the machine


def info():
    """How this module was built and what serves OpenMP in this process."""
    cdef const char* library = openmp_library()
    return {
        "isa": ISA.decode(),
        "compiler": COMPILER.decode(),
        "flags": FLAGS.decode(),
        "openmp": OPENMP_DATE,
        "openmp_runtime": None if library == NULL else library.decode("utf-8", "replace"),
        "processors": processors(),
        "cpu_level": cpu_level(),
    }
