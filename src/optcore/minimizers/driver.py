"""minimize() and each method as a function: SciPy's arguments and SciPy's result around a Minimizer.

Owns the calls of the objective: its forms (jac a function, True, or absent), copies handed out, counts, callbacks.
"""
from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Mapping, Sized
from math import inf
from typing import Any

import numpy as np

from optcore.minimizers.minimizer import STOPPED, Minimizer
from optcore.minimizers.options import METHODS, Method, real_number, start_point
from optcore.minimizers.vectors import Vector


class Lender:
    """Hands out copies of x. The memory of the last one is used again if nobody has kept it: fresh memory costs more
    than the copy. Each is a view of its own, so that a changed shape or flag ends with it."""

    def __init__(self) -> None:
        self._last: Vector = np.empty(0)
        self._alone = self._holders()

    def _holders(self) -> int:
        return sys.getrefcount(self._last)

    def copy(self, x: Vector) -> Vector:
        if self._last.size != x.size or self._holders() > self._alone:
            self._last = np.empty_like(x)
        self._last[:] = x
        return self._last.view()


class Objective:
    """fun and jac in any of SciPy's forms, counted."""

    def __init__(self, fun: Any, jac: Any, args: tuple[Any, ...]) -> None:
        if not callable(fun):
            raise TypeError(f"fun: a function is needed, got {type(fun).__name__}")
        if not (callable(jac) or jac is True or jac is None or jac is False
                or isinstance(jac, str) and jac in ("2-point", "3-point")):
            raise ValueError(f"jac={jac!r}: a function is needed, or True, None, '2-point', '3-point'")
        self.fun, self.jac, self.args = fun, jac, args
        self.nfev = self.njev = 0
        self._lender = Lender()

    def value(self, x: Vector) -> Any:
        self.nfev += 1
        return self.fun(self._lender.copy(x), *self.args)

    def curvature(self, x: Vector, hess: Any, hessp: Any, row: Method) -> dict[str, Any]:
        """What a minimizer of Newton's kind is told beside the value and the gradient."""
        if row.curvature is None:
            return {}
        if row.curvature == "hess" or hessp is None and hess is not None:
            return {"hess": lambda: hess(np.copy(x), *self.args)}
        if hessp is not None:
            return {"hessp": lambda v: hessp(np.copy(x), v, *self.args)}
        return {"hessp": lambda v: self._difference(x, v)}

    def _difference(self, x: Vector, v: Vector) -> Vector:
        """H v by a central difference of gradients."""
        with np.errstate(all="ignore"):                 # the minimizer tests what comes of an overflow
            size = np.finfo(np.float64).eps ** (1 / 3) * (1 + np.abs(x).max()) / np.abs(v).max()
            places = x + size * v, x - size * v
        ahead, behind = (np.asarray(self._gradient(place), np.float64) for place in places)
        with np.errstate(all="ignore"):
            product: Vector = (ahead - behind) / (2 * size)
        return product

    def _gradient(self, x: Vector) -> Any:
        return self._counted_jac(x) if callable(self.jac) else self.both(x)[1]

    def _counted_jac(self, x: Vector) -> Any:
        self.njev += 1
        return self.jac(self._lender.copy(x), *self.args)

    def both(self, x: Vector) -> tuple[Any, Any]:
        """The value and the gradient at x."""
        f = self.value(x)
        if callable(self.jac):
            return f, self._counted_jac(x)
        if self.jac is True:
            self.njev += 1
            try:
                f, g = f
            except (TypeError, ValueError):
                raise TypeError("fun: with jac=True it must return its value and its gradient") from None
            return f, g
        return f, self._differences(x, f)

    def _differences(self, x: Vector, f: Any) -> Vector:
        """The gradient by differences: the step balances the rounding of fun against its curvature."""
        central = self.jac == "3-point"
        eps = np.finfo(x.dtype).eps
        steps = eps ** (1 / 3 if central else 1 / 2) * np.maximum(1.0, np.abs(x)) * np.where(x < 0, -1, 1)
        g = np.empty(x.size)
        self.njev += 1
        for i in range(x.size):
            ahead, behind = np.copy(x), np.copy(x)
            with np.errstate(over="ignore"):            # beyond the largest number: a gradient that is not finite
                ahead[i] += steps[i]
                behind[i] -= steps[i] if central else 0
            low = self.value(behind) if central else f
            g[i] = (real_number(self.value(ahead)) - real_number(low)) / (float(ahead[i]) - float(behind[i]))
        return g


