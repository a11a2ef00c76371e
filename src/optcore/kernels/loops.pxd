# cython: cdivision=True
# The loop over elements of float32 tensors whose state is float32: load -> prelude -> update -> store, for each rule, with
# gradients in float32 or bfloat16. It is written one element at a time; the compiler makes SIMD code of it.
#
# Owns what is read and written, element by element; never a formula (rules.pxi) nor the choice of elements (engine.pxd).
# tiles.pxd and loops64.pxd have those of other formats; what is in blocks is decoded and encoded around this one.

from libc.math cimport INFINITY
from libc.stdint cimport uint16_t
from libc.string cimport memcpy

from optcore.kernels.bits16 cimport from_bfloat16
from optcore.kernels.rules cimport prelude, rule_t, traits, update
from optcore.kernels.tensor cimport PRELUDE, Tensor


ctypedef struct gradient16:
    uint16_t bits

ctypedef fused gradient_t:
    float
    gradient16          # only scaled: see tiles.pxd


cdef inline void span(const rule_t* kind, const gradient_t* form, const Tensor* t, Py_ssize_t lo,
                      Py_ssize_t hi) noexcept nogil:
    """One rule over elements lo..hi of one tensor."""
    # Copies: through the pointers the compiler would have to fear that a store to p changes them.
    cdef float[PRELUDE] x
    cdef rule_t r = (<const rule_t*> (<const float*> t.scalars + PRELUDE))[0]
    cdef float clip_value = <float> t.clip_value
    cdef float* p = <float*> t.p
    cdef const gradient_t* g = <const gradient_t*> t.g
    cdef float* s0 = <float*> t.s[0]
    cdef float* s1 = <float*> t.s[1]
    cdef float* s2 = <float*> t.s[2]
    cdef float w, d
    cdef float a = 0, b = 0, c = 0
    cdef Py_ssize_t i
    memcpy(x, t.scalars, sizeof(x))
    if gradient_t is gradient16:
        x[1] = 0
        clip_value = INFINITY
    for i in range(lo, hi):
        w = p[i]
        if gradient_t is float:
            d = g[i]
        else:
            d = from_bfloat16(g[i].bits)
        d = prelude(x, clip_value, &w, d)
        if traits(&r).slots > 0: a = s0[i]
        if traits(&r).slots > 1: b = s1[i]
        if traits(&r).slots > 2: c = s2[i]
        update(&r, &w, d, &a, &b, &c)
        p[i] = w
        if traits(&r).slots > 0: s0[i] = a
        if traits(&r).slots > 1: s1[i] = b
        if traits(&r).slots > 2: s2[i] = c
