# THE table of storage formats: one row a format, at the end of this file, says all that the kernels know of it.
#
# Owns what may be stored in which format, how wide it is, and by which functions it becomes float32 and back; never
# how they do it (bits16.pxd, block8.pxd, compensation.pxd). Nothing else tells formats apart: whoever meets an array asks
# its row. To add a format, write its row and the functions that its roles need.
#
# Design:
#   a) The formulas work in float32, the first row, or for float64 parameters in float64; every other format is decoded
#      a chunk at a time into the first cache and encoded from there, so a format is no loop more for any rule. Only
#      bfloat16 has loops of its own (`loop`, `gradient`, `whole`): there reading and rounding hide behind the division.
#   b) The functions are called by pointer, once for each array and chunk: no branch over formats is written anywhere.
#   c) The table is filled once, at the import, and only read from then on.

from cpython.mem cimport PyMem_Calloc
from libc.stdint cimport uint8_t, uint64_t

from optcore.kernels.bits16 cimport decode_bfloat16, decode_float16, encode_bfloat16, nearest_bfloat16, nearest_float16
from optcore.kernels.block8 cimport BLOCK8, decode_blocks, encode_blocks
from optcore.kernels.compensation cimport join_kahan, join_residual, split_kahan, split_residual
from optcore.kernels.rounding cimport Noise

cdef enum:                  # roles, in the order of an entry point's arrays
    PARAMETER = 1
    GRADIENT = 2
    STATE = 4
    COMPENSATION = 8        # what a parameter of bfloat16 lacks
    COPY = 16               # of the new parameters
    AVERAGE = 32            # of the parameters

cdef enum:                  # DLPack's type codes
    SIGNED_INT = 0          # kDLInt
    UNSIGNED = 1            # kDLUInt
    IEEE = 2                # kDLFloat
    BRAIN = 4               # kDLBfloat

cdef enum Loop:             # which version of the rules' loops reads and writes arrays of a format itself
    LOOP_FLOAT32
    LOOP_BFLOAT16
    LOOP_GRADIENT16         # of gradients, where p and state are float32
    LOOP_ALL16              # of all of a tensor's arrays
    LOOP_FLOAT64            # of float64 tensors: parameter, state and average are all of this format, and so the arithmetic
    LOOPS
    AROUND                  # none: decode, the loop on float32, encode

cdef enum:
    MAX_FORMATS = 16
    UNIT_BYTES = 4          # of a block's unit, a float32
    SCRATCH = 1024          # elements decoded at a time: with all of a rule's arrays 20 KiB, half a first cache. A
                            # multiple of every block.

# units, code, decay: of formats in blocks; others do not look at them. The units are those before the step, and become
# those after it; decay: what the values were multiplied by at the step. offset: the number of the first value in its
# whole tensor, by which the noise goes. slot: which of a tensor's arrays it is, so that each has noise of its own.
ctypedef void (*decode_fn)(const void* stored, const uint8_t* units, float* to, Py_ssize_t n,
                           int code) noexcept nogil
ctypedef void (*encode_fn)(const float* values, void* stored, uint8_t* units, Py_ssize_t n, Noise noise, int slot,
                           uint64_t offset, int code, float decay) noexcept nogil
ctypedef void (*nearest_fn)(const float* values, void* stored, Py_ssize_t n) noexcept nogil
ctypedef void (*split_fn)(const float* values, void* stored, void* lack, Py_ssize_t n, Noise noise,
                          uint64_t offset) noexcept nogil
ctypedef void (*join_fn)(const void* stored, const void* lack, float* to, Py_ssize_t n) noexcept nogil

cdef struct Format "optcore_format":
    const char* name            # as in the table of formats/
    char character              # of the buffer protocol
    int code                    # DLPack's, of 8 * bytes bits
    Py_ssize_t bytes            # of an element
    Py_ssize_t unit             # bytes: an array's address is a multiple of it
    int block                   # elements that share a unit; these, UNIT_BYTES a block, follow all codes. 1: none
    int roles
    Loop loop                   # of state
    Loop gradient               # of gradients beside float32
    Loop whole                  # of parameters and gradients as well, where these are rounded stochastically
    decode_fn decode            # to float32; NULL: it is that, or nothing by itself
    encode_fn encode            # rounds stochastically: STATE, PARAMETER
    nearest_fn nearest          # COPY, PARAMETER
    split_fn split              # a float32 into a bfloat16 and itself: COMPENSATION
    join_fn join                # and back

