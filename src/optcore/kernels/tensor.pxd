# One tensor as the engine sees it: its arrays, their formats, and what is to be done to it at this step.
#
# Owns the struct that entry points fill in and the walk reads; never a buffer, which whoever filled it in holds.

from libc.stdint cimport uint8_t, uint64_t

from optcore.kernels.formats cimport Format
from optcore.kernels.rounding cimport Noise

cdef enum:
    MAX_SLOTS = 3
    PRELUDE = 3             # scalars before the rule's own: scale, couple, keep
    MAX_SCALARS = 16

cdef enum Rounding:         # of parameters that are not float32
    STOCHASTIC
    NEAREST

cdef struct Tensor

# The first two arguments only carry types, they are never read; pointers to structs are alike to the machine.
ctypedef void (*span_fn)(const void* kind, const void* form, const Tensor* t, Py_ssize_t lo,
                         Py_ssize_t hi) noexcept nogil

cdef struct Tensor:         # at most 256 bytes: GCC copies a larger struct by a slow instruction, once for each chunk
    void* p                 # IN/OUT
    const void* g           # IN; set to zero behind the loop if `zero_grads`
    void* s[MAX_SLOTS]      # IN/OUT, the state in the row's order
    uint8_t* e[MAX_SLOTS]   # IN/OUT, the units of state in blocks; else NULL
    void* compensation      # IN/OUT, of p's format: what p lacks of the parameter; or NULL
    void* copy              # OUT: the new parameters to nearest, in copy_format; or NULL
    void* average           # IN/OUT: moved towards the new parameters by `weight`; or NULL
    const Format* p_format
    const Format* g_format
    const Format* s_format[MAX_SLOTS]
    const Format* copy_format
    int codes               # of the state, see Traits in rules.pxi
    int decays
    Rounding rounding
    int block               # cuts fall on multiples of it: the largest block of the state's formats
    bint narrow_in_loop     # the loop itself reads and writes state, which is not float32
    bint wide               # float64: parameter, state and average, and so the arithmetic
    bint follows            # p is a master: where its copy is not what was stored, the copy was written to, and counts
    bint zero_grads
    span_fn each            # the rule's loop, for that format
    span_fn direct          # a loop that reads and writes all arrays as they are; or NULL
    const void* scalars     # PRELUDE numbers, then the rule's struct; in the tensor's arithmetic
    double clip_value       # the gradient is first brought into -clip_value..clip_value
    double weight
    Py_ssize_t n            # elements
    Py_ssize_t start        # elements of the tensors before this one
    Py_ssize_t number       # which of its plan's tensors it is
    uint64_t offset         # number of this shard's first element in the whole tensor
    Noise noise             # of what is rounded stochastically
