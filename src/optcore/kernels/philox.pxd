# cython: cdivision=True
# Philox 4x32-10: counter-based random numbers. Four words are a function of a counter of four words and a key of two,
# so that any element's can be made at any time, by any thread.
#
# Owns the generator; never stores state.
# Source: J. Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011. formats/ says the same in NumPy;
# tests hold both against the known answers that the authors publish.

from libc.stdint cimport uint32_t, uint64_t


cdef inline void philox(uint32_t* x, uint32_t key0, uint32_t key1) noexcept nogil:
    """The counter x becomes its four random words."""
    cdef uint64_t a, b
    cdef uint32_t high
    cdef int k
    for k in range(10):
        a = <uint64_t> <uint32_t> 0xD2511F53 * x[0]
        b = <uint64_t> <uint32_t> 0xCD9E8D57 * x[2]
        high = <uint32_t> (b >> 32) ^ x[1] ^ key0
        x[1] = <uint32_t> b
        x[2] = <uint32_t> (a >> 32) ^ x[3] ^ key1
        x[3] = <uint32_t> a
        x[0] = high
        key0 = key0 + <uint32_t> 0x9E3779B9
        key1 = key1 + <uint32_t> 0xBB67AE85
