"""Line searches as states: a step comes out, the value and slope there go in, and every field can be saved.

Owns how long a step is. Knows no vector: only f and its slope along the direction, in float64.

`Wolfe` is the search of More and Thuente (ACM TOMS 20, 1994): it brackets a step at which f has fallen enough and
the slope is flat enough, by safeguarded cubic and quadratic models. Three things are added. Where f can no longer
tell (its change is within its own rounding) the slope alone decides: the approximate Wolfe condition of Hager and
Zhang (SIAM J. Optim. 16, 2005). A value that is not finite bounds the step from above, and the step shrinks. And
an interval too narrow for another step ends the search.

`Escape` is for a direction of negative curvature at a point where the slope says nothing: it shortens the step
until f has fallen as the curvature promises.
"""
from __future__ import annotations

from dataclasses import asdict, dataclass
from math import copysign, inf, isfinite, sqrt
from typing import Any

# What a search says after each value.
MORE, FOUND, FAILED = "more", "found", "failed"

DECREASE = 1e-3         # f has fallen enough: by this share of what the first slope promises
FLATNESS = 0.9          # the slope is flat enough: at most this share of the first
NARROW = 2.0 ** -40     # an interval of this relative width holds no other step worth trying
FURTHER = 4.0           # a step grows at most so many times while no minimum is bracketed
SHRINK = 0.1            # of the way to where f is not finite
LONGEST = 1e20


def _cubic(a: float, fa: float, da: float, b: float, fb: float, db: float) -> tuple[float, float, float]:
    """The cubic through two values and slopes: theta, and its discriminant's root, in units that do not overflow,
    with the sign that leads from a to the minimum; and the unit."""
    if a == b:
        return 0.0, 0.0, 1.0
    theta = 3 * (fa - fb) / (b - a) + da + db
    unit = max(abs(theta), abs(da), abs(db))
    if unit == 0:
        return 0.0, 0.0, 1.0
    root = unit * sqrt(max(0.0, (theta / unit) ** 2 - (da / unit) * (db / unit)))
    return theta, copysign(root, b - a), unit


def _share(p: float, q: float, otherwise: float) -> float:
    return p / q if q != 0 else otherwise


