# cython: cdivision=True
# Python objects as memory: the buffer protocol, and what is asked of a buffer before the engine may walk it.
#
# Owns which buffers are taken as they stand. Raises nothing: what is not taken is explained by _arrays.py.

from cpython.buffer cimport (PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release,
                             PyObject_CheckBuffer, PyObject_GetBuffer)
from optcore.kernels.bits16 cimport BFLOAT16, FLOAT16, FLOAT32, INT8, Format
from optcore.kernels.block8 cimport BLOCK8, blocks8
from optcore.kernels.platform cimport LITTLE_ENDIAN

cdef enum Formats:          # sets of formats
    F32 = 1
    BF16 = 2                # as its 16 bits, "H"
    F16 = 4
    I8 = 8


cdef inline int format_in(const Py_buffer* b) noexcept:
    """The one of Formats that a buffer has; 0 for none."""
    cdef const char* f = b.format
    if f != NULL and (f[0] == c"=" or f[0] == c"@" or f[0] == (c"<" if LITTLE_ENDIAN else c">")):
        f += 1
    if f == NULL or f[0] == 0 or f[1] != 0:
        return 0
    if f[0] == c"f" and b.itemsize == 4:
        return F32
    if b.itemsize == 2:
        return BF16 if f[0] == c"H" else (F16 if f[0] == c"e" else 0)
    return I8 if f[0] == c"B" and b.itemsize == 1 else 0


cdef inline bint acquire(object x, Py_buffer* b, bint writable, int formats) except -1:
    """Hold x as a C-contiguous, aligned buffer of one of these formats; False (nothing held) if it is not one."""
    if not PyObject_CheckBuffer(x):
        return False
    try:
        PyObject_GetBuffer(x, b, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0))
    except Exception:                   # whatever the exporter says: _arrays.py will ask again, and explain
        return False
    # 8-bit codes are read four at a time.
    if format_in(b) & formats and not <Py_ssize_t> b.buf & ((4 if b.itemsize == 1 else b.itemsize) - 1):
        return True
    PyBuffer_Release(b)
    return False


cdef inline Format format_of(const Py_buffer* b) noexcept:
    """The format of a buffer that was acquired."""
    cdef int f = format_in(b)
    return FLOAT32 if f == F32 else (BFLOAT16 if f == BF16 else (FLOAT16 if f == F16 else INT8))


cdef inline bint fits(const Py_buffer* p, const Py_buffer* b) noexcept:
    """Whether b has the shape of p, or, in INT8, is as long as its blocks."""
    if b.itemsize == 1:
        return b.ndim == 1 and b.len == blocks8(p.len // p.itemsize) * (BLOCK8 + 1)
    return same_shape(p, b)


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
