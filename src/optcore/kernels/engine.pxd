# cython: cdivision=True
# The engine: many tensors walked as one index space, in chunks, by the threads of one parallel region.
#
# Owns the walk: who does which elements, in which pieces. Knows no formula, no storage format by name and no Python
# object: what the loops do not read as it is, is decoded before them and encoded after them by its format's row.
#
# Design:
#   a) One index space. The tensors lie end to end; thread k of t takes elements total*k/t .. total*(k+1)/t of
#      the whole, so a model of 150 small tensors is as well divided as one large array.
#   b) A cut, and a chunk, begins where p is aligned to a cache line. NumPy's large arrays start 16 bytes past
#      one, and then every 64-byte access would touch two lines (measured: docs/decisions.md). The
#      streams of one allocator share that offset, so aligning p aligns them all. No bit depends on it. Where state
#      is stored in blocks, cuts fall on the blocks instead, which are counted from the tensor's start.
#   c) Chunks: what else is to be done to an element is done chunk by chunk, while it is in the first cache. A
#      storage format other than float32 is such a stage, see formats.pxd.
#   d) The split is static: a thread meets the same elements at each step, and finds them in its own cache.

from libc.math cimport INFINITY
from libc.stdint cimport uint64_t
from libc.string cimport memset

from optcore.kernels.formats cimport SCRATCH, UNIT_BYTES, Format
from optcore.kernels.platform cimport prefetch_near
from optcore.kernels.rows cimport by_rows
from optcore.kernels.stages cimport aside, aside64, follow, prepare, prepares, read_parameters, write_parameters
from optcore.kernels.team cimport Part, share
from optcore.kernels.tensor cimport MAX_SCALARS, MAX_SLOTS, PRELUDE, Tensor, span_fn

cdef enum:
    LINE = 64               # bytes in a cache line
    CHUNK = 4096            # elements; four float32 streams of it are 64 KiB
    FAR = 1 << 17           # elements of a tensor that the caches do not hold from step to step


cdef inline void fetch(const void* x, const Format* f, Py_ssize_t lo, Py_ssize_t n) noexcept nogil:
    """Elements that will be needed next: the processor's own prefetching ends with each page, and rests while blocks are
    decoded and encoded. (docs/decisions.md: a large step takes 10 % longer without it.)"""
    cdef const char* at = <const char*> x + lo * f.bytes
    cdef const char* end = at + n * f.bytes
    while at < end:
        prefetch_near(at)
        at += LINE


cdef inline void converted(const Tensor* t, Py_ssize_t lo, Py_ssize_t hi) noexcept nogil:
    """Elements lo..hi, at most SCRATCH of them, of a tensor whose arrays the loop cannot all read as they are, or whose
    gradient is prepared for it."""
    cdef float[MAX_SCALARS] scalars
    cdef float[2 + MAX_SLOTS][SCRATCH] scratch        # of g, p, then of the state
    cdef Tensor c = t[0]
    cdef Py_ssize_t n = hi - lo
    cdef const Format* f
    cdef bint far = t.block > 1 and t.n >= FAR
    cdef float decay
    cdef int k, which
    c.offset = t.offset + <uint64_t> lo
    c.p = <float*> t.p + lo
    c.g = <const char*> t.g + lo * t.g_format.bytes
    if t.g_format.decode != NULL:
        t.g_format.decode(c.g, NULL, scratch[0], n, 0)
        c.g = scratch[0]
    if far:
        fetch(t.p, t.p_format, lo + SCRATCH, n)
    if t.p_format.decode != NULL:
        read_parameters(t, lo, scratch[1], n)
        c.p = scratch[1]
    if t.narrow_in_loop and prepares(t):
        prepare(t, <const float*> c.p, <const float*> c.g, scratch[0], n, scalars)
        c.g = scratch[0]
        c.scalars = scalars
        c.clip_value = INFINITY
    for k in range(MAX_SLOTS):
        f = t.s_format[k]
        if t.s[k] != NULL:
            c.s[k] = <char*> t.s[k] + lo * f.bytes
            if f.block > 1:
                c.e[k] = t.e[k] + lo // f.block * UNIT_BYTES
            if f.decode == NULL or t.narrow_in_loop:
                continue
            f.decode(c.s[k], c.e[k], scratch[2 + k], n, t.codes >> (4 * k) & 15)
            c.s[k] = scratch[2 + k]
    if far:
        fetch(t.g, t.g_format, lo + SCRATCH, n)
    t.each(NULL, NULL, &c, 0, n)
    for k in range(MAX_SLOTS):
        f = t.s_format[k]
        if t.s[k] != NULL and far:
            fetch(t.s[k], f, lo + SCRATCH, n)
        if t.s[k] != NULL and f.decode != NULL and not t.narrow_in_loop:
            which = t.decays >> (4 * k) & 15
            decay = (<const float*> t.scalars)[PRELUDE + which - 1] if which else 1
            f.encode(scratch[2 + k], <char*> t.s[k] + lo * f.bytes, c.e[k], n, t.noise, k, c.offset,
                     t.codes >> (4 * k) & 15, decay)
    if t.p_format.decode != NULL:
        write_parameters(t, lo, scratch[1], n)
    aside(t, lo, <const float*> c.p, n)


