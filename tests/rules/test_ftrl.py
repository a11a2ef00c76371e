"""FTRL against formulas that are not ours: the paper's algorithm, and the update that TensorFlow and Keras document."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optcore as oc
from optcore.step.rows import Rows

# Both sides compute in float64 what is the same in exact arithmetic. A step adds terms of 6 roundings each to z, which
# is at most 6 u SIZE; SIZE bounds them (asserted below). A wrong weight w re-enters z by sigma w, where it makes the
# error of z grow by no more than sqrt(n') / sqrt(n): over all steps by GROWTH, the root of n at the end over its first.
# A weight is z over (beta + sqrt(n)) / lr + l2, above sqrt(0.1) / 0.5 > 1/2: twice the error of z at most.
STEPS, SIZE, GROWTH = 40, 1e3, 64
ATOL = 2 * GROWTH * STEPS * 6 * 2.0 ** -53 * SIZE


class Paper:
    """Algorithm 1 of McMahan et al. 2013: a weight is made when it is needed, from z and n alone."""

    def __init__(self, count, alpha, beta, lambda1, lambda2, n):
        self.z, self.n, self.settings = np.zeros(count), np.full(count, n), (alpha, beta, lambda1, lambda2)

    def weights(self):
        alpha, beta, lambda1, lambda2 = self.settings
        w = np.zeros_like(self.z)
        for i, (z, n) in enumerate(zip(self.z, self.n, strict=True)):
            if abs(z) > lambda1:
                w[i] = -1 / ((beta + np.sqrt(n)) / alpha + lambda2) * (z - np.sign(z) * lambda1)
        return w

    def step(self, g):
        w, alpha = self.weights(), self.settings[0]
        sigma = (np.sqrt(self.n + g ** 2) - np.sqrt(self.n)) / alpha
        assert (np.abs(g) + np.abs(sigma * w) + np.abs(self.z) < SIZE).all()
        self.z += g - sigma * w
        self.n += g ** 2


def tensorflow(var, linear, accum, grad, lr, l1, l2, beta):
    """ApplyFtrl's update with learning_rate_power = -0.5, and Keras's beta, which joins l2 as beta / (2 lr)."""
    l2 = l2 + beta / (2 * lr)
    new = accum + grad ** 2
    linear = linear + grad - (new ** 0.5 - accum ** 0.5) / lr * var
    quadratic = new ** 0.5 / lr + 2 * l2
    clipped = np.clip(linear, -l1, l1)
    return (clipped - linear) / quadratic, linear, new


penalties = st.sampled_from([0.0, 1e-3, 0.1, 3.0])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2 ** 32 - 1), st.sampled_from([0.01, 0.5]), penalties, penalties, penalties)
def test_is_the_papers_algorithm_and_tensorflows(seed, lr, beta, l1, l2):
    rng = np.random.default_rng(seed)
    w = np.zeros(7)
    opt = oc.FTRL([w], lr=lr, beta=beta, l1=l1, l2=l2)
    paper = Paper(7, lr, beta, l1, l2, 0.1)
    theirs = np.zeros(7), np.zeros(7), np.full(7, 0.1)
    for _ in range(STEPS):
        g = rng.standard_normal(7)
        opt.step([g])
        paper.step(g)
        theirs = tensorflow(*theirs, g, lr, l1, l2 / 2, beta)
        for want in (paper.weights(), theirs[0]):
            np.testing.assert_allclose(w, want, rtol=0, atol=ATOL)
            # Where |z| is within rounding of l1, either may call it nothing; elsewhere both or neither do.
            clear = np.abs(np.abs(paper.z) - l1) > ATOL
            np.testing.assert_array_equal((w != 0)[clear], (want != 0)[clear])
    assert (paper.n < 0.1 * GROWTH ** 2).all()


def test_by_rows_is_the_dense_update_of_those_rows():
    rng = np.random.default_rng(0)
    table, dense = np.zeros((9, 5), np.float32), np.zeros((9, 5), np.float32)
    one, other = oc.FTRL([table], lr=0.1, l1=0.5), oc.FTRL([dense], lr=0.1, l1=0.5)
    for _ in range(20):
        ids = rng.choice(9, 4, replace=False)
        values = rng.standard_normal((4, 5)).astype(np.float32)
        g = np.zeros((9, 5), np.float32)
        g[ids] = values
        one.step([Rows(ids, values)])
        other.step([g])                 # of a gradient of 0 it does nothing: z and n stay, and w is made anew from them
    np.testing.assert_array_equal(table, dense)
    assert (table == 0).any() and (table != 0).any()


@pytest.mark.parametrize("lr", [0.0, 1e-39, np.inf])
def test_a_rate_without_an_inverse_is_refused(lr):
    w = np.ones(3, np.float32)
    with pytest.raises(ValueError, match="^lr"):
        oc.FTRL([w], lr=lr).step([w.copy()])
    np.testing.assert_array_equal(w, 1)
