# cython: cdivision=True
# The loop over state in 8-bit blocks, which reads and writes the codes itself: a block is decoded, updated and kept in
# the first cache, and then stored, since its unit depends on its new values.
#
# Owns the order in which a block's elements are met; never the codes (block8.pxd), nor the formulas (rules.pxi). A
# word holds the codes of four elements that are 64 apart, so a round of the loop makes four. The gradient is neither
# clipped nor joined by decay here (engine.pxd): what the compiler is told, it leaves out of the prelude.

from libc.math cimport INFINITY
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset

from optcore.kernels.block8 cimport BLOCK8, WORDS, encode8, next_unit, top_of, value8
from optcore.kernels.rules cimport prelude, rule_t, traits, update
from optcore.kernels.tensor cimport MAX_SLOTS, PRELUDE, Tensor


cdef extern from *:
    """
    typedef float *restrict optcore_alone;              /* spares the loop a second version for arrays that overlap */
    typedef const float *restrict optcore_only_read;
    """
    ctypedef float* alone "optcore_alone"
    ctypedef const float* only_read "optcore_only_read"


cdef struct Block:                      # what a round takes with it
    float[MAX_SLOTS] unit
    uint32_t[MAX_SLOTS] top


cdef inline int code_of(const rule_t* r, int slot) noexcept nogil:
    """Which Code the state array takes."""
    return traits(r).codes >> (4 * slot) & 15


cdef inline float decay_of(const rule_t* r, int slot) noexcept nogil:
    """What the state array is multiplied by at each step, as far as one number says it."""
    cdef int which = traits(r).decays >> (4 * slot) & 15
    return (<const float*> r)[which - 1] if which else <float> 1.0


cdef inline void blocks(const rule_t* kind, const void* form, const Tensor* t, Py_ssize_t lo,
                        Py_ssize_t hi) noexcept nogil:
    """One rule over elements lo..hi: lo begins a block, hi ends one or the tensor."""
    cdef float[2][BLOCK8] edge          # p and g of a tensor's last block, where it is not full
    # Copies: through the pointers the compiler would have to fear that a store to p changes them.
    cdef rule_t r = (<const rule_t*> (<const float*> t.scalars + PRELUDE))[0]
    cdef float[PRELUDE] x
    cdef float* p
    cdef const float* g
    cdef Py_ssize_t n
    cdef Py_ssize_t at = lo
    memcpy(x, t.scalars, sizeof(x))
    x[1] = 0
    while at < hi:
        n = min(<Py_ssize_t> BLOCK8, hi - at)
        p = <float*> t.p + at
        g = <const float*> t.g + at
        if n < BLOCK8:
            memset(edge, 0, sizeof(edge))
            memcpy(edge[0], p, n * sizeof(float))
            memcpy(edge[1], g, n * sizeof(float))
            p = edge[0]
            g = edge[1]
        block(&r, x, t, at, p, g, n)
        if n < BLOCK8:
            memcpy(<float*> t.p + at, edge[0], n * sizeof(float))
        at += BLOCK8


cdef inline void block(const rule_t* r, const float* x, const Tensor* t, Py_ssize_t at, alone p, only_read g,
                       Py_ssize_t n) noexcept nogil:
    """The block that begins at element `at`; its p and g are these, of which n are the tensor's."""
    cdef float[MAX_SLOTS][BLOCK8] values            # new, of the state
    cdef uint32_t* words[MAX_SLOTS]
    cdef Block b
    cdef Py_ssize_t i, j
    cdef int k
    for k in range(traits(r).slots):
        words[k] = <uint32_t*> t.s[k] + at // 4
        b.unit[k] = (<float*> t.e[k] + at // BLOCK8)[0]
        b.top[k] = 0
    for j in range(WORDS):
        element(r, &b, x, words, values, p, g, j, 0)
        element(r, &b, x, words, values, p, g, j, 1)
        element(r, &b, x, words, values, p, g, j, 2)
        element(r, &b, x, words, values, p, g, j, 3)
    if n < BLOCK8:                      # what fills the block up is stored as zeros, and no part of the largest
        for k in range(traits(r).slots):
            memset(values[k] + n, 0, (BLOCK8 - n) * sizeof(float))
            b.top[k] = 0
            for i in range(n):
                b.top[k] = max(b.top[k], top_of(values[k][i], code_of(r, k)))
    # Not a loop: what depends on the array would be decided inside that of encode8.
    if traits(r).slots > 0: put(r, &b, t, at, values, 0)
    if traits(r).slots > 1: put(r, &b, t, at, values, 1)
    if traits(r).slots > 2: put(r, &b, t, at, values, 2)


cdef inline void element(const rule_t* r, Block* of, const float* x, uint32_t** words,
                         float[BLOCK8]* values, float* p, const float* g, Py_ssize_t j, int q) noexcept nogil:
    """The element whose codes are byte q of the words j."""
    cdef Py_ssize_t i = WORDS * q + j
    cdef float a = 0, b = 0, c = 0
    cdef float w = p[i]
    cdef float d = prelude(x, INFINITY, &w, g[i])
    if traits(r).slots > 0: a = value8(words[0][j], q, of.unit[0], code_of(r, 0))
    if traits(r).slots > 1: b = value8(words[1][j], q, of.unit[1], code_of(r, 1))
    if traits(r).slots > 2: c = value8(words[2][j], q, of.unit[2], code_of(r, 2))
    update(r, &w, d, &a, &b, &c)
    p[i] = w
    if traits(r).slots > 0:
        values[0][i] = a
        of.top[0] = max(of.top[0], top_of(a, code_of(r, 0)))
    if traits(r).slots > 1:
        values[1][i] = b
        of.top[1] = max(of.top[1], top_of(b, code_of(r, 1)))
    if traits(r).slots > 2:
        values[2][i] = c
        of.top[2] = max(of.top[2], top_of(c, code_of(r, 2)))


cdef inline void put(const rule_t* r, const Block* of, const Tensor* t, Py_ssize_t at, float[BLOCK8]* values,
                     int slot) noexcept nogil:
    """Store a state array's part of the block that begins at element `at`."""
    cdef float unit = next_unit(of.unit[slot], decay_of(r, slot), of.top[slot], code_of(r, slot))
    (<float*> t.e[slot] + at // BLOCK8)[0] = unit
    encode8(values[slot], <uint32_t*> t.s[slot] + at // 4, unit, t.noise, t.offset + <uint64_t> at, slot,
            code_of(r, slot))
