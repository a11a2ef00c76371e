# cython: cdivision=True
# Python objects as memory: the buffer protocol, and what is asked of a buffer before the engine may walk it.
#
# Owns which buffers are taken as they stand. Raises nothing: what is not taken is explained by _arrays.py.

from cpython.buffer cimport (PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release,
                             PyObject_CheckBuffer, PyObject_GetBuffer)
from libc.string cimport strchr

from optcore._codecs cimport BFLOAT16, FLOAT16, FLOAT32, Format
from optcore._platform cimport LITTLE_ENDIAN


cdef inline bint acquire(object x, Py_buffer* b, bint writable, int formats) except -1:
    """Hold x as a C-contiguous, aligned float32 buffer; False (nothing held) if it is not one.

    formats: 1 if bfloat16 (as its 16 bits, "H") will do as well, as for state; 2 if float16 ("e") too, as for a
    gradient.
    """
    cdef const char* f
    if not PyObject_CheckBuffer(x):
        return False
    try:
        PyObject_GetBuffer(x, b, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0))
    except Exception:                   # whatever the exporter says: _arrays.py will ask again, and explain
        return False
    f = b.format
    if f != NULL and (f[0] == c"=" or f[0] == c"@" or f[0] == (c"<" if LITTLE_ENDIAN else c">")):
        f += 1
    if (f != NULL and f[0] != 0 and f[1] == 0
            and (f[0] == c"f" and b.itemsize == 4
                 or b.itemsize == 2 and (f[0] == c"H" and formats >= 1 or f[0] == c"e" and formats >= 2))
            and not <Py_ssize_t> b.buf & (b.itemsize - 1)):
        return True
    PyBuffer_Release(b)
    return False


cdef inline Format format_of(const Py_buffer* b) noexcept:
    """The format of a buffer that was acquired."""
    return FLOAT32 if b.itemsize == 4 else (FLOAT16 if strchr(b.format, c"e") != NULL else BFLOAT16)


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
