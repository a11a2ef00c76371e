# cython: cdivision=True
# Gradients by rows: which places of a list of row numbers name which row, and the sum of the values at them.
#
# Owns a stable radix sort, shared out among threads, and the order in which values of one row are added; never what is
# done with the sums (rows.pxd, sums.pxd), nor the memory, which whoever fills in a Grouping holds.
#
# Design:
#   a) A word is a row's number and, below it, a place. Sorted by the row's digits, the lowest first, words of one row keep
#      the order of their places. A radix sort meets rows that come very often as fast as others.
#   b) The list is cut into sections, whose number depends on its length alone; threads only share them out.
#   c) The values of a row are added in the order of their places, in runs of RUN; the sums of the runs are then added in
#      their order. So the shape is fixed, and where a row fills more than a run, threads share out its runs (`partials`).

from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memset

from optcore.kernels.formats cimport LOOP_FLOAT64, SCRATCH
from optcore.kernels.platform cimport prefetch
from optcore.kernels.team cimport Part, share
from optcore.kernels.tensor cimport Rows, Tensor

cdef enum:
    SECTION = 4096          # places, at least
    MOST_SECTIONS = 16
    MOST_DIGIT = 11         # bits of one
    RUN = 256               # places
    SOON = 4                # places of a row whose values are asked for beforehand
    ASKED = 512             # bytes of each, at most; the processor finds what follows
    CACHE_LINE = 64


ctypedef fused number:
    float
    double

ctypedef fused id_t:
    int32_t
    int64_t

ctypedef fused source_t:    # of a pass: ids, or words sorted by the digits before
    int32_t
    int64_t
    uint64_t


cdef struct Grouping:
    const void* ids
    bint wide               # they are int64, else int32
    Py_ssize_t count        # of them
    Py_ssize_t sections
    int bits                # of a place
    int digit               # bits of this pass's digit
    int shift               # where it stands in a word
    const uint64_t* words   # sorted by the digits before; NULL: the ids themselves, in the first pass
    uint64_t* sorted        # OUT
    Py_ssize_t* tally       # of each section: how many words have each digit; then, where the next of them goes
    Py_ssize_t* starts      # OUT: where the words of each row begin


cdef inline int bits_for(Py_ssize_t n) noexcept nogil:
    """Of a number below n."""
    cdef int bits = 0
    while bits < 62 and n > (<Py_ssize_t> 1 << bits):
        bits += 1
    return bits


cdef inline bint all_below(const id_t* ids, Py_ssize_t n, Py_ssize_t rows) noexcept nogil:
    """Whether every id is a row's number."""
    cdef int64_t outside = 0        # below 0 as soon as one was, or left less than nothing
    cdef Py_ssize_t i
    for i in range(n):
        outside |= <int64_t> ids[i] | (<int64_t> rows - 1 - <int64_t> ids[i])
    return outside >= 0


cdef inline uint64_t word(source_t x, Py_ssize_t i, int bits) noexcept nogil:
    if source_t is uint64_t:
        return x
    else:
        return <uint64_t> x << bits | <uint64_t> i


cdef inline void count_in(const source_t* x, const Grouping* g, Py_ssize_t section) noexcept nogil:
    cdef Part part = share(g.count, section, g.sections)
    cdef Py_ssize_t* tally = g.tally + (section << g.digit)
    cdef int bits = g.bits, shift = g.shift
    cdef uint64_t mask = (<uint64_t> 1 << g.digit) - 1
    cdef Py_ssize_t i
    memset(tally, 0, (mask + 1) * sizeof(Py_ssize_t))
    for i in range(part.begin, part.end):
        tally[word(x[i], i, bits) >> shift & mask] += 1


cdef inline void place_in(const source_t* x, const Grouping* g, Py_ssize_t section) noexcept nogil:
    cdef Part part = share(g.count, section, g.sections)
    cdef Py_ssize_t* next_of = g.tally + (section << g.digit)
    cdef uint64_t* to = g.sorted
    cdef int bits = g.bits, shift = g.shift
    cdef uint64_t mask = (<uint64_t> 1 << g.digit) - 1, w
    cdef Py_ssize_t i, at
    for i in range(part.begin, part.end):
        w = word(x[i], i, bits)
        at = next_of[w >> shift & mask]
        next_of[w >> shift & mask] = at + 1
        to[at] = w


