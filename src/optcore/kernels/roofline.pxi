# The roofline: what memory alone allows a step. A part of _kernels.pyx, which includes it.
#
# Owns what the benchmarks compare a step with; it shares no loop, cut or chunk with the engine that is measured.

cdef enum:
    STREAMS = 5             # p, g, up to two state arrays, a copy
    PIECE = 4096            # bytes of p after which the other arrays follow, where they differ in size

cdef struct Stream:
    char* x[STREAMS]
    Py_ssize_t bytes[STREAMS]
    int count
    bint alike              # all are of one size


cdef inline void stream(float* p, const float* g, float* a, float* b, int states,
                        Py_ssize_t lo, Py_ssize_t hi) noexcept nogil:
    cdef Py_ssize_t i
    cdef float x
    for i in range(lo, hi):
        x = g[i] * <float> 1e-30
        p[i] = p[i] + x
        if states > 0: a[i] = a[i] + x
        if states > 1: b[i] = b[i] + x


cdef inline void change_words(uint32_t* x, Py_ssize_t words, uint32_t by) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(words):
        x[i] = x[i] + by


cdef inline uint32_t sum_of_words(const uint32_t* x, Py_ssize_t words) noexcept nogil:
    cdef uint32_t total = 0
    cdef Py_ssize_t i
    for i in range(words):
        total = total + x[i]
    return total


cdef void stream_share(void* work, Py_ssize_t k, Py_ssize_t parts) noexcept nogil:
    # Equal shares of whole cache lines of p, as the engine has them: the roof must not lose by misalignment.
    cdef Stream* s = <Stream*> work
    cdef Py_ssize_t size = s.bytes[0]
    cdef Py_ssize_t first = min(size, (LINE - (<Py_ssize_t> s.x[0] & (LINE - 1))) % LINE)
    cdef Py_ssize_t each = (size - first) // LINE // parts * LINE
    cdef Py_ssize_t lo = first + each * k if k else 0
    cdef Py_ssize_t hi = first + each * (k + 1) if k + 1 < parts else size
    cdef Py_ssize_t stop, begin, end
    cdef double part
    cdef uint32_t change = 0
    cdef int j
    if s.alike:
        stream(<float*> s.x[0], <const float*> s.x[1], <float*> s.x[2], <float*> s.x[3], s.count - 2, lo // 4, hi // 4)
        return
    while lo < hi:
        stop = min(lo + PIECE, hi)
        for j in range(s.count):
            part = <double> s.bytes[j] / size
            begin = <Py_ssize_t> (part * lo) // 4
            end = <Py_ssize_t> (part * stop) // 4
            if j == 1:
                change = change + sum_of_words(<const uint32_t*> s.x[j] + begin, end - begin)
            else:
                change_words(<uint32_t*> s.x[j] + begin, end - begin, change)
        lo = stop


def roof(*arrays, int num_threads=1):
    """What memory allows: read p, g and up to two state arrays, and a copy; write all but g; and hardly compute. Arrays
    may differ in size, as those of narrow formats do: each is walked in its proportion. What is written has no meaning.

    What the benchmarks compare a step with.
    """
    cdef Py_buffer held[STREAMS]
    cdef Stream work
    cdef int got = 0, k
    work.count = len(arrays)
    if not 2 <= work.count <= STREAMS or num_threads < 1:
        raise ValueError("the roof takes p, g, up to two state arrays, a copy, and num_threads >= 1")
    try:
        work.alike = work.count <= 4
        while got < work.count:
            PyObject_GetBuffer(arrays[got], &held[got], PyBUF_ND if got == 1 else PyBUF_ND | PyBUF_WRITABLE)
            work.x[got] = <char*> held[got].buf
            work.bytes[got] = held[got].len
            got += 1
            if work.bytes[got - 1] % 4 or <Py_ssize_t> work.x[got - 1] % 4:
                raise ValueError(f"array {got - 1} is not made of words of 4 bytes")
            work.alike = work.alike and work.bytes[got - 1] == work.bytes[0] and held[got - 1].itemsize == 4
        for k in range(work.count, STREAMS):
            work.x[k] = NULL
        with nogil:
            region(num_threads, stream_share, &work)
    finally:
        for k in range(got):
            PyBuffer_Release(&held[k])
