# The minimizers' vector operations as entry points. A part of _kernels.pyx, which includes it.
#
# Owns the check of their buffers, and the sums over blocks; never a loop over elements (vectors.pxd). What they compute
# is said in minimizers/reference.py, which has the same functions.

cdef Pace vector_paces[<int> OPERATIONS][<int> SIZES]


cdef class _Vectors:
    """The buffers of one call, held while it runs: C-contiguous vectors of one type and size."""
    cdef Py_buffer* held
    cdef Py_ssize_t got
    cdef Work work
    cdef void** rows
    cdef double* sums

    def __cinit__(self, int operation, tuple vectors, Py_ssize_t written, list rows, Py_ssize_t sums):
        """The first `written` of the vectors are written; `sums` numbers are made for each block."""
        cdef Py_ssize_t k, count = len(vectors) + len(rows)
        self.held = <Py_buffer*> PyMem_Calloc(count + 1, sizeof(Py_buffer))
        self.rows = <void**> PyMem_Calloc(len(rows) + 1, sizeof(void*))
        if not (self.held and self.rows):
            raise MemoryError
        self.work.operation = <Operation> operation
        for k in range(count):
            self.hold(vectors[k] if k < len(vectors) else rows[k - len(vectors)], k < written)
            if k < len(vectors):
                self.work.v[k] = self.held[k].buf
            else:
                self.rows[k - len(vectors)] = self.held[k].buf
        self.work.narrow = self.held[0].itemsize == 4
        self.work.n = self.held[count - 1].len // self.held[0].itemsize
        self.work.blocks = self.work.n if operation == RANK_TWO else (self.work.n + SUM_BLOCK - 1) // SUM_BLOCK
        self.work.count = len(rows)
        self.work.rows = self.rows
        self.sums = <double*> PyMem_Calloc(self.work.blocks * sums + 1, sizeof(double))
        if self.sums == NULL:
            raise MemoryError
        self.work.sums = self.sums

    cdef int hold(self, object x, bint written) except -1:
        cdef Py_buffer* b = &self.held[self.got]
        PyObject_GetBuffer(x, b, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if written else 0))
        self.got += 1
        if not ((b.itemsize == 4 and b.format[0] == c"f" or b.itemsize == 8 and b.format[0] == c"d")
                and b.itemsize == self.held[0].itemsize):
            raise TypeError("vectors that are all float32 or all float64 are needed")
        # All but the matrix, which comes first.
        if self.got > (2 if self.work.operation == RANK_TWO else 1) and b.len != self.held[self.got - 2].len:
            raise ValueError("the vectors differ in size")
        return 0

    def __dealloc__(self):
        cdef Py_ssize_t k
        for k in range(self.got):
            PyBuffer_Release(&self.held[k])
        PyMem_Free(self.held)
        PyMem_Free(self.rows)
        PyMem_Free(self.sums)

    cdef void run(self, int num_threads) noexcept:
        cdef Work* work = &self.work
        # Walks that differ in rows alone have one pace, which knows their time for an element.
        cdef Py_ssize_t rows = work.n if work.operation == RANK_TWO else work.count + 3
        cdef Pace* pace = &vector_paces[<int> work.operation][size_class(work.n)]
        with nogil:
            run(&TEAM, num_threads, work.n * rows, pace, rows, share_of_blocks, work)

    cdef double sum_of(self, Py_ssize_t which) noexcept:
        return pairwise(self.sums + which * self.work.blocks, self.work.blocks)


def vector_dot(a, b, int num_threads=0):
    cdef _Vectors v = _Vectors(DOT, (a, b), 0, [], 1)
    v.run(num_threads)
    return v.sum_of(0)


def vector_slope(g, d, int num_threads=0):
    cdef _Vectors v = _Vectors(SLOPE, (g, d), 0, [], 3)
    cdef double largest = 0
    cdef Py_ssize_t k
    v.run(num_threads)
    for k in range(2 * v.work.blocks, 3 * v.work.blocks):
        largest = max(largest, v.sums[k])
    return v.sum_of(0), v.sum_of(1), largest


def vector_advance(out, x, double step, d, int num_threads=0):
    cdef _Vectors v = _Vectors(ADVANCE, (out, x, d), 1, [], 0)
    v.work.step = step
    v.run(num_threads)


def vector_combine(out, x, double step, d, g, double scale, list rows, list weights, int num_threads=0):
    cdef _Vectors v = _Vectors(COMBINE, (out, d, x, g), 2, rows, 2)
    cdef double* w
    cdef Py_ssize_t k
    if len(weights) != len(rows):
        raise ValueError("a weight for each row is needed")
    w = <double*> PyMem_Calloc(len(rows) + 1, sizeof(double))
    if w == NULL:
        raise MemoryError
    try:
        for k in range(len(rows)):
            w[k] = weights[k]
        v.work.weights, v.work.scale, v.work.step = w, scale, step
        v.run(num_threads)
    finally:
        PyMem_Free(w)
    return v.sum_of(0), v.sum_of(1)


def vector_pair(x_new, x, g_new, g, s, y, list rows, int num_threads=0, double new=1, double old=1):
    cdef Py_ssize_t k, sums = 2 * (len(rows) + 3)
    cdef _Vectors v = _Vectors(PAIR, (s, y, g, x_new, x, g_new), 3, rows, sums)
    v.work.step, v.work.scale = new, old
    v.run(num_threads)
    return [(v.sum_of(k), v.sum_of(k + 1)) for k in range(0, sums, 2)]


def vector_rank_two(h, s, w, a, b, ha, hb, int num_threads=0):
    cdef _Vectors v = _Vectors(RANK_TWO, (h, ha, hb, s, w, a, b), 3, [], 0)
    if v.held[0].ndim != 2 or v.held[0].itemsize != 8 or v.work.n > MAX_ROW_BLOCKS * SUM_BLOCK:
        raise ValueError("a square matrix of float64 is needed")
    if v.held[0].shape[0] != v.work.n or v.held[0].shape[1] != v.work.n:
        raise ValueError("the matrix and the vectors differ in size")
    v.run(num_threads)
