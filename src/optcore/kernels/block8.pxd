# cython: cdivision=True
# State quantized to 8 bits: blocks of 256 elements, each with a unit of its own.
#
# Owns the codes, how a block is stored and how its unit moves; never when (engine.pxd), nor the noise
# (rounding.pxd).
#
# A value is (T - 2) * unit: T is a float of few mantissa bits from 2 on, and a code is where it stands in the row of
# these floats. So codes begin evenly spaced and go over into a floating point, and 0 needs no case of its own.
#   SIGNED    1 bit of sign, 7 of T with 4 mantissa bits: from 2 to 2^9, the values from 2^-3 to 2^9 units, which are
#             powers of 2
#   SQUARE    8 bits of T with 4 mantissa bits: from 2 to 2^17; for means of squares, which span twice the powers of 2
#   SIZE      8 bits of T with 5 mantissa bits: from 2 to 2^9; for what is as large as gradients, but has no sign
# An array holds the codes of all blocks, 256 bytes each, and then their units, a float32 each. A block is stored as 64
# words of 32 bits; byte q of word j is element 64 q + j, so that all arithmetic is on whole vectors of words.
#
# Design:
#   a) The unit decays: at each step it is first multiplied by what the rule multiplies the state by (1 where it has no
#      such number). A value that only decays keeps its code exactly, so what is rounded is what is added, and the noise
#      of rounding is that of the additions alone. Where the largest value of the block leaves the range that the codes
#      have for it, the unit moves by a power of 2, chosen by the block's new values: it is stored by the unit that
#      it most likely has, and once more if its values do not fit.
#   b) The unit is part of the array, so a state that is saved, cut into shards or read by another schedule of the
#      decay goes on as it would have.
#   c) Codes are rounded stochastically, see rounding.pxd.
#   d) A value without a sign is stored as no less than the smallest code above 0: where v became 0 and m did not, the
#      quotient would be infinite. (0 itself as well: that costs less than an exception, and m is then 0 too.)
#      SIGNED, SQUARE and SIZE span what fits together: the least m of a block, over the least root of v, is about a
#      step, whatever the differences in the block.
#   e) A block with an infinity or NaN is NaN as a whole, its unit infinite: it is seen, as it is in float32 one step
#      later.
#   f) An array of zeros is the state before the first step.

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from optcore.kernels.bits16 cimport as_bits, as_float
from optcore.kernels.rounding cimport Noise, noise_at, noise_for

cdef enum:
    BLOCK8 = 256
    WORDS = 64              # of a block
    KEPT = 19               # bits below the last kept one; SIZE: one fewer
    LEAST = 20 << 23        # the least unit, 2^-107, by its bits: no code of any block is a denormal float
    ONE = 127 << 23
    BROKEN = 255 << 23      # bits of an infinity
    ROOM = 0x600000         # three quarters of a power of 2 by which the largest may outgrow its usual place

cdef enum Code:             # see Traits in rules.pxi
    SIGNED = 0
    SQUARE = 1
    SIZE = 2

ctypedef struct signed8:    # tags by which Cython makes a version of each loop for a Code
    int unused

ctypedef struct square8:
    int unused

ctypedef struct size8:
    int unused

ctypedef fused code_t:
    signed8
    square8
    size8


cdef inline Py_ssize_t blocks8(Py_ssize_t n) noexcept nogil:
    """How many blocks n elements take."""
    return (n + BLOCK8 - 1) // BLOCK8


cdef inline uint32_t at_kept(uint32_t word, int q, int kept) noexcept nogil:
    """Byte q of a word moved to where T's mantissa bits are; the other bits are not cleared."""
    return word << (kept - 8 * q) if kept >= 8 * q else word >> (8 * q - kept)


cdef inline float value8(const code_t* code, uint32_t word, int q, float unit) noexcept nogil:
    """What byte q of a word stands for."""
    cdef uint32_t t, two
    if code_t is signed8:               # the unit is a power of 2: it is a matter of exponents
        two = as_bits(unit + unit)
        t = <uint32_t> (<int32_t> (word << (24 - 8 * q)) >> 5)
        return as_float((t & <uint32_t> 0x83F80000) + two) - as_float((t & <uint32_t> 0x80000000) | two)
    elif code_t is square8:
        t = at_kept(word, q, KEPT) & <uint32_t> 0x07F80000 | <uint32_t> 0x40000000
    else:
        t = at_kept(word, q, KEPT - 1) & <uint32_t> 0x03FC0000 | <uint32_t> 0x40000000
    return (as_float(t) - <float> 2.0) * unit


cdef inline uint32_t code8(const code_t* code, float value, float unit, float times, uint32_t noise,
                           int q) noexcept nogil:
    """The code of a value as byte q of a word, the others 0; `times` is 1 / unit."""
    cdef uint32_t x
    if code_t is signed8:
        x = as_bits(as_float(as_bits(value) & 0x7FFFFFFF) + (unit + unit)) - as_bits(unit + unit)
        x = (x + noise) << 5 | as_bits(value) & <uint32_t> 0x80000000
        return x >> 24 if q == 0 else x >> (24 - 8 * q) & (<uint32_t> 0xFF << (8 * q))
    x = as_bits(value * times + <float> 2.0)
    if code_t is square8:
        x = max(x, as_bits(2.125)) + noise
        return (x >> (KEPT - 8 * q) if KEPT >= 8 * q else x << (8 * q - KEPT)) & (<uint32_t> 0xFF << (8 * q))
    x = max(x, as_bits(2.0625)) + (noise >> 1)
    return (x >> (KEPT - 1 - 8 * q) if KEPT - 1 >= 8 * q else x << (8 * q - KEPT + 1)) & (<uint32_t> 0xFF << (8 * q))


