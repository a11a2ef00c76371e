"""Second-order and quasi-Newton minimization in SciPy's conventions. Imported when first asked for."""
from optcore.minimizers.driver import bfgs, lbfgs, minimize, newton, newton_cg
from optcore.minimizers.minimizer import Minimizer

__all__ = ["Minimizer", "bfgs", "lbfgs", "minimize", "newton", "newton_cg"]
