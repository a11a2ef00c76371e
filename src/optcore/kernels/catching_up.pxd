# cython: cdivision=True
# What a row missed while it took no part in its tensor's steps, as if it had, with a gradient of zero.
#
# Owns how that is made up for, by the rule's own loop; never which rows, nor the formats of their arrays (rows.pxd).
#
# Design:
#   a) The first steps that were missed are made one by one, to the bits of a dense step. So many (`terms`) that what the
#      first moment would still move the parameters by is below their rounding; which number that is, and that the rest are
#      products, the rule's row says. Of the rest, state and parameters are multiplied by the product of their factors, formed
#      in double and rounded once.
#   b) A row whose state is all zero stays so, where the rule's row says anything: after one step only decay reaches it.
#   c) A moving average of the parameters follows them at each of these steps; all are then made one by one.

from libc.math cimport INFINITY
from libc.stdint cimport int64_t
from libc.string cimport memset

from optcore.kernels.grouping cimport number
from optcore.kernels.stages cimport prepare
from optcore.kernels.sums cimport block_of_squares
from optcore.kernels.tensor cimport FADING, MAX_SCALARS, MAX_SLOTS, Behind, Rows, Tensor


cdef inline bint takes_part(const Rows* r) noexcept nogil:
    """Whether there is a gradient, and not only what was missed."""
    return r.behind == NULL or not r.behind.only


cdef inline void mark(const Rows* r, Py_ssize_t row) noexcept nogil:
    """The row is up to date, with the step that is made."""
    r.behind.last[row] = r.behind.now - (1 if r.behind.only else 0)


cdef inline bint at_rest(const number* kind, const Tensor* c, Py_ssize_t m) noexcept nogil:
    cdef const number* s
    cdef bint nothing = True
    cdef Py_ssize_t i
    cdef int k
    for k in range(MAX_SLOTS):
        if c.s[k] != NULL:
            s = <const number*> c.s[k]
            for i in range(m):
                nothing = nothing and s[i] == 0
    return nothing


cdef inline void catch_up(number* none, const Tensor* t, Tensor* c, Py_ssize_t row, Py_ssize_t column,
                          Py_ssize_t m) noexcept nogil:
    """m elements of a row from a column on, whose parameters and state are c's, in the tensor's arithmetic. none: a scratch
    of at least m."""
    cdef const Behind* b = t.rows.behind
    cdef Py_ssize_t k = b.last[row] + 1 - b.first, stop = b.now - b.first, end = stop
    cdef Py_ssize_t at = row * t.rows.width + column
    if k >= stop:
        return
    if b.terms >= 0 and t.average == NULL:
        end = min(stop, k + (min(b.terms, <Py_ssize_t> 1) if at_rest(<const number*> none, c, m) else b.terms))
    while k < end:
        memset(none, 0, m * sizeof(number))
        step_without_gradient(none, t, c, row, k, m)
        if t.average != NULL:
            follow_with(<number*> t.average + at, <const number*> c.p, b.fading[k * FADING + MAX_SLOTS], m)
        k += 1
    if k < stop:
        fade(<const number*> none, t, c, k, stop, m)
    c.scalars = t.scalars
    c.clip_value = t.clip_value


cdef inline void step_without_gradient(number* none, const Tensor* t, Tensor* c, Py_ssize_t row, Py_ssize_t k,
                                       Py_ssize_t m) noexcept nogil:
    """Step k of those that are known."""
    cdef number[MAX_SCALARS] scalars
    cdef number* sum_of_row
    cdef number* s
    cdef Py_ssize_t i
    if number is float:
        c.scalars = t.rows.behind.narrow + k * MAX_SCALARS
    else:
        c.scalars = t.rows.behind.wide + k * MAX_SCALARS
    c.clip_value = INFINITY
    c.g = none
    if t.rows.numbered:
        prepare(c, <const number*> c.p, <const number*> none, none, m, <number*> scalars)
        c.scalars = scalars
        sum_of_row = <number*> t.s[0] + row
        sum_of_row[0] = sum_of_row[0] + <number> (block_of_squares(<const number*> none, m) / m)
        s = <number*> c.s[0]
        for i in range(m):
            s[i] = sum_of_row[0]
    t.each(NULL, NULL, c, 0, m)


cdef inline void follow_with(number* average, const number* p, double weight, Py_ssize_t m) noexcept nogil:
    cdef number w = <number> weight
    cdef Py_ssize_t i
    for i in range(m):
        average[i] = average[i] + w * (p[i] - average[i])


cdef inline void fade(const number* kind, const Tensor* t, Tensor* c, Py_ssize_t k, Py_ssize_t stop,
                      Py_ssize_t m) noexcept nogil:
    """What steps k..stop do when nothing moves any more: each array times the product of its factors."""
    cdef const Behind* b = t.rows.behind
    cdef double[FADING] product
    cdef number factor
    cdef number* x
    cdef Py_ssize_t i
    cdef int j
    for j in range(FADING):
        product[j] = 1
    for i in range(k, stop):
        for j in range(MAX_SLOTS):
            product[j] = product[j] * b.fading[i * FADING + j]
        if number is float:
            product[MAX_SLOTS] = product[MAX_SLOTS] * b.narrow[i * MAX_SCALARS + 2]
        else:
            product[MAX_SLOTS] = product[MAX_SLOTS] * b.wide[i * MAX_SCALARS + 2]
    for j in range(FADING):
        x = <number*> (c.p if j == MAX_SLOTS else c.s[j])
        factor = <number> product[j]
        if x != NULL and factor != 1 and not (j == 0 and t.rows.numbered):
            for i in range(m):
                x[i] = x[i] * factor
