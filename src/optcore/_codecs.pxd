# cython: cdivision=True
# How one stored number becomes a float32 and back: one decode and one encode for each storage format.
#
# Owns the formats and the noise of stochastic rounding. A rule never sees a format: `load` and `store` stand in the
# engine's loop for the formats that state has there, `decode` and `encode` around it for all others.
#
# Design:
#   a) bfloat16 state is rounded stochastically. To nearest it would stop following: with beta2 = 0.999 a step
#      moves v by 0.1 %, less than half a unit of bfloat16.
#   b) The noise is a function of (seed, step, element) and nothing else, so that the bits do not depend on the
#      number of threads, the cuts, or whether a tensor is updated in shards. No state is kept for it.
#   c) Adding 16 uniform bits below the last kept one and cutting them off rounds up with just the probability of
#      the distance; what is exact stays exact, since its low bits are 0.

from libc.stdint cimport uint16_t, uint32_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    static inline float optcore_as_float(uint32_t x) { float y; memcpy(&y, &x, 4); return y; }
    static inline uint32_t optcore_as_bits(float x) { uint32_t y; memcpy(&y, &x, 4); return y; }
    """
    float as_float "optcore_as_float"(uint32_t x) noexcept nogil
    uint32_t as_bits "optcore_as_bits"(float x) noexcept nogil

cdef enum Format:
    FLOAT32
    BFLOAT16
    FLOAT16


cdef inline Py_ssize_t width(Format f) noexcept nogil:
    """Bytes an element takes."""
    return 4 if f == FLOAT32 else 2


cdef struct Noise:
    uint32_t a              # mixed into the element's number before hashing
    uint32_t b              # added after it


cdef inline Noise noise_of(uint64_t seed, uint64_t step) noexcept nogil:
    """The noise of one tensor at one step (the finaliser is that of SplitMix64)."""
    cdef uint64_t z = seed + <uint64_t> 0x9E3779B97F4A7C15 * step
    z = (z ^ (z >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t> 0x94D049BB133111EB
    z = z ^ (z >> 31)
    return Noise(<uint32_t> z, <uint32_t> (z >> 32))


cdef inline uint32_t hashed(uint32_t x) noexcept nogil:
    """A bijection of 32 bits that mixes well (C. Wellons' lowbias32)."""
    x = x ^ (x >> 16)
    x = x * <uint32_t> 0x7FEB352D
    x = x ^ (x >> 15)
    x = x * <uint32_t> 0x846CA68B
    return x ^ (x >> 16)


cdef inline void decode(Format f, const void* stored, float* to, Py_ssize_t n) noexcept nogil:
    cdef const uint16_t* x = <const uint16_t*> stored
    cdef Py_ssize_t i
    cdef uint32_t h, bits
    if f == BFLOAT16:
        for i in range(n):
            to[i] = as_float(<uint32_t> x[i] << 16)
    elif f == FLOAT16:
        for i in range(n):
            h = x[i]
            # Exponent and mantissa move to their float32 places; 2^112 is the difference of the biases.
            bits = as_bits(as_float((h & 0x7FFF) << 13) * as_float(<uint32_t> (127 + 112) << 23))
            bits = bits | (0x7F800000 if (h & 0x7C00) == 0x7C00 else 0)
            to[i] = as_float(bits | (h & 0x8000) << 16)


cdef inline Noise noise_near(const Noise* noise, uint64_t element) noexcept nogil:
    """The noise with the upper half of the element's number mixed in: for all elements that share it."""
    return Noise(noise.a ^ hashed(<uint32_t> (element >> 32)), noise.b)


cdef inline uint32_t noise_at(const Noise* near, uint32_t element) noexcept nogil:
    """32 bits for the element with this lower half."""
    return hashed(element ^ near.a) + near.b


cdef inline uint32_t share(uint32_t noise, int slot) noexcept nogil:
    """The 16 bits for a state array: 0 and 1 take the halves of an element's noise, 2 the top of a multiple."""
    return noise & 0xFFFF if slot == 0 else (noise if slot == 1 else noise * <uint32_t> 0x9E3779B1) >> 16


ctypedef struct bfloat16:
    uint16_t bits

ctypedef fused state_t:
    float
    bfloat16


cdef inline float load(const state_t* x) noexcept nogil:
    if state_t is float:
        return x[0]
    else:
        return as_float(<uint32_t> x.bits << 16)


cdef inline void store(state_t* x, float value, uint32_t noise) noexcept nogil:
    if state_t is float:
        x[0] = value
    else:
        # Infinity has no low bits that noise could carry from; a NaN may have, and is stored as the plain one.
        x.bits = <uint16_t> (0x7FC0 if value != value else (as_bits(value) + noise) >> 16)


cdef inline void encode(Format f, const float* values, void* stored, Py_ssize_t n, const Noise* noise, int slot,
                        uint64_t first) noexcept nogil:
    """Store n values, the first of which is element `first` of its tensor."""
    cdef bfloat16* x = <bfloat16*> stored
    cdef Noise near = noise_near(noise, first)
    cdef uint32_t begin = <uint32_t> first
    cdef Py_ssize_t i
    if f == BFLOAT16:
        for i in range(n):
            store(x + i, values[i], share(noise_at(&near, begin + <uint32_t> i), slot))
