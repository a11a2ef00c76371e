# cython: cdivision=True
# The loop over elements of float64 tensors, for each rule: parameter, gradient and state are all float64.
#
# Owns that loop; never a formula (rules.pxi) nor the choice of elements (engine.pxd).

from libc.string cimport memcpy

from optcore.kernels.rules64 cimport prelude, rule_t, traits, update
from optcore.kernels.tensor cimport PRELUDE, Tensor


cdef inline void span(const rule_t* kind, const void* form, const Tensor* t, Py_ssize_t lo,
                      Py_ssize_t hi) noexcept nogil:
    """One rule over elements lo..hi of one tensor."""
    # Copies: through the pointers the compiler would have to fear that a store to p changes them.
    cdef double[PRELUDE] x
    cdef rule_t r = (<const rule_t*> (<const double*> t.scalars + PRELUDE))[0]
    cdef double clip_value = t.clip_value
    cdef double* p = <double*> t.p
    cdef const double* g = <const double*> t.g
    cdef double* s0 = <double*> t.s[0]
    cdef double* s1 = <double*> t.s[1]
    cdef double* s2 = <double*> t.s[2]
    cdef double w, d
    cdef double a = 0, b = 0, c = 0
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
