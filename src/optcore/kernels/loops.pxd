# cython: cdivision=True
# The loops over elements: load -> prelude -> update -> store, for each rule and each format that state has in them.
# They are written one element at a time; the compiler makes SIMD code of them.
#
# Owns the prelude, which is the same for every rule, so that it stands here once; never a formula (rules.pxd) nor the
# choice of elements (engine.pxd). In the prelude g is scaled (-1 to maximise) and clipped, coupled weight decay joins
# it, decoupled decay shrinks p. `couple != 0` is asked so that an infinite parameter without decay does not make its
# gradient NaN; it is constant in the loop and costs a blend.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from optcore.kernels.bits16 cimport as_bits, as_float
from optcore.kernels.block8 cimport BLOCK8, encode8, top_of, unit_of, unpack8, value8
from optcore.kernels.rules cimport rule_t, traits, update
from optcore.kernels.tensor cimport MAX_SLOTS, PRELUDE, Tensor


ctypedef struct eight:              # codes in blocks
    uint8_t code

ctypedef fused state_t:             # in the order of Loop in formats.pxd
    float
    eight


cdef inline float prelude(const float* scalars, float clip_value, float* w, float g) noexcept nogil:
    """The gradient that the rule is to take; w is shrunk."""
    cdef float d = scalars[0] * g
    d = clip_value if d > clip_value else d         # a NaN stays one
    d = -clip_value if d < -clip_value else d
    d = d + scalars[1] * w[0] if scalars[1] != 0 else d
    w[0] = scalars[2] * w[0]
    return d


cdef inline void span(const rule_t* kind, const state_t* form, const Tensor* t, Py_ssize_t lo,
                      Py_ssize_t hi) noexcept nogil:
    """One rule over elements lo..hi of one tensor. State in blocks: lo begins a block, hi ends one or the tensor."""
    if state_t is eight:
        blocks(kind, t, lo, hi)
    else:
        elements(kind, t, lo, hi)


cdef inline void elements(const rule_t* kind, const Tensor* t, Py_ssize_t lo, Py_ssize_t hi) noexcept nogil:
    # Copies: through the pointers the compiler would have to fear that a store to p changes them.
    cdef float[PRELUDE] x
    cdef rule_t r = (<const rule_t*> (t.scalars + PRELUDE))[0]
    cdef float clip_value = t.clip_value
    cdef float* p = <float*> t.p
    cdef const float* g = <const float*> t.g
    cdef float* s0 = <float*> t.s[0]
    cdef float* s1 = <float*> t.s[1]
    cdef float* s2 = <float*> t.s[2]
    cdef float w, d
    cdef float a = 0, b = 0, c = 0
    cdef Py_ssize_t i
    memcpy(x, t.scalars, sizeof(x))
    for i in range(lo, hi):
        w = p[i]
        d = prelude(x, clip_value, &w, g[i])
        if traits(&r).slots > 0: a = s0[i]
        if traits(&r).slots > 1: b = s1[i]
        if traits(&r).slots > 2: c = s2[i]
        update(&r, &w, d, &a, &b, &c)
        p[i] = w
        if traits(&r).slots > 0: s0[i] = a
        if traits(&r).slots > 1: s1[i] = b
        if traits(&r).slots > 2: s2[i] = c


cdef inline void blocks(const rule_t* kind, const Tensor* t, Py_ssize_t lo, Py_ssize_t hi) noexcept nogil:
    cdef float[2][BLOCK8] edge          # p and g of a tensor's last block, where it is not full
    cdef Py_ssize_t n
    cdef Py_ssize_t at = lo
    while at < hi:
        n = hi - at
        if n >= BLOCK8:
            block(kind, t, at, <float*> t.p + at, <const float*> t.g + at, BLOCK8)
        else:
            memset(edge, 0, sizeof(edge))
            memcpy(edge[0], <float*> t.p + at, n * sizeof(float))
            memcpy(edge[1], <const float*> t.g + at, n * sizeof(float))
            block(kind, t, at, edge[0], edge[1], n)
            memcpy(<float*> t.p + at, edge[0], n * sizeof(float))
        at += BLOCK8


cdef inline void block(const rule_t* kind, const Tensor* t, Py_ssize_t at, float* p, const float* g,
                       Py_ssize_t n) noexcept nogil:
    """The block that begins at element `at`; its p and g are these, of which n are the tensor's."""
    cdef float[PRELUDE] x
    cdef uint32_t[MAX_SLOTS][BLOCK8] bits           # of the state: its codes, then its new values
    cdef uint32_t* words[MAX_SLOTS]
    cdef float unit[MAX_SLOTS]
    cdef uint32_t top[MAX_SLOTS]
    cdef rule_t r = (<const rule_t*> (t.scalars + PRELUDE))[0]
    cdef float clip_value = t.clip_value
    cdef int z = traits(&r).nonnegative
    cdef float w, d
    cdef float a = 0, b = 0, c = 0
    cdef Py_ssize_t i
    cdef int k
    memcpy(x, t.scalars, sizeof(x))
    for k in range(traits(&r).slots):
        words[k] = <uint32_t*> t.s[k] + at // 4
        unit[k] = unit_of(t.e[k][at // BLOCK8])
        top[k] = 0
        unpack8(words[k], bits[k])
    for i in range(BLOCK8):
        w = p[i]
        d = prelude(x, clip_value, &w, g[i])
        if traits(&r).slots > 0: a = value8(bits[0][i], unit[0], z & 1)
        if traits(&r).slots > 1: b = value8(bits[1][i], unit[1], z & 2)
        if traits(&r).slots > 2: c = value8(bits[2][i], unit[2], z & 4)
        update(&r, &w, d, &a, &b, &c)
        p[i] = w
        if traits(&r).slots > 0:
            bits[0][i] = as_bits(a)
            top[0] = max(top[0], top_of(a, z & 1))
        if traits(&r).slots > 1:
            bits[1][i] = as_bits(b)
            top[1] = max(top[1], top_of(b, z & 2))
        if traits(&r).slots > 2:
            bits[2][i] = as_bits(c)
            top[2] = max(top[2], top_of(c, z & 4))
    if n < BLOCK8:                      # what fills the block up is stored as zeros, and no part of the largest
        for k in range(traits(&r).slots):
            memset(bits[k] + n, 0, (BLOCK8 - n) * sizeof(uint32_t))
            top[k] = 0
            for i in range(n):
                top[k] = max(top[k], top_of(as_float(bits[k][i]), z >> k & 1))
    for k in range(traits(&r).slots):
        encode8(bits[k], words[k], t.e[k] + at // BLOCK8, top[k], t.noise, t.offset + <uint64_t> at, k,
                z >> k & 1)
