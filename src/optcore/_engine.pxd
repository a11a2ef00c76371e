# cython: cdivision=True
# The engine: many tensors walked as one index space, in chunks, by the threads of one parallel region.
#
# Owns the walk: who does which elements, and the loop load -> prelude -> update -> store. Knows no formula and no
# Python object, and of storage formats only that they are decoded before the loop and encoded after it.
#
# Design:
#   a) One index space. The tensors lie end to end; thread k of t takes elements total*k/t .. total*(k+1)/t of
#      the whole, so a model of 150 small tensors is as well divided as one large array.
#   b) A cut, and a chunk, begins where p is aligned to a cache line. NumPy's large arrays start 16 bytes past
#      one, and then every 64-byte access would touch two lines (measured: 1.4x at 1 Mi elements). The
#      streams of one allocator share that offset, so aligning p aligns them all. No bit depends on it.
#   c) Chunks: what else is to be done to an element is done chunk by chunk, while it is in the first cache. A
#      storage format other than float32 is such a stage: decode a chunk, run the float32 loop on it, encode. So a
#      format is one decode and one encode, not one loop more for every rule. Only bfloat16 state has a loop of its
#      own: apart from the division the hash that rounds it would cost as much again as the rest.
#   d) The split is static: a thread meets the same elements at each step, and finds them in its own cache.
#   e) The prelude is the same for every rule, so it stands here once: g is scaled (-1 to maximise), coupled
#      weight decay joins it, decoupled decay shrinks p. `couple != 0` is asked so that an infinite parameter
#      without decay does not make its gradient NaN; it is constant in the loop and costs a blend.

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from optcore._codecs cimport (FLOAT32, Format, Noise, bfloat16, decode, encode, load, noise_at, noise_near, share,
                              state_t, store, width)
from optcore._rules cimport rule_t, slots, update

cdef enum:
    MAX_SLOTS = 3
    PRELUDE = 3             # scalars before the rule's own: scale, couple, keep
    MAX_SCALARS = 16
    LINE = 64               # bytes in a cache line
    CHUNK = 4096            # elements; four float32 streams of it are 64 KiB
    SCRATCH = 1024          # elements decoded at a time: with all of a rule's arrays 20 KiB, half a first cache


cdef struct Tensor

# The first two arguments only carry types, they are never read; pointers to structs are alike to the machine.
ctypedef void (*span_fn)(const void* kind, const void* form, const Tensor* t, Py_ssize_t lo,
                         Py_ssize_t hi) noexcept nogil

cdef struct Tensor:
    void* p                 # IN/OUT
    const void* g           # IN; set to zero behind the loop if `clear`
    void* s[MAX_SLOTS]      # IN/OUT, the state in the row's order
    Format g_format
    Format s_format[MAX_SLOTS]
    bint state_in_loop      # the loop itself reads and writes the state's format
    bint plain              # and everything else is float32
    span_fn each            # the rule's loop, for that format
    const float* scalars    # PRELUDE floats, then the rule's struct
    Py_ssize_t n            # elements
    Py_ssize_t start        # elements of the tensors before this one
    Py_ssize_t number       # which of its plan's tensors it is
    bint clear
    uint64_t first          # number of this shard's first element in the whole tensor
    Noise noise             # of this tensor at this step


