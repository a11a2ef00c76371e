# cython: cdivision=True
# Formats of 16 bits: how one stored number becomes a float32 and back, and the same for an array.
#
# Owns bfloat16 and float16 and the functions by which their rows of formats.pxd quantize and restore them; never the
# noise they round with (rounding.pxd), nor who may be stored in them (formats.pxd). A value that is exact stays
# exact in every kind of rounding, and a NaN is stored as the plain one.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from optcore.kernels.rounding cimport OF_PARAMETER, Noise, bits_of, hashed_bits, noise_at

cdef extern from "narrow.h" nogil:
    enum:
        TILE "OPTCORE_TILE"                 # elements of a tile, in tile order: see there
        HALF "OPTCORE_HALF"
    void spread_16 "optcore_spread_16"(const void* stored, float* to) noexcept      # bfloat16 as float32
    void gather_16 "optcore_gather_16"(const uint32_t* bits, void* stored) noexcept # the upper halves of words
    void spread_32 "optcore_spread_32"(const float* x, float* to) noexcept
    void gather_32 "optcore_gather_32"(const float* x, float* to) noexcept

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    static inline float optcore_as_float(uint32_t x) { float y; memcpy(&y, &x, 4); return y; }
    static inline uint32_t optcore_as_bits(float x) { uint32_t y; memcpy(&y, &x, 4); return y; }
    """
    float as_float "optcore_as_float"(uint32_t x) noexcept nogil
    uint32_t as_bits "optcore_as_bits"(float x) noexcept nogil


cdef inline float from_bfloat16(uint16_t bits) noexcept nogil:
    return as_float(<uint32_t> bits << 16)


cdef inline uint32_t lifted(float value, uint32_t noise) noexcept nogil:
    """Rounded stochastically by 16 bits of noise: the bfloat16 is the upper half."""
    # Infinity has no low bits that noise could carry from; a NaN may have.
    return <uint32_t> 0x7FC00000 if value != value else as_bits(value) + noise


cdef inline uint32_t lifted_to_nearest(float value) noexcept nogil:
    """Rounded to nearest, ties to even: the bfloat16 is the upper half."""
    return lifted(value, 0x7FFF + ((as_bits(value) >> 16) & 1))


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


cdef inline void decode_bfloat16(const void* stored, const uint8_t* units, float* to, Py_ssize_t n,
                                 int code) noexcept nogil:
    cdef const uint16_t* x = <const uint16_t*> stored
    cdef Py_ssize_t i
    for i in range(n):
        to[i] = from_bfloat16(x[i])


cdef inline void decode_float16(const void* stored, const uint8_t* units, float* to, Py_ssize_t n,
                                int code) noexcept nogil:
    cdef const uint16_t* x = <const uint16_t*> stored
    cdef Py_ssize_t i
    cdef uint32_t h, bits
    for i in range(n):
        h = x[i]
        # Exponent and mantissa move to their float32 places; 2^112 is the difference of the biases.
        bits = as_bits(as_float((h & 0x7FFF) << 13) * as_float(<uint32_t> (127 + 112) << 23))
        bits = bits | (0x7F800000 if (h & 0x7C00) == 0x7C00 else 0)
        to[i] = as_float(bits | (h & 0x8000) << 16)


cdef inline void noise_of_tile(Noise noise, uint64_t first, uint32_t* h) noexcept nogil:
    """The noise of a tile's elements, in tile order; the first is number `first` of its tensor."""
    cdef int j
    for j in range(TILE):
        h[j] = noise_at(noise, first + <uint64_t> (j % HALF // 4 * 8 + j % 4 + (4 if j >= HALF else 0)))


cdef inline void bits_of_tile(const uint32_t* h, int slot, uint32_t* bits) noexcept nogil:
    """16 bits of each element's noise for an array."""
    cdef int j
    if slot == OF_PARAMETER:
        for j in range(TILE):
            bits[j] = hashed_bits(h[j], 16)
    else:
        for j in range(TILE):
            bits[j] = bits_of(h[j], slot, 16)


cdef inline void round_tile(const float* values, void* stored, const uint32_t* h, int slot) noexcept nogil:
    """Store a tile, rounded stochastically."""
    cdef uint32_t[TILE] bits
    cdef int j
    bits_of_tile(h, slot, bits)
    for j in range(TILE):
        bits[j] = lifted(values[j], bits[j])
    gather_16(bits, stored)


cdef inline void encode_bfloat16(const float* values, void* stored, uint8_t* units, Py_ssize_t n, Noise noise,
                                 int slot, uint64_t offset, int code, float decay) noexcept nogil:
    cdef uint16_t* to = <uint16_t*> stored
    cdef float[TILE] x, last
    cdef uint16_t[TILE] edge
    cdef uint32_t[TILE] h
    cdef uint32_t onward = <uint32_t> TILE * noise.stride
    cdef Py_ssize_t i
    cdef int j
    noise_of_tile(noise, offset, h)
    for i in range(n // TILE):
        spread_32(values + i * TILE, x)
        round_tile(x, to + i * TILE, h, slot)
        for j in range(TILE):
            h[j] = h[j] + onward
    i = n // TILE * TILE
    if i < n:
        memset(last, 0, sizeof(last))
        memcpy(last, values + i, (n - i) * sizeof(float))
        spread_32(last, x)
        round_tile(x, edge, h, slot)
        memcpy(to + i, edge, (n - i) * sizeof(uint16_t))


cdef inline void nearest_bfloat16(const float* values, void* stored, Py_ssize_t n) noexcept nogil:
    cdef uint16_t* to = <uint16_t*> stored
    cdef float[TILE] x
    cdef uint32_t[TILE] bits
    cdef Py_ssize_t i
    cdef int j
    for i in range(n // TILE):
        spread_32(values + i * TILE, x)
        for j in range(TILE):
            bits[j] = lifted_to_nearest(x[j])
        gather_16(bits, to + i * TILE)
    for i in range(n // TILE * TILE, n):
        to[i] = <uint16_t> (lifted_to_nearest(values[i]) >> 16)


cdef inline void nearest_float16(const float* values, void* stored, Py_ssize_t n) noexcept nogil:
    cdef uint16_t* x = <uint16_t*> stored
    cdef Py_ssize_t i
    for i in range(n):
        x[i] = to_float16(values[i])
