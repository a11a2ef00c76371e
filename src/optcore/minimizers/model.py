"""What a minimizer asks of whatever chooses its directions."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optcore.minimizers.vectors import Vector


class Model:
    """A local model of fun. The defaults are those of one that learns from gradients alone."""

    unit_first = True           # the first step is to be one of known length, not 1
    empty = True                # it knows nothing beyond the gradient, and reset() would change nothing
    escaping = False            # the direction is of negative curvature, at a point that may be a saddle
    curvature = 0.0             # of fun along that direction
    nhev = 0                    # Hessians or products with them so far

    def look(self, g: Vector, hess: Any, hessp: Callable[[Vector], Vector] | None, flat: bool) -> str:
        """Take in the curvature at the point where the gradient is g; flat: g is within its tolerance. Returns what
        makes it useless, if anything."""
        return ""

    def accept(self, x_new: Vector, x: Vector, g_new: Vector, g: Vector, shares: tuple[float, float]) -> None:
        """Take the step from x to x_new in; g becomes g_new. shares: of g_new and g in y, 1 and 1 without damping."""
        g[:] = g_new

    def turn(self, g: Vector) -> None:
        """The gradient at the same point is now g: another objective, such as another batch."""

    def reset(self) -> None:
        """Forget what was learnt."""

    def direction(self, x: Vector, g: Vector, d: Vector, trial: Vector, step: float) -> tuple[float, float]:
        """d, and trial = x + step d. Returns g.d and d.d."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        return {"nhev": self.nhev}

    def load(self, state: dict[str, Any]) -> None:
        self.nhev = state["nhev"]
