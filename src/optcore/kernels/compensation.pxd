# cython: cdivision=True
# What a bfloat16 parameter lacks of the number that it stands for, in an array beside it: how a float32 is split into the
# two, and how the two are joined.
#
# Owns the formats of that role; never the noise they are rounded with (rounding.pxd), nor when (stages.pxd). In each the
# parameter by itself is the number to nearest.
#
# Design:
#   a) Kahan's: the lack is a bfloat16, a number like the parameter. It is rounded stochastically: to nearest, it would lose
#      updates below 2^-17 of the parameter. What is larger than half a unit of the parameter was not rounded from it: others
#      have written to the parameter, which then lacks nothing.
#   b) Residual: the number is rounded stochastically to 24 bits, sign and exponent among them, which are cut into 16 and 8.
#      The lack is the 8, as a whole number of 2^-8 units of the parameter's last place, from -128 up to 127. Any of them
#      may stand beside any parameter; what others have written is off by half a unit of its last place at most.
#   c) Beside 0, an infinity or a NaN nothing is lacking, whatever the array holds: a 0 that is written is 0, and none of
#      the others becomes another number. So what is below half the least bfloat16 becomes 0.

from libc.stdint cimport int8_t, int32_t, uint16_t, uint32_t, uint64_t

from optcore.kernels.bits16 cimport as_bits, as_float, encode_bfloat16, from_bfloat16, lifted_to_nearest, nearest_bfloat16
from optcore.kernels.rounding cimport OF_COMPENSATION, Noise, noise_at, noise_for

cdef enum:
    SPLIT = 256             # elements that are split at a time


cdef inline void split_kahan(const float* values, void* stored, void* lack, Py_ssize_t n, Noise noise,
                             uint64_t offset) noexcept nogil:
    cdef float[SPLIT] x
    cdef Py_ssize_t i = 0, k, m
    while i < n:
        m = min(<Py_ssize_t> SPLIT, n - i)
        nearest_bfloat16(values + i, <uint16_t*> stored + i, m)
        for k in range(m):
            x[k] = values[i + k] - from_bfloat16((<uint16_t*> stored)[i + k])
            x[k] = x[k] if x[k] - x[k] == 0 else 0      # beside an infinity or NaN there is none
        encode_bfloat16(x, <uint16_t*> lack + i, NULL, m, noise, OF_COMPENSATION, offset + <uint64_t> i, 0, 1)
        i += m


cdef inline void join_kahan(const void* stored, const void* lack, float* to, Py_ssize_t n) noexcept nogil:
    cdef const uint16_t* p = <const uint16_t*> stored
    cdef const uint16_t* rest = <const uint16_t*> lack
    cdef float w, x, back
    cdef Py_ssize_t i
    for i in range(n):
        w = from_bfloat16(p[i])
        x = from_bfloat16(rest[i])
        back = as_float(lifted_to_nearest(w + <float> 0.5 * x) & <uint32_t> 0xFFFF0000)
        to[i] = w + x if back == w else w


cdef inline bint lacks(uint32_t stored) noexcept nogil:
    """Whether anything may be lacking beside a bfloat16 of these bits."""
    return (stored & 0x7FFF) - <uint32_t> 1 < <uint32_t> 0x7F7F


cdef inline uint32_t lifted_8(float value, uint32_t noise) noexcept nogil:
    """Rounded stochastically by 8 bits of noise to the upper 24 bits; the lower ones mean nothing."""
    # Infinity has no low bits that noise could carry from; a NaN may have.
    return <uint32_t> 0x7FC00000 if value != value else as_bits(value) + noise


cdef inline void split_residual(const float* values, void* stored, void* lack, Py_ssize_t n, Noise noise,
                                uint64_t offset) noexcept nogil:
    cdef uint16_t* p = <uint16_t*> stored
    cdef int8_t* rest = <int8_t*> lack
    cdef Noise own = noise_for(noise, OF_COMPENSATION, 8)
    cdef uint32_t y, h
    cdef Py_ssize_t i
    for i in range(n):
        y = lifted_8(values[i], noise_at(own, offset + <uint64_t> i) >> 24)
        h = (y + 0x8000) >> 16
        p[i] = <uint16_t> h
        rest[i] = <int8_t> (y >> 8 if lacks(h) else 0)


cdef inline void join_residual(const void* stored, const void* lack, float* to, Py_ssize_t n) noexcept nogil:
    cdef const uint16_t* p = <const uint16_t*> stored
    cdef const int8_t* rest = <const int8_t*> lack
    cdef uint32_t h, low
    cdef Py_ssize_t i
    for i in range(n):
        h = p[i]
        low = <uint32_t> <int32_t> rest[i] << 8
        to[i] = as_float((h << 16) + (low if lacks(h) else 0))