cdef extern from *:
    """
    static struct optcore_format* optcore_formats;      /* a .pxd file cannot define a variable of its own */
    """
    Format* FORMATS "optcore_formats"                   # ends with a row that has no name


cdef inline Py_ssize_t blocks_in(const Format* f, Py_ssize_t n) noexcept nogil:
    """How many blocks n elements take."""
    return (n + f.block - 1) // f.block


cdef inline Py_ssize_t bytes_of(const Format* f, Py_ssize_t n) noexcept nogil:
    """How many bytes n elements take."""
    return n * f.bytes if f.block == 1 else blocks_in(f, n) * (f.block * f.bytes + UNIT_BYTES)


cdef inline void decode_float64(const void* stored, const uint8_t* units, float* to, Py_ssize_t n,
                                int code) noexcept nogil:
    cdef const double* x = <const double*> stored
    cdef Py_ssize_t i
    for i in range(n):
        to[i] = <float> x[i]            # rounded once, to nearest


cdef inline int row(Format f) except -1:
    """Append a row that has what its roles need."""
    cdef int k = 0, needs = COMPENSATION if f.split == NULL or f.join == NULL else 0
    cdef bint bare = f.decode == NULL and f.roles != <int> COMPENSATION
    while FORMATS[k].name != NULL:
        k += 1
    if bare or f.loop == LOOP_FLOAT64:              # the arithmetic's own: nothing has to be done but for these roles
        needs |= COPY
    else:
        if f.encode == NULL: needs |= STATE | PARAMETER
        if f.nearest == NULL: needs |= PARAMETER | COPY
        needs |= AVERAGE
    if (k == MAX_FORMATS or (k == 0) != bare or f.roles & needs or f.block < 1 or SCRATCH % f.block
            or f.unit < f.bytes):
        raise SystemError(f"kernels/formats.pxd: row {k} lacks what its roles need, or does not fit")
    FORMATS[k] = f
    return 0


cdef inline int fill_formats() except -1:
    global FORMATS
    FORMATS = <Format*> PyMem_Calloc(MAX_FORMATS + 1, sizeof(Format))
    if FORMATS == NULL:
        raise MemoryError
    # name, character, code, bytes, unit, block, roles, loop, gradient, whole, decode, encode, nearest, split, join
    row(Format("float32", c"f", IEEE, 4, 4, 1, PARAMETER | GRADIENT | STATE | AVERAGE, LOOP_FLOAT32, AROUND, AROUND,
               NULL, NULL, NULL, NULL, NULL))
    row(Format("bfloat16", c"H", BRAIN, 2, 2, 1, PARAMETER | GRADIENT | STATE | COMPENSATION | COPY, LOOP_BFLOAT16,
               LOOP_GRADIENT16, LOOP_ALL16, decode_bfloat16, encode_bfloat16, nearest_bfloat16, split_kahan, join_kahan))
    row(Format("float16", c"e", IEEE, 2, 2, 1, GRADIENT | COPY, AROUND, AROUND, AROUND,
               decode_float16, NULL, nearest_float16, NULL, NULL))
    row(Format("int8", c"B", UNSIGNED, 1, 4, BLOCK8, STATE, AROUND, AROUND, AROUND,   # codes; packed in words of 4 bytes
               decode_blocks, encode_blocks, NULL, NULL, NULL))
    row(Format("float64", c"d", IEEE, 8, 8, 1, PARAMETER | GRADIENT | STATE | AVERAGE, LOOP_FLOAT64, AROUND, AROUND,
               decode_float64, NULL, NULL, NULL, NULL))
    row(Format("residual", c"b", SIGNED_INT, 1, 1, 1, COMPENSATION, AROUND, AROUND, AROUND,
               NULL, NULL, NULL, split_residual, join_residual))
    return 0
