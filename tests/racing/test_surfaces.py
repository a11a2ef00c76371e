"""Surfaces: exact derivatives, minima that are minima, noise that can be repeated and has the right mean."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import optcore as oc
from optcore.surfaces import NOISE_BATCH, NOISE_POINTS, SURFACES, get

EACH = pytest.mark.parametrize("surface", SURFACES.values(), ids=lambda s: s.name)
FRACTION = st.floats(0.02, 0.98)


def at(surface, u, v):
    left, right, bottom, top = surface.box
    return np.array([left + u * (right - left), bottom + v * (top - bottom)])


@EACH
@given(u=FRACTION, v=FRACTION)
def test_derivatives_are_exact(surface, u, v):
    x = at(surface, u, v)
    oc.check_grad(surface.value, surface.gradient, x).raise_if_wrong()
    hessian = surface.hessian(x)
    assert hessian.shape == (2, 2) and hessian[0, 1] == hessian[1, 0]
    for i in range(2):
        row = oc.check_grad(lambda p, i=i: surface.gradient(p)[i], lambda p, i=i: surface.hessian(p)[i], x)
        assert row, row


@EACH
def test_many_points_at_once_are_the_points_one_by_one(surface):
    points = np.stack([at(surface, u, v) for u, v in ((0.1, 0.9), (0.5, 0.4), (0.8, 0.2))], axis=1)
    for function in (surface.value, surface.gradient, surface.hessian):
        together = np.asarray(function(points))
        for k in range(3):
            # exp and powers of an array may go by other code than those of a number: some units in the last place
            # of the largest term, of which Beale's reach thousands
            np.testing.assert_allclose(together[..., k], function(points[:, k]), rtol=1e-12, atol=1e-10)


@EACH
def test_minima_are_minima_and_lie_in_the_picture(surface):
    left, right, bottom, top = surface.box
    values = [float(surface.value(np.array(m))) for m in surface.minima]
    assert values[0] <= min(values) + 1e-12
    for minimum in surface.minima:
        x = np.array(minimum)
        curvature = np.linalg.eigvalsh(surface.hessian(x))
        assert curvature.min() > 0
        # A coordinate is known to some units of rounding, and its gradient to those times the curvature; 64 of them.
        assert np.abs(surface.gradient(x)).max() <= 64 * 2.0 ** -52 * curvature.max() * (1 + np.abs(x).max())
    for x, y in (surface.start, *surface.minima):
        assert left < x < right and (bottom < y < top or surface.name == "saddle" and y == -1)


def test_batches_are_repeatable_and_their_mean_is_the_surface():
    surface = get("noisy")
    x = np.array([-1.0, 2.0])
    assert surface.batch(3, 7)[1](x).tobytes() == surface.batch(3, 7)[1](x).tobytes()
    assert surface.batch(3, 7)[1](x).tobytes() != surface.batch(4, 7)[1](x).tobytes()
    draws = np.array([surface.batch(0, step)[1](x) for step in range(400)])
    assert NOISE_BATCH < NOISE_POINTS
    # The mean of 400 independent draws misses the expectation by more than 5 standard errors once in a million.
    assert (np.abs(draws.mean(0) - surface.gradient(x)) < 5 * draws.std(0) / 20).all()
    value, gradient = surface.batch(0, 0)
    oc.check_grad(value, gradient, x).raise_if_wrong()


def test_an_unknown_surface_lists_the_known_ones():
    with pytest.raises(ValueError, match="'burrito' is unknown; there are taco, saddle, rosenbrock"):
        get("burrito")