cdef inline void span(const rule_t* kind, const state_t* form, const Tensor* t, Py_ssize_t lo,
                      Py_ssize_t hi) noexcept nogil:
    """One rule over elements lo..hi of one tensor: the only loop over elements there is."""
    cdef float scale = t.scalars[0]
    cdef float couple = t.scalars[1]
    cdef float keep = t.scalars[2]
    # A copy: through the pointer the compiler would have to fear that a store to p changes it.
    cdef rule_t r = (<const rule_t*> (t.scalars + PRELUDE))[0]
    cdef float* p = <float*> t.p
    cdef const float* g = <const float*> t.g
    cdef state_t* s0 = <state_t*> t.s[0]
    cdef state_t* s1 = <state_t*> t.s[1]
    cdef state_t* s2 = <state_t*> t.s[2]
    cdef Noise near = noise_near(&t.noise, t.first + <uint64_t> lo)
    cdef uint32_t begin = <uint32_t> t.first
    cdef uint32_t h = 0
    cdef float w, d
    cdef float a = 0, b = 0, c = 0
    cdef Py_ssize_t i
    for i in range(lo, hi):
        w = p[i]
        d = scale * g[i]
        d = d + couple * w if couple != 0 else d
        w = keep * w
        if slots(&r) > 0: a = load(s0 + i)
        if slots(&r) > 1: b = load(s1 + i)
        if slots(&r) > 2: c = load(s2 + i)
        update(&r, &w, d, &a, &b, &c)
        if state_t is bfloat16: h = noise_at(&near, begin + <uint32_t> i)
        p[i] = w
        if slots(&r) > 0: store(s0 + i, a, share(h, 0))
        if slots(&r) > 1: store(s1 + i, b, share(h, 1))
        if slots(&r) > 2: store(s2 + i, c, share(h, 2))


cdef inline void converted(const Tensor* t, Py_ssize_t lo, Py_ssize_t hi) noexcept nogil:
    """Elements lo..hi, at most SCRATCH of them, of a tensor whose arrays the loop cannot all read as they are."""
    cdef float[1 + MAX_SLOTS][SCRATCH] scratch        # of g, then of the state
    cdef Tensor c = t[0]
    cdef Py_ssize_t n = hi - lo
    cdef int k
    c.first = t.first + <uint64_t> lo
    c.p = <float*> t.p + lo
    c.g = <const char*> t.g + lo * width(t.g_format)
    if t.g_format != FLOAT32:
        decode(t.g_format, c.g, scratch[0], n)
        c.g = scratch[0]
    for k in range(MAX_SLOTS):
        if t.s[k] != NULL:
            c.s[k] = <char*> t.s[k] + lo * width(t.s_format[k])
            if t.s_format[k] != FLOAT32 and not t.state_in_loop:
                decode(t.s_format[k], c.s[k], scratch[1 + k], n)
                c.s[k] = scratch[1 + k]
    t.each(NULL, NULL, &c, 0, n)
    for k in range(MAX_SLOTS):
        if t.s[k] != NULL and t.s_format[k] != FLOAT32 and not t.state_in_loop:
            encode(t.s_format[k], scratch[1 + k], <char*> t.s[k] + lo * width(t.s_format[k]), n, &t.noise, k, c.first)


cdef inline Py_ssize_t head(const Tensor* t) noexcept nogil:
    """Elements before p first meets the start of a cache line."""
    cdef Py_ssize_t past = (<Py_ssize_t> t.p) & (LINE - 1)
    return ((LINE - past) & (LINE - 1)) // <Py_ssize_t> sizeof(float)


cdef inline Py_ssize_t cut(const Tensor* t, Py_ssize_t at, Py_ssize_t grain) noexcept nogil:
    """Where, in t's own elements, a cut at element `at` of the index space falls: on the grain, from p's first
    line on. Both neighbours ask with the same `at`, so their shares meet without a gap."""
    cdef Py_ssize_t local = at - t.start
    cdef Py_ssize_t first = head(t)
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
    cdef uint64_t FOUR_GI = <uint64_t> 1 << 32
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
        while lo < hi:
            if not t.plain or t.state_in_loop:      # noise_near() wants this of a loop
                stop = min(stop, lo + <Py_ssize_t> (FOUR_GI - ((t.first + <uint64_t> lo) & (FOUR_GI - 1))))
            if stop > hi:
                stop = hi
            if t.plain:
                t.each(NULL, NULL, t, lo, stop)
            else:
                converted(t, lo, stop)
            if t.clear:
                memset(<char*> t.g + lo * width(t.g_format), 0, (stop - lo) * width(t.g_format))
            lo = stop
            stop = lo + size
        low += 1
