"""The derivative of fun along one direction, measured against the one that grad claims, and how well it is known.

What is measured is the gap between the two, and what the point really moved enters it: the rounding of x + h d
drops out. With k = 1, 2, ... steps h of a falling row,

    gap(h) = (f(x + h d) - f(x - h d) - g . ((x + h d) - (x - h d))) / (2 h)

is extrapolated to h = 0 in even powers (Richardson), and the entry of the table that agrees best with its
neighbours is taken (Ridders): their disagreement plus the noise of fun divided by h is its error.

Source: C. J. F. Ridders, Accurate computation of F'(x) and F'(x)F''(x), Advances in Engineering Software 4, 1982;
J. J. More and S. M. Wild, Estimating computational noise, SIAM J. Sci. Comput. 33, 2011 (why noise, not eps).
"""
from __future__ import annotations

from itertools import pairwise
from math import inf, isfinite, log, sqrt

import numpy as np

from optcore.check._points import Points, Vector, length

SAFETY = 10.0           # errors by which a gap must be off before a gradient is called wrong
MOVED = 8.0             # times the noise: what fun moves beyond it is no noise
ROUNDED = 1024.0        # units in the last place, below which the noise of fun is the rounding of its sums
RATIO = 4.0             # of neighbouring steps: a power of two, so that h d is exact


class Line:
    """x + h d for a few h. slopes: the gradient claimed at x, where fun is value."""

    def __init__(self, points: Points, x: Vector, value: float, slopes: Vector, d: Vector) -> None:
        self.points, self.x, self.value, self.slopes, self.d = points, x, value, slopes, d
        self.support = np.flatnonzero(d)
        self.gaps: dict[float, float] = {}      # step: gap
        self.bends: dict[float, float] = {}     # step: how much the slope ahead is above the slope behind
        self.remainders: dict[float, float] = {}
        self.changes: dict[float, float] = {}   # step: how far fun moves from its value at x
        part = slopes[self.support] * d[self.support]
        self.analytic = float(part.sum())
        self.size = length(part)         # of g . d for random signs

    def ask(self, h: float) -> bool:
        """Measure at this step; False where fun is not finite."""
        if h in self.gaps:
            return True
        at = self.support
        ahead, behind = self.x.copy(), self.x.copy()
        ahead[at] += h * self.d[at]
        behind[at] -= h * self.d[at]
        ahead, behind = self.points.place(ahead), self.points.place(behind)
        up, down = self.points.fun(ahead), self.points.fun(behind)
        g = self.slopes[at]
        rise = (up - self.value) - float(g @ (ahead[at] - self.x[at]))
        fall = (self.value - down) - float(g @ (self.x[at] - behind[at]))
        if not (isfinite(rise) and isfinite(fall)):
            return False
        self.gaps[h] = (rise + fall) / (2.0 * h)
        self.bends[h] = (rise - fall) / h
        self.remainders[h] = max(abs(rise), abs(fall))
        self.changes[h] = max(abs(up - self.value), abs(down - self.value))
        return True

    def again(self) -> Line:
        """The same line with nothing measured."""
        return Line(self.points, self.x, self.value, self.slopes, self.d)

    def take(self, other: Line) -> None:
        """What was measured along the same line."""
        for mine, found in ((self.gaps, other.gaps), (self.bends, other.bends), (self.remainders, other.remainders),
                            (self.changes, other.changes)):
            mine.update(found)

    def noise(self, h: float) -> float:
        """What the noise of fun puts into a gap at this step."""
        return self.points.noise / h

    def gap(self) -> tuple[float, float]:
        """(the gap at h = 0, its error)."""
        best = (inf, inf)
        above: list[float] = []                 # the table's row of the next larger step
        steps = sorted(self.gaps, reverse=True)
        for i, h in enumerate(steps):
            row = [self.gaps[h]]
            for k in range(min(len(above), 3)):
                power = (steps[i - 1 - k] / h) ** 2
                row.append(row[k] + (row[k] - above[k]) / (power - 1.0))
                error = self.noise(h) + max(abs(row[k + 1] - row[k]), abs(row[k + 1] - above[k]),
                                            self._against(row[k + 1], steps[i + 1:]))
                if error < best[1]:
                    best = row[k + 1], error
            above = row
        return best

    def _against(self, gap: float, steps: list[float]) -> float:
        """How far the gaps at these smaller steps are from this one, beyond their noise: what only larger steps show is
        a kink nearby, and no error of the gradient."""
        return max((abs(self.gaps[h] - gap) - 3.0 * self.noise(h) for h in steps), default=0.0)

    def kink(self) -> bool:
        """Whether the slopes ahead and behind still disagree as h goes to 0.

        Their difference is jump + h d'Hd + ...; the jump, which is 0 for a smooth function, is what two neighbouring
        steps extrapolate to. It is no kink at x if at some step the slopes agree to a thousandth of the gap.
        """
        if self.doubt() < 1e-3 * abs(self.gap()[0]):
            return False
        steps = sorted(self.bends)[:4]
        for h, larger in pairwise(steps):
            ratio = larger / h
            jump = abs(ratio * self.bends[h] - self.bends[larger]) / (ratio - 1.0)
            if jump > 4.0 * SAFETY * self.noise(h) and jump > 1e-3 * abs(self.gaps[h]):
                return True
        return False

    def doubt(self) -> float:
        """How far the slopes ahead and behind leave open what the slope at x is: at the best step.

        A smooth function is known better than this; one with many kinks within a step is not, since there gaps at
        neighbouring steps may agree by accident.
        """
        return min((2.0 * abs(self.bends[h]) + SAFETY * self.noise(h) for h in self.bends), default=inf)

    def curvature(self) -> float:
        """|d' H d|, what g . d changes by if x moves by d, where it is above the noise; the smallest, since a kink
        makes it large at small steps."""
        return min((abs(self.bends[h]) / h for h in self.bends if abs(self.bends[h]) > 8.0 * self.noise(h)),
                   default=0.0)

    def resolved(self) -> bool:
        """Whether fun moves less over less: what spans many wavelengths moves as far at each step.

        Where fun moves beyond its noise it is to fall with the step, from one of the two smallest to the other at least
        by the root of what the step does. Where it never moves beyond its noise, and that is far above the rounding of
        its value, as of a wave that turns between neighbouring numbers, nothing was seen either.
        """
        steps = sorted(h for h in self.changes if self.changes[h] > MOVED * self.points.noise)
        if not steps:
            return self.points.noise <= ROUNDED * self.points.eps * abs(self.value)
        h, larger = steps[0], min((k for k in self.changes if k > steps[0]), default=inf)
        return larger == inf or self.changes[h] <= sqrt(h / larger) * self.changes[larger]

    def order(self) -> float | None:
        """The power of h with which f(x + h d) - f(x) - h g . d falls: 2 if g is the gradient, 1 if not.

        Over the three smallest steps at which it is above the noise; None if there are not two.
        """
        seen = [h for h in sorted(self.remainders) if self.remainders[h] > 16.0 * self.points.noise][:3]
        if len(seen) < 2:
            return None
        return log(self.remainders[seen[-1]] / self.remainders[seen[0]]) / log(seen[-1] / seen[0])