cdef inline void count_digits(void* work, Py_ssize_t k, Py_ssize_t parts) noexcept nogil:
    cdef const Grouping* g = <const Grouping*> work
    cdef Part mine = share(g.sections, k, parts)
    cdef Py_ssize_t s
    for s in range(mine.begin, mine.end):
        if g.words != NULL:
            count_in(g.words, g, s)
        elif g.wide:
            count_in(<const int64_t*> g.ids, g, s)
        else:
            count_in(<const int32_t*> g.ids, g, s)


cdef inline void make_room(const Grouping* g) noexcept nogil:
    """Of the counts, make where the first word of each digit and section goes."""
    cdef Py_ssize_t at = 0, n, d, s
    for d in range(<Py_ssize_t> 1 << g.digit):
        for s in range(g.sections):
            n = g.tally[(s << g.digit) + d]
            g.tally[(s << g.digit) + d] = at
            at += n


cdef inline void put_in_order(void* work, Py_ssize_t k, Py_ssize_t parts) noexcept nogil:
    cdef const Grouping* g = <const Grouping*> work
    cdef Part mine = share(g.sections, k, parts)
    cdef Py_ssize_t s
    for s in range(mine.begin, mine.end):
        if g.words != NULL:
            place_in(g.words, g, s)
        elif g.wide:
            place_in(<const int64_t*> g.ids, g, s)
        else:
            place_in(<const int32_t*> g.ids, g, s)


cdef inline void count_rows(void* work, Py_ssize_t k, Py_ssize_t parts) noexcept nogil:
    """How many rows begin in each section."""
    cdef const Grouping* g = <const Grouping*> work
    cdef const uint64_t* words = g.words
    cdef Part mine = share(g.sections, k, parts), part
    cdef int bits = g.bits
    cdef Py_ssize_t s, i, n
    for s in range(mine.begin, mine.end):
        part = share(g.count, s, g.sections)
        n = part.begin == 0 and part.end > 0
        for i in range(max(part.begin, <Py_ssize_t> 1), part.end):
            n += words[i] >> bits != words[i - 1] >> bits
        g.tally[s] = n


cdef inline void list_rows(void* work, Py_ssize_t k, Py_ssize_t parts) noexcept nogil:
    """And where."""
    cdef const Grouping* g = <const Grouping*> work
    cdef const uint64_t* words = g.words
    cdef Py_ssize_t* starts = g.starts
    cdef Part mine = share(g.sections, k, parts), part
    cdef int bits = g.bits
    cdef Py_ssize_t s, i, at
    for s in range(mine.begin, mine.end):
        part = share(g.count, s, g.sections)
        at = g.tally[s]
        for i in range(part.begin, part.end):
            if i == 0 or words[i] >> bits != words[i - 1] >> bits:
                starts[at] = i
                at += 1


# ---------------------------------------------------------------------------------------------- sums


cdef inline Py_ssize_t row_of(const Rows* r, Py_ssize_t u) noexcept nogil:
    """The number of touched row u."""
    return u if r.words == NULL else <Py_ssize_t> (r.words[r.starts[u]] >> r.bits)


cdef inline Py_ssize_t place(const Rows* r, Py_ssize_t k) noexcept nogil:
    """Where word k's values stand."""
    return k if r.words == NULL else <Py_ssize_t> (r.words[k] & ((<uint64_t> 1 << r.bits) - 1))


cdef inline const number* values_at(const Tensor* t, Py_ssize_t k, Py_ssize_t column, Py_ssize_t m,
                                    number* to) noexcept nogil:
    """m <= SCRATCH values of word k from a column on, in the tensor's arithmetic; as they stand, or in `to`."""
    cdef const char* g = <const char*> t.g + (place(t.rows, k) * t.rows.width + column) * t.g_format.bytes
    cdef float[SCRATCH] decoded
    cdef Py_ssize_t i
    if number is float:
        if t.g_format.decode == NULL:
            return <const float*> g
        t.g_format.decode(g, NULL, to, m, 0)
    else:
        if t.g_format.loop == LOOP_FLOAT64:
            return <const double*> g
        if t.g_format.decode != NULL:
            t.g_format.decode(g, NULL, decoded, m, 0)
            g = <const char*> decoded
        for i in range(m):
            to[i] = (<const float*> g)[i]
    return to


