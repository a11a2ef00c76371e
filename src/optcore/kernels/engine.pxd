# cython: cdivision=True
# The engine: many tensors walked as one index space, in chunks, by the threads of one parallel region.
#
# Owns the walk: who does which elements, in which pieces. Knows no formula and no Python object, and of storage
# formats only that those which the loops do not read are decoded before them and encoded after them.
#
# Design:
#   a) One index space. The tensors lie end to end; thread k of t takes elements total*k/t .. total*(k+1)/t of
#      the whole, so a model of 150 small tensors is as well divided as one large array.
#   b) A cut, and a chunk, begins where p is aligned to a cache line. NumPy's large arrays start 16 bytes past
#      one, and then every 64-byte access would touch two lines (measured: 1.4x at 1 Mi elements). The
#      streams of one allocator share that offset, so aligning p aligns them all. No bit depends on it. Where state
#      is in blocks of 8-bit codes, cuts fall on the blocks instead, which are counted from the tensor's start.
#   c) Chunks: what else is to be done to an element is done chunk by chunk, while it is in the first cache. A
#      storage format other than float32 is such a stage: decode a chunk, run the float32 loop on it, encode. So a
#      format is one decode and one encode, not one loop more for every rule. Only state that is all bfloat16, or all
#      INT8, has loops of its own: apart from the division its rounding would cost as much again as the rest.
#   d) The split is static: a thread meets the same elements at each step, and finds them in its own cache.

from libc.stdint cimport uint64_t
from libc.string cimport memset

from optcore.kernels.bits16 cimport FLOAT32, INT8, decode, encode, width
from optcore.kernels.block8 cimport BLOCK8, decode_blocks, encode_blocks
from optcore.kernels.stages cimport SCRATCH, aside, read_parameters, write_parameters
from optcore.kernels.tensor cimport MAX_SLOTS, Tensor

cdef enum:
    LINE = 64               # bytes in a cache line
    CHUNK = 4096            # elements; four float32 streams of it are 64 KiB


cdef inline void converted(const Tensor* t, Py_ssize_t lo, Py_ssize_t hi) noexcept nogil:
    """Elements lo..hi, at most SCRATCH of them, of a tensor whose arrays the loop cannot all read as they are."""
    cdef float[2 + MAX_SLOTS][SCRATCH] scratch        # of g, p, then of the state
    cdef Tensor c = t[0]
    cdef Py_ssize_t n = hi - lo
    cdef int k
    c.first = t.first + <uint64_t> lo
    c.p = <float*> t.p + lo
    c.g = <const char*> t.g + lo * width(t.g_format)
    if t.g_format != FLOAT32:
        decode(t.g_format, c.g, scratch[0], n)
        c.g = scratch[0]
    if t.p_format != FLOAT32:
        read_parameters(t, lo, scratch[1], n)
        c.p = scratch[1]
    for k in range(MAX_SLOTS):
        if t.s[k] != NULL:
            c.s[k] = <char*> t.s[k] + lo * width(t.s_format[k])
            c.e[k] = t.e[k] + lo // BLOCK8
            if t.s_format[k] == FLOAT32 or t.state_in_loop:
                continue
            if t.s_format[k] == INT8:
                decode_blocks(c.s[k], c.e[k], scratch[2 + k], n, t.nonneg[k])
            else:
                decode(t.s_format[k], c.s[k], scratch[2 + k], n)
            c.s[k] = scratch[2 + k]
    t.each(NULL, NULL, &c, 0, n)
    for k in range(MAX_SLOTS):
        if t.s[k] != NULL and t.s_format[k] != FLOAT32 and not t.state_in_loop:
            if t.s_format[k] == INT8:
                encode_blocks(scratch[2 + k], <char*> t.s[k] + lo, c.e[k], n, t.noise, k, c.first, t.nonneg[k])
            else:
                encode(scratch[2 + k], <char*> t.s[k] + lo * width(t.s_format[k]), n, t.noise, k, c.first)
    if t.p_format != FLOAT32:
        write_parameters(t, lo, scratch[1], n)
    aside(t, lo, <const float*> c.p, n)


cdef inline Py_ssize_t head(const Tensor* t) noexcept nogil:
    """Elements before p first meets the start of a cache line."""
    cdef Py_ssize_t past = (<Py_ssize_t> t.p) & (LINE - 1)
    return 0 if t.blocks else ((LINE - past) & (LINE - 1)) // width(t.p_format)


cdef inline Py_ssize_t cut(const Tensor* t, Py_ssize_t at, Py_ssize_t grain) noexcept nogil:
    """Where, in t's own elements, a cut at element `at` of the index space falls: on the grain, from p's first
    line on. Both neighbours ask with the same `at`, so their shares meet without a gap."""
    cdef Py_ssize_t local = at - t.start
    cdef Py_ssize_t first = head(t)
    if t.blocks:
        grain = (grain + BLOCK8 - 1) // BLOCK8 * BLOCK8
    if local >= t.n:
        return t.n
    if local <= first:
        return 0
    return first + (local - first) // grain * grain


cdef inline void walk(const Tensor* tensors, Py_ssize_t count, Py_ssize_t total,
                      Py_ssize_t grain, Py_ssize_t k, Py_ssize_t parts) noexcept nogil:
    """Share k of `parts` of the walk over `count` tensors that hold `total` elements."""
    # total // parts * k, not total * k // parts: the product could leave 64 bits.
    cdef Py_ssize_t begin = total // parts * k + min(k, total % parts)
    cdef Py_ssize_t end = begin + total // parts + (1 if k < total % parts else 0)
    cdef Py_ssize_t low = 0, high = count, mid, lo, hi, stop, size
    cdef const Tensor* t
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
        size = CHUNK if t.plain else SCRATCH
        stop = head(t) if lo == 0 else lo + size    # the first chunk ends where p is aligned
        if stop == lo:
            stop = lo + size
        while lo < hi:
            stop = min(stop, hi)
            if t.plain:
                t.each(NULL, NULL, t, lo, stop)
                aside(t, lo, <const float*> t.p + lo, stop - lo)
            else:
                converted(t, lo, stop)
            if t.clear:
                memset(<char*> t.g + lo * width(t.g_format), 0, (stop - lo) * width(t.g_format))
            lo = stop
            stop = lo + size
        low += 1
