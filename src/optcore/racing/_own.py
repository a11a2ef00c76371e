"""The surface of a race: one of ours with changes, or a function of the reader's made into one."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import numpy as np

from optcore import surfaces
from optcore.racing._run import Look
from optcore.surfaces import Array, Surface

THIRD = float(np.finfo(np.float64).eps) ** (1 / 3)      # the step of a central difference, for x of size 1


def _numbers(name: str, value: Any, count: int) -> tuple[float, ...]:
    try:
        found = tuple(float(v) for v in value)
    except (TypeError, ValueError):
        found = ()
    if len(found) != count or not all(map(isfinite, found)):
        raise ValueError(f"{name}={value!r}: {count} finite numbers are needed")
    return found


@dataclass(frozen=True)
class _Differences:
    """Central differences of a function along each axis; they come last."""

    of: Callable[[Array], Any]

    def __call__(self, x: Array) -> Array:
        columns = []
        for i in range(2):
            h = np.zeros(2)
            h[i] = THIRD * max(1.0, abs(x[i]))
            ahead, behind = np.asarray(self.of(x + h), float), np.asarray(self.of(x - h), float)
            with np.errstate(all="ignore"):             # what is not finite is refused where it is used
                columns.append((ahead - behind) / (2 * h[i]))
        return np.stack(columns, -1)


def _own(fun: Callable[[Any], Any], start: Any, grad: Any, hess: Any) -> Surface:
    if start is None:
        raise ValueError("start: two numbers are needed with a function of your own")
    begin = _numbers("start", start, 2)
    name = getattr(fun, "__name__", "")
    made = Surface("own", name if name.isidentifier() else "", fun, grad or _Differences(fun), hess or np.zeros_like,
                   (begin[0], begin[1]), (), None, lr=0.0, stride=0.0)
    return replace(made, hessian=hess or _Differences(made.gradient))


def chosen(surface: Any, start: Any, grad: Any, hess: Any, box: Any, lr: float | None, stride: float | None) -> Surface:
    """The surface with what race() was told; refuses what does not fit together."""
    own = False
    if isinstance(surface, str):
        found = surfaces.get(surface)
    elif isinstance(surface, Surface):
        found = surface
    elif callable(surface):
        found, own = _own(surface, start, grad, hess), True
    else:
        raise TypeError(f"surface: a name, a Surface or a function is needed, got {type(surface).__name__}")
    if not own and (grad is not None or hess is not None):
        raise ValueError("grad, hess: they belong to a function of your own; a Surface has them")
    changes: dict[str, Any] = {}
    if start is not None:
        changes["start"] = _numbers("start", start, 2)
    if box is not None:
        changes["box"] = left, right, bottom, top = _numbers("box", box, 4)
        if not (left < right and bottom < top):
            raise ValueError(f"box={box!r}: it must be (left, right, bottom, top)")
    for key, value in (("lr", lr), ("stride", stride)):
        if value is not None:
            changes[key] = _numbers(key, [value], 1)[0]
            if changes[key] <= 0:
                raise ValueError(f"{key}={value!r}: it must be above 0")
    found = replace(found, **changes)
    return _measured(found, exact=hess is not None) if own else found


def _measured(surface: Surface, exact: bool) -> Surface:
    """The two lengths of a function of the reader's, where they were not given; exact: its Hessian is no difference."""
    x = np.array(surface.start)
    lr, stride = surface.lr, surface.stride
    if not lr:
        look = Look(surface, "the start", 0)
        value = look(x)[0]
        bend = float(np.abs(np.linalg.eigvalsh(look.hessian(x))).max())
        # The second difference of a straight line is the rounding of its values over the square of the step.
        lr = 1 / bend if bend > (0.0 if exact else 16 * THIRD * abs(value)) else 0.1
    if not stride:
        left, right, bottom, top = surface.box or (-1.0, 1.0, -1.0, 1.0)
        stride = max(right - left, top - bottom) / 100 if surface.box else 0.02 * max(1.0, *np.abs(x))
    return replace(surface, lr=lr, stride=float(stride))
