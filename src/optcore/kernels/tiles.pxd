# cython: cdivision=True
# The loops over elements whose state, or all of whose arrays, have 16 bits: load -> prelude -> update -> store, a tile
# of two vectors at a time.
#
# Owns how a tile is read, stepped and written; never a formula (rules.pxi), nor what is done to the numbers (bits16.pxd),
# nor how they are moved (narrow.h).
#
# Design:
#   a) A tile's arrays are small and of constant size, so the compiler keeps them in registers and rounding hides behind
#      the division, as it could not in a scratch. It needs one option: CMakeLists.txt says which.
#   b) The gradient is neither clipped nor joined by decay here (engine.pxd): what the compiler is told, it leaves out of
#      the prelude.
#   c) What is left at the end of a span is copied into a tile of its own: the loop stands in the machine code once.

from libc.math cimport INFINITY
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset

from optcore.kernels.bits16 cimport TILE, gather_16, gather_32, lifted, noise_of_tile, spread_16, spread_32
from optcore.kernels.rounding cimport bits_of, hashed_bits
from optcore.kernels.rules cimport prelude, rule_t, traits, update
from optcore.kernels.tensor cimport MAX_SLOTS, PRELUDE, Tensor


ctypedef struct state16:            # p and g are float32
    int unused

ctypedef struct all16:              # p and g have 16 bits too; p is rounded stochastically
    int unused

ctypedef fused tile_t:
    state16
    all16

cdef inline void tiles(const rule_t* kind, const tile_t* form, const Tensor* t, Py_ssize_t lo,
                       Py_ssize_t hi) noexcept nogil:
    """One rule over elements lo..hi of one tensor."""
    cdef float[2 + MAX_SLOTS][TILE] edge        # a tile that is not full: of p, g, then of the state
    cdef char* at[2 + MAX_SLOTS]
    cdef uint32_t[TILE] h
    cdef float[PRELUDE] x
    # Copies: through the pointers the compiler would have to fear that a store to p changes them.
    cdef rule_t r = (<const rule_t*> (<const float*> t.scalars + PRELUDE))[0]
    cdef uint32_t onward = <uint32_t> TILE * t.noise.stride
    cdef Py_ssize_t wide = sizeof(float) if tile_t is state16 else 2
    cdef Py_ssize_t n, i
    cdef int j, k
    memcpy(x, t.scalars, sizeof(x))
    x[1] = 0
    while lo < hi:
        n = hi - lo
        at[0] = <char*> t.p + lo * wide
        at[1] = <char*> t.g + lo * wide
        for k in range(traits(&r).slots):
            at[2 + k] = <char*> t.s[k] + lo * 2
        if n < TILE:
            memset(edge, 0, sizeof(edge))
            for k in range(2 + traits(&r).slots):
                memcpy(edge[k], at[k], n * (wide if k < 2 else 2))
                at[k] = <char*> edge[k]
        noise_of_tile(t.noise, t.offset + <uint64_t> lo, h)
        for i in range(max(n // TILE, 1)):
            tile(&r, form, x, at, h)
            for j in range(TILE):
                h[j] = h[j] + onward
            for k in range(2 + traits(&r).slots):
                at[k] += TILE * (wide if k < 2 else 2)
        if n < TILE:
            memcpy(<char*> t.p + lo * wide, edge[0], n * wide)
            for k in range(traits(&r).slots):
                memcpy(<char*> t.s[k] + lo * 2, edge[2 + k], n * 2)
            return
        lo += n // TILE * TILE


cdef inline void tile(const rule_t* r, const tile_t* form, const float* x, char** at,
                      const uint32_t* h) noexcept nogil:
    """One of them."""
    cdef float[TILE] w, d, s0, s1, s2
    cdef uint32_t[TILE] w16, a16, b16, c16
    cdef float p, g
    cdef float a = 0, b = 0, c = 0
    cdef int j
    if tile_t is state16:
        spread_32(<const float*> at[0], w)
        spread_32(<const float*> at[1], d)
    else:
        spread_16(at[0], w)
        spread_16(at[1], d)
    if traits(r).slots > 0: spread_16(at[2], s0)
    if traits(r).slots > 1: spread_16(at[3], s1)
    if traits(r).slots > 2: spread_16(at[4], s2)
    for j in range(TILE):
        p = w[j]
        g = prelude(x, INFINITY, &p, d[j])
        if traits(r).slots > 0: a = s0[j]
        if traits(r).slots > 1: b = s1[j]
        if traits(r).slots > 2: c = s2[j]
        update(r, &p, g, &a, &b, &c)
        if tile_t is state16:
            w[j] = p
        else:
            w16[j] = lifted(p, hashed_bits(h[j], 16))
        if traits(r).slots > 0: a16[j] = lifted(a, bits_of(h[j], 0, 16))
        if traits(r).slots > 1: b16[j] = lifted(b, bits_of(h[j], 1, 16))
        if traits(r).slots > 2: c16[j] = lifted(c, bits_of(h[j], 2, 16))
    if tile_t is state16:
        gather_32(w, <float*> at[0])
    else:
        gather_16(w16, at[0])
    if traits(r).slots > 0: gather_16(a16, at[2])
    if traits(r).slots > 1: gather_16(b16, at[3])
    if traits(r).slots > 2: gather_16(c16, at[4])
