# cython: cdivision=True
# The walk over those rows of a tensor that a gradient touches.
#
# Owns which elements a row's numbers mean and how they reach the rule's loop; never a formula, nor how a row's gradient is
# summed (grouping.pxd). The index space is that of the touched rows' elements, lying end to end in the order of the rows'
# numbers; it is cut between rows.
#
# Design:
#   a) A row of float32 (or float64) arrays is stepped where it lies. Rows are met in no order that the processor could
#      foresee, so those to come are asked for beforehand.
#   b) Short rows of float32, and what is stored in other formats, are copied side by side into the first cache, stepped as
#      one and written back; rounding goes by the element's number in the whole table, as in a dense step.
#   c) What a row has missed is made up for first (catching_up.pxd), while the row is at hand.
#   d) A rule of one number a row adds the mean square of the row's gradient to that, and its loop meets it at each element.

from libc.math cimport INFINITY
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from optcore.kernels.catching_up cimport catch_up, mark, takes_part
from optcore.kernels.formats cimport SCRATCH, UNIT_BYTES, Format
from optcore.kernels.grouping cimport SOON, ask_for, ask_for_values, number, row_of, summed
from optcore.kernels.stages cimport aside, aside64, follow, prepare, read_parameters, write_parameters
from optcore.kernels.sums cimport block_of_squares
from optcore.kernels.tensor cimport MAX_SCALARS, MAX_SLOTS, PRELUDE, Rows, Tensor

cdef enum:
    SHORT = 32              # elements; shorter rows are copied together
    AHEAD = 16              # rows that are asked for beforehand


cdef inline void ask_for_row(const Tensor* t, Py_ssize_t u) noexcept nogil:
    cdef const Rows* r = t.rows
    cdef Py_ssize_t at = row_of(r, u) * r.width, word
    cdef int k
    ask_for(<const char*> t.p + at * t.p_format.bytes, r.width * t.p_format.bytes)
    for k in range(MAX_SLOTS):
        if t.s[k] != NULL and r.numbered and k == 0:
            ask_for(<const char*> t.s[k] + row_of(r, u) * t.s_format[k].bytes, 1)
        elif t.s[k] != NULL:
            ask_for(<const char*> t.s[k] + at * t.s_format[k].bytes, r.width * t.s_format[k].bytes)
    if r.words != NULL and takes_part(r):
        for word in range(r.starts[u], min(r.starts[u + 1], r.starts[u] + SOON)):
            ask_for_values(t, word)


cdef inline bint is_plain(const number* kind, const Tensor* t) noexcept nogil:
    """Whether the prelude leaves the gradient as it is."""
    cdef const number* x = <const number*> t.scalars
    return x[0] == 1 and x[1] == 0 and t.clip_value == INFINITY


cdef inline bint as_it_is(const Tensor* t) noexcept nogil:
    """Whether the loop reads and writes every array where it lies: always in float64; where rows are short, copies are
    faster."""
    cdef bint good = t.p_format.decode == NULL and (t.rows.width >= SHORT or t.rows.numbered)
    cdef int k
    for k in range(MAX_SLOTS):
        good = good and (t.s[k] == NULL or t.s_format[k].decode == NULL)
    return good or t.wide


cdef inline void in_place(const number* kind, const Tensor* t, Py_ssize_t u, Py_ssize_t stop) noexcept nogil:
    """Touched rows u..stop, each where it lies."""
    cdef number[SCRATCH] scratch
    cdef number[SCRATCH] numbers                    # a row's own, at each of its elements
    cdef number[MAX_SCALARS] scalars
    cdef Tensor c = t[0]
    cdef Py_ssize_t width = t.rows.width, at, column, m
    cdef bint active = takes_part(t.rows), numbered = t.rows.numbered, prepared = not is_plain(kind, t)
    cdef double mean = 0
    cdef int k
    while u < stop:
        if u + AHEAD < stop:
            ask_for_row(t, u + AHEAD)
        at = row_of(t.rows, u) * width
        if t.follows:
            follow(t, at, width)
        if active and numbered and width > SCRATCH:
            mean = mean_square(kind, t, u)
        column = 0
        while column < width:
            m = min(<Py_ssize_t> SCRATCH, width - column)
            c.p = <number*> t.p + at + column
            for k in range(MAX_SLOTS):
                if t.s[k] != NULL:
                    c.s[k] = <number*> t.s[k] + at + column
            if numbered:
                c.s[0] = numbers
            if t.rows.behind != NULL:
                catch_up(<number*> scratch, t, &c, row_of(t.rows, u), column, m)
            if active:
                c.g = summed(t, u, column, m, <number*> scratch)
                if numbered:
                    if prepared:
                        prepare(t, <const number*> c.p, <const number*> c.g, <number*> scratch, m, <number*> scalars)
                        c.g = scratch
                        c.scalars = scalars
                        c.clip_value = INFINITY
                    if width <= SCRATCH:
                        mean = block_of_squares(<const number*> c.g, m) / width
                    number_row(t, u, column == 0, mean, <number*> numbers, m)
                t.each(NULL, NULL, &c, 0, m)
            column += m
        if t.rows.behind != NULL:
            mark(t.rows, row_of(t.rows, u))
        if number is double:
            if active:
                aside64(t, at, width)
        elif active:
            aside(t, at, <const float*> t.p + at, width)
        elif t.copy != NULL:
            t.copy_format.nearest(<const float*> t.p + at, <char*> t.copy + at * t.copy_format.bytes, width)
        u += 1