cdef inline void widened(const Tensor* t, Py_ssize_t lo, Py_ssize_t hi) noexcept nogil:
    """Elements lo..hi, at most SCRATCH of them, of a float64 tensor whose gradient is of another format."""
    cdef float[SCRATCH] decoded
    cdef double[SCRATCH] wide
    cdef Tensor c = t[0]
    cdef Py_ssize_t n = hi - lo, i
    cdef int k
    cdef const float* g = <const float*> (<const char*> t.g + lo * t.g_format.bytes)
    if t.g_format.decode != NULL:
        t.g_format.decode(g, NULL, decoded, n, 0)
        g = decoded
    for i in range(n):
        wide[i] = g[i]
    c.g = wide
    c.p = <double*> t.p + lo
    for k in range(MAX_SLOTS):
        if t.s[k] != NULL:
            c.s[k] = <double*> t.s[k] + lo
    t.each(NULL, NULL, &c, 0, n)


cdef inline Py_ssize_t head(const Tensor* t) noexcept nogil:
    """Elements before p first meets the start of a cache line."""
    cdef Py_ssize_t past = (<Py_ssize_t> t.p) & (LINE - 1)
    return 0 if t.block > 1 else ((LINE - past) & (LINE - 1)) // t.p_format.bytes


cdef inline Py_ssize_t cut(const Tensor* t, Py_ssize_t at, Py_ssize_t grain) noexcept nogil:
    """Where, in t's own elements, a cut at element `at` of the index space falls: on the grain, from p's first
    line on. Both neighbours ask with the same `at`, so their shares meet without a gap."""
    cdef Py_ssize_t local = at - t.start
    cdef Py_ssize_t first = 0 if t.rows != NULL else head(t)
    if t.block > 1:
        grain = (grain + t.block - 1) // t.block * t.block
    if t.rows != NULL:
        grain = max(t.rows.width, 1)
    if local >= t.n:
        return t.n
    if local <= first:
        return 0
    return first + (local - first) // grain * grain


cdef struct Walk:
    const Tensor* tensors
    Py_ssize_t count
    Py_ssize_t total        # elements they hold
    Py_ssize_t grain        # see cut()


cdef inline void walk(void* work, Py_ssize_t k, Py_ssize_t parts) noexcept nogil:
    """Share k of `parts` of a Walk."""
    cdef const Tensor* tensors = (<const Walk*> work).tensors
    cdef Py_ssize_t count = (<const Walk*> work).count
    cdef Py_ssize_t total = (<const Walk*> work).total
    cdef Py_ssize_t grain = (<const Walk*> work).grain
    cdef Part part = share(total, k, parts)
    cdef Py_ssize_t begin = part.begin, end = part.end
    cdef Py_ssize_t low = 0, high = count, mid, lo, hi, stop, size
    cdef const Tensor* t
    cdef span_fn direct
    while low < high:                               # the first tensor that ends after `begin`
        mid = (low + high) // 2
        if tensors[mid].start + tensors[mid].n > begin:
            high = mid
        else:
            low = mid + 1
    while low < count and tensors[low].start < end:
        t = &tensors[low]
        lo = cut(t, begin, grain)
        hi = cut(t, end, grain) if end < total else t.n
        if t.rows != NULL:
            by_rows(t, lo, hi)
            low += 1
            continue
        direct = t.direct
        if not t.wide and (t.narrow_in_loop or direct != t.each) and prepares(t):
            direct = NULL
        size = SCRATCH if direct == NULL else CHUNK
        stop = head(t) if lo == 0 else lo + size    # the first chunk ends where p is aligned
        if stop == lo:
            stop = lo + size
        while lo < hi:
            stop = min(stop, hi)
            if t.follows:
                follow(t, lo, stop - lo)
            if direct != NULL:
                direct(NULL, NULL, t, lo, stop)
            elif t.wide:
                widened(t, lo, stop)
            else:
                converted(t, lo, stop)
            if t.wide:
                aside64(t, lo, stop - lo)
            elif direct != NULL:
                aside(t, lo, <const float*> t.p + lo, stop - lo)
            if t.zero_grads:
                memset(<char*> t.g + lo * t.g_format.bytes, 0, (stop - lo) * t.g_format.bytes)
            lo = stop
            stop = lo + size
        low += 1
