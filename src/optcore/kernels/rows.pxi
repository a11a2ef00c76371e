# Gradients by rows, from Python objects to what the walk takes. A part of _kernels.pyx, which includes it.
#
# Owns which lists of row numbers are taken as they stand, and the memory in which they are sorted; never explains a
# refusal.

cdef type BY_ROWS = type(None)      # the class of a gradient by rows: step/rows.py tells it


def take_by_rows(type kind):
    """Instances of this class are gradients by rows: `ids`, the numbers of rows, and `values`, an array of those rows."""
    global BY_ROWS
    BY_ROWS = kind


cdef struct RowStep:
    Rows rows
    Grouping sort
    Py_buffer ids
    bint given              # by rows, else all of them
    Py_ssize_t of           # rows of the table
    void* memory            # of the sort
    size_t room
    void* partials
    size_t partials_room
    Behind behind
    Py_buffer[4] history    # last, narrow, wide, fading: of `behind`


cdef Pace grouping_paces[5][<int> SIZES]


cdef bint hold_ids(RowStep* r, object ids) except -1:
    """Hold a list of numbers of some of its rows; False, with nothing held, if it is not usable as it stands."""
    cdef Py_buffer* b = &r.ids
    cdef const char* c
    cdef bint good
    try:
        PyObject_GetBuffer(ids, b, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
    except Exception:
        return False
    c = b.format
    good = (c != NULL and (c[0] == c"i" or c[0] == c"l" or c[0] == c"q") and c[1] == 0 and b.ndim == 1
            and (b.itemsize == 4 or b.itemsize == 8) and not <Py_ssize_t> b.buf & (b.itemsize - 1))
    if good:
        r.sort.wide = b.itemsize == 8
        r.sort.count = b.shape[0]
        r.sort.ids = b.buf
        good = (all_below(<const int64_t*> b.buf, b.shape[0], r.of) if r.sort.wide
                else all_below(<const int32_t*> b.buf, b.shape[0], r.of))
    if not good:
        PyBuffer_Release(b)
    return good


cdef bint values_fit(const Py_buffer* p, const Py_buffer* values, Py_ssize_t count, Py_ssize_t p_unit,
                     Py_ssize_t unit) noexcept:
    """Whether these are `count` rows of p, and both lie in C order. An element is so many units in the strides."""
    cdef int k
    if p.ndim < 1 or values.ndim != p.ndim or values.shape[0] != count:
        return False
    for k in range(1, p.ndim):
        if values.shape[k] != p.shape[k]:
            return False
    return lies_in_c_order(p, p_unit) and lies_in_c_order(values, unit)


cdef bint fits_numbers(const Py_buffer* p, const Py_buffer* b, const Format* f, Py_ssize_t unit) noexcept:
    """Whether b holds one number for each row of p. An element is so many units in its strides."""
    return p.ndim > 0 and b.ndim == 1 and b.shape[0] == p.shape[0] and f.block == 1 and lies_in_c_order(b, unit)


cdef Py_ssize_t rows_in(const Py_buffer* p) noexcept:
    return p.shape[0] if p.ndim else 1


cdef bint whole_blocks(const Tensor* t, Py_ssize_t width) noexcept:
    """Whether no block of the state holds parts of two rows."""
    cdef int k
    for k in range(MAX_SLOTS):
        if t.s_format[k] != NULL and width % t.s_format[k].block:
            return False
    return True


cdef void walk_by_rows(RowStep* r, Tensor* t, int rule) noexcept:
    """Let a tensor, whose loop has been chosen, be walked by rows."""
    t.rows = &r.rows
    t.each = REGISTRY.rules[rule].spans[<int> LOOP_FLOAT64 if t.wide else <int> LOOP_FLOAT32]
    t.narrow_in_loop = False
    t.direct = NULL


cdef inline void in_team(int which, share_fn function, void* work, Py_ssize_t size, int num_threads) noexcept nogil:
    run(&TEAM, num_threads, size, &grouping_paces[which][size_class(size)], 1, function, work)


cdef void* roomy(void** memory, size_t* room, size_t needed) except NULL:
    """Memory of so many bytes at least; what was in it is lost."""
    if needed > room[0] or memory[0] == NULL:
        PyMem_Free(memory[0])
        room[0] = 0
        memory[0] = PyMem_Malloc(needed + needed // 4 + 64)
        if memory[0] == NULL:
            raise MemoryError
        room[0] = needed
    return memory[0]


cdef int group_rows(RowStep* r, Tensor* t, int num_threads) except -1:
    """Find which rows are touched, and by what: `rows` and `n` of the tensor."""
    cdef Grouping* g = &r.sort
    cdef Py_ssize_t n = g.count, i, at, u, took
    cdef uint64_t* words[2]
    cdef Py_ssize_t* starts
    cdef Py_ssize_t* firsts
    cdef int passes, k, digits = bits_for(r.of)
    if not r.given:
        r.rows.count = r.of
        r.rows.words = NULL
        t.n = r.of * r.rows.width
        return 0
    g.bits = bits_for(n)
    if g.bits + digits > 64:
        raise OverflowError(f"{n} places in {r.of} rows: more than can be sorted")
    g.sections = min(max(n // SECTION, <Py_ssize_t> 1), <Py_ssize_t> MOST_SECTIONS)
    passes = max((digits + MOST_DIGIT - 1) // MOST_DIGIT, 1)
    g.digit = (digits + passes - 1) // passes
    words[0] = <uint64_t*> roomy(&r.memory, &r.room, (4 * n + 2 + (g.sections << MOST_DIGIT)) * sizeof(uint64_t))
    words[1] = words[0] + n
    starts = <Py_ssize_t*> (words[1] + n)
    firsts = starts + n + 1
    g.tally = firsts + n + 1
    g.starts = starts
    g.words = NULL
    with nogil:
        for k in range(passes):
            g.shift = g.bits + k * g.digit
            g.sorted = words[k % 2]
            in_team(0, count_digits, g, n, num_threads)
            make_room(g)
            in_team(1, put_in_order, g, n, num_threads)
            g.words = g.sorted
        in_team(2, count_rows, g, n, num_threads)
        at = 0
        for i in range(g.sections):
            took = g.tally[i]
            g.tally[i] = at
            at += took
        in_team(3, list_rows, g, n, num_threads)
    starts[at] = n
    r.rows.count = at
    r.rows.words = g.words
    r.rows.bits = g.bits
    r.rows.starts = starts
    r.rows.firsts = firsts
    t.n = at * r.rows.width
    if n > RUN and takes_part(&r.rows):
        i = 0
        for u in range(at):
            firsts[u] = i
            i += runs_of(&r.rows, u)
        firsts[at] = i
        if i:
            r.rows.partials = <const char*> roomy(&r.partials, &r.partials_room, i * r.rows.width * sizeof(double))
            with nogil:
                in_team(4, sum_runs, t, i * RUN * r.rows.width, num_threads)
    return 0


@cython.final
cdef class RowSteps:
    """What is held of the gradients by rows of many tensors, or, if numbered, of those of a rule that keeps a number of
    each row, which are all walked by rows."""
    cdef RowStep* each
    cdef Py_ssize_t count

    def __cinit__(self, Py_ssize_t count, bint numbered):
        cdef Py_ssize_t i
        self.each = <RowStep*> zeros(count, sizeof(RowStep))
        self.count = count
        for i in range(count):
            self.each[i].rows.numbered = numbered

    def __dealloc__(self):
        cdef Py_ssize_t i
        for i in range(self.count if self.each else 0):
            PyMem_Free(self.each[i].memory)
            PyMem_Free(self.each[i].partials)
            self.set_behind(i, None, 0)
        PyMem_Free(self.each)

    cdef int set_behind(self, Py_ssize_t i, tuple history, Py_ssize_t rows) except -1:
        """What tensor i's rows may have missed, or None. history: (last, first, narrow, wide, fading, terms), see Behind."""
        cdef RowStep* r = &self.each[i]
        cdef int k
        r.rows.behind = NULL
        for k in range(4):
            PyBuffer_Release(&r.history[k])
        if history is None:
            return 0
        last, first, narrow, wide, fading, terms = history
        for k, x in enumerate((last, narrow, wide, fading)):
            PyObject_GetBuffer(x, &r.history[k], PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if k == 0 else 0))
            if r.history[k].itemsize != (4 if k == 1 else 8) or k == 0 and r.history[k].len != 8 * rows:
                raise ValueError(f"history: array {k} has another shape or dtype")
        r.behind.last = <int64_t*> r.history[0].buf
        r.behind.narrow = <const float*> r.history[1].buf
        r.behind.wide = <const double*> r.history[2].buf
        r.behind.fading = <const double*> r.history[3].buf
        r.behind.first = first
        r.behind.terms = terms
        r.behind.only = False
        r.rows.behind = &r.behind
        return 0

    cdef bint catch_up(self, Py_ssize_t i, Tensor t, object ids, int rule, Py_ssize_t now, int num_threads,
                       Noise noise) except -1:
        """See Plan.catch_up. t: tensor i."""
        cdef RowStep* r = &self.each[i]
        if ids is not None and not hold_ids(r, ids):
            return False
        t.g_format = FORMATS            # of no gradient
        choose_loop(&t, rule)
        walk_by_rows(r, &t, rule)
        t.scalars = <const void*> r.behind.wide if t.wide else <const void*> r.behind.narrow     # of any step
        t.noise = noise
        r.behind.only = True
        r.behind.now = now
        try:
            group_rows(r, &t, num_threads)
            step_all(rule, &t, 1, t.n, num_threads)
        finally:
            r.behind.only = False
            self.release(i)
        return True

    cdef bint begin(self, Py_ssize_t i, bint given, const Py_buffer* p, Py_ssize_t n) noexcept:
        """Take note of what the gradient of tensor i is, a parameter of n elements. Returns `given`."""
        cdef RowStep* r = &self.each[i]
        r.given = given
        r.ids.len = 0
        r.of = rows_in(p)
        r.rows.width = n // max(r.of, <Py_ssize_t> 1)
        return given

    cdef bint has(self, Py_ssize_t i) noexcept:
        """Whether tensor i is walked by rows."""
        return self.each[i].given or self.each[i].rows.numbered

    cdef void walk(self, Py_ssize_t i, Tensor* t, int rule) noexcept:
        if self.has(i):
            walk_by_rows(&self.each[i], t, rule)

    cdef void release(self, Py_ssize_t i) noexcept:
        PyBuffer_Release(&self.each[i].ids)

    cdef Py_ssize_t group(self, Tensor* tensors, Py_ssize_t n, int num_threads) except -1:
        """Find the rows that are touched, and where each tensor's elements then stand. Returns how many elements all of
        them have."""
        cdef Py_ssize_t k, total = 0
        for k in range(n):
            if tensors[k].rows != NULL:
                group_rows(&self.each[tensors[k].number], &tensors[k], num_threads)
            tensors[k].start = total
            total += tensors[k].n
        return total
