# The rules as data: for each one its loops, by the format of its state, and how many scalars and state arrays it takes.
#
# Owns the table's layout; registry.pxd and registry64.pxd fill it in.

from optcore.kernels.formats cimport LOOPS
from optcore.kernels.tensor cimport span_fn

cdef enum:
    MAX_RULES = 64

cdef struct Rule:
    span_fn spans[<int> LOOPS]
    int slots               # see Traits in rules.pxi
    int codes
    int decays
    int fields              # scalars of its own, behind those of the prelude

cdef struct Registry:
    Rule rules[MAX_RULES]
    int count
