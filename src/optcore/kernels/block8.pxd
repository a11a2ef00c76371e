# cython: cdivision=True
# State quantized to 8 bits: blocks of 256 elements, each with an exponent of its own.
#
# Owns the codes and how a block is stored; never when (loops.pxd, engine.pxd), nor the noise (rounding.pxd).
#
# A value is (T - 2) * 2^(e - 127): e is the block's exponent, one byte; T is a float of 3 mantissa bits from 2 on,
# and a code is where it stands in the row of these floats. So codes begin evenly spaced and go over into a floating
# point with 3 bits, and 0 needs no case of its own.
#   signed     1 bit of sign, 7 of T: from 2 to 2^17, the values from 2^-2 to 2^17 of the unit 2^(e - 127)
#   unsigned   8 bits of T: from 2 to 2^33, for means of squares, which span twice as many powers of 2
# An array holds the codes of all blocks, 256 bytes each, and then their exponents. A block is stored as 64 words of
# 32 bits; byte q of word j is element 64 q + j, so that all arithmetic is on whole vectors of words.
#
# Design:
#   a) The exponent is chosen anew at each step by the largest new value, so a block must be computed before it can
#      be stored: it stays in the first cache meanwhile. Power-of-2 units cost no rounding.
#   b) Codes are rounded stochastically, see rounding.pxd.
#   c) An unsigned value is stored as no less than the smallest code above 0: where v became 0 and m did not, the
#      quotient would be infinite. (0 itself as well: that costs less than an exception, and m is then 0 too.)
#   d) A block with an infinity or NaN is NaN as a whole, exponent 255: it is seen, as it is in float32 one step later.
#   e) An array of zeros is the state before the first step.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from optcore.kernels.bits16 cimport as_bits, as_float
from optcore.kernels.rounding cimport Noise, bits_of, noise_at

cdef enum:
    BLOCK8 = 256
    WORDS = 64              # of a block
    KEPT = 20               # bits below the last kept one
    LEAST = 20              # exponent of a block of zeros: no code of any block is a denormal float
    BROKEN = 255


cdef inline Py_ssize_t blocks8(Py_ssize_t n) noexcept nogil:
    """How many blocks n elements take."""
    return (n + BLOCK8 - 1) // BLOCK8


cdef inline float unit_of(uint8_t exponent) noexcept nogil:
    return as_float(<uint32_t> exponent << 23)


cdef inline void unpack8(const uint32_t* words, uint32_t* codes) noexcept nogil:
    """The codes of a block, one to a word, in bits 20 to 27; the others are not cleared."""
    cdef Py_ssize_t j
    for j in range(WORDS):
        codes[j] = words[j] << 20
        codes[WORDS + j] = words[j] << 12
        codes[2 * WORDS + j] = words[j] << 4
        codes[3 * WORDS + j] = words[j] >> 4


cdef inline void pack8(const uint32_t* codes, uint32_t* words) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(WORDS):
        words[j] = ((codes[j] >> 20) & 0xFF | (codes[WORDS + j] >> 12) & 0xFF00
                    | (codes[2 * WORDS + j] >> 4) & 0xFF0000 | (codes[3 * WORDS + j] << 4) & <uint32_t> 0xFF000000)


cdef inline float value8(uint32_t code, float unit, bint nonneg) noexcept nogil:
    """What an unpacked code stands for."""
    if nonneg:
        return (as_float((code & <uint32_t> 0x0FF00000) | <uint32_t> 0x40000000) - <float> 2.0) * unit
    return as_float(as_bits((as_float((code & <uint32_t> 0x07F00000) | <uint32_t> 0x40000000) - <float> 2.0) * unit)
                    | ((code << 4) & <uint32_t> 0x80000000))


cdef inline uint32_t code8(float value, float times, uint32_t noise, bint nonneg) noexcept nogil:
    """The code of a value, unpacked; `times` is 1 / unit."""
    cdef float t
    if nonneg:
        t = value * times
        t = t if t > <float> 0.25 else <float> 0.25
        return as_bits(t + <float> 2.0) + noise
    t = as_float(as_bits(value) & 0x7FFFFFFF) * times
    return ((as_bits(t + <float> 2.0) + noise) & 0x07F00000) | ((as_bits(value) >> 4) & 0x08000000)


cdef inline uint32_t top_of(float value, bint nonneg) noexcept nogil:
    """What the largest of a block is found by."""
    return as_bits(value) if nonneg else as_bits(value) & 0x7FFFFFFF


cdef inline uint32_t exponent8(uint32_t top, bint nonneg) noexcept nogil:
    """The exponent of a block whose largest is `top`."""
    cdef uint32_t below = 31 if nonneg else 15
    cdef uint32_t e = top >> 23
    return BROKEN if e >= 255 else (LEAST if e < below + LEAST else e - below)


cdef inline void encode8(uint32_t* values, uint32_t* words, uint8_t* exponent, uint32_t top, Noise noise,
                         uint64_t offset, int slot, bint nonneg) noexcept nogil:
    """Store one block of values, given by their bits and lost, of which `top` is the largest; the first is element
    `offset` of its tensor."""
    cdef uint32_t e = exponent8(top, nonneg)
    cdef float times = unit_of(<uint8_t> (254 - e))
    cdef uint32_t h = noise_at(noise, offset)
    cdef Py_ssize_t i
    exponent[0] = <uint8_t> e
    if e == BROKEN:
        memset(words, 0, BLOCK8)
        return
    for i in range(BLOCK8):
        values[i] = code8(as_float(values[i]), times, bits_of(h, slot, KEPT), nonneg)
        h = h + noise.stride
    pack8(values, words)


cdef inline void decode_blocks(const void* codes, const uint8_t* exponents, float* to, Py_ssize_t n,
                               bint nonnegative) noexcept nogil:
    """The values of n elements, from the start of a block on; `to` has room for whole blocks."""
    cdef uint32_t[BLOCK8] block
    cdef Py_ssize_t k, i
    cdef float unit
    for k in range(blocks8(n)):
        unpack8(<const uint32_t*> codes + k * WORDS, block)
        unit = unit_of(exponents[k])
        for i in range(BLOCK8):
            to[k * BLOCK8 + i] = value8(block[i], unit, nonnegative)


cdef inline void encode_blocks(const float* values, void* codes, uint8_t* exponents, Py_ssize_t n, Noise noise,
                               int slot, uint64_t offset, bint nonnegative) noexcept nogil:
    """Store n values, of which the first is element `offset` of its tensor and starts a block. A last block that is
    not full is filled up with zeros."""
    cdef uint32_t[BLOCK8] block
    cdef Py_ssize_t k, i
    cdef uint32_t top
    for k in range(blocks8(n)):
        memset(block, 0, sizeof(block))
        top = 0
        for i in range(min(<Py_ssize_t> BLOCK8, n - k * BLOCK8)):
            block[i] = as_bits(values[k * BLOCK8 + i])
            top = max(top, top_of(values[k * BLOCK8 + i], nonnegative))
        encode8(block, <uint32_t*> codes + k * WORDS, exponents + k, top, noise, offset + <uint64_t> (k * BLOCK8), slot,
                nonnegative)
