# cython: cdivision=True
# The engine: many tensors walked as one index space, in chunks, by the threads of one parallel region.
#
# Owns the walk: who does which elements, and the loop load -> prelude -> update -> store. Knows no formula,
# no storage format, no Python object.
#
# Design:
#   a) One index space. The tensors lie end to end; thread k of t takes elements total*k/t .. total*(k+1)/t of
#      the whole, so a model of 150 small tensors is as well divided as one large array.
#   b) A cut, and a chunk, begins where p is aligned to a cache line. NumPy's large arrays start 16 bytes past
#      one, and then every 64-byte access would touch two lines (measured: 1.4x at 1 Mi elements). The
#      streams of one allocator share that offset, so aligning p aligns them all. No bit depends on it.
#   c) Chunks: what else is to be done to an element is done chunk by chunk, while it is in the first cache.
#   d) The split is static: a thread meets the same elements at each step, and finds them in its own cache.
#   e) The prelude is the same for every rule, so it stands here once: g is scaled (-1 to maximise), coupled
#      weight decay joins it, decoupled decay shrinks p. `couple != 0` is asked so that an infinite parameter
#      without decay does not make its gradient NaN; it is constant in the loop and costs a blend.

from optcore._codecs cimport load, store
from optcore._rules cimport rule_t, slots, update

cdef enum:
    MAX_SLOTS = 3
    PRELUDE = 3             # scalars before the rule's own: scale, couple, keep
    MAX_SCALARS = 16
    LINE = 64               # bytes in a cache line
    CHUNK = 4096            # elements; four float32 streams of it are 64 KiB


cdef struct Tensor:
    float* p                # IN/OUT
    const float* g          # IN
    float* s[MAX_SLOTS]     # IN/OUT, the state in the row's order
    const float* scalars    # PRELUDE floats, then the rule's struct
    Py_ssize_t n            # elements
    Py_ssize_t start        # elements of the tensors before this one

# The first argument only carries the rule's type, it is never read; pointers to structs are alike to the machine.
ctypedef void (*span_fn)(const void* kind, const Tensor* t, Py_ssize_t lo, Py_ssize_t hi) noexcept nogil


cdef inline void span(const rule_t* kind, const Tensor* t, Py_ssize_t lo, Py_ssize_t hi) noexcept nogil:
    """One rule over elements lo..hi of one tensor: the only loop over elements there is."""
    cdef float scale = t.scalars[0]
    cdef float couple = t.scalars[1]
    cdef float keep = t.scalars[2]
    # A copy: through the pointer the compiler would have to fear that a store to p changes it.
    cdef rule_t r = (<const rule_t*> (t.scalars + PRELUDE))[0]
    cdef float* p = t.p
    cdef const float* g = t.g
    cdef float* s0 = t.s[0]
    cdef float* s1 = t.s[1]
    cdef float* s2 = t.s[2]
    cdef float w, d
    cdef float a = 0, b = 0, c = 0
    cdef Py_ssize_t i
    for i in range(lo, hi):
        w = load(p + i)
        d = scale * load(g + i)
        d = d + couple * w if couple != 0 else d
        w = keep * w
        if slots(&r) > 0: a = load(s0 + i)
        if slots(&r) > 1: b = load(s1 + i)
        if slots(&r) > 2: c = load(s2 + i)
        update(&r, &w, d, &a, &b, &c)
        store(p + i, w)
        if slots(&r) > 0: store(s0 + i, a)
        if slots(&r) > 1: store(s1 + i, b)
        if slots(&r) > 2: store(s2 + i, c)


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


cdef inline void walk(span_fn each, const Tensor* tensors, Py_ssize_t count, Py_ssize_t total,
                      Py_ssize_t grain, Py_ssize_t k, Py_ssize_t parts) noexcept nogil:
    """Share k of `parts` of the walk over `count` tensors that hold `total` elements."""
    # total // parts * k, not total * k // parts: the product could leave 64 bits.
    cdef Py_ssize_t begin = total // parts * k + min(k, total % parts)
    cdef Py_ssize_t end = begin + total // parts + (1 if k < total % parts else 0)
    cdef Py_ssize_t low = 0, high = count, mid, lo, hi, stop
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
        stop = head(t) if lo == 0 else lo + CHUNK   # the first chunk ends where p is aligned
        while lo < hi:
            if stop > hi:
                stop = hi
            each(NULL, t, lo, stop)
            lo = stop
            stop = lo + CHUNK
        low += 1
