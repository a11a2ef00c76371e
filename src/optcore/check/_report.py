"""What a gradient check found, and how it prints."""
from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """One comparison. `where` is an element (x0['w'][3, 5]) or names the arrays in which every element moved.

    analytic, numerical: the derivative by that element, or along that direction. error: their difference divided
    by the size of the derivative (of g . d under random signs, for a direction). limit: the smallest error that would
    have been called wrong. status: "ok", "wrong", "kink" or "unclear".
    """

    where: str
    blocks: tuple[str, ...]
    element: bool
    analytic: float
    numerical: float
    error: float
    limit: float
    status: str


@dataclass(frozen=True)
class BlockResult:
    """One array of x0: the largest error seen in it alone, the finest limit, and how many elements were looked at
    one by one. error and limit are NaN if it was only seen together with other arrays."""

    name: str
    size: int
    error: float
    limit: float
    elements: int
    status: str


@dataclass(frozen=True)
class Report:
    """The outcome of `check_grad`: true if the gradient was found correct, false otherwise.

    verdict: "correct"; "kink", correct, but x0 lies on a kink of fun, where no gradient is the only right one;
    "wrong"; "not deterministic"; "inconclusive", if fun is too noisy or rough at x0 for some array to be judged.
    worst: the row of the wrong element with the largest error, if any. taylor_order: the power of h with which
    fun(x + h d) - fun(x) - h g.d falls along a random direction; 2 for a correct gradient, 1 for a wrong one, None if
    it is all rounding (a linear function). noise: how far values of fun are known. precision: of fun's arithmetic.
    """

    verdict: str
    blocks: list[BlockResult]
    rows: list[Row]
    worst: Row | None
    taylor_order: float | None
    value: float
    noise: float
    precision: str
    evaluations: int
    gradients: int
    notes: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return self.verdict in ("correct", "kink")

    def raise_if_wrong(self) -> Report:
        """self if it is true, else an AssertionError that carries the printed report."""
        if not self:
            raise AssertionError(str(self))
        return self

    def __str__(self) -> str:
        lines = [f"gradient check: {self.verdict}"]
        lines += [f"  {note}" for note in self.notes]
        if self.worst:
            lines += [f"  worst: {self.worst.where}   analytic {self.worst.analytic:.9g}   "
                      f"numerical {self.worst.numerical:.9g}   relative error {self.worst.error:.1e}"]
        if self.blocks:
            width = max(5, *(len(b.name) for b in self.blocks))
            lines += [f"  {'array':<{width}} {'size':>10} {'error':>8} {'limit':>8} {'elements':>8}  status"]
            lines += [f"  {b.name:<{width}} {b.size:>10} {_figure(b.error):>8} {_figure(b.limit):>8} {b.elements:>8}  "
                      f"{b.status}" for b in self.blocks]
        if self.verdict != "not deterministic":
            order = "all of it is rounding" if self.taylor_order is None else f"it falls as h^{self.taylor_order:.2f}"
            lines += [f"  Taylor remainder: {order}   (h^2 for a gradient, h^1 otherwise)"]
        lines += [f"  fun(x0) = {self.value:.9g}, known to {self.noise:.1e}, computed in {self.precision}; "
                  f"{self.evaluations} evaluations of fun, {self.gradients} of grad"]
        return "\n".join(lines)


def _figure(x: float) -> str:
    return "-" if x != x else f"{x:.1e}"