cdef inline uint32_t top_of(const code_t* code, float value) noexcept nogil:
    """What the largest of a block is found by."""
    return as_bits(value) & 0x7FFFFFFF if code_t is signed8 else as_bits(value)


cdef inline float decayed_unit(const code_t* code, float unit, float decay) noexcept nogil:
    """The unit that a block most likely has: only where its values do not fit is there another."""
    cdef int32_t bits = <int32_t> as_bits(unit * decay)
    if bits < LEAST or bits >= BROKEN:
        bits = ONE
    return as_float(<uint32_t> (bits & BROKEN if code_t is signed8 else bits))


cdef inline float fitting_unit(const code_t* code, float decayed, uint32_t top) noexcept nogil:
    """The unit of a block whose largest new value has the bits `top`. Differences of bits compare as quotients of
    floats do, as far as powers of 2 go."""
    cdef int32_t below = 15 if code_t is square8 else 7
    cdef int32_t bits = <int32_t> as_bits(decayed)
    cdef int32_t apart = <int32_t> top - bits
    if top >= BROKEN:
        return as_float(BROKEN)
    if apart < below << 23 or apart >= ((below + 1) << 23) + ROOM:
        bits = max(bits + ((apart >> 23) - below) * (1 << 23), <int32_t> LEAST)
    return as_float(<uint32_t> bits)


cdef inline uint32_t encode8(const code_t* code, const float* values, uint32_t* words, float unit, uint32_t h,
                             uint32_t stride) noexcept nogil:
    """Store one block of values as codes of this unit; h is the noise of the first. The bits of the largest."""
    cdef float times = <float> 1.0 / unit
    cdef uint32_t quarter = <uint32_t> WORDS * stride
    cdef uint32_t top = 0
    cdef float a, b, c, d
    cdef Py_ssize_t j
    for j in range(WORDS):
        a = values[j]
        b = values[WORDS + j]
        c = values[2 * WORDS + j]
        d = values[3 * WORDS + j]
        top = max(max(max(top, top_of(code, a)), top_of(code, b)), max(top_of(code, c), top_of(code, d)))
        words[j] = (code8(code, a, unit, times, h >> (32 - KEPT), 0)
                    | code8(code, b, unit, times, h + quarter >> (32 - KEPT), 1)
                    | code8(code, c, unit, times, h + 2 * quarter >> (32 - KEPT), 2)
                    | code8(code, d, unit, times, h + 3 * quarter >> (32 - KEPT), 3))
        h = h + stride
    return top


cdef inline void decode_all(const code_t* code, const uint32_t* words, const float* unit, float* to,
                            Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t k, j
    for k in range(blocks8(n)):
        for j in range(WORDS):
            to[j] = value8(code, words[j], 0, unit[k])
            to[WORDS + j] = value8(code, words[j], 1, unit[k])
            to[2 * WORDS + j] = value8(code, words[j], 2, unit[k])
            to[3 * WORDS + j] = value8(code, words[j], 3, unit[k])
        words += WORDS
        to += BLOCK8


cdef inline void encode_all(const code_t* code, const float* values, uint32_t* words, float* unit, Py_ssize_t n,
                            Noise noise, uint64_t offset, float decay) noexcept nogil:
    cdef float[BLOCK8] last
    cdef float likely
    cdef uint32_t top, h
    cdef Py_ssize_t k
    for k in range(blocks8(n)):
        if n < BLOCK8:
            memset(last, 0, sizeof(last))
            memcpy(last, values, n * sizeof(float))
            values = last
        h = noise_at(noise, offset)
        likely = decayed_unit(code, unit[k], decay)
        top = encode8(code, values, words, likely, h, noise.stride)
        unit[k] = fitting_unit(code, likely, top)
        if top >= BROKEN:
            memset(words, 0, BLOCK8)
        elif unit[k] != likely:
            encode8(code, values, words, unit[k], h, noise.stride)
        offset += BLOCK8
        words += WORDS
        values += BLOCK8
        n -= BLOCK8


cdef inline void decode_blocks(const void* stored, const uint8_t* units, float* to, Py_ssize_t n,
                               int code) noexcept nogil:
    """The values of n elements, from the start of a block on; `to` has room for whole blocks."""
    cdef const uint32_t* words = <const uint32_t*> stored
    if code == SIGNED:
        decode_all(<const signed8*> NULL, words, <const float*> units, to, n)
    elif code == SQUARE:
        decode_all(<const square8*> NULL, words, <const float*> units, to, n)
    else:
        decode_all(<const size8*> NULL, words, <const float*> units, to, n)


cdef inline void encode_blocks(const float* values, void* stored, uint8_t* units, Py_ssize_t n, Noise noise,
                               int slot, uint64_t offset, int code, float decay) noexcept nogil:
    """Store n values, of which the first is element `offset` of its tensor and starts a block. A last block that is
    not full is filled up with zeros."""
    cdef uint32_t* words = <uint32_t*> stored
    cdef Noise its = noise_for(noise, slot, KEPT)
    if code == SIGNED:
        encode_all(<const signed8*> NULL, values, words, <float*> units, n, its, offset, decay)
    elif code == SQUARE:
        encode_all(<const square8*> NULL, values, words, <float*> units, n, its, offset, decay)
    else:
        encode_all(<const size8*> NULL, values, words, <float*> units, n, its, offset, decay)
