# cython: cdivision=True
# The loops over elements: load -> prelude -> update -> store, for each rule and each format that state has in them.
# They are written one element at a time; the compiler makes SIMD code of them.
#
# Owns the prelude, which is the same for every rule, so that it stands here once; never a formula (rules.pxd) nor the
# choice of elements (engine.pxd). In the prelude g is scaled (-1 to maximise) and clipped, coupled weight decay joins
# it, decoupled decay shrinks p. `couple != 0` is asked so that an infinite parameter without decay does not make its
# gradient NaN; it is constant in the loop and costs a blend.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from optcore.kernels.bits16 cimport from_bfloat16, noisy_bfloat16
from optcore.kernels.rounding cimport bits_of, noise_at
from optcore.kernels.rules cimport rule_t, traits, update
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
        elements(kind, form, t, lo, hi)


cdef inline void elements(const rule_t* kind, const state_t* form, const Tensor* t, Py_ssize_t lo,
                          Py_ssize_t hi) noexcept nogil:
    # Copies: through the pointers the compiler would have to fear that a store to p changes them.
    cdef float[PRELUDE] x
    cdef rule_t r = (<const rule_t*> (t.scalars + PRELUDE))[0]
    cdef float clip_value = t.clip_value
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


# Down here since loops8.pxd takes the prelude from this file.
from optcore.kernels.loops8 cimport blocks