cdef inline void ask_for(const void* x, Py_ssize_t bytes) noexcept nogil:
    cdef const char* end = <const char*> x + min(bytes, <Py_ssize_t> ASKED)
    cdef const char* at = <const char*> x - (<size_t> x & (CACHE_LINE - 1))
    while at < end:
        prefetch(at)
        at += CACHE_LINE


cdef inline void ask_for_values(const Tensor* t, Py_ssize_t k) noexcept nogil:
    """Those of word k."""
    cdef Py_ssize_t bytes = t.rows.width * t.g_format.bytes
    ask_for(<const char*> t.g + place(t.rows, k) * bytes, bytes)


cdef inline void add_places(const Tensor* t, Py_ssize_t k, Py_ssize_t end, Py_ssize_t column, Py_ssize_t m,
                            number* to) noexcept nogil:
    """The sum of words k..end, at least one."""
    cdef number[SCRATCH] scratch
    cdef const number* x = values_at(t, k, column, m, to)
    cdef Py_ssize_t i, j
    if x != to:
        for i in range(m):
            to[i] = x[i]
    for j in range(k + 1, end):
        if j + SOON < end:
            ask_for_values(t, j + SOON)
        x = values_at(t, j, column, m, scratch)
        for i in range(m):
            to[i] = to[i] + x[i]


cdef inline const number* summed(const Tensor* t, Py_ssize_t u, Py_ssize_t column, Py_ssize_t m,
                                 number* to) noexcept nogil:
    """The gradient of touched row u, m <= SCRATCH elements from a column on; as it stands, or in `to`."""
    cdef const Rows* r = t.rows
    cdef Py_ssize_t begin, end, i, j
    cdef const number* x
    if r.words == NULL:
        return values_at(t, u, column, m, to)
    begin = r.starts[u]
    end = r.starts[u + 1]
    if end - begin == 1:
        return values_at(t, begin, column, m, to)
    if end - begin <= RUN:
        add_places(t, begin, end, column, m, to)
        return to
    x = <const number*> r.partials + r.firsts[u] * r.width + column
    for i in range(m):
        to[i] = x[i]
    for j in range(1, (end - begin + RUN - 1) // RUN):
        x += r.width
        for i in range(m):
            to[i] = to[i] + x[i]
    return to


cdef inline Py_ssize_t runs_of(const Rows* r, Py_ssize_t u) noexcept nogil:
    """How many partial sums row u takes: none where one run holds all."""
    cdef Py_ssize_t n = r.starts[u + 1] - r.starts[u]
    return (n + RUN - 1) // RUN if n > RUN else 0


cdef inline void add_runs(const number* kind, const Tensor* t, Py_ssize_t begin, Py_ssize_t stop) noexcept nogil:
    """Partial sums begin..stop, in the order of the rows that take them."""
    cdef const Rows* r = t.rows
    cdef Py_ssize_t low = 0, high = r.count, mid, u, k, first, column, m
    while low < high:                               # the first row whose partial sums end after `begin`
        mid = (low + high) // 2
        if r.firsts[mid] + runs_of(r, mid) > begin:
            high = mid
        else:
            low = mid + 1
    u = low
    while begin < stop:
        k = begin - r.firsts[u]
        if k >= runs_of(r, u):
            u += 1
            continue
        first = r.starts[u] + k * RUN
        column = 0
        while column < r.width:
            m = min(<Py_ssize_t> SCRATCH, r.width - column)
            add_places(t, first, min(first + RUN, r.starts[u + 1]), column, m,
                       <number*> r.partials + begin * r.width + column)
            column += m
        begin += 1


cdef inline void sum_runs(void* work, Py_ssize_t k, Py_ssize_t parts) noexcept nogil:
    """Share k of `parts` of a tensor's partial sums."""
    cdef const Tensor* t = <const Tensor*> work
    cdef Part part = share(t.rows.firsts[t.rows.count], k, parts)
    if t.wide:
        add_runs(<const double*> NULL, t, part.begin, part.end)
    else:
        add_runs(<const float*> NULL, t, part.begin, part.end)
