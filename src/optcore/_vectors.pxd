# cython: cdivision=True
# What the minimizers do with long vectors: dots, combinations, differences, each fused into few walks over memory.
#
# Owns the loops; knows no Python object. The same in NumPy: minimizers/reference.py, equal bit for bit.
#
# Design:
#   a) Vectors are float32 or float64. Arithmetic is in float64, in one order; a store rounds to the vector's type.
#   b) A walk goes in blocks of BLOCK elements. Threads share out the blocks; within one everything is done that the
#      operation asks for, row by row, while the block of what is common to the rows is in the first cache.
#   c) A sum has the shape of _sums.pxd: LANES lanes in a block, added in halves, then the blocks pairwise. So the bits
#      are the same at any number of threads.
#   d) The BFGS matrix is walked by rows: each row is updated, then multiplied while it is in the first cache.

from libc.math cimport fabs

from optcore._sums cimport BLOCK, LANES, pairwise

cdef enum:
    MAX_VECTORS = 7
    GROUP = 8                           # blocks that PAIR takes at a time
    MAX_ROW_BLOCKS = 64                 # blocks in a row of a matrix

cdef enum Operation:
    DOT                                 # vectors a, b
    SLOPE                               # g, d
    ADVANCE                             # out, x, d
    COMBINE                             # out, d, x, g; rows
    PAIR                                # s, y, g, x_new, x, g_new; rows
    RANK_TWO                            # h, ha, hb, s, w, a, b
    OPERATIONS

ctypedef fused real_t:
    float
    double

ctypedef fused other_t:
    float
    double

cdef struct Work:
    Operation operation
    bint narrow                         # float32
    Py_ssize_t n                        # elements of a vector
    Py_ssize_t blocks                   # of BLOCK elements; for RANK_TWO the rows
    Py_ssize_t count                    # rows
    void* v[MAX_VECTORS]                # the operation's vectors, those written first
    void** rows
    const double* weights               # one for each row
    double step
    double scale
    double* sums                        # `blocks` numbers for each sum


cdef inline double halves(double* lane) noexcept nogil:
    cdef Py_ssize_t i = LANES // 2, j
    while i:
        for j in range(i):
            lane[j] = lane[j] + lane[j + i]
        i = i // 2
    return lane[0]


