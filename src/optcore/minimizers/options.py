"""The methods and their options, one row each. Refuses what is wrong by name, before anything runs."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, inf, isfinite
from numbers import Real
from typing import Any

import numpy as np

from optcore.minimizers import vectors
from optcore.minimizers._bfgs import BFGS
from optcore.minimizers._lbfgs import LBFGS
from optcore.minimizers._newton import Newton, NewtonCG
from optcore.minimizers.vectors import Vector
from optcore.rules.settings import MOST_STEPS, flag, whole
from optcore.step import threads as _threads


@dataclass(frozen=True)
class Method:
    make: Callable[[int, Any, dict[str, Any]], Any]
    options: dict[str, Any]         # its own, and defaults that differ
    narrow: bool = False            # may keep float32 vectors
    curvature: str | None = None    # what it needs beside the gradient: "hess", or "hessp" or "hess"
    tolerances: tuple[str, ...] = ("gtol",)     # what `tol` sets


COMMON: dict[str, Any] = {"gtol": 1e-5, "ftol": 0.0, "maxiter": 15000, "maxfun": 15000, "maxls": 20,
                          "num_threads": None, "disp": False}

METHODS: dict[str, Method] = {
    "lbfgs": Method(lambda n, dtype, o: LBFGS(n, dtype, maxcor=o["maxcor"], num_threads=o["num_threads"]),
                    {"maxcor": 10, "ftol": 1e7 * 2.0 ** -52, "damping": False,
                     "first": 1.0}, narrow=True, tolerances=("ftol", "gtol")),
    "bfgs": Method(lambda n, dtype, o: BFGS(n, dtype, hess_inv0=o["hess_inv0"], num_threads=o["num_threads"]),
                   {"hess_inv0": None}),
    "newton": Method(lambda n, dtype, o: Newton(n), {}, curvature="hess"),
    "newton-cg": Method(lambda n, dtype, o: NewtonCG(n), {}, curvature="hessp"),
}


def start_point(x0: Any, narrow: bool) -> Vector:
    """A vector of our own with the values of x0."""
    try:
        a = np.asarray(x0)
    except ValueError as e:
        raise ValueError(f"x0: {e}") from None
    if a.dtype.kind not in "fiub" or a.dtype.itemsize > 8:
        raise TypeError(f"x0: real numbers of at most 64 bits are needed, got {a.dtype}")
    if a.ndim > 1:
        raise ValueError(f"x0 has shape {a.shape}: one axis is needed; x0.ravel() has one")
    x: Vector = vectors.rows(1, a.size, np.float32 if narrow and a.dtype == np.float32 else np.float64)[0]
    x[:] = a
    if not np.isfinite(x).all():
        raise ValueError(f"x0 is not finite at index {int(np.argmin(np.isfinite(x)))}")
    return x


def real_number(fun: Any) -> float:
    """A value of the objective."""
    if isinstance(fun, Real):               # a Python whole number, or a Fraction, may be beyond float64
        try:
            return float(fun)
        except OverflowError:
            beyond: Any = fun
            return inf if beyond > 0 else -inf
    try:
        value = np.asarray(fun)
    except ValueError:                      # of no shape
        value = np.empty(0)
    if value.size != 1 or value.dtype.kind not in "fiub":
        raise TypeError(f"fun: one real number is needed, got {fun!r}")
    return float(value.reshape(()))


def rounding(fun: Any) -> float:
    """The relative rounding error of a value's own type, where that is told: of float32 values at float64 points."""
    dtype = getattr(fun, "dtype", None)
    return float(np.finfo(dtype).eps) if isinstance(dtype, np.dtype) and dtype.kind == "f" else 0.0


def _count(name: str, value: Any, least: int) -> int:
    """A whole number. A float of whole value, such as 1e4, is one, as in SciPy; inf is no limit. Any float may limit
    iterations and evaluations, which end when they reach it."""
    if isinstance(value, Real) and not isinstance(value, int):
        x = float(value)
        if name in ("maxiter", "maxfun") and isfinite(x):
            x = float(ceil(x))
        value = MOST_STEPS if x == inf else int(x) if x.is_integer() else value
    return whole(name, value, least)


def _tolerance(name: str, value: Any) -> float:
    try:
        if isinstance(value, str):
            raise TypeError
        x = float(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name}: a number is needed, got {value!r}") from None
    if not (isfinite(x) and x >= 0):
        raise ValueError(f"{name}={value!r}: it must be finite and not negative")
    return x


def _symmetric(value: Any) -> Vector:
    try:
        h: Vector = np.array(value, np.float64)
    except (TypeError, ValueError) as e:
        raise type(e)(f"hess_inv0: {e}") from None
    # Half the digits: what another method's updates leave of the symmetry.
    if h.ndim != 2 or h.shape[0] != h.shape[1] or not np.abs(h - h.T).max(initial=0) <= 2.0 ** -26 * np.abs(h).max(
            initial=0):
        raise ValueError("hess_inv0: a finite symmetric matrix is needed")
    h = (h + h.T) / 2
    try:
        np.linalg.cholesky(h)
    except np.linalg.LinAlgError:
        raise ValueError("hess_inv0: it is not positive definite") from None
    return h


def checked_options(method: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a method with their values."""
    row = METHODS[method]
    known = {**COMMON, **row.options}
    for name in given:
        if name not in known:
            raise TypeError(f"{name} is no option of {method}; there are {', '.join(sorted(known))}")
    options = {**known, **{k: v for k, v in given.items() if v is not None}}
    for name in ("gtol", "ftol"):
        options[name] = _tolerance(name, options[name])
    if "first" in options and not 0 < _tolerance("first", options["first"]):
        raise ValueError(f"first={options['first']!r}: it must be positive")
    for name in ("maxiter", "maxfun", "maxls", "maxcor"):
        if name in options:
            options[name] = _count(name, options[name], 0 if name == "maxiter" else 1)
    for name in ("disp", "damping"):
        if name in options:
            options[name] = flag(name, options[name])
    if options.get("hess_inv0") is not None:
        options["hess_inv0"] = _symmetric(options["hess_inv0"])
    threads = options["num_threads"]
    options["num_threads"] = 0 if threads is None else _threads.checked(threads)
    return options
