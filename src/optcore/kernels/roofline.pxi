# The roofline: what memory alone allows a step. A part of _kernels.pyx, which includes it.
#
# Owns what the benchmarks compare a step with; it shares no loop, cut or chunk with the engine that is measured.

cdef struct Stream:
    float* x[4]             # p, g and up to two state arrays
    int states
    Py_ssize_t n


cdef inline void stream(float* p, const float* g, float* a, float* b, int states,
                        Py_ssize_t lo, Py_ssize_t hi) noexcept nogil:
    cdef Py_ssize_t i
    cdef float x
    for i in range(lo, hi):
        x = g[i] * <float> 1e-30
        p[i] = p[i] + x
        if states > 0: a[i] = a[i] + x
        if states > 1: b[i] = b[i] + x


cdef void stream_share(void* work, Py_ssize_t k, Py_ssize_t parts) noexcept nogil:
    # Equal shares of whole cache lines of p, as the engine has them: the roof must not lose by misalignment.
    cdef Stream* s = <Stream*> work
    cdef Py_ssize_t line = LINE // <Py_ssize_t> sizeof(float)
    cdef Py_ssize_t head = min(s.n, (LINE - (<Py_ssize_t> s.x[0] & (LINE - 1))) % LINE // <Py_ssize_t> sizeof(float))
    cdef Py_ssize_t each = (s.n - head) // line // parts * line
    stream(s.x[0], s.x[1], s.x[2], s.x[3], s.states, head + each * k if k else 0,
           head + each * (k + 1) if k + 1 < parts else s.n)


def roof(*arrays, int num_threads=1):
    """What memory allows: read p, g and up to two state arrays, write all but g, and hardly compute.

    What the benchmarks compare a step with.
    """
    cdef Py_buffer held[4]
    cdef Stream work
    cdef int count = len(arrays), got = 0, k
    if not 2 <= count <= 4 or num_threads < 1:
        raise ValueError("the roof takes p, g, up to two state arrays, and num_threads >= 1")
    try:
        while got < count:
            if not acquire_float32(arrays[got], &held[got], got != 1):
                raise ValueError(f"array {got} is not a C-contiguous float32 buffer")
            work.x[got] = <float*> held[got].buf
            got += 1
            if held[got - 1].len != held[0].len:
                raise ValueError("the arrays differ in size")
        work.states = count - 2
        work.n = held[0].len // <Py_ssize_t> sizeof(float)
        with nogil:
            region(num_threads, stream_share, &work)
    finally:
        for k in range(got):
            PyBuffer_Release(&held[k])
