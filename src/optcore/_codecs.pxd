# cython: cdivision=True
# How one stored number becomes a float32 and back: one load and one store for each storage format.
# A rule never sees a storage format: the span decodes, updates in float32, and encodes.

ctypedef fused stored_t:
    float


cdef inline float load(const stored_t* x) noexcept nogil:
    return x[0]


cdef inline void store(stored_t* x, float value) noexcept nogil:
    x[0] = value