def _reporter(callback: Any) -> Callable[[Minimizer], None]:
    """Calls callback as SciPy does: with intermediate_result= if that is its only parameter, else with x."""
    if callback is None:
        return lambda m: None
    if not callable(callback):
        raise TypeError(f"callback: a function is needed, got {type(callback).__name__}")
    from scipy.optimize import OptimizeResult

    def result(m: Minimizer) -> Any:
        return OptimizeResult(x=np.copy(m.x), fun=m.fun, jac=np.copy(m.jac), nit=m.nit, nfev=m.nfev)

    try:
        names = set(inspect.signature(callback).parameters)
    except (TypeError, ValueError):
        names = set()
    if names == {"intermediate_result"}:
        return lambda m: callback(intermediate_result=result(m))
    if hasattr(callback, "stop_iteration"):             # scipy.optimize.minimize has wrapped it: it takes a result
        return lambda m: callback(result(m))
    return lambda m: callback(np.copy(m.x))


def _run(method: str, fun: Any, x0: Any, args: Any, jac: Any, hess: Any, hessp: Any, callback: Any,
         options: Mapping[str, Any]) -> Any:
    try:
        import scipy  # noqa: F401
    except ImportError as e:
        raise ImportError("minimize returns SciPy's OptimizeResult: pip install optcore[minimize]") from e
    args = args if isinstance(args, tuple) else (args,)
    objective = Objective(fun, jac, args)
    report = _reporter(callback)
    row = METHODS[method]
    for name, given in (("hess", hess), ("hessp", hessp)):
        if given is not None and not callable(given):
            raise TypeError(f"{name}: a function is needed, got {type(given).__name__}")
        if given is not None and row.curvature is None:
            warnings.warn(f"{method} does not use {name}", RuntimeWarning, stacklevel=3)
    if row.curvature == "hess" and hess is None:
        raise ValueError(f"hess: {method} needs the Hessian; newton-cg and lbfgs do without")
    m = Minimizer(x0, method, **options)
    while not m.done:
        x = m.ask()
        nit = m.nit
        told = objective.both(x)
        m.nfev = objective.nfev - 1                     # differences count too; tell counts the one
        m.tell(*told, **objective.curvature(x, hess, hessp, row))
        m.nfev = objective.nfev
        if m.nit > nit:
            try:
                report(m)
            except StopIteration:
                m.stop(STOPPED, "`callback` raised `StopIteration`.")
    found = m.result()
    found.njev = objective.njev
    if m.options["disp"]:
        print(f"{method}: {found.message}\n  fun {found.fun:.6g} after {found.nit} iterations, {found.nfev} values and "
              f"{found.njev} gradients")
    return found


def _unlimited(low: Any, high: Any, n: int) -> bool | None:
    """Whether these are n lower and n upper bounds (or one for all) that bound nothing; None: they are none at all."""
    try:
        low, high = (np.array([sign * inf if b is None else b for b in np.ravel(a)], np.float64)
                     for a, sign in ((low, -1), (high, 1)))
    except (TypeError, ValueError):
        return None
    if low.size not in (1, n) or high.size not in (1, n) or np.isnan(low).any() or np.isnan(high).any():
        return None
    return bool((low == -inf).all() and (high == inf).all())


def _refuse(bounds: Any, constraints: Any, n: int) -> None:
    """Bounds and constraints, unless they bound nothing: in every form in which SciPy takes them."""
    free: bool | None = True
    if hasattr(bounds, "lb") and hasattr(bounds, "ub"):
        free = _unlimited(bounds.lb, bounds.ub, n)
    elif bounds is not None and not (isinstance(bounds, Sized) and len(bounds) == 0):
        try:
            low, high = zip(*bounds, strict=True)
            free = _unlimited(low, high, n) if len(low) == n else None
        except (TypeError, ValueError):
            free = None
    if free is None:
        raise ValueError(f"bounds={bounds!r}: {n} pairs (low, high) are needed, None or inf for no bound, or SciPy's "
                         "Bounds; and these methods know none")
    if not free:
        raise ValueError("bounds: these methods know none; scipy.optimize.minimize(method='L-BFGS-B') does")
    if constraints is not None and not (isinstance(constraints, Sized) and len(constraints) == 0):
        raise ValueError("constraints: these methods know none; scipy.optimize.minimize(method='SLSQP') does")


