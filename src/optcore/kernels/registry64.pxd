# The loops of float64 tensors, put into the rows that registry.pxd has made: the same list of rules is walked again.
#
# Owns nothing that lasts.

from optcore.kernels.formats cimport LOOP_FLOAT64
from optcore.kernels.loops64 cimport span
from optcore.kernels.rules64 cimport rule_t
from optcore.kernels.table cimport Registry
from optcore.kernels.tensor cimport span_fn


cdef inline int enlist(Registry* to, dict known, const rule_t* kind, str name) except -1:
    """Give the rule of this name its loop."""
    to.rules[<int> list(known).index(name)].spans[<int> LOOP_FLOAT64] = <span_fn> <void*> span[rule_t]
    return 0


cdef inline int check_complete(const Registry* to) except -1:
    return 0                # registry.pxd has counted the same list
