# cython: cdivision=True
# Formats of 16 bits: how one stored number becomes a float32 and back, and the same for an array.
#
# Owns bfloat16 and float16 and the functions by which their rows of formats.pxd quantize and restore them; never the
# noise they round with (rounding.pxd), nor who may be stored in them (formats.pxd). A value that is exact stays
# exact in every kind of rounding, and a NaN is stored as the plain one.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from optcore.kernels.rounding cimport Noise, bits_of, noise_at

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


cdef inline uint16_t noisy_bfloat16(float value, uint32_t noise) noexcept nogil:
    """Rounded stochastically by 16 bits of noise."""
    # Infinity has no low bits that noise could carry from; a NaN may have.
    return <uint16_t> ((<uint32_t> 0x7FC00000 if value != value else as_bits(value) + noise) >> 16)


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


cdef inline void encode_bfloat16(const float* values, void* stored, uint8_t* units, Py_ssize_t n, Noise noise,
                                 int slot, uint64_t offset, int code, float decay) noexcept nogil:
    cdef uint16_t* x = <uint16_t*> stored
    cdef uint32_t h = noise_at(noise, offset)
    cdef Py_ssize_t i
    for i in range(n):
        x[i] = noisy_bfloat16(values[i], bits_of(h, slot, 16))
        h = h + noise.stride


cdef inline void nearest_bfloat16(const float* values, void* stored, Py_ssize_t n) noexcept nogil:
    cdef uint16_t* x = <uint16_t*> stored
    cdef Py_ssize_t i
    for i in range(n):
        x[i] = to_bfloat16(values[i])


cdef inline void nearest_float16(const float* values, void* stored, Py_ssize_t n) noexcept nogil:
    cdef uint16_t* x = <uint16_t*> stored
    cdef Py_ssize_t i
    for i in range(n):
        x[i] = to_float16(values[i])


cdef inline void stochastic_bfloat16(const float* values, void* stored, Py_ssize_t n,
                                     const uint16_t* noise) noexcept nogil:
    cdef uint16_t* x = <uint16_t*> stored
    cdef Py_ssize_t i
    for i in range(n):
        x[i] = noisy_bfloat16(values[i], noise[i])


cdef inline void split_bfloat16(const float* values, void* stored, void* compensation, Py_ssize_t n, Noise noise,
                                uint64_t offset) noexcept nogil:
    """To nearest, and what that lacks, which is rounded stochastically: to nearest, it would lose updates below 2^-17
    of the parameter."""
    cdef uint16_t* x = <uint16_t*> stored
    cdef uint16_t* c = <uint16_t*> compensation
    cdef Py_ssize_t i
    cdef float lack
    for i in range(n):
        x[i] = to_bfloat16(values[i])
        lack = values[i] - from_bfloat16(x[i])
        lack = lack if lack - lack == 0 else 0      # beside an infinity or NaN there is none
        c[i] = noisy_bfloat16(lack, bits_of(noise_at(noise, offset + <uint64_t> i), 3, 16))
