# cython: cdivision=True
# The loops over elements: load -> prelude -> update -> store, for each rule and each format that state has in them.
# They are written one element at a time; the compiler makes SIMD code of them.
#
# Owns what is read and written, element by element; never a formula (rules.pxi) nor the choice of elements (engine.pxd).
# loops64.pxd has the loop of float64 tensors.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from optcore.kernels.bits16 cimport as_bits, as_float, from_bfloat16, noisy_bfloat16
from optcore.kernels.block8 cimport BLOCK8, encode8, top_of, unit_of, unpack8, value8
from optcore.kernels.rounding cimport bits_of, noise_at
from optcore.kernels.rules cimport prelude, rule_t, traits, update
from optcore.kernels.tensor cimport MAX_SLOTS, PRELUDE, Tensor


ctypedef struct bfloat16:
    uint16_t bits

ctypedef struct eight:              # codes in blocks
    uint8_t code

ctypedef fused state_t:             # in the order of Loop in formats.pxd
    float
    bfloat16
    eight


cdef inline float load(const state_t* x) noexcept nogil:
    if state_t is float:
        return x[0]
    elif state_t is bfloat16:
        return from_bfloat16(x.bits)
    else:
        return 0                        # blocks are not read one by one


cdef inline void store(state_t* x, float value, uint32_t noise) noexcept nogil:
    if state_t is float:
        x[0] = value
    elif state_t is bfloat16:
        x.bits = noisy_bfloat16(value, noise)


cdef inline void span(const rule_t* kind, const state_t* form, const Tensor* t, Py_ssize_t lo,
                      Py_ssize_t hi) noexcept nogil:
    """One rule over elements lo..hi of one tensor. State in blocks: lo begins a block, hi ends one or the tensor."""
    if state_t is eight:
        blocks(kind, t, lo, hi)
    else:
        elements(kind, form, t, lo, hi)


cdef inline void elements(const rule_t* kind, const state_t* form, const Tensor* t, Py_ssize_t lo,
                          Py_ssize_t hi) noexcept nogil:
    # Copies: through the pointers the compiler would have to fear that a store to p changes them.
    cdef float[PRELUDE] x
    cdef rule_t r = (<const rule_t*> (<const float*> t.scalars + PRELUDE))[0]
    cdef float clip_value = <float> t.clip_value
    cdef float* p = <float*> t.p
    cdef const float* g = <const float*> t.g
    cdef state_t* s0 = <state_t*> t.s[0]
    cdef state_t* s1 = <state_t*> t.s[1]
    cdef state_t* s2 = <state_t*> t.s[2]
    cdef uint32_t stride = t.noise.stride
    cdef uint32_t h = noise_at(t.noise, t.offset + <uint64_t> lo)
    cdef float w, d
    cdef float a = 0, b = 0, c = 0
    cdef Py_ssize_t i
    memcpy(x, t.scalars, sizeof(x))
    for i in range(lo, hi):
        w = p[i]
        d = prelude(x, clip_value, &w, g[i])
        if traits(&r).slots > 0: a = load(s0 + i)
        if traits(&r).slots > 1: b = load(s1 + i)
        if traits(&r).slots > 2: c = load(s2 + i)
        update(&r, &w, d, &a, &b, &c)
        p[i] = w
        if traits(&r).slots > 0: store(s0 + i, a, bits_of(h, 0, 16))
        if traits(&r).slots > 1: store(s1 + i, b, bits_of(h, 1, 16))
        if traits(&r).slots > 2: store(s2 + i, c, bits_of(h, 2, 16))
        h = h + stride


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
    cdef rule_t r = (<const rule_t*> (<const float*> t.scalars + PRELUDE))[0]
    cdef float clip_value = <float> t.clip_value
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
