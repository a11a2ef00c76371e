# What an optimizer asks before a step, whether it is its turn and still has what it was given; and the step of several
# plans as one.
#
# Owns the lock of one optimizer and the comparison of objects by identity. Never looks into an array.

cdef extern from "Python.h":
    ctypedef struct PyObject
    PyObject* PyList_GET_ITEM(object, Py_ssize_t)       # as pointers: only compared, so nothing is counted
    Py_ssize_t PyList_GET_SIZE(object)
    bint PyDict_Next(object, Py_ssize_t*, PyObject**, PyObject**)


@cython.final
cdef class Turn:
    """Whether somebody is at work on an optimizer: `with turn:`.

    Entering and leaving are C code, and the with statement handles no signal between them and what they guard, so an
    interrupt leaves no turn taken. Who comes in between is refused, not kept waiting: a handler of a signal that came
    in the middle of a step would wait for itself.
    """
    cdef bint taken
    cdef bint forked            # whether this process was a forked child when it was taken
    cdef list groups, params, sources, objects

    def watch(self, list groups, list params, list sources, list objects):
        """Let `unchanged` ask about these: the optimizer's groups and, one after another, the arrays in their "params";
        dicts and lists, and, one after another, the values in them."""
        self.groups, self.params, self.sources, self.objects = groups, params, sources, objects

    @cython.binding(False)
    def unchanged(self):
        """Whether groups and sources still hold just what they held."""
        return held(self.groups, self.params, self.sources, self.objects)

    @cython.binding(False)
    def __enter__(self):
        if self.taken:
            if TEAM.forked != self.forked:
                raise RuntimeError("this process was forked while another thread was in the middle of a step of this "
                                   "optimizer: its parameters may be half updated; make a new one from a saved state")
            raise RuntimeError("this optimizer is in the middle of a step in another thread, or a signal's handler asks")
        self.taken = True
        self.forked = TEAM.forked
        return self

    @cython.binding(False)
    def __exit__(self, kind, error, trace):
        self.taken = False
        return False


cdef bint same(list now, list objects, Py_ssize_t* k) noexcept:
    """Whether the list holds just the objects from number k[0] on, which is moved behind them."""
    cdef Py_ssize_t i, n = PyList_GET_SIZE(now)
    if k[0] + n > PyList_GET_SIZE(objects):
        return False
    for i in range(n):
        if PyList_GET_ITEM(now, i) != PyList_GET_ITEM(objects, k[0] + i):
            return False
    k[0] += n
    return True


cdef bint held(list groups, list params, list sources, list objects) except -1:
    cdef Py_ssize_t k = 0, at
    cdef PyObject* value
    for group in groups:
        mine = (<dict> group).get("params") if type(group) is dict else None
        if type(mine) is not list or not same(<list> mine, params, &k):
            return False
    if k != PyList_GET_SIZE(params):
        return False
    k = 0
    for source in sources:
        if type(source) is list:
            if not same(<list> source, objects, &k):
                return False
        elif type(source) is dict:
            at = 0
            while PyDict_Next(source, &at, NULL, &value):
                if k == PyList_GET_SIZE(objects) or value != PyList_GET_ITEM(objects, k):
                    return False
                k += 1
        else:
            return False
    return k == PyList_GET_SIZE(objects)


cdef bint mixed(list plans) except -1:
    """Whether a gradient that one of the plans holds is memory that another writes: they walk one after another, and each
    has looked at its own memory only."""
    cdef Plan plan, other
    for plan in plans:
        for other in plans:
            if other is not plan and plan.reads_of(other):
                return True
    return False


cdef void let_go(list plans, list held) noexcept:
    """Release what the first plans hold, as many gradients as `held` says, and leave all of them."""
    cdef Plan plan
    cdef Py_ssize_t k
    for k in range(len(held)):
        plan = plans[k]
        plan.release(held[k])
    for plan in plans:
        plan.busy = False


def usable_plans(list calls, bint zero_grads=False):
    """Whether step_plans would take these gradients as they stand. calls: (plan, grads) for each."""
    cdef Plan plan
    cdef Py_ssize_t n
    cdef list entered = [], held = []
    try:
        for call in calls:
            plan = <Plan?> call[0]
            plan.enter()
            entered.append(plan)
            look(plan.whereabouts)
            n = plan.hold_gradients(call[1], zero_grads)
            if n < 0:
                return False
            held.append(n)
        return not mixed(entered)
    finally:
        let_go(entered, held)


def step_plans(list calls, int num_threads=0, uint64_t seed=0, bint zero_grads=False, double clip_value=INFINITY):
    """Plan.step of several plans as one: all of them, or none. calls: (plan, call, grads) for each. Returns how
    many tensors were updated; -1, with nothing changed, when a gradient is not usable as it stands."""
    cdef Plan plan
    cdef Py_ssize_t n, total = 0
    cdef list entered = [], held = []
    try:
        for call in calls:
            plan = <Plan?> call[0]
            plan.enter()
            entered.append(plan)
            n = plan.ready(call[1], call[2], num_threads, seed, zero_grads, clip_value)
            if n < 0:
                return -1
            held.append(n)
        if mixed(entered):
            return -1
        while held:
            plan = entered[len(held) - 1]
            n = held.pop()
            plan.walk_and_count(n, num_threads)
            total += n
        return total
    finally:
        let_go(entered, held)
