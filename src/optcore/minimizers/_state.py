"""Whether a state is one that a minimizer could have: every entry, by name, before anything is taken over.

Owns the refusals of load_state_dict; what the entries mean is minimizer.py's and the models'.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from typing import Any

import numpy as np

from optcore.minimizers.vectors import Vector

STATUSES = (-1, 0, 1, 2, 3, 4, 5, 99)
# Numbers that may be infinite or NaN: what a run that ended at x0 was told, and bounds of a search that has none yet.
OPEN = ("fun", "grad_max", "_best_f", "_best_slope", "_least_f", "_least_g", "_mean")
# Which are never negative.
COUNTS = ("nit", "nfev", "_stale", "nhev", "skipped", "trials_left")
SEARCHES = {"Wolfe": ("f0", "d0", "step", "noise", "clear", "limit", "trials_left", "lo", "f_lo", "d_lo", "hi", "f_hi",
                      "d_hi", "bracketed", "first_stage", "too_long", "contradicted", "width", "width_before"),
            "Escape": ("f0", "curvature", "step", "trials_left", "too_long", "contradicted")}
FLAGS = ("done", "empty", "bracketed", "first_stage", "too_long", "contradicted")


def keys(where: str, x: Any, needed: Iterable[str]) -> Mapping[str, Any]:
    """x, a mapping with these keys and no others."""
    if not isinstance(x, Mapping):
        raise TypeError(f"the state's {where} is a {type(x).__name__}, a dict is needed")
    missing, odd = [k for k in needed if k not in x], [k for k in x if k not in needed]
    if missing:
        raise KeyError(f"the state's {where} lacks {', '.join(missing)}")
    if odd:
        raise ValueError(f"the state's {where} has {', '.join(map(repr, odd))}, which this minimizer knows nothing of")
    return x


def array(where: str, x: Any, like: Vector, *, finite: bool = True) -> None:
    """An array of this shape and type; a copy in the other byte order, or a list, is none that was saved."""
    if not isinstance(x, np.ndarray) or x.dtype != like.dtype or x.shape != like.shape:
        found = f"{x.dtype} of shape {x.shape}" if isinstance(x, np.ndarray) else type(x).__name__
        raise ValueError(f"the state's {where} is {found}, here it is {like.dtype} of shape {like.shape}")
    if finite and not np.isfinite(x).all():
        raise ValueError(f"the state's {where} is not finite")


def scalar(where: str, name: str, x: Any) -> None:
    label = f"the state's {where}.{name}"
    if name in FLAGS:
        if not isinstance(x, bool):
            raise TypeError(f"{label} is {x!r}, True or False is needed")
    elif name == "message":
        if not isinstance(x, str):
            raise TypeError(f"{label} is {x!r}, a text is needed")
    elif name in COUNTS:
        if isinstance(x, bool) or not isinstance(x, int):
            raise TypeError(f"{label} is {x!r}, a whole number is needed")
        if not 0 <= x <= 2 ** 53:
            raise ValueError(f"{label} is {x!r}: it is never negative")
    elif name == "status":
        if isinstance(x, bool) or x not in STATUSES:
            raise ValueError(f"{label} is {x!r}; there are {', '.join(map(str, STATUSES))}")
    elif isinstance(x, bool) or not isinstance(x, (int, float)):
        raise TypeError(f"{label} is {x!r}, a number is needed")
    elif name not in OPEN and not (-inf < x < inf) and not (name in ("width", "width_before") and x == inf):
        raise ValueError(f"{label} is {x!r}: it is never so")


def check(state: Any, mine: Mapping[str, Any], x: Vector) -> None:
    """Refuse `state` unless it is built as `mine`, the state of a fresh minimizer of the same method and options."""
    keys("", state, mine)
    for name, value in keys("arrays", state["arrays"], mine["arrays"]).items():
        # The last gradient told may have ended the run; the direction follows from it.
        array(f"arrays.{name}", value, x, finite=name in ("x", "_trial"))
    if state["best_jac"] is not None:
        array("best_jac", state["best_jac"], x)
    for name, value in keys("scalars", state["scalars"], mine["scalars"]).items():
        scalar("scalars", name, value)
    if state["scalars"]["done"] == (state["scalars"]["status"] == -1):
        raise ValueError("the state's scalars.done and scalars.status contradict each other")
    search = state["search"]
    if search is None:
        if state["scalars"]["nfev"] and not state["scalars"]["done"]:
            raise ValueError("the state's search is None, though a value was told and the run is not done")
    else:
        if not isinstance(search, Mapping) or search.get("kind") not in SEARCHES:
            raise ValueError(f"the state's search is none of {', '.join(SEARCHES)}")
        for name, value in keys("search", search, ("kind", *SEARCHES[search["kind"]])).items():
            if name != "kind":
                scalar("search", name, value)
        if not search["step"] > 0:
            raise ValueError(f"the state's search.step is {search['step']!r}: it is above 0")
    for name, value in keys("model", state["model"], mine["model"]).items():
        if not isinstance(mine["model"][name], (np.ndarray, list)):
            scalar("model", name, value)


def pairs(state: Mapping[str, Any], maxcor: int, n: int, dtype: Any) -> None:
    """The pairs of L-BFGS and their dots."""
    slots = state["slots"]
    if not isinstance(slots, list) or any(isinstance(k, bool) or not isinstance(k, int) for k in slots):
        raise TypeError(f"the state's model.slots is {slots!r}, a list of whole numbers is needed")
    m = len(slots)
    if m > maxcor or len(set(slots)) != m or not all(0 <= k <= maxcor for k in slots):
        raise ValueError(f"the state's model.slots is {slots!r}: at most {maxcor} different rows of 0 to {maxcor}")
    for name, shape in (("s", (m, n)), ("y", (m, n))):
        array(f"model.{name}", state[name], np.empty(shape, dtype))
    for name in ("sy", "yy"):
        array(f"model.{name}", state[name], np.empty((m, m)))
    for name in ("sg", "yg"):                           # a gradient that is not finite ends a run
        array(f"model.{name}", state[name], np.empty(m), finite=False)
    for name in ("sy", "yy"):
        if not (np.diag(state[name]) > 0).all():
            raise ValueError(f"the state's model.{name} has a diagonal that is not positive: no such pair is kept")


def matrix(state: Mapping[str, Any], n: int) -> None:
    """The inverse Hessian of BFGS, and the update that waits."""
    array("model.h", state["h"], np.empty((n, n)))
    for name in ("s", "w", "hg"):
        array(f"model.{name}", state[name], np.empty(n), finite=False)
    # Each update adds s w' + w s', the same number to both of a pair of elements.
    if not np.array_equal(state["h"], state["h"].T):
        raise ValueError("the state's model.h is not symmetric")
