# One tensor as the engine sees it: its arrays, their formats, and what is to be done to it at this step.
#
# Owns the struct that entry points fill in and the walk reads; never a buffer, which whoever filled it in holds.

from libc.stdint cimport int64_t, uint8_t, uint64_t

from optcore.kernels.formats cimport Format
from optcore.kernels.rounding cimport Noise

cdef enum:
    MAX_SLOTS = 3
    PRELUDE = 3             # scalars before the rule's own: scale, couple, keep
    MAX_SCALARS = 16
    FADING = MAX_SLOTS + 1
    OF_ROW = 8              # a digit of Traits.codes in rules.pxi

cdef enum Rounding:         # of parameters that are not float32
    STOCHASTIC
    NEAREST

cdef struct Behind:         # rows that took no part in some steps and are to be as if they had, with a gradient of zero
    int64_t* last           # of each row of the tensor: the step that it was brought up to
    Py_ssize_t now          # the step that comes
    bint only               # nothing but bringing up to date: there is no gradient
    Py_ssize_t first        # the step that the following begin with, a row a step
    const float* narrow     # MAX_SCALARS of each
    const double* wide      # the same
    const double* fading    # FADING of each: what it multiplies the state arrays by, and the weight of the average
    Py_ssize_t terms        # steps that are made one by one after a row's last; -1: all

cdef struct Rows:           # a gradient that is given for some rows of a tensor: those that it touches
    Py_ssize_t count        # of them
    Py_ssize_t width        # elements of a row
    const uint64_t* words   # sorted: a row's number << bits | a place in the list of values; NULL: one for each row in turn
    int bits
    bint numbered           # state 0 is one number a row
    const Py_ssize_t* starts    # where the words of each row begin; then how many words there are
    const char* partials    # sums of the runs of rows that are there often, in the tensor's arithmetic
    const Py_ssize_t* firsts    # of each row, its first one there; then how many there are
    const Behind* behind    # NULL: a row that took no part in a step is left alone

cdef struct Tensor

# The first two arguments only carry types, they are never read; pointers to structs are alike to the machine.
ctypedef void (*span_fn)(const void* kind, const void* form, const Tensor* t, Py_ssize_t lo,
                         Py_ssize_t hi) noexcept nogil

cdef struct Tensor:         # at most 256 bytes: GCC copies a larger struct by a slow instruction, once for each chunk
    void* p                 # IN/OUT
    const void* g           # IN; set to zero behind the loop if `zero_grads`
    void* s[MAX_SLOTS]      # IN/OUT, the state in the row's order
    uint8_t* e[MAX_SLOTS]   # IN/OUT, the units of state in blocks; else NULL
    void* compensation      # IN/OUT: what p lacks of the parameter, in c_format; or NULL
    void* copy              # OUT: the new parameters to nearest, in copy_format; or NULL
    void* average           # IN/OUT: moved towards the new parameters by `weight`; or NULL
    const Format* p_format
    const Format* g_format
    const Format* s_format[MAX_SLOTS]
    const Format* c_format
    const Format* copy_format
    const Rows* rows        # NULL: the gradient has all elements
    int codes               # of the state, see Traits in rules.pxi
    int decays
    Rounding rounding
    int block               # cuts fall on multiples of it: the largest block of the state's formats
    uint8_t narrow_in_loop  # the loop itself reads and writes state, which is not float32
    uint8_t wide            # float64: parameter, state and average, and so the arithmetic
    uint8_t follows         # p is a master: where its copy is not what was stored, the copy was written to, and counts
    uint8_t zero_grads
    span_fn each            # the rule's loop, for that format
    span_fn direct          # a loop that reads and writes all arrays as they are; or NULL
    const void* scalars     # PRELUDE numbers, then the rule's struct; in the tensor's arithmetic
    double clip_value       # the gradient is first brought into -clip_value..clip_value
    double weight
    Py_ssize_t n            # elements; by rows, those of the touched rows
    Py_ssize_t start        # elements of the tensors before this one
    Py_ssize_t number       # which of its plan's tensors it is
    uint64_t offset         # number of this shard's first element in the whole tensor
    Noise noise             # of what is rounded stochastically