cdef inline double dot(const real_t* a, const other_t* b, Py_ssize_t n) noexcept nogil:
    cdef double[LANES] lane
    cdef Py_ssize_t i, j
    cdef Py_ssize_t whole = n // LANES * LANES
    for j in range(LANES):
        lane[j] = 0
    for i in range(n // LANES):
        for j in range(LANES):
            lane[j] = lane[j] + <double> a[i * LANES + j] * <double> b[i * LANES + j]
    for j in range(n - whole):
        lane[j] = lane[j] + <double> a[whole + j] * <double> b[whole + j]
    return halves(lane)


cdef inline void dots(const real_t* a, const double* b, Py_ssize_t n, double* to) noexcept nogil:
    """The dot of each block."""
    cdef Py_ssize_t block
    for block in range((n + BLOCK - 1) // BLOCK):
        to[block] = dot(a + block * BLOCK, b + block * BLOCK, min(<Py_ssize_t> BLOCK, n - block * BLOCK))


cdef inline double size(const real_t* g, Py_ssize_t n) noexcept nogil:
    """The sum of |g|."""
    cdef double[LANES] lane
    cdef Py_ssize_t i, j
    cdef Py_ssize_t whole = n // LANES * LANES
    for j in range(LANES):
        lane[j] = 0
    for i in range(n // LANES):
        for j in range(LANES):
            lane[j] = lane[j] + fabs(<double> g[i * LANES + j])
    for j in range(n - whole):
        lane[j] = lane[j] + fabs(<double> g[whole + j])
    return halves(lane)


cdef inline double largest(const real_t* g, Py_ssize_t n) noexcept nogil:
    """The largest |g|, 0 of nothing; a NaN is passed over."""
    cdef double[LANES] most
    cdef double x
    cdef Py_ssize_t i, j
    cdef Py_ssize_t whole = n // LANES * LANES
    for j in range(LANES):
        most[j] = 0
    for i in range(n // LANES):
        for j in range(LANES):
            x = fabs(<double> g[i * LANES + j])
            most[j] = x if x > most[j] else most[j]
    for j in range(n - whole):
        x = fabs(<double> g[whole + j])
        most[j] = x if x > most[j] else most[j]
    for j in range(1, LANES):
        most[0] = most[j] if most[j] > most[0] else most[0]
    return most[0]


cdef inline void advance(real_t* out, const real_t* x, double step, const real_t* d, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = <real_t> (<double> x[i] + step * <double> d[i])


cdef inline void gather(double* acc, real_t** rows, const double* w, Py_ssize_t count, Py_ssize_t first,
                        Py_ssize_t n) noexcept nogil:
    """acc += w[0] rows[0] + w[1] rows[1] ... in this order, four rows to a pass over acc."""
    cdef Py_ssize_t i, k = 0
    cdef const real_t* a
    cdef const real_t* b
    cdef const real_t* c
    cdef const real_t* e
    cdef double wa, wb, wc, we
    while k + 4 <= count:
        a = rows[k] + first
        b = rows[k + 1] + first
        c = rows[k + 2] + first
        e = rows[k + 3] + first
        wa, wb, wc, we = w[k], w[k + 1], w[k + 2], w[k + 3]
        for i in range(n):
            acc[i] = (((acc[i] + wa * <double> a[i]) + wb * <double> b[i]) + wc * <double> c[i]) + we * <double> e[i]
        k += 4
    while k < count:
        a = rows[k] + first
        wa = w[k]
        for i in range(n):
            acc[i] = acc[i] + wa * <double> a[i]
        k += 1


cdef inline void combine(Work* work, real_t* out, real_t* d, const real_t* x, const real_t* g, Py_ssize_t block,
                         Py_ssize_t first, Py_ssize_t n) noexcept nogil:
    cdef double[BLOCK] acc
    cdef Py_ssize_t i
    for i in range(n):
        acc[i] = work.scale * <double> g[i]
    gather(acc, <real_t**> work.rows, work.weights, work.count, first, n)
    for i in range(n):
        d[i] = <real_t> acc[i]
    advance(out, x, work.step, d, n)
    work.sums[block] = dot(g, d, n)
    work.sums[work.blocks + block] = dot(d, d, n)


cdef inline void pair(Work* work, real_t* s, real_t* y, real_t* g, const real_t* x_new, const real_t* x,
                      const real_t* g_new, Py_ssize_t block, Py_ssize_t first, Py_ssize_t n) noexcept nogil:
    """Of as many blocks as n has: the longer a row is read at a time, the better memory foresees it."""
    cdef double[GROUP * BLOCK] wide_y    # float64 once, not once for each row
    cdef double[GROUP * BLOCK] wide_g
    cdef Py_ssize_t i, k
    cdef const real_t* row
    cdef double* to = work.sums + block
    for i in range(n):
        s[i] = <real_t> (<double> x_new[i] - <double> x[i])
        y[i] = <real_t> (<double> g_new[i] - <double> g[i])
        g[i] = g_new[i]
        wide_y[i] = y[i]
        wide_g[i] = g[i]
    for k in range(work.count + 2):
        row = (<const real_t*> work.rows[k]) + first if k < work.count else (s if k == work.count else y)
        dots(row, wide_y, n, to)
        dots(row, wide_g, n, to + work.blocks)
        to += 2 * work.blocks
    dots(g, wide_g, n, to + work.blocks)
    for i in range(n):
        wide_y[i] = s[i]
    dots(s, wide_y, n, to)


cdef inline void row_of_rank_two(Work* work, Py_ssize_t i) noexcept nogil:
    cdef double* h = (<double*> work.v[0]) + i * work.n
    cdef const double* s = <const double*> work.v[3]
    cdef const double* w = <const double*> work.v[4]
    cdef const double* a = <const double*> work.v[5]
    cdef const double* b = <const double*> work.v[6]
    cdef double[MAX_ROW_BLOCKS] ha
    cdef double[MAX_ROW_BLOCKS] hb
    cdef double si = s[i], wi = w[i]
    cdef Py_ssize_t first = 0, k = 0, j, n
    while first < work.n:
        n = min(<Py_ssize_t> BLOCK, work.n - first)
        for j in range(first, first + n):
            h[j] = h[j] + (si * w[j] + wi * s[j])
        ha[k] = dot(h + first, a + first, n)
        hb[k] = dot(h + first, b + first, n)
        first += n
        k += 1
    (<double*> work.v[1])[i] = pairwise(ha, k)
    (<double*> work.v[2])[i] = pairwise(hb, k)


cdef inline void some_blocks(Work* work, real_t blank, Py_ssize_t block, Py_ssize_t count) noexcept nogil:
    """blank only carries a type; count is 1 but for PAIR."""
    cdef Py_ssize_t first = block * BLOCK
    cdef Py_ssize_t n = min(count * BLOCK, work.n - first)
    cdef real_t* v[MAX_VECTORS]
    cdef int k
    for k in range(MAX_VECTORS):
        v[k] = (<real_t*> work.v[k]) + first
    if work.operation == DOT:
        work.sums[block] = dot(v[0], v[1], n)
    elif work.operation == SLOPE:
        work.sums[block] = dot(v[0], v[1], n)
        work.sums[work.blocks + block] = size(v[0], n)
        work.sums[2 * work.blocks + block] = largest(v[0], n)
    elif work.operation == ADVANCE:
        advance(v[0], v[1], work.step, v[2], n)
    elif work.operation == COMBINE:
        combine(work, v[0], v[1], v[2], v[3], block, first, n)
    elif work.operation == PAIR:
        pair(work, v[0], v[1], v[2], v[3], v[4], v[5], block, first, n)


cdef inline void share_of_blocks(Work* work, Py_ssize_t k, Py_ssize_t parts) noexcept nogil:
    """Share k of `parts` of the work."""
    cdef Py_ssize_t begin = work.blocks // parts * k + min(k, work.blocks % parts)
    cdef Py_ssize_t end = begin + work.blocks // parts + (1 if k < work.blocks % parts else 0)
    cdef Py_ssize_t block = begin
    cdef Py_ssize_t group = GROUP if work.operation == PAIR else 1
    while block < end:
        group = min(group, end - block)
        if work.operation == RANK_TWO:
            row_of_rank_two(work, block)
        elif work.narrow:
            some_blocks(work, <float> 0, block, group)
        else:
            some_blocks(work, <double> 0, block, group)
        block += group
