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
"""
from __future__ import annotations

import numpy as np

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
        return self.value < self._other(other).value

    def __gt__(self, other):
        return self.value > self._other(other).value

    def __ne__(self, other):
        return self.value != self._other(other).value

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        assert ufunc is np.sqrt and method == "__call__" and not kwargs
        root = np.sqrt(np.maximum(self.value, 0.0))
        with np.errstate(all="ignore"):
            spread = np.minimum(np.sqrt(self.error), np.where(root > 0, self.error / root, np.inf))
        return self._made(root, spread)


def pick(condition, yes, no):
    """Stands in for reference.pick, whose two uses are max(x, 0) and max(x, y): neither spreads its operands'
    errors, even where rounding makes the other one larger."""
    whole = yes if isinstance(yes, Bounded) else no
    yes, no = whole._other(yes), whole._other(no)
    return Bounded(np.where(condition, yes.value, no.value), np.maximum(yes.error, no.error), whole.u)


def sign(x):
    """Stands in for reference.sign: exact where the error cannot turn it, else off by as much as from -1 to 1."""
    return Bounded(np.sign(x.value), np.where(np.abs(x.value) > x.error, 0.0, 2.0), x.u)


def bounded_step(reference, rule, arrays, scalars, u):
    """One step of a rule over (p, g, state...) of Bounded: the new (p, state...)."""
    plain = reference.pick, reference.sign
    reference.pick, reference.sign = pick, sign
    try:
        with np.errstate(all="ignore"):         # 0 / 0 where eps is 0: the bound is then not finite, and says so
            return reference.new_values(rule.kernel, arrays, tuple(Bounded.rounded(x, u) for x in scalars))
    finally:
        reference.pick, reference.sign = plain
