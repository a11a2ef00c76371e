# One tensor as the engine sees it: its arrays, their formats, and what is to be done to it at this step.

from libc.stdint cimport uint8_t, uint64_t

from optcore.kernels.bits16 cimport Format, Noise

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

cdef struct Tensor:
    void* p                 # IN/OUT
    const void* g           # IN; set to zero behind the loop if `clear`
    void* s[MAX_SLOTS]      # IN/OUT, the state in the row's order
    uint8_t* e[MAX_SLOTS]   # IN/OUT, the exponents of state in INT8
    void* rest              # IN/OUT, bfloat16: what p, which is bfloat16 too, lacks of the parameter; or NULL
    void* copy              # OUT: the new parameters to nearest, in copy_format; or NULL
    float* average          # IN/OUT: moved towards the new parameters by `weight`; or NULL
    Format p_format
    Format g_format
    Format s_format[MAX_SLOTS]
    Format copy_format
    bint nonneg[MAX_SLOTS]    # that state is never negative
    Rounding rounding
    bint blocks             # some state is INT8: cuts fall on its blocks
    bint state_in_loop      # the loop itself reads and writes the state's format
    bint plain              # and everything else is float32
    bint clear
    span_fn each            # the rule's loop, for that format
    const float* scalars    # PRELUDE floats, then the rule's struct
    float clip              # the gradient is first brought into -clip..clip
    float weight
    Py_ssize_t n            # elements
    Py_ssize_t start        # elements of the tensors before this one
    Py_ssize_t number       # which of its plan's tensors it is
    uint64_t first          # number of this shard's first element in the whole tensor
    uint64_t seed           # of the noise
    uint64_t step
    Noise noise             # of the state
