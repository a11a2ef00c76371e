# cython: cdivision=True
# What is done to a chunk while it is in the first cache, beside the rule: before it, clipping and coupled decay where its
# loop does not know of them; after it, rounding of the parameters into their own format, a working copy in another, a
# moving average.
#
# Owns their order: every stage takes the parameters as the rule left them, in float32, before any rounding. Never knows
# a format: its row does the rounding.

from libc.math cimport INFINITY
from libc.stdint cimport uint64_t
from libc.string cimport memcmp, memcpy

from optcore.kernels.formats cimport SCRATCH
from optcore.kernels.rounding cimport OF_PARAMETER
from optcore.kernels.rules cimport prelude
from optcore.kernels.rules64 cimport prelude as prelude64
from optcore.kernels.tensor cimport MAX_SCALARS, PRELUDE, STOCHASTIC, Tensor

ctypedef fused real_t:
    float
    double


cdef inline bint prepares(const Tensor* t) noexcept nogil:
    """Whether the gradient is clipped or decay joins it, of which the loops of narrow formats know nothing: one of them
    in machine code for each rule, not two. What is done instead is the same to every bit."""
    return (<const float*> t.scalars)[1] != 0 or t.clip_value != INFINITY


cdef inline void prepare(const Tensor* t, const real_t* p, const real_t* g, real_t* to, Py_ssize_t n,
                         real_t* scalars) noexcept nogil:
    """The prelude's gradient, and the scalars with which the loop leaves that as it is."""
    cdef real_t[PRELUDE] x
    cdef real_t clip_value = <real_t> t.clip_value
    cdef real_t w
    cdef Py_ssize_t i
    memcpy(x, t.scalars, sizeof(x))
    for i in range(n):
        w = p[i]
        if real_t is float:
            to[i] = prelude(x, clip_value, &w, g[i])
        else:
            to[i] = prelude64(x, clip_value, &w, g[i])
    memcpy(scalars, t.scalars, MAX_SCALARS * sizeof(real_t))
    scalars[0] = 1
    scalars[1] = 0


cdef inline void follow(const Tensor* t, Py_ssize_t lo, Py_ssize_t n) noexcept nogil:
    """Elements of a master whose copy others have written to take the copy's values."""
    cdef char[8 * SCRATCH] stored
    cdef float[SCRATCH] x
    cdef float* w
    cdef const char* copy
    cdef Py_ssize_t size = t.copy_format.bytes
    cdef Py_ssize_t m, i
    while n > 0:
        m = min(n, <Py_ssize_t> SCRATCH)
        w = <float*> t.p + lo
        copy = <const char*> t.copy + lo * size
        t.copy_format.nearest(w, stored, m)
        if memcmp(stored, copy, m * size) != 0:
            t.copy_format.decode(copy, NULL, x, m, 0)
            for i in range(m):
                if memcmp(stored + i * size, copy + i * size, size) != 0:
                    w[i] = x[i]
        lo += m
        n -= m


cdef inline void read_parameters(const Tensor* t, Py_ssize_t lo, float* w, Py_ssize_t n) noexcept nogil:
    """Parameters as float32, with what their own format lacks."""
    cdef const char* p = <const char*> t.p + lo * t.p_format.bytes
    if t.compensation != NULL:
        t.c_format.join(p, <const char*> t.compensation + lo * t.c_format.bytes, w, n)
    else:
        t.p_format.decode(p, NULL, w, n, 0)


cdef inline void write_parameters(const Tensor* t, Py_ssize_t lo, const float* w, Py_ssize_t n) noexcept nogil:
    cdef char* p = <char*> t.p + lo * t.p_format.bytes
    cdef uint64_t offset = t.offset + <uint64_t> lo
    if t.compensation != NULL:
        t.c_format.split(w, p, <char*> t.compensation + lo * t.c_format.bytes, n, t.noise, offset)
    elif t.rounding == STOCHASTIC:
        t.p_format.encode(w, p, NULL, n, t.noise, OF_PARAMETER, offset, 0, 1)
    else:
        t.p_format.nearest(w, p, n)


cdef inline void aside(const Tensor* t, Py_ssize_t lo, const float* w, Py_ssize_t n) noexcept nogil:
    """What leaves the parameters as they are."""
    cdef float* average = <float*> t.average + lo
    cdef float weight = <float> t.weight        # of an exponential moving average: 1 - decay
    cdef Py_ssize_t i
    if t.average != NULL:
        for i in range(n):
            average[i] = average[i] + weight * (w[i] - average[i])
    if t.copy != NULL:
        t.copy_format.nearest(w, <char*> t.copy + lo * t.copy_format.bytes, n)


cdef inline void aside64(const Tensor* t, Py_ssize_t lo, Py_ssize_t n) noexcept nogil:
    """The same of a float64 tensor, which has no copy."""
    cdef const double* w = <const double*> t.p + lo
    cdef double* average = <double*> t.average + lo
    cdef double weight = t.weight
    cdef Py_ssize_t i
    if t.average != NULL:
        for i in range(n):
            average[i] = average[i] + weight * (w[i] - average[i])
