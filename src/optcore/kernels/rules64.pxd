# cython: cdivision=True
# The formulas of rules.pxi in float64.
#
# Owns nothing but that choice.

from libc.math cimport fabs as absolute, sqrt as square_root

ctypedef double real

include "rules.pxi"

from optcore.kernels.registry64 cimport check_complete, enlist      # down here as in rules.pxd