def minimize(fun: Any, x0: Any, args: Any = (), method: str = "lbfgs", jac: Any = None, hess: Any = None,
             hessp: Any = None, bounds: Any = None, constraints: Any = (), tol: float | None = None,
             callback: Any = None, options: Mapping[str, Any] | None = None) -> Any:
    """Minimize a function of one or more variables, by SciPy's conventions.

    fun: x -> value, or with jac=True x -> (value, gradient). x0: where to start, one axis; float32 makes `lbfgs` keep
    its vectors in float32 (its scalars and sums are float64), anything else is taken as float64. args: handed on to
    fun, jac, hess, hessp. Nothing that is passed in is changed.

    method:
      "lbfgs"      limited-memory BFGS, for any n; options maxcor=10 (pairs kept), ftol=2.2e-9, damping=False (Powell's:
                   a pair that shows too little curvature, or a negative one, is drawn towards what is known),
                   first=1 (the first step tried along a direction, as a multiple of the one proposed)
      "bfgs"       BFGS with the whole inverse Hessian, O(n^2) an iteration; option hess_inv0
      "newton"     Newton's with a modified Cholesky factorization; needs hess: x -> matrix
      "newton-cg"  Newton's by truncated conjugate gradients; hessp: (x, v) -> H v, or hess, or neither: then
                   differences of gradients

    jac: x -> gradient, or True; without it "2-point" (or None) or "3-point" differences, n or 2 n values each. bounds
    and constraints are refused, unless they bound nothing. tol sets gtol (lbfgs: and ftol).
    callback(intermediate_result=...) after each iteration, or callback(x); StopIteration ends the run.

    Options of every method: gtol=1e-5, the largest element of the gradient at the end; ftol=0, the last fall of fun
    relative to max(|fun|, 1), 0 for no such end; maxiter=15000, maxfun=15000 (differences count); maxls=20, trials of
    one line search; disp=True prints how it ended; num_threads. The bits of the result do not depend on num_threads.

    Returns SciPy's OptimizeResult: x, fun, jac, nit, nfev, njev, nhev, hess_inv (a matrix for bfgs, a linear operator
    for lbfgs, with sk, yk and todense()), success, message, and status: 0 converged by gtol or ftol, which is success;
    1 out of iterations or evaluations, 2 no step lowers fun though its gradient says so, 3 not finite: fun or its
    gradient at x0, or a Hessian, 4 -inf was met, 5 the precision is exhausted: rounding leaves nothing to gain, and the
    gradient is above gtol, 99 stopped by the callback. Whatever the status, x is the best point taken; a search that
    ended well may have passed a lower one.

    Raises TypeError or ValueError, naming the argument, before fun is called, or for what fun returns; ImportError
    without SciPy (`pip install optcore[minimize]`).

    >>> import optcore as oc
    >>> result = oc.minimize(lambda x: ((x - 1) @ (x - 1), 2 * (x - 1)), [5.0, -3.0], jac=True)
    >>> result.success, [round(float(v), 6) for v in result.x]
    (True, [1.0, 1.0])

    Source: Nocedal and Wright, Numerical Optimization, 2nd ed., 2006, chapters 3, 6 and 7; the search is that of More
    and Thuente (ACM TOMS 20, 1994).
    """
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"method={method!r} is unknown; there are {', '.join(METHODS)}")
    if not (options is None or isinstance(options, Mapping)):
        raise TypeError(f"options: a dict is needed, got {type(options).__name__}")
    _refuse(bounds, constraints, 0 if bounds is None else start_point(x0, METHODS[method].narrow).size)
    chosen = dict(options or {})
    if tol is not None:
        for name in METHODS[method].tolerances:
            chosen.setdefault(name, tol)
    return _run(method, fun, x0, args, jac, hess, hessp, callback, chosen)


def _method(name: str) -> Callable[..., Any]:
    def run(fun: Any, x0: Any, args: Any = (), jac: Any = None, hess: Any = None, hessp: Any = None,
            bounds: Any = None, constraints: Any = (), callback: Any = None, tol: float | None = None,
            **options: Any) -> Any:
        return minimize(fun, x0, args, name, jac, hess, hessp, bounds, constraints, tol, callback, options)

    run.__name__ = run.__qualname__ = name.replace("-", "_")
    run.__doc__ = f"""minimize(..., method={name!r}) as a function, its options as keywords: see `minimize`.

    scipy.optimize.minimize(..., method=optcore.{run.__name__}) takes it.
    """
    return run


lbfgs = _method("lbfgs")
bfgs = _method("bfgs")
newton = _method("newton")
newton_cg = _method("newton-cg")
