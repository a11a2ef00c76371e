"""check_grad: is this gradient the gradient of that function, and if not, which element is wrong?

Owns the plan: which directions and elements are looked at, what is called wrong, how the wrong element is found.
Pure NumPy, float64 arithmetic, the same report for the same seed; knows nothing of rules and optimizers.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import ceil, inf, isfinite, log2, nan, sqrt
from numbers import Real
from typing import Any

import numpy as np

from optcore.check._line import RATIO, SAFETY, Line
from optcore.check._points import Block, Points, Vector, length
from optcore.check._report import BlockResult, Report, Row
from optcore.rules.settings import whole

__all__ = ["BlockResult", "Report", "Row", "check_grad"]

ROUGH = 2.0 ** -40      # noise of fun, over g . d, from which on steps are so long that kinks hide in them
COARSEST = 2.0 ** -18   # no middle step above 1/64 of an array's scale
SEEN = 4.0              # times noise / h: a gap is seen there, to a quarter
PLACES = 8.0            # units in the last place, of which rounding takes 1/16: no smaller step
FINER = (6, 4, 5, 3, 7, 8)              # powers of RATIO, times the least step at which a gap is seen
DRIFTING = 0.25         # of g . d, 10 times what rounding x changes it by: such a gradient is known to no digit
USEFUL = 0.1            # a limit above this tells nothing
POWERS = (0, 1, -1, 2, -2, 3, -3)       # of RATIO, times the middle step, in the order they are tried
GROUPS = 12             # arrays, or groups of arrays, that get a direction of their own
LOOK_SHARE = 0.55       # of the evaluations for looking; the rest is kept for finding the worst element


def check_grad(fun: Callable[..., Any], grad: Callable[..., Any] | bool, x0: Any, *args: Any,
               rtol: float | None = None, maxfev: int = 190, seed: int = 0) -> Report:
    """Compare an analytic gradient with differences of the function, and name the worst element.

        |g . d - D| <= max(rtol |g * d|, 10 error of D)    along random directions and single elements d,

    where D is the central difference (f(x + h d) - f(x - h d)) / 2h extrapolated to h = 0, and its error comes from
    the table of steps and from the measured noise of f. docs/gradient_check.md says what this can see and what not.

    Parameters
        fun: fun(x, *args) gives one real number
        grad: grad(x, *args) gives arrays built and shaped as x; True if fun gives (value, gradient)
        x0: an array, numbers, or lists, tuples, dicts of arrays, nested as one likes; float16, float32, float64.
            fun and grad get NumPy arrays of their own, in the same structure. If x0 is not float64 they get
            float64 copies where they take them (then rounding hides less), else arrays as x0 has them
        rtol: the relative error that is allowed; by default the root of the machine epsilon of fun's arithmetic
            (1.5e-8 in float64, 3.5e-4 in float32)
        maxfev: the most evaluations of fun, 60 or more; grad is evaluated 4 to 8 times
        seed: of the random directions and elements

    Returns a Report: false if the gradient is wrong, `print(report)` says why. Nothing of x0 is changed. Raises
    TypeError and ValueError for what cannot be checked: no function, fun(x0) not finite, shapes that differ.

        >>> import numpy as np
        >>> from optcore import check_grad
        >>> def loss(p):
        ...     return float(np.sum((p["w"] @ p["w"].T) ** 2) + np.sum(p["b"] ** 3))
        >>> def gradient(p):
        ...     return {"w": 4 * p["w"] @ p["w"].T @ p["w"], "b": 2 * p["b"] ** 2}      # should be 3 b^2
        >>> x = {"w": np.linspace(-1, 1, 6).reshape(2, 3), "b": np.array([0.5, 1.0])}
        >>> report = check_grad(loss, gradient, x)
        >>> report.verdict, report.worst.where, [b.status for b in report.blocks]
        ('wrong', "x0['b'][1]", ['ok', 'wrong'])
        >>> round(report.worst.analytic, 6), round(report.worst.numerical, 6)
        (2.0, 3.0)

    Source: SciPy's scipy.optimize.check_grad for the order of arguments; Ridders 1982 for the differences.
    """
    maxfev = whole("maxfev", maxfev, 60)
    if rtol is not None and not (isinstance(rtol, Real) and 0.0 < rtol < 1.0):
        raise ValueError(f"rtol={rtol!r}: a number between 0 and 1 is needed")
    rng = np.random.default_rng(whole("seed", seed, 0))
    return _Check(Points(fun, grad, x0, args, rng), rtol, maxfev, rng).run()


class _Check:
    """One check as it goes: what is known, and the rows so far."""

    def __init__(self, points: Points, rtol: float | None, maxfev: int, rng: np.random.Generator) -> None:
        self.points, self.rng = points, rng
        self.rtol = sqrt(points.eps) if rtol is None else rtol
        self.last = maxfev - 4                  # kept for a point beside x0, and for fun(x0) once more at the end
        self.confirming = 0                     # evaluations by which no direction less is looked along
        self.blocks = points.blocks
        self.scale = points.scale
        self.rows: list[Row] = []
        self.notes: list[str] = []
        self.beside: tuple[Vector, float, Vector] | None = None
        self.order: float | None = None

    def run(self) -> Report:
        p = self.points
        if not p.deterministic():
            return self._not_deterministic(f"fun(x0) gave values that differ by {p.spread:.3g}")
        bad = np.flatnonzero(~np.isfinite(p.slopes))
        if bad.size:
            return self._not_finite(bad)
        if not p.slopes_deterministic():
            return self._not_deterministic("grad(x0) gave two different gradients")
        p.measure_noise(self.rng)
        wrong = self._look()
        if wrong is not None and not any(r.element and r.status == "wrong" for r in self.rows):
            self._find(wrong)
        p.repeat()
        if not p.deterministic():
            return self._not_deterministic(f"fun(x0) came to differ by {p.spread:.3g} in the course of the check")
        return self._report(self._verdict())

    # ------------------------------------------------------------------------------------------- where to look

    def _direction(self, blocks: list[Block], relative: bool, again: bool) -> Vector:
        """Random signs times a scale: that of the array, or each element's own (in turn, if it is asked again).
        Signs, not normal numbers: no element has a small weight by chance."""
        x = np.abs(self.points.x)
        size = np.where(x > 0.0, x, self.scale) if relative != again else self.scale
        d = np.zeros_like(x)
        for b in blocks:
            d[b.start:b.stop] = size[b.start:b.stop] * self.rng.choice([-1.0, 1.0], b.stop - b.start)
        return d

    def _element(self, i: int, again: bool) -> Vector:
        """One element, moved by its own size; by the scale of its array, if it is far less."""
        d = np.zeros_like(self.points.x)
        own = abs(float(self.points.x[i]))
        d[i] = own if own > 0.0 and (again or own > 1e-3 * self.scale[i]) else self.scale[i]
        return d

    def _look(self) -> tuple[Line, Row] | None:
        """All rows of the plan, while evaluations last; the direction with the largest error, if any is wrong."""
        enough = int(LOOK_SHARE * self.last)
        wrong: list[tuple[Line, Row]] = []
        groups = [list(g) for g in np.array_split(np.arange(len(self.blocks)), min(GROUPS, len(self.blocks)))]
        plans = [(self.blocks, False), (self.blocks, True)]
        if len(self.blocks) > 1:
            plans += [([self.blocks[k] for k in g], False) for g in groups]
        for k, (blocks, relative) in enumerate(plans):
            if self.points.evaluations - self.confirming > enough:
                break
            line, row = self._judge(blocks, partial(self._direction, blocks, relative), whole=k == 0)
            if k == 0:
                self.order = line.order()
            if row.status == "wrong":
                wrong.append((line, row))
        for b, i in self._elements():
            if self.points.evaluations - self.confirming > enough:
                break
            self._judge([b], partial(self._element, i), element=i)
        # The one that names the fewest arrays, then the one with the largest error.
        return min(wrong, key=lambda found: (len(found[1].blocks), -found[1].error), default=None)

    def _elements(self) -> list[tuple[Block, int]]:
        """From each array in turn: the largest |analytic|, a random one, and then others, without repetition."""
        queues = []
        for b in sorted(self.blocks, key=lambda b: b.start - b.stop):
            part = np.abs(self.points.slopes[b.start:b.stop])
            drawn = self.rng.permutation(part.size) if part.size < 64 else self.rng.choice(part.size, 48)
            queues.append((b, list(dict.fromkeys([int(part.argmax()), *map(int, drawn)]))))
        deepest = max(len(q) for _, q in queues)
        return [(b, b.start + q[k]) for k in range(deepest) for b, q in queues if k < len(q)]

    # ------------------------------------------------------------------------------------------- what is wrong

    def _judge(self, blocks: list[Block], direction: Callable[[bool], Vector], *, whole: bool = False,
               element: int | None = None) -> tuple[Line, Row]:
        """One row. If nothing can be seen along the first direction, the second is tried: `direction(True)`."""
        p = self.points
        for again in (False, True):
            line = Line(p, p.x, p.value, p.slopes, direction(again))
            row = self._row(line, blocks, element, whole=whole)
            if row.status == "wrong" and line.kink():
                row = self._row_beside(line, row, blocks, element)
            if row.status != "unclear":
                break
        self.rows.append(row)
        return line, row

    def _row(self, line: Line, blocks: list[Block], element: int | None, *, whole: bool = False,
             powers: tuple[int, ...] = POWERS) -> Row:
        rounding = SAFETY * length(self.points.slope_noise[line.support] * line.d[line.support])
        if element is not None:                 # the noise of one element may be small by chance
            b = blocks[0]
            rms = length(self.points.slope_noise[b.start:b.stop] * self.scale[b.start:b.stop])
            rounding = max(rounding, SAFETY * rms / sqrt(b.stop - b.start))
        target = max(self.rtol * line.size, rounding)
        gap, tolerance, p = inf, inf, self.points
        middle = self._middle(line)
        for k in powers:
            if p.evaluations + 2 > self.last:
                break
            h = middle * RATIO ** k
            if not line.ask(h):
                continue
            # Agreement at any step is agreement: no accident makes a difference equal to a wrong number.
            within = max(target, SAFETY * line.noise(h))
            if abs(line.gaps[h]) <= within < tolerance and within <= max(target, 1e-3 * line.size):
                gap, tolerance = line.gaps[h], within
            if isfinite(tolerance) and not whole:
                break
            if len(line.gaps) >= 3 and not whole:
                found, error = line.gap()
                if abs(found) > 10.0 * max(target, SAFETY * error, line.doubt()):
                    break                       # wrong beyond doubt
        if not isfinite(tolerance):
            gap, error = line.gap()
            tolerance = max(target, SAFETY * error, line.doubt() if p.noise > ROUGH * line.size else 0.0)
        if not isfinite(gap):
            return self._make(line, blocks, element, nan, inf, "unclear")
        if abs(gap) > tolerance:
            if rounding > max(abs(gap) / 2, DRIFTING * line.size):
                return self._make(line, blocks, element, gap, inf, "unclear")
            before = p.evaluations
            gap, tolerance, status = self._confirm(line, gap, tolerance, target)
            self.confirming += p.evaluations - before
            if status != "ok":
                return self._make(line, blocks, element, gap, tolerance, status)
        # Where g is zero, the size is that which g has one step away.
        useful = USEFUL * max(line.size, abs(line.analytic + gap), line.curvature())
        if tolerance > useful:                  # the table is rough, but single steps may have agreed
            tolerance = min((SAFETY * line.noise(h) for h, g in line.gaps.items() if abs(g) <= SAFETY * line.noise(h)),
                            default=tolerance)
        dead = not p.slopes[line.support].any() and all(g == 0.0 for g in line.gaps.values())
        return self._make(line, blocks, element, gap, tolerance, "ok" if tolerance <= useful or dead else "unclear")

    def _confirm(self, line: Line, gap: float, tolerance: float, target: float) -> tuple[float, float, str]:
        """A gap that looks wrong is to be there at the smallest step at which the noise of fun lets it be seen, too:
        steps that span many wavelengths of fun agree with each other, and on nothing. If it is not, the smaller steps
        say what is: the gap, its tolerance, and "wrong", "unclear" or "ok"."""
        p = self.points
        smallest = min(line.gaps)
        # So many units in the last place of each element that the rounding of x + h d is a small share of h d.
        coarse = max(1.0, float(np.abs(line.x[line.support] / line.d[line.support]).max(initial=0.0)))
        least = float(2.0 ** ceil(log2(max(SEEN * p.noise / abs(gap), PLACES * p.eps * coarse))))
        near = line.again()
        if least >= smallest:
            return (gap, tolerance, "wrong") if line.resolved() else (gap, inf, "unclear")
        if p.evaluations + 2 > self.last or not near.ask(least):
            return gap, inf, "unclear"
        if abs(near.gaps[least] - gap) <= abs(gap) / 2:
            near.take(line)
            return (gap, tolerance, "wrong") if near.resolved() else (gap, inf, "unclear")
        # From there up, to where the step is as long as those before.
        best, limit = nan, inf
        for k in FINER:
            h = least * RATIO ** k
            if h >= smallest or p.evaluations + 2 > self.last or not near.ask(h):
                break
            within = max(target, SAFETY * near.noise(h))
            if abs(near.gaps[h]) <= within < limit:
                best, limit = near.gaps[h], within
            if limit <= max(target, 1e-3 * line.size):
                break
        if not isfinite(limit):
            best, error = near.gap()
            limit = max(target, SAFETY * error)
            if not isfinite(best) or not near.resolved():
                best, limit = gap, inf
        wrong = abs(best) > limit
        line.take(near)
        return best, limit, "wrong" if wrong else "ok" if isfinite(limit) else "unclear"

    def _middle(self, line: Line) -> float:
        """The step where the noise of fun and the h^2 of the difference are about equal."""
        noise = self.points.noise / line.size if line.size else 0.0
        return float(2.0 ** round(log2(min(max(noise, self.points.eps), COARSEST)) / 3.0))

    def _make(self, line: Line, blocks: list[Block], element: int | None, gap: float, tolerance: float,
              status: str) -> Row:
        unit = 1.0 if element is None else float(line.d[element])
        analytic = line.analytic if element is None else float(line.slopes[element])
        size = max(line.size, abs(line.analytic + gap), line.curvature() if status == "ok" else 0.0)
        names = tuple(b.name for b in blocks)
        where = (blocks[0].label(element) if element is not None else names[0] if len(names) == 1
                 else "all" if len(names) == len(self.blocks) else f"{names[0]} to {names[-1]}")
        return Row(where, names, element is not None, analytic, analytic + gap / unit,
                   abs(gap) / size if size else 0.0, tolerance / size if size else 0.0, status)

    def _row_beside(self, line: Line, row: Row, blocks: list[Block], element: int | None) -> Row:
        """The same row at a point beside x0: what was a kink there is left behind, a wrong gradient is not."""
        p = self.points
        if self.beside is None:
            away = 16.0 * self._middle(line) * self.scale * self.rng.uniform(0.5, 1.0, p.x.size)
            x = p.place(p.x + away * self.rng.choice([-1.0, 1.0], p.x.size))
            self.beside = x, p.fun(x), p.grad(x)
        x, value, slopes = self.beside
        if not (isfinite(value) and np.isfinite(slopes).all()):
            return replace(row, status="unclear")
        moved = Line(p, x, value, slopes, line.d)
        there = self._row(moved, blocks, element, powers=(0, -1, -2, 1))
        if there.status == "ok":
            return replace(row, status="kink")
        return replace(row, status="unclear" if there.status == "unclear" or moved.kink() else "wrong")

    # ------------------------------------------------------------------------------------------- which element

    def _find(self, wrong: tuple[Line, Row]) -> None:
        """Halve the wrong direction, keeping the half with the larger gap, down to one element."""
        line, p = wrong[0], self.points
        gap, at = line.gap()[0], line.support
        # One step will do where it gave what all of them gave; the error of a half is about that of the whole.
        steps = sorted(line.gaps, key=lambda h: abs(line.gaps[h] - gap))
        steps = steps[:1 if abs(line.gaps[steps[0]] - gap) <= 0.1 * abs(gap) else 2]
        lost = SAFETY * max(line.noise(h) for h in steps)
        while at.size > 1 and p.evaluations + 2 * (len(steps) + len(POWERS)) <= self.last and abs(gap) > lost:
            half, rest = np.array_split(at, 2)
            d = np.zeros_like(p.x)
            d[half] = line.d[half]
            part = Line(p, p.x, p.value, p.slopes, d)
            if not all(part.ask(h) for h in steps):
                break
            first = part.gap()[0] if len(steps) > 1 else part.gaps[steps[0]]
            gap, at = (first, half) if abs(first) >= abs(gap - first) else (gap - first, rest)
        block = next(b for b in self.blocks if b.start <= at[0] < b.stop)
        if at.size == 1:
            i = int(at[0])
            self._judge([block], partial(self._element, i), element=i)
        else:
            self.notes.append(f"no single element stands out; the error is spread around {block.label(int(at[0]))}")

    # ------------------------------------------------------------------------------------------- what to say

    def _verdict(self) -> str:
        statuses = {r.status for r in self.rows}
        if "wrong" in statuses:
            return "wrong"
        unclear = [b.name for b in self._results() if b.status == "unclear"]
        if unclear:
            self.notes.append(f"fun is too noisy or too rough at x0 to judge {', '.join(unclear)}")
            return "inconclusive"
        if "kink" in statuses:
            self.notes.append("x0 lies on a kink: the slopes ahead and behind differ; judged at a point beside it")
            return "kink"
        return "correct"

    def _results(self) -> list[BlockResult]:
        together = [r.status for r in self.rows if len(r.blocks) > 1]
        results = []
        for b in self.blocks:
            own = [r for r in self.rows if r.blocks == (b.name,)]
            shared = [r.status for r in self.rows if b.name in r.blocks and len(r.blocks) > 1]
            statuses = {r.status for r in own} or set(shared) or set(together)
            status = next((s for s in ("wrong", "kink", "ok", "unclear") if s in statuses), "unclear")
            # The largest error that is one; of a block in order, what was measured best.
            shown = (max((r for r in own if r.status == "wrong"), key=lambda r: r.error, default=None)
                     or min((r for r in own if r.status != "unclear"), key=lambda r: r.limit, default=None))
            results.append(BlockResult(b.name, b.stop - b.start, shown.error if shown else nan,
                                       shown.limit if shown else nan, sum(r.element for r in own), status))
        return results

    def _report(self, verdict: str) -> Report:
        p = self.points
        worst = max((r for r in self.rows if r.element and r.status == "wrong"), default=None,
                    key=lambda r: (round(r.error, 6), abs(r.analytic - r.numerical)))
        precision = f"{p.precision}, x0 passed as float64" if p.shadow else str(p.precision)
        moved = any(r.numerical != 0.0 for r in self.rows if r.status != "unclear")
        if verdict == "wrong" and not moved:
            self.notes.append("fun gave the same value everywhere: does it read its argument?")
        return Report(verdict, self._results() if self.rows else [], self.rows, worst, self.order, p.value,
                      max(p.noise, p.spread), precision, p.evaluations, p.gradients, self.notes)

    def _not_deterministic(self, why: str) -> Report:
        self.notes.append(f"{why}: fix the random numbers and whatever is kept between calls")
        return self._report("not deterministic")

    def _not_finite(self, bad: np.typing.NDArray[np.intp]) -> Report:
        i = int(bad[0])
        block = next(b for b in self.blocks if b.start <= i < b.stop)
        self.notes.append(f"grad(x0) is not finite at {bad.size} elements, first at {block.label(i)}")
        self.rows.append(Row(block.label(i), (block.name,), True, float(self.points.slopes[i]), nan, inf, 0.0, "wrong"))
        return self._report("wrong")
