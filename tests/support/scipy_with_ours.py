"""A pytest plugin: SciPy's own tests of minimize run with ours in the place of BFGS, L-BFGS-B and Newton-CG.

Options that ours do not have are left out; bounds and everything else go to SciPy's own.
"""
from __future__ import annotations

import importlib

import optcore as oc

OURS = {"bfgs": "bfgs", "l-bfgs-b": "lbfgs", "newton-cg": "newton-cg"}
KNOWN = {"gtol", "ftol", "maxiter", "maxfun", "maxls", "maxcor", "disp", "hess_inv0"}
COUNTED = [0]


def pytest_configure(config):
    for marker in ("fail_slow", "xslow", "slow", "thread_unsafe", "parallel_threads_limit", "skip_xp_backends",
                   "xfail_xp_backends", "array_api_backends", "xfail_on_32bit", "uses_xp_capabilities",
                   "iterations", "no_multithreading"):
        config.addinivalue_line("markers", f"{marker}: of SciPy's suite")
    optimize = importlib.import_module("scipy.optimize")
    tests = importlib.import_module("scipy.optimize.tests.test_optimize")
    own = optimize.minimize

    def minimize(fun, x0, args=(), method=None, jac=None, hess=None, hessp=None, bounds=None, constraints=(), tol=None,
                 callback=None, options=None):
        name = OURS.get(str(method).lower()) if isinstance(method, str) else None
        other = isinstance(hess, (str, optimize.HessianUpdateStrategy))
        if name is None or bounds is not None or len(constraints) or other:
            return own(fun, x0, args, method, jac, hess, hessp, bounds, constraints, tol, callback, options)
        COUNTED[0] += 1
        curvature = {"hess": hess, "hessp": hessp} if name == "newton-cg" else {}
        kept = {k: v for k, v in (options or {}).items() if k in KNOWN and v is not None}
        return oc.minimize(fun, x0, args, name, jac if callable(jac) or jac in (True, "3-point") else None, **curvature,
                           tol=tol, callback=callback, options=kept)

    optimize.minimize = tests.optimize.minimize = minimize
    if hasattr(tests, "minimize"):
        tests.minimize = minimize


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(f"{COUNTED[0]} runs were ours")
