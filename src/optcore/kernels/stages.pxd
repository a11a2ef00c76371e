# cython: cdivision=True
# What is done to the new parameters of a chunk while it is in the first cache: rounding into their own format, a
# working copy in another, a moving average.
#
# Every stage takes the parameters as the rule left them, in float32, before any rounding.

from libc.stdint cimport uint16_t, uint32_t, uint64_t

from optcore.kernels.bits16 cimport (BFLOAT16, as_bits, as_float, copy_nearest, decode, noise_at, share, store, bfloat16,
                              to_bfloat16)
from optcore.kernels.philox cimport philox_halves
from optcore.kernels.tensor cimport STOCHASTIC, Tensor

cdef enum:
    SCRATCH = 1024          # elements decoded at a time: with all of a rule's arrays 20 KiB, half a first cache


cdef inline void read_parameters(const Tensor* t, Py_ssize_t lo, float* w, Py_ssize_t n) noexcept nogil:
    """bfloat16 parameters as float32, with what they lack."""
    cdef float[SCRATCH] rest
    cdef Py_ssize_t i
    decode(BFLOAT16, <const uint16_t*> t.p + lo, w, n)
    if t.rest != NULL:
        decode(BFLOAT16, <const uint16_t*> t.rest + lo, rest, n)
        for i in range(n):
            w[i] = w[i] + rest[i]


cdef inline void write_parameters(const Tensor* t, Py_ssize_t lo, const float* w, Py_ssize_t n) noexcept nogil:
    cdef uint16_t[SCRATCH + 16] noise
    cdef uint16_t* p = <uint16_t*> t.p + lo
    cdef bfloat16* rest = <bfloat16*> t.rest + lo
    cdef uint64_t first = t.first + <uint64_t> lo
    cdef Py_ssize_t skip, i
    cdef float lack
    if t.rest != NULL:
        # The rest is rounded stochastically: to nearest, it would lose updates below 2^-17 of the parameter.
        for i in range(n):
            p[i] = to_bfloat16(w[i])
            lack = w[i] - as_float(<uint32_t> p[i] << 16)
            lack = lack if lack - lack == 0 else 0      # beside an infinity or NaN there is no rest
            store(rest + i, lack, share(noise_at(t.noise, first + <uint64_t> i), 3, 16))
    elif t.rounding == STOCHASTIC:
        skip = <Py_ssize_t> (first & 7)
        philox_halves(noise, (skip + n + 7) // 8, first >> 3, t.seed, t.step)
        for i in range(n):
            store(<bfloat16*> p + i, w[i], noise[skip + i])
    else:
        copy_nearest(BFLOAT16, w, p, n)


cdef inline void aside(const Tensor* t, Py_ssize_t lo, const float* w, Py_ssize_t n) noexcept nogil:
    """What leaves the parameters as they are."""
    cdef float* average = t.average + lo
    cdef float weight = t.weight
    cdef Py_ssize_t i
    if t.average != NULL:
        for i in range(n):
            average[i] = average[i] + weight * (w[i] - average[i])
    if t.copy != NULL:
        copy_nearest(t.copy_format, w, <uint16_t*> t.copy + lo, n)
