# cython: cdivision=True
# Tensors of a framework as memory, by DLPack's exchange table, with no Python object made.
#
# Owns the table's layout (dlpack.h, 1.3; its ABI is stable) and which tensors are taken as they stand. What is borrowed
# is not held: whoever keeps an address asks again before each use. Never raises, as buffers.pxd.

from cpython.object cimport PyObject_TypeCheck, PyTypeObject
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from optcore.kernels.buffers cimport aligned
from optcore.kernels.formats cimport FORMATS, Format

cdef enum:
    CPU = 1                     # kDLCPU


cdef struct DLTensor:
    void* data
    int32_t device
    int32_t device_number
    int32_t ndim
    uint8_t code
    uint8_t bits
    uint16_t lanes
    int64_t* shape              # both belong to the tensor
    int64_t* strides            # in elements
    uint64_t byte_offset

cdef struct Exchange:           # DLPackExchangeAPI
    uint32_t major
    uint32_t minor
    Exchange* previous
    void* allocator
    void* managed_from_object
    void* managed_to_object
    int (*borrow)(void* x, DLTensor* to) except? -1         # holds no reference; may be NULL
    void* stream


cdef inline Exchange* exchange_of(object kind) except NULL:
    """The table of a type whose instances are tensors."""
    if not isinstance(kind, type):
        raise TypeError(f"tensor: a type is needed, got {kind!r}")
    cdef Exchange* table = <Exchange*> PyCapsule_GetPointer(kind.__dlpack_c_exchange_api__, "dlpack_exchange_api")
    if table.major != 1 or table.borrow == NULL:
        raise TypeError(f"{kind.__name__}: its DLPack exchange table is of another kind than 1.3")
    return table


cdef inline bint lend(const Exchange* table, object kind, object x, DLTensor* t) noexcept:
    """Whether x is a tensor of this kind in memory of the CPU, which is described in t."""
    if not PyObject_TypeCheck(x, <PyTypeObject*> kind):
        return False
    try:
        table.borrow(<void*> x, t)
    except Exception:
        return False
    return t.device == CPU and t.lanes == 1


cdef inline bint has_format(const DLTensor* t, const Format* f) noexcept:
    return f.code == t.code and 8 * f.bytes == t.bits


cdef inline bint describe(const DLTensor* t, const Format* f, Py_buffer* b) noexcept:
    """Describe a tensor of format f as a buffer; False if it cannot be taken as it stands.

    b gets no owner, so where its memory was zero before, releasing it does nothing. Its shape and strides (in elements)
    belong to the tensor.
    """
    cdef Py_ssize_t n = 1
    cdef int k
    if f.block > 1 and not (t.ndim == 1 and (t.shape[0] < 2 or t.strides[0] == 1)):
        return False
    for k in range(t.ndim):
        n *= t.shape[k]
    b.buf = <char*> t.data + t.byte_offset
    b.itemsize = f.bytes
    b.len = n * f.bytes
    b.ndim = t.ndim
    b.shape = <Py_ssize_t*> t.shape
    b.strides = <Py_ssize_t*> t.strides
    return n == 0 or t.data != NULL and aligned(b.buf, f)


cdef inline bint borrow(const Exchange* table, object kind, object x, Py_buffer* b, int roles,
                        const Format** format) noexcept:
    """Describe x, memory of the CPU in a format that may play one of these roles, in b; False if it is not such."""
    cdef DLTensor t
    cdef const Format* f = FORMATS
    if not lend(table, kind, x, &t):
        return False
    while not (has_format(&t, f) and f.roles & roles):
        if f.name == NULL:
            return False
        f += 1
    format[0] = f
    return describe(&t, f, b)
