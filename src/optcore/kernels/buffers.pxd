# cython: cdivision=True
# Python objects as memory: the buffer protocol, and what is asked of a buffer before the engine may walk it.
#
# Owns which buffers are taken as they stand; never raises: what is not taken is explained by step/arrays.py. And whether
# an array is still what it was: NumPy's resize(refcheck=False) frees memory that is exported as a buffer.

from cpython.buffer cimport (PyBUF_FORMAT, PyBUF_STRIDED_RO, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release,
                             PyObject_CheckBuffer, PyObject_GetBuffer)
from cpython.object cimport PyObject, PyObject_TypeCheck, PyTypeObject
from libc.stdlib cimport qsort
from optcore.kernels.formats cimport FORMATS, PARAMETER, Format, bytes_of
from optcore.kernels.platform cimport LITTLE_ENDIAN


cdef inline const Format* format_in(const Py_buffer* b, int roles) noexcept:
    """The format of a buffer that may play one of these roles; NULL for none."""
    cdef const char* c = b.format
    cdef const Format* f = FORMATS
    if c != NULL and (c[0] == c"=" or c[0] == c"@" or c[0] == (c"<" if LITTLE_ENDIAN else c">")):
        c += 1
    if c == NULL or c[0] == 0 or c[1] != 0:
        return NULL
    while not (f.character == c[0] and f.bytes == b.itemsize and f.roles & roles):
        f += 1
        if f.name == NULL:
            return NULL
    return f


cdef inline bint aligned(const void* x, const Format* f) noexcept:
    return not <Py_ssize_t> x & (f.unit - 1)


cdef inline bint acquire(object x, Py_buffer* b, bint writable, int roles, const Format** f) except -1:
    """Hold x as an aligned buffer of a format that may play one of these roles, which is f[0] then; False (nothing held)
    if it is not one. Its elements may lie in any order: see fits."""
    if not PyObject_CheckBuffer(x):
        return False
    try:
        PyObject_GetBuffer(x, b, PyBUF_STRIDES | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0))
    except Exception:                   # whatever the exporter says: step/arrays.py will ask again, and explain
        return False
    f[0] = format_in(b, roles)
    if f[0] != NULL and aligned(b.buf, f[0]):
        return True
    PyBuffer_Release(b)
    return False


cdef inline bint acquire_float32(object x, Py_buffer* b, bint writable) except -1:
    """The same, of float32 in C order and nothing else."""
    cdef const Format* f
    if not acquire(x, b, writable, PARAMETER, &f):
        return False
    if f.decode == NULL and in_c_order(b):
        return True
    PyBuffer_Release(b)
    return False


cdef inline bint fits(const Py_buffer* p, const Py_buffer* b, const Format* f) noexcept:
    """Whether b, of format f, has the shape of p and the same order in memory, or, in blocks, is as long as p's elements
    take."""
    if f.block > 1:
        return b.ndim == 1 and b.len == bytes_of(f, p.len // p.itemsize) and in_c_order(b)
    return same_layout(p, b, p.itemsize, b.itemsize)


cdef inline bint same_layout(const Py_buffer* a, const Py_buffer* b, Py_ssize_t x, Py_ssize_t y) noexcept:
    """Whether the same index means the same element in both: shapes, and strides where more than one element lies. An
    element is x in a's strides, y in b's."""
    cdef int k
    if not same_shape(a, b):
        return False
    if a.strides == NULL or b.strides == NULL:      # ctypes: C order
        return in_c_order(a) and in_c_order(b)
    for k in range(a.ndim):
        if a.shape[k] > 1 and a.strides[k] * y != b.strides[k] * x and a.len:
            return False
    return True


cdef inline bint in_c_order(const Py_buffer* b) noexcept:
    return lies_in_c_order(b, b.itemsize)


cdef inline bint lies_in_c_order(const Py_buffer* b, Py_ssize_t unit) noexcept:
    """The same, where an element is so many units in the strides."""
    cdef Py_ssize_t step = unit
    cdef int k
    if b.strides == NULL:
        return True
    for k in range(b.ndim - 1, -1, -1):
        if b.shape[k] > 1 and b.strides[k] != step:
            return b.len == 0
        step *= b.shape[k]
    return True


cdef inline bint dense(const Py_buffer* b) noexcept:
    """Whether the elements lie without a hole, in any order: dimension by dimension, from the one whose neighbours are
    nearest."""
    cdef Py_ssize_t step = b.itemsize
    cdef int k, found
    if in_c_order(b):
        return True
    while step < b.len:
        found = -1
        for k in range(b.ndim):
            if b.shape[k] > 1 and b.strides[k] == step:
                found = k
        if found < 0:
            return False
        step *= b.shape[found]
    return True


cdef inline bint same_shape(const Py_buffer* a, const Py_buffer* b) noexcept:
    cdef int k
    if a.ndim != b.ndim:
        return False
    for k in range(a.ndim):
        if a.shape[k] != b.shape[k]:
            return False
    return True


cdef inline bint disjoint(const Py_buffer* a, const Py_buffer* b) noexcept:
    return (a.len == 0 or b.len == 0 or <char*> a.buf + a.len <= <char*> b.buf
            or <char*> b.buf + b.len <= <char*> a.buf)


cdef struct Interval:       # memory that is written, from its first byte to one past its last
    char* low
    char* high


cdef inline int by_address(const void* a, const void* b) noexcept nogil:
    cdef const Interval* x = <const Interval*> a
    cdef const Interval* y = <const Interval*> b
    return (x.low > y.low) - (x.low < y.low)


cdef inline bint apart(Interval* x, Py_ssize_t n) noexcept nogil:
    """Whether no two of n intervals share a byte; sorts them. One without bytes shares none."""
    cdef char* end = NULL
    cdef Py_ssize_t i
    qsort(x, n, sizeof(Interval), by_address)
    for i in range(n):
        if x[i].high > x[i].low:
            if x[i].low < end:
                return False
            end = x[i].high
    return True


# ---------------------------------------------------------------------------------------------- arrays held for long

cdef struct ArrayHead:      # what follows PyObject in NumPy's PyArrayObject, the same in every version so far; watch() asks
    char* data
    int ndim
    Py_ssize_t* shape

cdef struct Watched:
    const ArrayHead* array
    const char* data        # as it was
    Py_ssize_t size         # in elements


cdef inline Py_ssize_t size_of(const ArrayHead* a) noexcept:
    cdef Py_ssize_t size = 1
    cdef int k
    for k in range(a.ndim):
        size *= a.shape[k]
    return size


cdef inline bint watch(object x, object kind, Watched* w) except -1:
    """Describe x, an array of NumPy's (`kind` is its class), in w, to be asked later whether it has been resized, for
    far less than a buffer acquired anew costs. False if x does not have the layout that is expected here."""
    cdef Py_buffer b
    cdef const ArrayHead* a = <const ArrayHead*> (<const char*> <PyObject*> x + sizeof(PyObject))
    cdef bint good
    cdef int k
    if not PyObject_TypeCheck(x, <PyTypeObject*> kind):
        return False
    try:
        PyObject_GetBuffer(x, &b, PyBUF_STRIDED_RO)
    except Exception:
        return False
    good = a.data == b.buf and a.ndim == b.ndim
    for k in range(b.ndim if good else 0):
        good = good and a.shape[k] == b.shape[k]
    PyBuffer_Release(&b)
    if good:
        w[0] = Watched(a, a.data, size_of(a))
    return good


cdef inline bint is_as_it_was(const Watched* w) noexcept:
    return w.array.data == w.data and size_of(w.array) == w.size
