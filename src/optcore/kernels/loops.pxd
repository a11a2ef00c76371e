# cython: cdivision=True
# The loops over elements: load -> prelude -> update -> store, for each rule and each format that state has in them.
# They are written one element at a time; the compiler makes SIMD code of them.
#
# Owns what is read and written, element by element; never a formula (rules.pxi) nor the choice of elements (engine.pxd).
# loops64.pxd has the loop of float64 tensors.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from optcore.kernels.bits16 cimport from_bfloat16, noisy_bfloat16
from optcore.kernels.loops8 cimport blocks
from optcore.kernels.rounding cimport bits_of, noise_at
from optcore.kernels.rules cimport prelude, rule_t, traits, update
from optcore.kernels.tensor cimport PRELUDE, Tensor


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
