# Whose memory an array is: the chain of views down to the array that owns it, and weak references to arrays.
#
# Owns what plan.pxi asks of Python objects so as to notice that one is given other memory. Never touches an element.

cdef list family_of(object x):
    """x, and the arrays whose memory it is a view of, down to the one that owns it."""
    cdef list found = []
    cdef int depth
    for depth in range(64):             # an end, whatever `base` an object claims to have
        if x is None:
            break
        found.append(x)
        x = x.obj if isinstance(x, memoryview) else getattr(x, "base", None)
    return found


cdef Py_ssize_t* own_extent(Py_buffer* b) except NULL:
    """Let a buffer have a copy of its shape and strides, which belong to the tensor and may change with it."""
    cdef Py_ssize_t* kept = <Py_ssize_t*> zeros(2 * b.ndim, sizeof(Py_ssize_t))
    memcpy(kept, b.shape, b.ndim * sizeof(Py_ssize_t))
    memcpy(kept + b.ndim, b.strides, b.ndim * sizeof(Py_ssize_t))
    b.shape = kept
    b.strides = kept + b.ndim
    return kept


cdef object weak(object x):
    try:
        return PyWeakref_NewRef(x, None)
    except TypeError:                   # a memoryview or bytearray; these cannot be resized while exported
        return None


@cython.final
cdef class Whereabouts:
    """Where the arrays of rows lie: asked before each step, for far less than buffers acquired anew cost.

    rows: tuples of arrays; copy: the place of a copy in them, which like the parameter is seen outside. These two are
    watched. To the others there are weak references, beside which NumPy refuses to resize them.
    """
    cdef Watched* watched
    cdef Py_ssize_t count
    cdef list kept

    def __cinit__(self, list rows, Py_ssize_t copy):
        cdef Py_ssize_t at
        cdef list mine = []
        import numpy
        self.kept = []
        for row in rows:
            for at in range(len(<tuple> row)):
                for x in family_of((<tuple> row)[at]):
                    (mine if at == 0 or at == copy else self.kept).append(x)
        self.watched = <Watched*> zeros(len(mine), sizeof(Watched))
        for x in mine:
            if watch(x, numpy.ndarray, &self.watched[self.count]):
                self.count += 1
                owner = family_of(x).pop()
                if owner is not x and type(owner) is numpy.ndarray and owner.flags.owndata:
                    at = self.watched[self.count - 1].data - <const char*> <size_t> owner.ctypes.data
                    if at < 0 or at + x.nbytes > owner.nbytes:
                        raise ValueError("params: the array that a parameter is a view of was resized in place "
                                         "(refcheck=False); the view's memory is gone")
        self.kept = [mine, [weak(x) for x in self.kept]]

    def __dealloc__(self):
        PyMem_Free(self.watched)


cdef int look(Whereabouts w) except -1:
    """Refuse what is no longer where it was; before a gradient is looked at, which may lie in its old place."""
    cdef Py_ssize_t k
    if w is None:
        return 0
    for k in range(w.count):
        if not is_as_it_was(&w.watched[k]):
            raise ValueError("params: an array was resized in place (refcheck=False) since the optimizer took it; "
                             "make a new optimizer for it")
    return 0