@dataclass
class Wolfe:
    """lo: the best end so far, which the minimum is on the downhill side of; hi: the other end, once bracketed.
    Each with its step, value and slope."""

    f0: float
    d0: float                       # the slope at 0, negative
    step: float                     # the one whose value is awaited
    noise: float = 0.0              # what a change of f must exceed to mean anything
    clear: float = 0.0              # a change of f that is no rounding, however badly f is computed
    limit: float = LONGEST          # no longer step
    trials_left: int = 20
    lo: float = 0.0
    f_lo: float = 0.0
    d_lo: float = 0.0
    hi: float = 0.0
    f_hi: float = 0.0
    d_hi: float = 0.0
    bracketed: bool = False
    first_stage: bool = True        # until some step has fallen enough with a slope that is not negative
    too_long: bool = False          # the last trial was, for a fall that is clearly there, or for any value
    contradicted: bool = False      # f clearly changed by something else than its slopes say
    width: float = inf
    width_before: float = inf

    def __post_init__(self) -> None:
        if self.width == inf:
            self.f_lo = self.f_hi = self.f0
            self.d_lo = self.d_hi = self.d0
            self.width, self.width_before = LONGEST, 2 * LONGEST

    def state(self) -> dict[str, Any]:
        return asdict(self)

    def _compare(self, f: float, d: float) -> None:
        """Whether f and its slopes agree, at the nearest trial where f has clearly changed."""
        change, told = f - self.f0, 0.5 * self.step * (self.d0 + d)
        size = max(abs(change), abs(told))
        self.too_long = False
        if size > self.clear:
            self.contradicted = abs(change - told) > 0.5 * size
            # By the parabola through both slopes f should clearly fall somewhere before.
            self.too_long = d <= self.d0 or 0.5 * self.d0 * self.d0 * self.step / (d - self.d0) > self.clear

    def take(self, f: float, d: float) -> str:
        """f and its slope d at `step`: FOUND, or MORE with another `step`, or FAILED."""
        step = self.step
        self.trials_left -= 1
        if not (isfinite(f) and isfinite(d)):
            if step > self.lo:
                self.limit = (self.lo + step) / 2
            self.too_long = True
            self.step = self.lo + SHRINK * (step - self.lo)
            return self._next()
        self._compare(f, d)
        fallen = f <= self.f0 + DECREASE * step * self.d0
        if fallen and abs(d) <= -FLATNESS * self.d0:
            return FOUND
        if abs(f - self.f0) <= self.noise and FLATNESS * self.d0 <= d <= (2 * DECREASE - 1) * self.d0:
            return FOUND
        if fallen and step >= self.limit:
            return FOUND
        if self.first_stage and fallen and d >= 0:
            self.first_stage = False
        # In the first stage the model is of f less the decrease asked for, whose minimum is such a step.
        tilt = DECREASE * self.d0 if self.first_stage and f <= self.f_lo and not fallen else 0.0
        self._narrow(f, d, tilt)
        return self._next()

    def _next(self) -> str:
        low, high = min(self.lo, self.hi), max(self.lo, self.hi)
        if self.trials_left <= 0 or self.step <= 0 or not isfinite(self.step):
            return FAILED
        if self.bracketed and high - low <= NARROW * high or self.step == self.lo:
            return FAILED
        return MORE

    def _narrow(self, f: float, d: float, tilt: float) -> None:
        """Take the step into the interval and choose the next."""
        t = self.step
        ft, dt = f - tilt * t, d - tilt
        fl, dl = self.f_lo - tilt * self.lo, self.d_lo - tilt
        fh, dh = self.f_hi - tilt * self.hi, self.d_hi - tilt
        least, most = (min(self.lo, self.hi), max(self.lo, self.hi)) if self.bracketed else (
            t + 1.1 * (t - self.lo) if self.lo else 0.0, min(self.limit, t + FURTHER * (t - self.lo)))
        step = self._model(t, ft, dt, fl, dl, fh, dh, least, most)
        if ft > fl:
            self.hi, self.f_hi, self.d_hi = t, f, d
        else:
            if dt * dl < 0:
                self.hi, self.f_hi, self.d_hi = self.lo, self.f_lo, self.d_lo
            self.lo, self.f_lo, self.d_lo = t, f, d
        if self.bracketed:
            if abs(self.hi - self.lo) >= 0.66 * self.width_before:      # it hardly narrows: halve it
                step = self.lo + 0.5 * (self.hi - self.lo)
            self.width_before, self.width = self.width, abs(self.hi - self.lo)
            least, most = min(self.lo, self.hi), max(self.lo, self.hi)
        self.step = min(max(step, least), most, self.limit)

    def _model(self, t: float, ft: float, dt: float, fl: float, dl: float, fh: float, dh: float,
               least: float, most: float) -> float:
        """The next step by the four cases of the paper's section 4; says too whether a minimum is now bracketed."""
        lo, hi = self.lo, self.hi
        if ft > fl:                                                     # higher: between lo and t
            theta, root, _ = _cubic(lo, fl, dl, t, ft, dt)
            cubic = lo + _share(root - dl + theta, root - dl + root + dt, 0.5) * (t - lo)
            quadratic = lo + _share(dl, (fl - ft) / (t - lo) + dl, 1.0) / 2 * (t - lo)
            self.bracketed = True
            return cubic if abs(cubic - lo) < abs(quadratic - lo) else cubic + (quadratic - cubic) / 2
        if dt * dl < 0:                                                 # lower, uphill: between them too
            theta, root, _ = _cubic(t, ft, dt, lo, fl, dl)
            cubic = t + _share(root - dt + theta, root - dt + root + dl, 0.5) * (lo - t)
            secant = t + _share(dt, dt - dl, 0.5) * (lo - t)
            self.bracketed = True
            return cubic if abs(cubic - t) > abs(secant - t) else secant
        if abs(dt) <= abs(dl):                                          # lower, flatter: beyond t
            theta, root, _ = _cubic(t, ft, dt, lo, fl, dl)
            share = _share(root - dt + theta, root + (dl - dt) + root, 0.0)
            cubic = t + share * (lo - t) if share < 0 and root != 0 else (most if t > lo else least)
            secant = t + _share(dt, dt - dl, 0.0) * (lo - t)
            if self.bracketed:
                step = cubic if abs(cubic - t) < abs(secant - t) else secant
                bound = t + 0.66 * (hi - t)
                return min(bound, step) if t > lo else max(bound, step)
            step = cubic if abs(cubic - t) > abs(secant - t) else secant
            return min(max(step, least), most)
        if self.bracketed:                                              # lower, steeper: towards hi
            theta, root, _ = _cubic(t, ft, dt, hi, fh, dh)
            return t + _share(root - dt + theta, root - dt + root + dh, 0.5) * (hi - t)
        return most if t > lo else least


@dataclass
class Escape:
    """A step along negative curvature: f is to fall by a quarter of what the curvature promises."""

    f0: float
    curvature: float                # of f along the direction, negative
    step: float
    trials_left: int = 20
    too_long: bool = False
    contradicted: bool = False

    def state(self) -> dict[str, Any]:
        return asdict(self)

    def take(self, f: float, d: float) -> str:
        self.trials_left -= 1
        if isfinite(f) and isfinite(d) and f < self.f0 + 0.25 * 0.5 * self.curvature * self.step ** 2:
            return FOUND
        self.step /= 4
        return MORE if self.trials_left else FAILED
