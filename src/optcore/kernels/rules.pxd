# cython: cdivision=True
# The formulas of rules.pxi in float32.
#
# Owns nothing but that choice.

from libc.math cimport fabsf as absolute, sqrtf as square_root

ctypedef float real

include "rules.pxi"

# Down here since the loops that it registers take rule_t, traits and update from this file.
from optcore.kernels.registry cimport check_complete, enlist