cdef inline void copied(const Tensor* t, Py_ssize_t u, Py_ssize_t stop) noexcept nogil:
    """Touched rows u..stop of a tensor in float32's arithmetic, copied side by side; of a row that fills more than a
    scratch, a part at a time."""
    cdef float[2 + MAX_SLOTS][SCRATCH] scratch      # of g, p, then of the state
    cdef float[SCRATCH] none                        # a gradient of zeros, where rows are behind
    cdef float[MAX_SCALARS] scalars
    cdef Tensor c = t[0]
    cdef Tensor b = t[0]                            # of a row that is behind
    cdef Py_ssize_t width = t.rows.width, column = 0, m = min(<Py_ssize_t> SCRATCH, width)
    cdef Py_ssize_t rows = max(<Py_ssize_t> 1, SCRATCH // max(width, 1)), ahead, j, n
    cdef double mean = 0
    cdef int k
    c.g = scratch[0]
    c.p = scratch[1]
    for k in range(MAX_SLOTS):
        if t.s[k] != NULL:
            c.s[k] = scratch[2 + k]
    while u < stop:
        n = min(rows, stop - u)
        if column == 0:
            for ahead in range(u + n, min(u + 2 * n, stop)):
                ask_for_row(t, ahead)
        m = min(<Py_ssize_t> SCRATCH, width - column)
        for j in range(n):
            gather(t, u + j, column, m, scratch[0] + j * m, scratch[1] + j * m, scratch[2] + j * m)
        if t.rows.behind != NULL:
            for j in range(n):
                b.p = scratch[1] + j * m
                for k in range(MAX_SLOTS):
                    if t.s[k] != NULL:
                        b.s[k] = scratch[2 + k] + j * m
                catch_up(<float*> none, t, &b, row_of(t.rows, u + j), column, m)
        if t.rows.numbered and takes_part(t.rows):
            prepare(t, <const float*> scratch[1], <const float*> scratch[0], <float*> scratch[0], n * m, <float*> scalars)
            c.scalars = scalars
            c.clip_value = INFINITY
            for j in range(n):
                if width > SCRATCH:
                    if column == 0:
                        mean = mean_square(<const float*> NULL, t, u)
                else:
                    mean = block_of_squares(<const float*> scratch[0] + j * m, m) / width
                number_row(t, u + j, column == 0, mean, <float*> scratch[2] + j * m, m)
        if takes_part(t.rows):
            t.each(NULL, NULL, &c, 0, n * m)
        for j in range(n):
            scatter(t, u + j, column, m, scratch[1] + j * m, scratch[2] + j * m)
        column += m
        if column >= width:
            if t.rows.behind != NULL:
                for j in range(n):
                    mark(t.rows, row_of(t.rows, u + j))
            column = 0
            u += n


cdef inline void gather(const Tensor* t, Py_ssize_t u, Py_ssize_t column, Py_ssize_t m, float* g, float* p,
                        float* s) noexcept nogil:
    """A part of a row, at most a scratch, into one of each array."""
    cdef Py_ssize_t at = row_of(t.rows, u) * t.rows.width + column
    cdef const float* x
    cdef const Format* f
    cdef int k
    if takes_part(t.rows):
        x = summed(t, u, column, m, g)
        if x != g:
            memcpy(g, x, m * sizeof(float))
    if t.follows:
        follow(t, at, m)
    if t.p_format.decode == NULL:
        memcpy(p, <const float*> t.p + at, m * sizeof(float))
    else:
        read_parameters(t, at, p, m)
    for k in range(MAX_SLOTS):
        if t.s[k] == NULL or (t.rows.numbered and k == 0):
            continue
        f = t.s_format[k]
        if f.decode != NULL:
            f.decode(<const char*> t.s[k] + at * f.bytes, units_of(t, k, at), s + k * SCRATCH, m, t.codes >> (4 * k) & 15)
        else:
            memcpy(s + k * SCRATCH, <const float*> t.s[k] + at, m * sizeof(float))


cdef inline void scatter(const Tensor* t, Py_ssize_t u, Py_ssize_t column, Py_ssize_t m, const float* p,
                         const float* s) noexcept nogil:
    """And back."""
    cdef Py_ssize_t at = row_of(t.rows, u) * t.rows.width + column
    cdef const Format* f
    cdef float decay
    cdef int k, which
    for k in range(MAX_SLOTS):
        if t.s[k] == NULL or (t.rows.numbered and k == 0):
            continue
        f = t.s_format[k]
        if f.decode != NULL:
            which = t.decays >> (4 * k) & 15
            decay = (<const float*> t.scalars)[PRELUDE + which - 1] if which else 1
            f.encode(s + k * SCRATCH, <char*> t.s[k] + at * f.bytes, units_of(t, k, at), m, t.noise, k,
                     t.offset + <uint64_t> at, t.codes >> (4 * k) & 15, decay)
        else:
            memcpy(<float*> t.s[k] + at, s + k * SCRATCH, m * sizeof(float))
    if t.p_format.decode == NULL:
        memcpy(<float*> t.p + at, p, m * sizeof(float))
    else:
        write_parameters(t, at, p, m)
    if takes_part(t.rows):
        aside(t, at, p, m)
    elif t.copy != NULL:
        t.copy_format.nearest(p, <char*> t.copy + at * t.copy_format.bytes, m)


cdef inline uint8_t* units_of(const Tensor* t, int k, Py_ssize_t at) noexcept nogil:
    """Of the blocks from element `at` on; NULL where there are none."""
    return t.e[k] + at // t.s_format[k].block * UNIT_BYTES if t.s_format[k].block > 1 else NULL


cdef inline double mean_square(const number* kind, const Tensor* t, Py_ssize_t u) noexcept nogil:
    """Of the prepared gradient of a row that fills more than a scratch."""
    cdef number[SCRATCH] g, p
    cdef number[MAX_SCALARS] scalars
    cdef number[1] none
    cdef Py_ssize_t width = t.rows.width, column = 0, m, at = row_of(t.rows, u) * width
    cdef const number* x
    cdef double total = 0
    while column < width:
        m = min(<Py_ssize_t> SCRATCH, width - column)
        x = summed(t, u, column, m, <number*> g)
        if number is double:
            memcpy(p, <const double*> t.p + at + column, m * sizeof(double))
        else:
            if t.p_format.decode == NULL:
                memcpy(p, <const float*> t.p + at + column, m * sizeof(float))
            else:
                read_parameters(t, at + column, <float*> p, m)
        prepare(t, <const number*> p, x, <number*> g, m, <number*> scalars)
        total += block_of_squares(<const number*> g, m)
        column += m
    return total / width


cdef inline void number_row(const Tensor* t, Py_ssize_t u, bint first, double mean, number* s, Py_ssize_t m) noexcept nogil:
    """Let the row's number grow by the mean square, and stand at m elements of s. first: not at a later part of the row."""
    cdef number* at = <number*> t.s[0] + row_of(t.rows, u)
    cdef Py_ssize_t i
    if first:
        at[0] = at[0] + <number> mean
    for i in range(m):
        s[i] = at[0]


cdef inline void by_rows(const Tensor* t, Py_ssize_t lo, Py_ssize_t hi) noexcept nogil:
    """Elements lo..hi of the touched rows' own."""
    cdef Py_ssize_t u = lo // max(t.rows.width, 1), stop = hi // max(t.rows.width, 1)
    if as_it_is(t):
        if t.wide:
            in_place(<const double*> NULL, t, u, stop)
        else:
            in_place(<const float*> NULL, t, u, stop)
    else:
        copied(t, u, stop)
