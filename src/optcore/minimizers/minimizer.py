"""The minimizer underneath: it asks for points and is told values, so that anything can drive it.

Owns the order of things: a line search along a direction, what is taken in after it, when to stop and what to say.
Where directions come from is _lbfgs.py, _bfgs.py, _newton.py; how long a step is, linesearch.py. It never calls the
objective.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from math import isfinite, sqrt
from typing import Any

import numpy as np

from optcore import _files
from optcore.minimizers import _state, linesearch, vectors
from optcore.minimizers.linesearch import FAILED, MORE
from optcore.minimizers.options import METHODS, checked_options, real_number, rounding, start_point
from optcore.minimizers.vectors import Vector

CONVERGED, LIMIT, NO_DESCENT, NOT_FINITE, UNBOUNDED, EXHAUSTED, STOPPED = 0, 1, 2, 3, 4, 5, 99

# So many iterations without a smaller fun or gradient are rounding.
STALE = 20

# What a state holds beside the model and the search.
ARRAYS = ("x", "_trial", "_g", "_d")
SCALARS = ("_best_f", "_best_step", "_best_slope", "_mean", "_weight", "_least_f", "_least_g", "_stale", "fun",
           "grad_max", "nit", "nfev", "done", "status", "message")

# Relative rounding error expected of fun: so many units of its type.
NOISE_UNITS = 16

# Damped, a pair shows at least this share of the curvature that the model had along s.
DAMPED = 0.2


class Minimizer:
    """Minimizes a function by asking for points.

    x0: where to start, one axis, float32 (L-BFGS then keeps its vectors in float32) or float64. method and options:
    as in `minimize`.

        m = Minimizer(x0, method="lbfgs")
        while not m.done:
            x = m.ask()
            m.tell(f(x), grad(x))
        m.x, m.fun, m.message

    `ask` hands out the trial point, read-only; it is overwritten by a later `tell`. The gradient told is only read.
    Newton's methods are told the curvature as well: `tell(f, g, hess=...)`, a matrix or a function of no arguments
    that makes it, or `tell(f, g, hessp=...)`, a function v -> H v; it is called during that tell, and only where a
    step ended. `state_dict` and `load_state_dict` carry a run from one process to another, `save` and `load` through a
    file: it goes on bit for bit.

    >>> m = Minimizer([3.0, -1.0])
    >>> while not m.done:
    ...     x = m.ask()
    ...     m.tell(float(x @ x), 2 * x)
    >>> m.success, bool(abs(m.x).max() < 1e-5)
    (True, True)
    """

    def __init__(self, x0: Any, method: str = "lbfgs", **options: Any) -> None:
        row = METHODS.get(method)
        if row is None:
            raise ValueError(f"method={method!r} is unknown; there are {', '.join(METHODS)}")
        self.method = method
        self.options = checked_options(method, options)
        self.x: Vector = start_point(x0, row.narrow)
        n = self.x.size
        self._trial, self._g, self._d = (vectors.rows(1, n, self.x.dtype)[0] for _ in range(3))
        self._best_g: Vector | None = None
        self._trial[:] = self.x
        self._model = row.make(n, self.x.dtype, self.options)
        self._eps = float(np.finfo(self.x.dtype).eps)
        self._search: Any = None
        self._best_f, self._best_step, self._best_slope = 0.0, 0.0, 0.0
        self._mean, self._weight = 0.0, 0.0
        self._least_f, self._least_g, self._stale = 0.0, 0.0, 0
        self.fun, self.grad_max = float("nan"), float("nan")
        self.nit = self.nfev = 0
        self.done = False
        self.status, self.message = -1, "not finished"

    # ------------------------------------------------------------------------------------------ ask, tell

    @property
    def success(self) -> bool:
        return self.status == CONVERGED

    @property
    def jac(self) -> Vector:
        """The gradient at x."""
        g: Vector = self._g
        return g

    def ask(self) -> Vector:
        """The point at which fun and its gradient are wanted."""
        if self.done:
            raise RuntimeError(f"the minimizer is done: {self.message}")
        x: Vector = self._trial.view()
        x.flags.writeable = False
        return x

    def tell(self, fun: Any, jac: Any, hess: Any = None, hessp: Callable[[Vector], Vector] | None = None) -> None:
        """The value and the gradient at the point that was asked for."""
        if self.done:
            raise RuntimeError(f"the minimizer is done: {self.message}")
        needed = METHODS[self.method].curvature
        if needed is not None and hess is None and (needed == "hess" or hessp is None):
            raise ValueError(f"hess: {self.method} needs the Hessian, a matrix or a function that makes it"
                             + (", or hessp, its products" if needed == "hessp" else ""))
        outside = np.geterr()

        def as_outside(function: Any) -> Any:
            """A function of the caller's, with the caller's floating-point warnings."""
            def called(*args: Any) -> Any:
                with np.errstate(**outside):
                    return function(*args)
            return called if callable(function) else function

        # An overflow, and what is not a number after it, are answers here: each is tested for.
        with np.errstate(all="ignore"):
            f, g = real_number(fun), self._gradient(jac)
            self._eps = max(self._eps, rounding(fun))
            self.nfev += 1
            if self._search is None:
                self._begin(f, g, as_outside(hess), as_outside(hessp))
            else:
                self._go_on(f, g, as_outside(hess), as_outside(hessp))
        if not self.done and self.nfev >= self.options["maxfun"]:
            self.stop(LIMIT, f"maxfun={self.options['maxfun']} evaluations are used up")

    def restart(self) -> None:
        """Ask for x again and go on from there with the curvature that is known, whatever ended the run.

        For an objective that changes, such as a loss of one batch after another: what is told from here on is of the
        new one, so that a pair never mixes two. Iterations and evaluations count on from 0.
        """
        if not self.done:
            self.stop(STOPPED, "restarted")
        self._trial[:] = self.x
        self._search = None
        self.nit = self.nfev = 0
        self.done, self.status, self.message = False, -1, "not finished"

    @property
    def skipped(self) -> int:
        """Pairs that were not kept since they showed no positive curvature."""
        return int(getattr(self._model, "skipped", 0))

    def stop(self, status: int, message: str) -> None:
        """End here, at the best point seen."""
        if self._best_g is not None and self._best_f < self.fun:
            vectors.advance(self._trial, self.x, self._best_step, self._d)
            self.x, self._trial = self._trial, self.x
            self.fun = self._best_f
            self._g[:] = self._best_g
            self.grad_max = float(np.abs(self._g).max(initial=0.0))
        self._best_g = None
        self.done, self.status, self.message = True, status, message

    def _exhaust(self, why: str) -> None:
        """Rounding ends the run: a success only where the gradient is within its tolerance."""
        self.stop(EXHAUSTED, "")
        gtol = self.options["gtol"]
        if self.grad_max <= gtol:
            self.status = CONVERGED
            self.message = f"{why}; the largest element of the gradient is at most gtol={gtol:g}"
        else:
            self.message = (f"{why}; the precision is exhausted, and the largest element of the gradient is "
                            f"{self.grad_max:.3g}, above gtol={gtol:g}")

    def _gradient(self, jac: Any) -> Vector:
        g = np.asarray(jac)
        if g.dtype.kind not in "fiub":
            raise TypeError(f"jac: an array of real numbers is needed, got {g.dtype}")
        if g.size != self.x.size or g.ndim > 1 and g.size != max(g.shape):
            raise ValueError(f"jac has shape {g.shape}, x0 has {self.x.shape}: they must be the same")
        flat: Vector = np.require(g.reshape(-1), self.x.dtype, ["C", "A"])
        return flat

    # ------------------------------------------------------------------------------------------ iterations

    def _begin(self, f: float, g: Vector, hess: Any, hessp: Any) -> None:
        self.fun = f
        self._g[:] = g
        _, size, self.grad_max = vectors.slope(g, g)
        if not (isfinite(f) and isfinite(size)):
            self.stop(NOT_FINITE, f"fun or its gradient is not finite at x0: fun={f}")
            return
        self._mean, self._weight = abs(f), 1.0
        self._least_f, self._least_g, self._stale = f, self.grad_max, 0
        self._model.turn(self._g)
        self._proceed(None, hess, hessp)

    def _proceed(self, before: float | None, hess: Any, hessp: Any) -> None:
        """End at x, or choose the way on. before: fun at the point before."""
        useless = self._model.look(self._g, hess, hessp, self.grad_max <= self.options["gtol"])
        if useless:
            self.stop(NOT_FINITE, useless)
        elif self._converged(before):
            return
        elif self.nit >= self.options["maxiter"]:
            self.stop(LIMIT, f"maxiter={self.options['maxiter']} iterations are used up")
        else:
            self._aim()

    def _noise(self) -> float:
        """What a change of fun must exceed to mean anything."""
        return NOISE_UNITS * self._eps * self._mean

    def _aim(self) -> None:
        """Choose a direction and ask for the first point on it."""
        model = self._model
        while True:
            first = model.empty
            size = (self._scale() if first else 1.0) * self.options.get("first", 1.0)
            slope, square = model.direction(self.x, self._g, self._d, self._trial, size)
            if isfinite(square) and slope < 0 or model.escaping:
                break
            if first:
                self.stop(NO_DESCENT, "the gradient is too small or too large for a step")
                return
            model.reset()
        self._best_g = None
        self._best_f = self.fun
        if model.escaping:
            self._search = linesearch.Escape(self.fun, model.curvature, size, self.options["maxls"])
            return
        self._search = linesearch.Wolfe(self.fun, slope, size, self._noise(), sqrt(self._eps) * self._mean,
                                        trials_left=self.options["maxls"])

    def _scale(self) -> float:
        """The first step along -g with nothing known: a unit of length, or less if a parabola with its minimum at
        fun = 0 has it nearer; that is a guess, and trusted to a thousandth."""
        if not self._model.unit_first or self.grad_max == 0:
            return 1.0
        size = sqrt(vectors.dot(self._g, self._g))
        if size == 0:
            return 1.0                          # its square underflows: so does its slope, which ends the run by name
        return min(1.0, max(2 * abs(self.fun) / size, 1e-3)) / size

    def _go_on(self, f: float, g: Vector, hess: Any, hessp: Any) -> None:
        search = self._search
        if f == float("-inf"):
            self.stop(UNBOUNDED, "fun is -inf: it has no minimum")
            return
        slope, size, grad_max = vectors.slope(g, self._d, self.options["num_threads"])
        finite = isfinite(size) and isfinite(f)
        step = search.step
        verdict = search.take(f if finite else float("nan"), slope)
        if verdict == linesearch.FOUND:
            self._accept(f, g, grad_max, self._shares(step, slope), hess, hessp)
            return
        if finite and f < self._best_f:
            self._best_f, self._best_step, self._best_slope = f, step, slope
            self._best_g = np.array(g)
        if verdict == MORE:
            vectors.advance(self._trial, self.x, search.step, self._d)
        elif verdict == FAILED:
            self._after_failure(hess, hessp)

    def _after_failure(self, hess: Any, hessp: Any) -> None:
        """No step satisfies the search. Take the lowest point it saw; else begin anew; else say why it ends."""
        search, model = self._search, self._model
        if self._best_g is not None:
            vectors.advance(self._trial, self.x, self._best_step, self._d)
            best, self._best_g = self._best_g, None
            shares = self._shares(self._best_step, self._best_slope)
            self._accept(self._best_f, best, float(np.abs(best).max()), shares, hess, hessp)
        elif not model.empty:
            model.reset()
            self._aim()
        elif search.contradicted:
            self.stop(NO_DESCENT, "fun rises where its gradient says that it falls: is jac its gradient?")
        elif search.too_long:
            self.stop(NO_DESCENT, f"no step of {self.options['maxls']} along the negative gradient lowers fun")
        else:
            self._exhaust("no step lowers fun by more than its rounding error")

    def _shares(self, step: float, slope: float) -> tuple[float, float]:
        """Of g' and g in the pair's y: 1 and 1, or what makes it t y + (1 - t) B s, by Powell's damping.

        B, the inverse of the model, is known along s = step d since d = -H g: B s = -step g.
        """
        if not self.options.get("damping") or self._model.empty:
            return 1.0, 1.0
        known, seen = -step * self._search.d0, slope - self._search.d0      # s.B s and s.y, over step
        if seen >= DAMPED * known:
            return 1.0, 1.0
        t = (1 - DAMPED) * known / (known - seen)
        return t, t + (1 - t) * step

    def _accept(self, f: float, g: Vector, grad_max: float, shares: tuple[float, float], hess: Any, hessp: Any
                ) -> None:
        self.nit += 1
        before = self.fun
        self._best_g = None
        self._model.accept(self._trial, self.x, g, self._g, shares)
        self.x, self._trial = self._trial, self.x
        self.fun, self.grad_max = f, grad_max
        self._weight = 0.7 * self._weight + 1.0
        self._mean += (abs(f) - self._mean) / self._weight
        self._stale = 0 if f < self._least_f or grad_max < self._least_g else self._stale + 1
        self._least_f, self._least_g = min(f, self._least_f), min(grad_max, self._least_g)
        self._proceed(before, hess, hessp)

    def _converged(self, before: float | None) -> bool:
        ftol = self.options["ftol"]
        if self.grad_max <= self.options["gtol"] and not self._model.escaping:
            self.stop(CONVERGED, f"the largest element of the gradient is at most gtol={self.options['gtol']:g}")
        elif before is not None and 0 < ftol and before - self.fun <= ftol * max(abs(before), abs(self.fun), 1.0):
            self.stop(CONVERGED, f"fun fell by at most ftol={ftol:g} of max(|fun|, 1)")
        elif self._stale >= STALE:
            self._exhaust(f"neither fun nor its gradient got smaller in {STALE} iterations: rounding")
        return self.done

    # ------------------------------------------------------------------------------------------ results, state

    def result(self) -> Any:
        """SciPy's OptimizeResult of where it stands."""
        from scipy.optimize import OptimizeResult

        fields = {"x": np.array(self.x), "fun": self.fun, "jac": np.array(self._g), "nit": self.nit,
                  "nfev": self.nfev, "njev": self.nfev, "status": self.status, "success": self.success,
                  "message": self.message, "nhev": self._model.nhev}
        if hasattr(self._model, "inverse_hessian"):
            fields["hess_inv"] = self._model.inverse_hessian()
        return OptimizeResult(fields)

    def state_dict(self) -> dict[str, Any]:
        """Everything a run needs to go on, as plain values and arrays (copies)."""
        search = self._search
        return {
            "method": self.method, "options": dict(self.options),
            "arrays": {k: np.array(getattr(self, k)) for k in ARRAYS},
            "best_jac": None if self._best_g is None else self._best_g.copy(),
            "scalars": {k: getattr(self, k) for k in SCALARS},
            "search": None if search is None else {"kind": type(search).__name__, **search.state()},
            "model": self._model.state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where the minimizer was from which `state` came; it had the same method, size and type of x.

        Raises KeyError, TypeError or ValueError, naming the entry, before anything is changed.
        """
        _state.keys("", state, ("method", "options", "arrays", "best_jac", "scalars", "search", "model"))
        x = np.asarray(_state.keys("arrays", state["arrays"], ARRAYS)["x"])
        if state["method"] != self.method:
            raise ValueError(f"the state is of method={state['method']!r}, this minimizer's is {self.method!r}")
        if x.shape != self.x.shape or x.dtype != self.x.dtype:
            raise ValueError(f"the state's x is {x.dtype} of shape {x.shape}, here it is {self.x.dtype} of shape "
                             f"{self.x.shape}")
        given = _state.keys("options", state["options"], self.options)
        if given.get("maxcor") != self.options.get("maxcor"):
            raise ValueError(f"the state has maxcor={given.get('maxcor')}, here it is {self.options.get('maxcor')}")
        # self stays as it is if anything is wrong. A file may come from a machine with more processors.
        fresh = Minimizer(np.zeros_like(x), self.method, **{**given, "num_threads": given["num_threads"] or None})
        _state.check(state, fresh.state_dict(), fresh.x)
        fresh._take(state)
        self.__dict__.update(fresh.__dict__)

    def _take(self, state: Mapping[str, Any]) -> None:
        for k in ARRAYS:
            getattr(self, k)[:] = state["arrays"][k]
        for k in SCALARS:
            setattr(self, k, state["scalars"][k])
        best = state["best_jac"]
        self._best_g = None if best is None else np.array(best, self.x.dtype)
        search = state["search"]
        if search is not None:
            kind = {"Wolfe": linesearch.Wolfe, "Escape": linesearch.Escape}[search["kind"]]
            self._search = kind(**{k: v for k, v in search.items() if k != "kind"})
        self._model.load(state["model"])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state to a file in safetensors format, with a checksum; needs `pip install optcore[save]`.

        However this ends, `path` is then the whole old file or the whole new one.
        Raises OSError if the file cannot be written.
        """
        _files.save(path, self.state_dict(), f"Minimizer of {self.method}")

    def load(self, path: str | os.PathLike[str]) -> None:
        """Go on where the minimizer was that wrote this file; it had the same method, size and type of x.

        Raises before anything is changed: ValueError, naming the file, if it is damaged or does not fit; OSError if it
        cannot be read.
        """
        saved = _files.load(path, f"Minimizer of {self.method}")
        try:
            self.load_state_dict(saved)
        except (LookupError, TypeError, ValueError) as e:
            raise ValueError(f"{os.fsdecode(path)}: {e.args[0] if isinstance(e, KeyError) else e}") from e
