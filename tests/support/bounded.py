"""Numbers that carry a bound of their own rounding error: running error analysis, done by the formula itself.

Feed a reference formula with `Bounded` arrays instead of float32 ones, and each result comes with a rigorous
bound on how far a computation of the same operations in arithmetic of unit roundoff u can be from the exact
value. So every rule has a derived tolerance, and a new rule needs none to be thought out.

The model (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., 2.2 and 3.3): an operation returns
z (1 + d) + e with |d| <= u and |e| <= half the smallest subnormal. If the operands are off by at most ex, ey:
    x + y   ex + ey
    x * y   |x| ey + |y| ex + ex ey
    x / y   (ex + |x/y| ey) / (|y| - ey)
    sqrt x  ex / sqrt x, and never more than sqrt ex
and to each is added u (|z| + that) + e. The bounds are computed in float64 and enlarged by 1 % for that.
A comparison says besides its outcome where that is sure; where it is not, the result may be either branch's.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optcore import reference
from optcore.rules import RULES, elementwise

U32, U64 = 2.0 ** -24, 2.0 ** -53
TINY = {U32: 2.0 ** -150, U64: 2.0 ** -1075 if 2.0 ** -1075 else 5e-324}


class Bounded:
    __array_priority__ = 100.0

    def __init__(self, value, error, u):
        self.value, self.error, self.u = np.asarray(value, np.float64), np.asarray(error, np.float64), u

    @classmethod
    def exact(cls, value, u):
        return cls(value, np.zeros(np.shape(value)), u)

    @classmethod
    def rounded(cls, value, u):
        """A scalar computed in double and rounded once. At u = 2^-53 the double itself is off by a few ulp."""
        return cls(value, abs(value) * (u if u > U64 else 8 * u), u)

    def _made(self, value, spread):
        return Bounded(value, 1.01 * (spread + self.u * (np.abs(value) + spread) + TINY[self.u]), self.u)

    def _other(self, x):
        return x if isinstance(x, Bounded) else Bounded.exact(x, self.u)

    def __add__(self, other):
        y = self._other(other)
        return self._made(self.value + y.value, self.error + y.error)

    def __sub__(self, other):
        y = self._other(other)
        return self._made(self.value - y.value, self.error + y.error)

    def __mul__(self, other):
        y = self._other(other)
        return self._made(self.value * y.value, np.abs(self.value) * y.error + np.abs(y.value) * self.error
                          + self.error * y.error)

    def __truediv__(self, other):
        y = self._other(other)
        with np.errstate(all="ignore"):
            q = self.value / y.value
            room = np.abs(y.value) - y.error
            spread = np.where(room > 0, (self.error + np.abs(q) * y.error) / room, np.inf)
        return self._made(q, spread)

    def __lt__(self, other):
        y = self._other(other)
        spread = self.error + y.error
        return Outcome(self.value < y.value, (np.abs(self.value - y.value) > spread) | (spread == 0))

    def __gt__(self, other):
        return self._other(other) < self

    def __eq__(self, other):
        """Asked of x and x, which differ just if x is a NaN."""
        assert other is self
        return ~np.isnan(self.value)

    def __ne__(self, other):
        """Asked of scalars that are a flag, or decay of 0: rounding them does not change the outcome."""
        return self.value != self._other(other).value

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        assert method == "__call__" and not kwargs
        if ufunc is np.absolute:
            return Bounded(np.abs(self.value), self.error, self.u)
        assert ufunc is np.sqrt
        root = np.sqrt(np.maximum(self.value, 0.0))
        with np.errstate(all="ignore"):
            spread = np.minimum(np.sqrt(self.error), np.where(root > 0, self.error / root, np.inf))
        return self._made(root, spread)


@dataclass(frozen=True)
class Outcome:
    """Of a comparison of exact values, and whether rounded ones must come out the same."""

    true: np.ndarray
    sure: np.ndarray


def pick(condition, yes, no):
    """Stands in for the formulas' pick."""
    whole = yes if isinstance(yes, Bounded) else no
    yes, no = whole._other(yes), whole._other(no)
    if not isinstance(condition, Outcome):
        condition = Outcome(condition, True)
    error = np.where(condition.true, yes.error, no.error)
    with np.errstate(all="ignore"):
        either = np.maximum(yes.error, no.error) + np.abs(yes.value - no.value)
    return Bounded(np.where(condition.true, yes.value, no.value), np.where(condition.sure, error, either), whole.u)


def sign(x):
    """Stands in for the formulas' sign: exact where the error cannot turn it, else off by as much as from -1 to 1."""
    return Bounded(np.sign(x.value), np.where(np.abs(x.value) > x.error, 0.0, 2.0), x.u)


def bounded_step(reference, rule, arrays, scalars, u, roundings=1):
    """One step of a rule over (p, g, state...) of Bounded: the new (p, state...). roundings: by how many each scalar
    may be off."""
    plain = elementwise.pick, elementwise.sign
    elementwise.pick, elementwise.sign = pick, sign
    try:
        with np.errstate(all="ignore"):         # 0 / 0 where eps is 0: the bound is then not finite, and says so
            return reference.new_values(rule, arrays, tuple(
                Bounded(x, roundings * Bounded.rounded(x, u).error, u) for x in scalars))
    finally:
        elementwise.pick, elementwise.sign = plain


def bounded_trajectory(family, chosen, start, gradients, u, carried=False):
    """The exact trajectory and how far arithmetic of unit roundoff u may be from it. carried: so may its scalars, by
    as many roundings as there were steps, one more for each operation."""
    full = {**family.settings, **chosen}
    rule_name, values = family.pick(full)
    rule = RULES[rule_name]
    arrays = [Bounded.exact(start, u)] + [
        Bounded.exact(np.full(start.shape, full.get(family.fill.get(k, ""), 0.0), np.float32), u) for k in rule.keys]
    for t, g in enumerate(gradients, start=1):
        arrays = bounded_step(reference, rule, [arrays[0], Bounded.exact(g, u), *arrays[1:]],
                              rule.scalars(t, *values), u, t + 4 if carried else 1)
    return dict(zip(("p", *rule.keys), arrays, strict=True))
