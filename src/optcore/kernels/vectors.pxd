# cython: cdivision=True
# What the minimizers do with long vectors: dots, combinations, differences, each fused into few walks over memory.
#
# Owns the loops (SIMD by the compiler); knows no Python object. The same in NumPy, equal bit for bit:
# minimizers/reference.py.
#
# Design:
#   a) Vectors are float32 or float64. Arithmetic is in float64, in one order; a store rounds to the vector's type.
#   b) A walk goes in blocks of SUM_BLOCK elements. Threads share out the blocks; within one everything is done that the
#      operation asks for, row by row, while the block of what is common to the rows is in the first cache.
#   c) A sum has the shape of sums.pxd: LANES lanes in a block, added in halves, then the blocks pairwise. So the bits
#      are the same at any number of threads.
#   d) The rows are many, and a walk leaves each after one block for the next: too short for the processor to foresee.
#      So while a block of a row is used, the row's next block is asked for.
#   e) The BFGS matrix is walked by rows: each row is updated, then multiplied while it is in the first cache.

from libc.math cimport fabs

from optcore.kernels.platform cimport prefetch
from optcore.kernels.sums cimport SUM_BLOCK, LANES, pairwise
from optcore.kernels.team cimport Part, share

cdef enum:
    MAX_VECTORS = 7
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
    Py_ssize_t blocks                   # of SUM_BLOCK elements; for RANK_TWO the rows
    Py_ssize_t count                    # rows
    void* v[MAX_VECTORS]                # the operation's vectors, those written first
    void** rows
    const double* weights               # one for each row
    double step                         # for PAIR the factor of g_new in y
    double scale                        # for PAIR that of g
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


