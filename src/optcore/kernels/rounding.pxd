# cython: cdivision=True
# The noise of stochastic rounding: counter-based random numbers, a few bits for each element and step.
#
# Owns what noise an element of an array takes; never how a format is rounded with it (bits16.pxd, block8.pxd,
# compensation.pxd).
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
#      the mean of an 8-bit v was off by 1 % at any size.) It costs one addition; a hash of each element would cost more
#      than the rule. Parameters, whose rounding nothing averages out, take a hash of it all the same: where their format
#      is stored that is not what limits the step, and elements are then independent within each step as well.
#   d) Adding uniform bits below the last kept one and cutting them off rounds up with just the probability of
#      the distance; what is exact stays exact, since its low bits are 0.

from libc.stdint cimport uint32_t, uint64_t

cdef enum:                  # what has noise beside the state arrays 0 to 2
    OF_PARAMETER = -1
    OF_COMPENSATION = 3


cdef struct Noise:          # of one tensor at one step
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


cdef inline uint32_t hashed_bits(uint32_t noise, int bits) noexcept nogil:
    """So many bits of an element's noise for a parameter: mixed, since neighbours of a Weyl sequence depend on each
    other."""
    noise = (noise ^ (noise >> 16)) * <uint32_t> 0x7FEB352D
    return (noise ^ (noise >> 15)) * <uint32_t> 0x846CA68B >> (32 - bits)


cdef inline uint32_t factor_of(int slot, int bits) noexcept nogil:
    """State array 0 takes the lower end of an element's noise, 1 the upper, 2 and what a parameter lacks the upper end of
    a multiple: all are upper ends of the noise times a number."""
    if slot == 0:
        return <uint32_t> 1 << (32 - bits)
    return <uint32_t> 1 if slot == 1 else (<uint32_t> 0x85EBCA6B if slot == 2 else <uint32_t> 0xC2B2AE35)


cdef inline uint32_t bits_of(uint32_t noise, int slot, int bits) noexcept nogil:
    """So many bits of an element's noise for an array."""
    return noise * factor_of(slot, bits) >> (32 - bits)


cdef inline Noise noise_for(Noise noise, int slot, int bits) noexcept nogil:
    """The sequence whose upper bits are an array's, element by element."""
    return Noise(noise.start * factor_of(slot, bits), noise.stride * factor_of(slot, bits))
