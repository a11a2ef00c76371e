# cython: cdivision=True
# How one stored number becomes a float32 and back: one load and one store for each storage format.
#
# Owns the formats of 32 and 16 bits and the noise of stochastic rounding (8-bit blocks: _eight.pxd). A rule never
# sees a format: `load` and `store` stand in the loop for the formats that state has there, `decode` and `encode`
# around it for all others.
#
# Design:
#   a) Narrow state is rounded stochastically. To nearest it would stop following: with beta2 = 0.999 a step
#      moves v by 0.1 %, less than half a unit of bfloat16.
#   b) The noise is a function of (seed, step, element) and nothing else, so that the bits do not depend on the
#      number of threads, the cuts, or whether a tensor is updated in shards. No state is kept for it.
#   c) State takes its noise from a Weyl sequence: a start plus the element's number times an odd stride, both random
#      for each seed and step. Every element's noise is uniform and independent from step to step, which is what makes
#      rounding unbiased, and that of two elements is independent over the steps: the error of a mean over many elements
#      falls as if all were independent. (With one stride for all steps some elements were always rounded together, and
#      the mean of an 8-bit v was off by 1 % at any size.) It costs one addition, where a hash of each element costs more
#      than the rule. Parameters, whose rounding nothing averages out, take theirs from Philox.
#   d) Adding uniform bits below the last kept one and cutting them off rounds up with just the probability of
#      the distance; what is exact stays exact, since its low bits are 0.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

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
    INT8                # codes of 8 bits in blocks, see _eight.pxd


cdef inline Py_ssize_t width(Format f) noexcept nogil:
    """Bytes an element takes."""
    return 4 if f == FLOAT32 else (1 if f == INT8 else 2)


cdef struct Noise:          # of one tensor's state at one step
    uint32_t start
    uint32_t stride


cdef inline Noise noise_of(uint64_t seed, uint64_t step) noexcept nogil:
    """Start and stride are the halves of a hash: the finaliser is that of SplitMix64."""
    cdef uint64_t z = seed + <uint64_t> 0x9E3779B97F4A7C15 * step
    z = (z ^ (z >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t> 0x94D049BB133111EB
    z = z ^ (z >> 31)
    return Noise(<uint32_t> (z >> 32), <uint32_t> z | 1)


cdef inline uint32_t noise_at(Noise noise, uint64_t element) noexcept nogil:
    return noise.start + <uint32_t> element * noise.stride


cdef inline uint32_t share(uint32_t noise, int slot, int bits) noexcept nogil:
    """So many bits of an element's noise for a state array: 0 takes the lower end, 1 the upper, the others the upper
    end of a multiple."""
    if slot == 0:
        return noise & (((<uint32_t> 1) << bits) - 1)
    return (noise if slot == 1 else noise * (<uint32_t> 0x85EBCA6B if slot == 2 else <uint32_t> 0xC2B2AE35)) >> (32 - bits)


ctypedef struct bfloat16:
    uint16_t bits

ctypedef struct eight:
    uint8_t code

ctypedef fused state_t:
    float
    bfloat16
    eight


cdef inline float load(const state_t* x) noexcept nogil:
    if state_t is float:
        return x[0]
    elif state_t is bfloat16:
        return as_float(<uint32_t> x.bits << 16)
    else:
        return 0                        # blocks are not read one by one


cdef inline void store(state_t* x, float value, uint32_t noise) noexcept nogil:
    if state_t is float:
        x[0] = value
    elif state_t is bfloat16:
        # Infinity has no low bits that noise could carry from; a NaN may have, and is stored as the plain one.
        x.bits = <uint16_t> ((<uint32_t> 0x7FC00000 if value != value else as_bits(value) + noise) >> 16)


cdef inline uint16_t to_bfloat16(float value) noexcept nogil:
    """To nearest, ties to even."""
    cdef uint32_t x = as_bits(value)
    return <uint16_t> ((<uint32_t> 0x7FC00000 if value != value else x + 0x7FFF + ((x >> 16) & 1)) >> 16)


cdef inline uint16_t to_float16(float value) noexcept nogil:
    """To nearest, ties to even."""
    cdef uint32_t x = as_bits(value)
    cdef uint32_t size = x & 0x7FFFFFFF
    # 112 is the difference of the biases. Below the normal numbers an addition does the rounding: 0.5 has the unit
    # that they have.
    cdef uint32_t normal = ((size + 0xFFF + ((size >> 13) & 1)) >> 13) - (112 << 10)
    cdef uint32_t small = as_bits(as_float(size) + as_float(<uint32_t> 126 << 23)) - (<uint32_t> 126 << 23)
    cdef uint32_t y = small if size < (<uint32_t> 113 << 23) else normal
    y = 0x7C00 if size >= 0x477FF000 else y
    y = 0x7E00 if size > 0x7F800000 else y
    return <uint16_t> (y | ((x >> 16) & 0x8000))


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


cdef inline void encode(const float* values, void* stored, Py_ssize_t n, Noise noise, int slot,
                        uint64_t first) noexcept nogil:
    """Store n values as bfloat16, rounded stochastically; the first is element `first` of its tensor."""
    cdef bfloat16* x = <bfloat16*> stored
    cdef uint32_t h = noise_at(noise, first)
    cdef Py_ssize_t i
    for i in range(n):
        store(x + i, values[i], share(h, slot, 16))
        h = h + noise.stride


cdef inline void copy_nearest(Format f, const float* values, void* stored, Py_ssize_t n) noexcept nogil:
    """Store n values as bfloat16 or float16, to nearest."""
    cdef uint16_t* x = <uint16_t*> stored
    cdef Py_ssize_t i
    if f == BFLOAT16:
        for i in range(n):
            x[i] = to_bfloat16(values[i])
    else:
        for i in range(n):
            x[i] = to_float16(values[i])