cdef inline void ask_for(const real_t* p) noexcept nogil:
    """Let LANES elements from p on come into the cache."""
    prefetch(p)
    if sizeof(real_t) == 8:
        prefetch(p + LANES // 2)


cdef inline void two_dots(const real_t* a, const double* b, const double* c, Py_ssize_t n, Py_ssize_t ahead,
                          double* ab, double* ac) noexcept nogil:
    """dot(a, b) and dot(a, c). Each product has a loop of its own: in one loop GCC finds no vectors."""
    cdef double[LANES] to_b
    cdef double[LANES] to_c
    cdef Py_ssize_t i, j
    cdef Py_ssize_t whole = n // LANES * LANES
    for j in range(LANES):
        to_b[j] = 0
    for j in range(LANES):
        to_c[j] = 0
    for i in range(n // LANES):
        ask_for(a + i * LANES + ahead)
        for j in range(LANES):
            to_b[j] = to_b[j] + <double> a[i * LANES + j] * b[i * LANES + j]
        for j in range(LANES):
            to_c[j] = to_c[j] + <double> a[i * LANES + j] * c[i * LANES + j]
    for j in range(n - whole):
        to_b[j] = to_b[j] + <double> a[whole + j] * b[whole + j]
        to_c[j] = to_c[j] + <double> a[whole + j] * c[whole + j]
    ab[0] = halves(to_b)
    ac[0] = halves(to_c)


cdef inline void slope(Work* work, const real_t* g, const real_t* d, Py_ssize_t block, Py_ssize_t n) noexcept nogil:
    """g.d, the sum of |g|, and the largest |g|: 0 of nothing, and a NaN is passed over."""
    cdef double[LANES] product
    cdef double[LANES] size
    cdef double[LANES] most
    cdef double x
    cdef Py_ssize_t i, j
    cdef Py_ssize_t whole = n // LANES * LANES
    for j in range(LANES):
        product[j] = 0
    for j in range(LANES):
        size[j] = 0
    for j in range(LANES):
        most[j] = 0
    for i in range(n // LANES):
        for j in range(LANES):
            product[j] = product[j] + <double> g[i * LANES + j] * <double> d[i * LANES + j]
        for j in range(LANES):
            size[j] = size[j] + fabs(<double> g[i * LANES + j])
        for j in range(LANES):
            x = fabs(<double> g[i * LANES + j])
            most[j] = x if x > most[j] else most[j]
    for j in range(n - whole):
        x = fabs(<double> g[whole + j])
        product[j] = product[j] + <double> g[whole + j] * <double> d[whole + j]
        size[j] = size[j] + x
        most[j] = x if x > most[j] else most[j]
    for j in range(1, LANES):
        most[0] = most[j] if most[j] > most[0] else most[0]
    work.sums[block] = halves(product)
    work.sums[work.blocks + block] = halves(size)
    work.sums[2 * work.blocks + block] = most[0]


cdef inline void advance(real_t* out, const real_t* x, double step, const other_t* d, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = <real_t> (<double> x[i] + step * <double> d[i])


cdef inline double four(double acc, double wa, double a, double wb, double b, double wc, double c, double we,
                        double e) noexcept nogil:
    return (((acc + wa * a) + wb * b) + wc * c) + we * e


cdef inline void add_rows(double* acc, real_t** rows, const double* w, Py_ssize_t count, Py_ssize_t first,
                        Py_ssize_t n) noexcept nogil:
    """acc += w[0] rows[0] + w[1] rows[1] ... in this order, four rows to a pass over acc."""
    cdef Py_ssize_t i, j, k = 0
    cdef Py_ssize_t whole = n // LANES * LANES
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
        i = 0
        while i < whole:
            ask_for(a + i + SUM_BLOCK)
            ask_for(b + i + SUM_BLOCK)
            ask_for(c + i + SUM_BLOCK)
            ask_for(e + i + SUM_BLOCK)
            for j in range(i, i + LANES):
                acc[j] = four(acc[j], wa, a[j], wb, b[j], wc, c[j], we, e[j])
            i += LANES
        for j in range(whole, n):
            acc[j] = four(acc[j], wa, a[j], wb, b[j], wc, c[j], we, e[j])
        k += 4
    while k < count:
        a = rows[k] + first
        wa = w[k]
        for i in range(n):
            acc[i] = acc[i] + wa * <double> a[i]
        k += 1


cdef inline void combine(Work* work, real_t* out, real_t* d, const real_t* x, const real_t* g, Py_ssize_t block,
                         Py_ssize_t first, Py_ssize_t n) noexcept nogil:
    cdef double[SUM_BLOCK] acc
    cdef double[SUM_BLOCK] wide_g
    cdef Py_ssize_t i
    for i in range(n):
        wide_g[i] = g[i]
        acc[i] = work.scale * wide_g[i]
    add_rows(acc, <real_t**> work.rows, work.weights, work.count, first, n)
    for i in range(n):
        d[i] = <real_t> acc[i]
        acc[i] = <real_t> acc[i]
    advance(out, x, work.step, acc, n)
    two_dots(acc, wide_g, acc, n, 0, work.sums + block, work.sums + work.blocks + block)


cdef inline void pair(Work* work, real_t* s, real_t* y, real_t* g, const real_t* x_new, const real_t* x,
                      const real_t* g_new, Py_ssize_t block, Py_ssize_t first, Py_ssize_t n) noexcept nogil:
    cdef double[SUM_BLOCK] wide_y            # float64 once, not once for each row
    cdef double[SUM_BLOCK] wide_g
    cdef Py_ssize_t i, k
    cdef double* to = work.sums + block
    for i in range(n):
        s[i] = <real_t> (<double> x_new[i] - <double> x[i])
    for i in range(n):
        wide_y[i] = <real_t> (work.step * <double> g_new[i] - work.scale * <double> g[i])
        y[i] = <real_t> wide_y[i]
    for i in range(n):
        wide_g[i] = g_new[i]
        g[i] = g_new[i]
    for k in range(work.count):
        two_dots((<const real_t*> work.rows[k]) + first, wide_y, wide_g, n, SUM_BLOCK, to, to + work.blocks)
        to += 2 * work.blocks
    two_dots(s, wide_y, wide_g, n, 0, to, to + work.blocks)
    to += 2 * work.blocks
    two_dots(y, wide_y, wide_g, n, 0, to, to + work.blocks)
    to += 2 * work.blocks
    to[0] = dot(s, s, n)
    to[work.blocks] = dot(wide_g, wide_g, n)


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
        n = min(<Py_ssize_t> SUM_BLOCK, work.n - first)
        for j in range(first, first + n):
            h[j] = h[j] + (si * w[j] + wi * s[j])
        ha[k] = dot(h + first, a + first, n)
        hb[k] = dot(h + first, b + first, n)
        first += n
        k += 1
    (<double*> work.v[1])[i] = pairwise(ha, k)
    (<double*> work.v[2])[i] = pairwise(hb, k)


cdef inline void one_block(Work* work, real_t blank, Py_ssize_t block) noexcept nogil:
    """blank only carries a type."""
    cdef Py_ssize_t first = block * SUM_BLOCK
    cdef Py_ssize_t n = min(<Py_ssize_t> SUM_BLOCK, work.n - first)
    cdef real_t* v[MAX_VECTORS]
    cdef int k
    for k in range(MAX_VECTORS):
        v[k] = (<real_t*> work.v[k]) + first
    if work.operation == DOT:
        work.sums[block] = dot(v[0], v[1], n)
    elif work.operation == SLOPE:
        slope(work, v[0], v[1], block, n)
    elif work.operation == ADVANCE:
        advance(v[0], v[1], work.step, v[2], n)
    elif work.operation == COMBINE:
        combine(work, v[0], v[1], v[2], v[3], block, first, n)
    elif work.operation == PAIR:
        pair(work, v[0], v[1], v[2], v[3], v[4], v[5], block, first, n)


cdef inline void share_of_blocks(void* context, Py_ssize_t k, Py_ssize_t parts) noexcept nogil:
    """Share k of `parts` of a Work."""
    cdef Work* work = <Work*> context
    cdef Part part = share(work.blocks, k, parts)
    cdef Py_ssize_t block
    for block in range(part.begin, part.end):
        if work.operation == RANK_TWO:
            row_of_rank_two(work, block)
        elif work.narrow:
            one_block(work, <float> 0, block)
        else:
            one_block(work, <double> 0, block)
