# cython: cdivision=True
# Sums of a fixed shape: the same bits at any number of threads.
#
# Owns sums of squares of gradients, and pairwise summation; never a format, whose row decodes it.
#
# A tensor is summed in blocks of SUM_BLOCK elements from its first one, a block in LANES float64 lanes that are then
# added in halves, and the blocks of all tensors, in their order, pairwise. Threads only share out the blocks.
# The square of a float32 is exact in float64, and no sum of them can overflow: it is finite just if all are. Of float64
# gradients of float64 parameters it may overflow, from 1e154 on.

from optcore.kernels.formats cimport LOOP_FLOAT64
from optcore.kernels.grouping cimport number, summed
from optcore.kernels.team cimport Part, share
from optcore.kernels.tensor cimport Tensor

cdef enum:
    SUM_BLOCK = 1024
    LANES = 16


cdef inline double block_of_squares(const number* x, Py_ssize_t n) noexcept nogil:
    cdef double[LANES] lane
    cdef double value
    cdef Py_ssize_t i, j
    cdef Py_ssize_t whole = n // LANES * LANES      # what fills all lanes
    for j in range(LANES):
        lane[j] = 0
    for i in range(n // LANES):
        for j in range(LANES):
            value = x[i * LANES + j]
            lane[j] = lane[j] + value * value
    for j in range(n - whole):
        value = x[whole + j]
        lane[j] = lane[j] + value * value
    for j in range(8):              # halves of the 16 lanes, written out: a loop over them goes through memory
        lane[j] = lane[j] + lane[j + 8]
    for j in range(4):
        lane[j] = lane[j] + lane[j + 4]
    return (lane[0] + lane[2]) + (lane[1] + lane[3])


cdef inline Py_ssize_t blocks_of(const Tensor* t) noexcept nogil:
    """Of a gradient by rows, each touched row has its own."""
    if t.rows != NULL:
        return t.rows.count * ((t.rows.width + SUM_BLOCK - 1) // SUM_BLOCK)
    return (t.n + SUM_BLOCK - 1) // SUM_BLOCK


cdef inline double squares_in_row(const number* kind, const Tensor* t, Py_ssize_t block) noexcept nogil:
    """Of a block of a gradient by rows."""
    cdef number[SUM_BLOCK] scratch
    cdef Py_ssize_t blocks = (t.rows.width + SUM_BLOCK - 1) // SUM_BLOCK
    cdef Py_ssize_t column = block % blocks * SUM_BLOCK, n = min(<Py_ssize_t> SUM_BLOCK, t.rows.width - column)
    return block_of_squares(summed(t, block // blocks, column, n, scratch), n)


cdef struct Squares:
    const Tensor* tensors
    Py_ssize_t count
    double* sums            # OUT: one for each block
    Py_ssize_t blocks       # of all tensors


cdef inline void squares(void* work, Py_ssize_t k, Py_ssize_t parts) noexcept nogil:
    """Share k of `parts` of Squares: the sum of squares of each block of the gradients."""
    cdef const Tensor* tensors = (<const Squares*> work).tensors
    cdef Py_ssize_t count = (<const Squares*> work).count
    cdef double* sums = (<const Squares*> work).sums
    cdef Part part = share((<const Squares*> work).blocks, k, parts)
    cdef Py_ssize_t begin = part.begin, end = part.end
    cdef float[SUM_BLOCK] scratch
    cdef Py_ssize_t before = 0, block, first, n, i
    cdef const Tensor* t
    cdef const char* g
    for i in range(count):
        t = &tensors[i]
        n = blocks_of(t)
        block = max(begin - before, 0)
        while block < n and before + block < end:
            first = block * SUM_BLOCK
            g = <const char*> t.g + first * t.g_format.bytes
            if t.rows != NULL:
                sums[before + block] = (squares_in_row(<const double*> NULL, t, block) if t.wide
                                        else squares_in_row(<const float*> NULL, t, block))
            elif t.wide and t.g_format.loop == LOOP_FLOAT64:
                sums[before + block] = block_of_squares(<const double*> g, min(<Py_ssize_t> SUM_BLOCK, t.n - first))
            elif t.g_format.decode == NULL:
                sums[before + block] = block_of_squares(<const float*> g, min(<Py_ssize_t> SUM_BLOCK, t.n - first))
            else:
                t.g_format.decode(g, NULL, scratch, min(<Py_ssize_t> SUM_BLOCK, t.n - first), False)
                sums[before + block] = block_of_squares(scratch, min(<Py_ssize_t> SUM_BLOCK, t.n - first))
            block += 1
        before += n


cdef inline double pairwise(double* x, Py_ssize_t n) noexcept nogil:
    """Sum x in place: neighbours are added until one is left; an odd last one moves up as it is."""
    cdef Py_ssize_t i
    if n == 0:
        return 0
    while n > 1:
        for i in range(n // 2):
            x[i] = x[2 * i] + x[2 * i + 1]
        if n % 2:
            x[n // 2] = x[n - 1]
        n = (n + 1) // 2
    return x[0]
