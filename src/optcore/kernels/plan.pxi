# Many tensors held ready between steps. A part of _kernels.pyx, which includes it.
#
# Owns the one entry point that keeps something: the buffers of parameters and state. Never explains a refusal, and
# knows formats by their rows alone.

@cython.final
cdef class Plan:
    """The parameters and state of many tensors, held ready; `step` brings the gradients.

    rows: a (p, state..., compensation, copy, average) tuple of writable arrays for each tensor; the last three may be None,
    or be left out. They stay exported while the plan lives, so they are not freed under it. A parameter or copy that NumPy
    has resized nevertheless (refcheck=False) makes each later call a ValueError; NumPy refuses to resize the state, which
    has weak references. No two of them may overlap. numbers: what each tensor adds to the seed of the noise.
    round_to_nearest: parameters that are not float32 are, else stochastically. offsets: of shards, the number of each one's
    first element in its whole tensor, by which the noise goes; a multiple of 256 where there is 8-bit state. follows: where
    a copy is not what the parameter of its row rounds to, it was written to, and the parameter takes it; at each step, or,
    if False, from each tensor's second on. members: of which gradients, among those that its methods are given, the
    tensors' are; None: of all.
    tensor: a type with DLPack's exchange table (torch.Tensor), whose instances all rows and gradients are. Nothing
    is exported then: each step looks whether the arrays are where they were. Their strides may be any that leave
    no hole (the caller has seen to it), the same for all arrays of a row; so a gradient's must be too.
    """
    cdef int rule
    cdef bint busy
    cdef readonly Py_ssize_t refused    # the number of the gradient that was last not usable as it stands; -1: none
    cdef readonly Py_ssize_t taken      # steps that all tensors have taken; -1 where they differ
    cdef Py_ssize_t* counts     # and each of them
    cdef Py_ssize_t count, acquired, intervals, width, elements, got
    cdef Tensor* tensors        # as they stand, without gradients
    cdef Tensor* active         # those of this step
    cdef Py_buffer* held        # p, state and so on, at most `width` for each tensor
    cdef const Format** forms   # of each of them
    cdef Py_buffer** shapes     # of each tensor, p's
    cdef Py_buffer* grads
    cdef RowSteps by_rows       # None: no gradient was ever by rows
    cdef Interval* written      # every writable byte, sorted
    cdef Interval* zeroed       # the gradients that a step is to set to zero
    cdef Scalars* scalars       # of each block
    cdef uint64_t* numbers      # what each tensor adds to the seed
    cdef Exchange* exchange     # NULL: rows and gradients are buffers
    cdef object tensor
    cdef list members           # where its tensors' gradients stand among those that it is given; None: it is given its own
    cdef list rows              # the tensors, to be asked again
    cdef Whereabouts whereabouts    # of the arrays; None: they are tensors
    cdef Py_ssize_t** extents   # shape and strides of each tensor, as they were

    def __cinit__(self, int rule, list rows, list numbers, bint round_to_nearest=False, object tensor=None,
                  list offsets=None, list steps=None, list members=None, bint follows=False):
        cdef Py_ssize_t i, k
        cdef Py_buffer* b
        cdef const Format* f
        cdef tuple row
        cdef int slots = REGISTRY.rules[rule].slots
        self.rule = rule
        self.refused = -1
        self.members = members
        self.count = len(rows)
        self.width = 1 + slots + ASIDE
        self.tensors = <Tensor*> zeros(self.count, sizeof(Tensor))
        self.active = <Tensor*> zeros(self.count, sizeof(Tensor))
        self.held = <Py_buffer*> zeros(self.count * self.width, sizeof(Py_buffer))
        self.forms = <const Format**> zeros(self.count * self.width, sizeof(void*))
        self.shapes = <Py_buffer**> zeros(self.count, sizeof(Py_buffer*))
        self.grads = <Py_buffer*> zeros(self.count, sizeof(Py_buffer))
        self.written = <Interval*> zeros(self.count * self.width, sizeof(Interval))
        self.scalars = <Scalars*> zeros(self.count, sizeof(Scalars))
        self.numbers = <uint64_t*> zeros(self.count, sizeof(uint64_t))
        self.zeroed = <Interval*> zeros(self.count, sizeof(Interval))
        self.extents = <Py_ssize_t**> zeros(self.count, sizeof(Py_ssize_t*))
        self.counts = <Py_ssize_t*> zeros(self.count, sizeof(Py_ssize_t))
        if is_numbered(rule):
            self.by_rows = RowSteps(self.count, True)
        if tensor is not None:
            self.exchange = exchange_of(tensor)
            self.tensor = tensor
            self.rows = rows
        else:
            self.whereabouts = Whereabouts(rows, self.width - 2)
        for i in range(self.count):
            self.numbers[i] = numbers[i]
            self.shapes[i] = &self.held[self.acquired]
            row = rows[i]
            if len(row) != self.width and len(row) != self.width - ASIDE:
                raise ValueError(f"{NAMES[rule]} keeps {slots} state arrays, row {i} has {len(row) - 1}")
            for k in range(len(row)):
                if k > slots and row[k] is None:
                    continue
                b = &self.held[self.acquired]
                if not self.take(row[k], b, True, role_of(rule, k + 1 if k else 0), &f):
                    raise ValueError(f"array {k} of row {i} is not a writable buffer of a known format")
                self.forms[self.acquired] = f
                self.acquired += 1
                if self.exchange and k == 0:
                    self.extents[i] = own_extent(b)
                if not self.alike_in_row(i, k, b, f) or k == 0 and not self.exchange and not dense(b):
                    raise ValueError(f"array {k} of row {i} has another shape or order in memory than the parameter, or holes")
                if not attach(&self.tensors[i], rule, k + 1 if k else 0, b, f):
                    raise ValueError(f"array {k} of row {i} has a format that does not go with the parameter's: float64 goes "
                                     "with float64, a compensation with bfloat16")
                if b.len:
                    self.written[self.intervals] = Interval(<char*> b.buf, <char*> b.buf + b.len)
                    self.intervals += 1
            self.tensors[i].rounding = NEAREST if round_to_nearest else STOCHASTIC
            self.tensors[i].offset = offsets[i] if offsets is not None else 0
            self.tensors[i].follows = follows and self.tensors[i].copy != NULL
        if not apart(self.written, self.intervals):
            raise ValueError("two of the arrays to be written overlap")
        if steps is not None:
            self.start(steps)

    def __dealloc__(self):
        cdef Py_ssize_t i
        for i in range(self.acquired):
            PyBuffer_Release(&self.held[i])
        PyMem_Free(self.tensors)
        PyMem_Free(self.active)
        PyMem_Free(self.held)
        PyMem_Free(self.forms)
        PyMem_Free(self.shapes)
        PyMem_Free(self.grads)
        PyMem_Free(self.written)
        PyMem_Free(self.counts)
        PyMem_Free(self.scalars)
        PyMem_Free(self.numbers)
        PyMem_Free(self.zeroed)
        if self.extents:
            for i in range(self.count):
                PyMem_Free(self.extents[i])
        PyMem_Free(self.extents)

    cdef bint take(self, object x, Py_buffer* b, bint writable, int role, const Format** f) except -1:
        """Hold x, or describe it where it is a tensor; f[0] is its format then."""
        return self.take_tensor(x, b, role, f) if self.exchange else acquire(x, b, writable, role, f)

    # A function of its own: inlined above, its frame cost every buffer time too.
    cdef bint take_tensor(self, object x, Py_buffer* b, int role, const Format** f) noexcept:
        return borrow(self.exchange, self.tensor, x, b, role, f)

    cdef bint alike(self, Py_ssize_t i, const Py_buffer* b, const Format* f) noexcept:
        """Whether b, of format f, has the layout of parameter i."""
        # A tensor's strides are in elements.
        return same_layout(self.shapes[i], b, 1, 1) if self.exchange and f.block == 1 else fits(self.shapes[i], b, f)

    cdef bint alike_in_row(self, Py_ssize_t i, Py_ssize_t k, const Py_buffer* b, const Format* f) noexcept:
        """The same of array k of its row, which may hold one number a row of the parameter."""
        if k == 1 and is_numbered(self.rule):
            return fits_numbers(self.shapes[i], b, f, 1 if self.exchange else b.itemsize)
        return self.alike(i, b, f)

    cdef bint moved(self, Py_ssize_t i) noexcept:
        """Whether one of row i's tensors is not what or where it was."""
        cdef DLTensor t
        cdef Py_buffer b
        cdef Py_ssize_t was = self.shapes[i] - self.held, k
        for k, x in enumerate(<tuple> self.rows[i]):
            if x is None:
                continue
            if not (lend(self.exchange, self.tensor, x, &t) and has_format(&t, self.forms[was])
                    and describe(&t, self.forms[was], &b) and b.buf == self.held[was].buf
                    and self.alike_in_row(i, k, &b, self.forms[was])):
                return True
            was += 1
        return False

    cdef bint free_of(self, const Py_buffer* g) noexcept:
        """Whether no byte of g is one that the plan writes."""
        cdef Py_ssize_t low = 0, high = self.intervals, mid
        while low < high:                       # the first interval that ends after g begins
            mid = (low + high) // 2
            if self.written[mid].high > <char*> g.buf:
                high = mid
            else:
                low = mid + 1
        return g.len == 0 or low == self.intervals or self.written[low].low >= <char*> g.buf + g.len

    cdef bint reads_of(self, Plan other) noexcept:
        """Whether a gradient that is held is memory that the other plan writes; `refused` is then its number."""
        cdef Py_ssize_t k
        for k in range(self.got):
            if not other.free_of(&self.grads[k]) or (self.by_rows is not None and not other.free_of(
                    &self.by_rows.each[self.active[k].number].ids)):
                self.refused = self.active[k].number
                return True
        return False

    cdef Py_ssize_t hold_gradients(self, list grads, bint writable) except -2:
        """Hold the gradients that are not None, and line up their tensors in `active`. Returns how many; -1 with
        nothing held, when one is not usable as it stands."""
        self.got = 0
        try:
            return self.hold_each(self.mine(grads), writable)
        except:                         # also KeyboardInterrupt, in code of a gradient's own
            self.release(self.got)
            raise

    cdef list mine(self, list grads):
        """The gradients of the plan's own tensors."""
        return grads if self.members is None else [grads[i] for i in <list> self.members]

    cdef Py_ssize_t hold_each(self, list grads, bint writable) except -2:
        cdef Py_ssize_t i, k, n = 0, total = 0
        cdef bint good = True
        cdef const Format* f
        cdef Tensor* t
        if len(grads) != self.count:
            raise ValueError(f"{self.count} gradients are needed, got {len(grads)}")
        self.refused = -1
        for i in range(self.count):
            # A gradient's own code (__buffer__) may have run in the round before, and have changed the list.
            if i >= len(grads):
                raise RuntimeError("grads: the list was changed while its gradients were read")
            g = grads[i]
            if g is None:
                continue
            if self.exchange and self.moved(i) or not self.take_gradient(i, g, &self.grads[n], writable, &f):
                good = False
                self.refused = i
                break
            t = &self.active[n]
            if t.number == i and t.g_format == f and self.by_rows is None:       # as it stood at the last step
                t.g = self.grads[n].buf
            else:
                t[0] = self.tensors[i]
                attach(t, self.rule, 1, &self.grads[n], f)
                choose_loop(t, self.rule)
                t.number = i
                if self.by_rows is not None:
                    self.by_rows.walk(i, t, self.rule)
            t.start = total
            total += t.n
            n += 1
            self.got = n
            if not (self.goes_with(i, &self.grads[n - 1], f) and self.free_of(&self.grads[n - 1])):
                good = False
                self.refused = i
                break
        if good and writable:           # what is zeroed for one tensor must not be another's gradient
            for k in range(n):
                self.zeroed[k] = Interval(<char*> self.grads[k].buf, <char*> self.grads[k].buf + self.grads[k].len)
            good = apart(self.zeroed, n)
        self.elements = total
        if not good:
            self.release(n)
            return -1
        return n

    cdef void release(self, Py_ssize_t n) noexcept:
        cdef Py_ssize_t k
        for k in range(n):
            PyBuffer_Release(&self.grads[k])
            if self.by_rows is not None:
                self.by_rows.release(self.active[k].number)

    cdef bint take_gradient(self, Py_ssize_t i, object g, Py_buffer* b, bint writable, const Format** f) except -1:
        """Hold a gradient; one by rows is its values, and `by_rows` holds its ids."""
        if self.by_rows is None:
            if type(g) is not BY_ROWS:
                return self.take(g, b, writable, GRADIENT, f)
            self.by_rows = RowSteps(self.count, False)
        if not self.by_rows.begin(i, type(g) is BY_ROWS, self.shapes[i], self.tensors[i].n):
            return self.take(g, b, writable, GRADIENT, f)
        if not self.take(g.values, b, writable, GRADIENT, f):
            return False
        if hold_ids(&self.by_rows.each[i], g.ids):
            return True
        PyBuffer_Release(b)
        return False

    cdef bint goes_with(self, Py_ssize_t i, const Py_buffer* b, const Format* f) noexcept:
        """Whether the gradient that is held has the layout of parameter i, or of rows of it."""
        cdef const Py_buffer* p = self.shapes[i]
        cdef const RowStep* r
        if self.by_rows is None or not self.by_rows.has(i):
            return self.alike(i, b, f)
        r = &self.by_rows.each[i]
        return (values_fit(p, b, r.sort.count if r.given else r.of, 1 if self.exchange else p.itemsize,
                           1 if self.exchange else b.itemsize)
                and whole_blocks(&self.tensors[i], r.rows.width) and (not r.given or self.free_of(&r.ids)))

    cdef int find_rows(self, Py_ssize_t n, int num_threads) except -1:
        if self.by_rows is not None:
            self.elements = self.by_rows.group(self.active, n, num_threads)
        return 0

    cdef void enter(self) except *:
        if self.busy:
            raise RuntimeError("this optimizer is in the middle of a step in another thread")
        self.busy = True

    def start(self, list steps):
        """Count on from these counts, one for each tensor."""
        cdef Py_ssize_t i
        if len(steps) != self.count:
            raise ValueError(f"{self.count} counts are needed, got {len(steps)}")
        for i in range(self.count):
            self.counts[i] = steps[i]
        self.taken = self.counts[0] if self.count else 0
        for i in range(1, self.count):
            if self.counts[i] != self.counts[0]:
                self.taken = -1

    def steps(self):
        """How many steps each tensor has taken."""
        cdef Py_ssize_t i
        return [self.counts[i] if self.taken < 0 else self.taken for i in range(self.count)]

    cdef void note(self, Py_ssize_t n) noexcept:
        """Count a step of the n tensors in `active`."""
        cdef Py_ssize_t i
        if self.taken >= 0 and n == self.count:
            self.taken += 1
            return
        for i in range(self.count if self.taken >= 0 else 0):
            self.counts[i] = self.taken
        if n:
            self.taken = -1
        for i in range(n):
            self.counts[self.active[i].number] += 1

    def unusable(self, list grads, bint zero_grads=False):
        """The numbers of the gradients that `step` would not take by themselves, as they stand."""
        cdef Py_ssize_t i
        cdef const Format* f
        cdef Py_buffer b
        cdef bint good
        memset(&b, 0, sizeof(b))        # a tensor that is borrowed names no owner
        self.enter()
        try:
            look(self.whereabouts)
            found = []
            for i, g in enumerate(tuple(self.mine(grads)[:self.count])):    # its own code may change the list
                if g is None:
                    continue
                good = self.take_gradient(i, g, &b, zero_grads, &f)
                if good:
                    good = self.goes_with(i, &b, f) and self.free_of(&b)
                    PyBuffer_Release(&b)
                    if self.by_rows is not None:
                        self.by_rows.release(i)
                if not good:
                    found.append(i)
            return found
        finally:
            self.busy = False

    def squares(self, list grads, int num_threads=0):
        """The sum of squares of all gradients, in float64 and of a fixed shape; None when one is not usable as it
        stands. Finite just if they all are."""
        cdef Py_ssize_t n
        self.enter()
        try:
            look(self.whereabouts)                 # a gradient may lie where a parameter was before it was resized
            n = self.hold_gradients(grads, False)
            if n < 0:
                return None
            try:
                self.find_rows(n, num_threads)
                return sum_of_squares(self.active, n, self.elements, num_threads)
            finally:
                self.release(n)
        finally:
            self.busy = False

    cdef Py_ssize_t ready(self, tuple call, list grads, int num_threads, uint64_t seed, bint zero_grads,
                          double clip_value) except -2:
        """Hold all that a step needs, in `active`. Returns how many tensors take part; -1, with nothing held, when a
        gradient is not usable as it stands."""
        cdef Py_ssize_t k, n, block
        cdef Tensor* t
        cdef list blocks = <list?> call[0], which = <list?> call[1]
        if len(which) != self.count or len(blocks) > self.count:
            raise ValueError(f"{self.count} block numbers are needed, got {len(which)} with {len(blocks)} blocks")
        look(self.whereabouts)
        for k in range(len(blocks)):
            fill(self.scalars + k, blocks[k][1], self.rule)
        n = self.hold_gradients(grads, zero_grads)
        try:
            self.find_rows(n, num_threads)
            for k in range(n):
                t = &self.active[k]
                block = which[t.number]
                if not 0 <= block < len(blocks):
                    raise ValueError(f"which[{t.number}] is {block}, there are {len(blocks)} blocks")
                t.scalars = scalars_of(t, self.scalars + block)
                t.zero_grads = zero_grads
                t.clip_value = clip_value
                if t.average != NULL:
                    t.weight = blocks[block][2]
                if t.rows != NULL and t.rows.behind != NULL:
                    self.by_rows.each[t.number].behind.now = blocks[block][0]
                if t.narrow_in_loop or t.direct == NULL or t.p_format.decode != NULL:
                    t.noise = noise_of(seed + self.numbers[t.number], blocks[block][0])
        except BaseException:
            self.release(n)
            raise
        return n

    cdef void walk_and_count(self, Py_ssize_t n, int num_threads) noexcept:
        """The walk over what is held, and the count of it: no signal is handled between the two."""
        cdef Py_ssize_t k
        step_all(self.rule, self.active, n, self.elements, num_threads)
        for k in range(n):
            if self.active[k].rows != NULL and self.active[k].zero_grads:
                memset(self.grads[k].buf, 0, self.grads[k].len)
            if self.active[k].copy != NULL:
                self.active[k].follows = True
                self.tensors[self.active[k].number].follows = True
        self.note(n)
        self.release(n)

    def behind(self, Py_ssize_t i, tuple history):
        """Let rows of tensor i be brought up to date as a step touches them: see RowSteps.set_behind. None: no longer."""
        if self.by_rows is None:
            self.by_rows = RowSteps(self.count, False)
        self.by_rows.set_behind(i, history, rows_in(self.shapes[i]))

    def catch_up(self, Py_ssize_t i, ids, Py_ssize_t now, int num_threads=0, uint64_t seed=0):
        """Bring rows of tensor i, those of an array of their numbers or all, up to step now - 1. False, with nothing
        changed, if the numbers are not usable as they stand."""
        self.enter()
        try:
            look(self.whereabouts)
            self.by_rows.begin(i, ids is not None, self.shapes[i], self.tensors[i].n)
            return self.by_rows.catch_up(i, self.tensors[i], ids, self.rule, now, num_threads,
                                         noise_of(seed + self.numbers[i], now - 1))
        finally:
            self.busy = False

    @cython.binding(False)
    def step(self, tuple call, list grads, int num_threads=0, uint64_t seed=0, bint zero_grads=False,
             double clip_value=INFINITY):
        """Update every tensor whose gradient is not None, in one walk.

        call: (blocks, which). blocks: (step, scalars, weight of the average) triples; which[i] says which of them tensor i
        takes. Tensor i's noise has the seed seed + numbers[i]. zero_grads: set the gradients to zero as they are walked
        over. clip_value: the gradients' elements are brought into -clip_value..clip_value, after they are scaled. Returns
        how many tensors were updated, which it counts; -1, with nothing changed, when a gradient is not usable.
        """
        cdef Py_ssize_t n
        self.enter()
        try:
            n = self.ready(call, grads, num_threads, seed, zero_grads, clip_value)
            if n >= 0:
                self.walk_and_count(n, num_threads)
            return n
        finally:
            self.busy = False
