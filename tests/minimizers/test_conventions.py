"""SciPy's conventions in every form: results that travel, numbers and bounds as they come, no warning of our own, and
what a run that rounding ended says."""
from __future__ import annotations

import copy
import pickle
import warnings
from fractions import Fraction

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, rosen, rosen_der, rosen_hess
from scipy.sparse.linalg import LinearOperator

import optcore as oc
from tests.support.bits import assert_same_bits

METHODS = ["lbfgs", "bfgs", "newton", "newton-cg"]
START = np.array([-1.2, 1.0, 0.8, -0.5])


def curvature(method, hess=rosen_hess):
    return {"hess": hess} if method.startswith("newton") else {}


def again(x):
    return pickle.loads(pickle.dumps(x))


# ------------------------------------------------------------------------------------------- results


@pytest.mark.parametrize("copied", [again, copy.deepcopy, copy.copy])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_result_travels(method, dtype, copied):
    r = oc.minimize(rosen, START.astype(dtype), jac=rosen_der, method=method, **curvature(method))
    other = copied(r)
    assert other.keys() == r.keys() and other.message == r.message
    for name in ("x", "jac"):
        assert_same_bits(other[name], r[name])
    if method in ("lbfgs", "bfgs"):
        assert_same_bits(other.hess_inv @ np.arange(4.0), r.hess_inv @ np.arange(4.0))


@pytest.mark.parametrize("copied", [again, copy.deepcopy])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_run_goes_on_in_its_copy_bit_for_bit(method, dtype, copied):
    m = oc.Minimizer(START.astype(dtype), method)
    for _ in range(12):
        twin = copied(m)
        for each in (m, twin):
            x = each.ask().astype(np.float64)
            each.tell(rosen(x), rosen_der(x), hess=rosen_hess(x))
            each.result()
        assert_same_bits(m.ask(), twin.ask())


def test_everything_that_a_search_and_a_race_and_a_check_give_travels():
    race = oc.race("taco", ["SGD", "L-BFGS"], steps=4)
    for label, track in again(race).tracks.items():
        assert_same_bits(track.points, race.tracks[label].points)
    report = oc.check_grad(lambda x: x @ x, lambda x: 2 * x, np.ones(3))
    assert str(again(report)) == str(report)


@given(st.integers(1, 30), st.integers(1, 12), st.sampled_from([np.float32, np.float64]), st.integers(0, 99))
def test_the_inverse_hessian_has_scipys_names_and_is_the_update_by_its_pairs(n, maxcor, dtype, seed):
    """H by the recursion from c I over the pairs, with c = s.y / y.y of the last one, in O(n^2) with matrices."""
    rng = np.random.default_rng(seed)
    a = np.diag(rng.uniform(0.5, 4, n)) + 0.05 * np.ones((n, n))
    r = oc.minimize(lambda x: (0.5 * x @ a @ x, a @ x), rng.standard_normal(n).astype(dtype), jac=True,
                    options={"maxcor": maxcor})
    h = r.hess_inv
    assert isinstance(h, LinearOperator) and h.shape == (n, n) and h.dtype == np.float64
    assert h.sk.shape == h.yk.shape == (h.n_corrs, n) and 0 < h.n_corrs <= maxcor and h.sk.dtype == np.float64
    np.testing.assert_allclose(h.rho, 1 / (h.sk * h.yk).sum(1), rtol=1e-12)       # both are sums of n products
    s, y = h.sk[-1], h.yk[-1]
    expected = np.eye(n) * (s @ y) / (y @ y)
    for s, y in zip(h.sk, h.yk, strict=True):
        v = np.eye(n) - np.outer(y, s) / (s @ y)
        expected = v.T @ expected @ v + np.outer(s, s) / (s @ y)
    dense = h.todense()
    assert_same_bits(dense, dense.T)
    # Of pairs that have a condition of 10 each: rounding grows at most tenfold by a pair in the worst case, and the
    # curvatures here, 0.5 to 5.5, keep it far below.
    np.testing.assert_allclose(dense, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
    np.testing.assert_allclose(h @ np.eye(n), dense, rtol=0, atol=1e-12 * np.abs(dense).max())
    np.testing.assert_allclose(h.T @ y, s, rtol=0, atol=1e-9 * np.abs(s).max())      # the last secant equation
    np.testing.assert_allclose(h.H @ np.ones((n, 1)), dense @ np.ones((n, 1)), rtol=0, atol=1e-12 * n)


def test_an_inverse_hessian_of_a_run_that_goes_on_stays_as_it_was():
    m = oc.Minimizer(START, maxcor=3)
    seen = []
    while not m.done:
        x = m.ask().copy()
        m.tell(rosen(x), rosen_der(x))
        h = m.result().hess_inv
        seen.append((h, h.todense()))
    for h, dense in seen:
        assert_same_bits(h.todense(), dense)


def test_the_pairs_are_not_copied_for_a_result():
    m = oc.Minimizer(START)
    for _ in range(20):
        x = m.ask().copy()
        m.tell(rosen(x), rosen_der(x))
    h = m.result().hess_inv
    assert all(np.shares_memory(row, m._model.s) for row in h._s)
    h.sk[:] = 0                                         # a copy: the run does not see it
    assert h.todense().any()


# ------------------------------------------------------------------------------------------- options, bounds, forms


@pytest.mark.parametrize("count", [1e4, np.float64(1e4), np.float32(1e4), np.int16(10000)])
@pytest.mark.parametrize("name", ["maxiter", "maxfun", "maxls", "maxcor"])
def test_whole_numbers_may_be_floats(name, count):
    few = count if name in ("maxiter", "maxfun") else type(count)(7)
    whole = oc.minimize(rosen, START, jac=rosen_der, options={name: int(few)})
    assert_same_bits(oc.minimize(rosen, START, jac=rosen_der, options={name: few}).x, whole.x)


def test_a_limit_that_is_no_whole_number_ends_a_run_that_reaches_it():
    assert oc.minimize(rosen, START, jac=rosen_der, options={"maxiter": 2.5}).nit == 3


def test_inf_is_no_limit():
    r = oc.minimize(rosen, START, jac=rosen_der, options={"maxiter": np.inf, "maxfun": float("inf")})
    assert r.success


@pytest.mark.parametrize("bad", [1.5, np.nan, -np.inf, -1, "10", [10], 1j])
def test_what_is_no_count_is_refused(bad):
    for name in ("maxls", "maxcor") if bad == 1.5 else ("maxiter", "maxfun", "maxls", "maxcor"):
        with pytest.raises((TypeError, ValueError), match=rf"^{name}"):
            oc.minimize(rosen, START, jac=rosen_der, options={name: bad})


@pytest.mark.parametrize("bad", ["1e-5", [1e-5, 1e-5], np.nan, np.inf, -1e-9, 10**400, None.__class__])
def test_what_is_no_tolerance_is_refused(bad):
    for name in ("gtol", "ftol", "first"):
        with pytest.raises((TypeError, ValueError), match=rf"^{name}"):
            oc.minimize(rosen, START, jac=rosen_der, options={name: bad})


@pytest.mark.parametrize("bad", ["False", np.array([1, 1]), 2, 1.0, [True]])
def test_flags_are_flags(bad):
    for name in ("disp", "damping"):
        with pytest.raises(TypeError, match=rf"^{name}: True or False"):
            oc.minimize(rosen, START, jac=rosen_der, options={name: bad})


@pytest.mark.parametrize("options", [3, [("maxiter", 3)], "maxiter"])
def test_options_that_are_no_dict_are_refused(options):
    with pytest.raises(TypeError, match="^options"):
        oc.minimize(rosen, START, jac=rosen_der, options=options)


FREE = [None, (), [], [(None, None)] * 4, [(-np.inf, np.inf)] * 4, [(None, np.inf)] * 4, [[-np.inf, None]] * 4,
        np.tile([-np.inf, np.inf], (4, 1)), Bounds(), Bounds(-np.inf, np.inf), Bounds([-np.inf] * 4, [np.inf] * 4),
        Bounds([-np.inf] * 4), Bounds(keep_feasible=True)]


@pytest.mark.parametrize("bounds", FREE, ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_bounds_that_bound_nothing_are_none(bounds, method):
    r = oc.minimize(rosen, START, jac=rosen_der, bounds=bounds, method=method, **curvature(method))
    assert_same_bits(r.x, oc.minimize(rosen, START, jac=rosen_der, method=method, **curvature(method)).x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        there = scipy.optimize.minimize(rosen, START, jac=rosen_der, bounds=bounds, **curvature(method),
                                        method=getattr(oc, method.replace("-", "_")))
    assert_same_bits(there.x, r.x)


@given(st.lists(st.tuples(st.none() | st.floats(-9, 9) | st.just(-np.inf),
                          st.none() | st.floats(-9, 9) | st.just(np.inf)), min_size=4, max_size=4))
def test_bounds_are_refused_if_and_only_if_they_bound_something(bounds):
    real = any(low not in (None, -np.inf) or high not in (None, np.inf) for low, high in bounds)
    lb, ub = ([b if b is not None else sign * np.inf for b in column]
              for sign, column in zip((-1, 1), zip(*bounds, strict=True), strict=True))
    for form in (bounds, tuple(bounds), np.array([lb, ub]).T, Bounds(lb, ub)):
        if real:
            with pytest.raises(ValueError, match="^bounds: these methods know none"):
                oc.minimize(rosen, START, jac=rosen_der, bounds=form)
        else:
            assert oc.minimize(rosen, START, jac=rosen_der, bounds=form).success


@pytest.mark.parametrize("bounds", [[(None, None)] * 3, [(None, None, None)] * 4, [None] * 4, 3, "free",
                                    [(np.nan, None)] * 4, Bounds([-np.inf] * 3, np.inf), [("a", "b")] * 4,
                                    {0: (None, None)}])
def test_bounds_that_are_none_are_refused(bounds):
    with pytest.raises(ValueError, match="^bounds="):
        oc.minimize(rosen, START, jac=rosen_der, bounds=bounds)


@pytest.mark.parametrize("constraints", [None, (), [], {}, np.array([])])
def test_no_constraints_are_none(constraints):
    assert oc.minimize(rosen, START, jac=rosen_der, constraints=constraints).success


@pytest.mark.parametrize("constraints", [{"type": "eq", "fun": sum}, [{"type": "eq", "fun": sum}],
                                         LinearConstraint(np.eye(4), 0, 1), 3])
def test_constraints_are_refused(constraints):
    with pytest.raises(ValueError, match="^constraints: these methods know none"):
        oc.minimize(rosen, START, jac=rosen_der, constraints=constraints)


@pytest.mark.parametrize("x0", [3.0, np.float32(3), [3], (3.0,), np.array(3), np.array([3], np.uint8), [True]])
def test_x0_in_every_form(x0):
    r = oc.minimize(lambda x: (x[0] - 1) ** 2, x0, jac=lambda x: 2 * (x - 1))
    assert r.success and r.x.shape == (1,) and abs(r.x[0] - 1) < 1e-5


@pytest.mark.parametrize("value", [Fraction(7, 2), 10**400, -10**400, np.float16(3), np.array([[3]]), True,
                                   np.longdouble(3)], ids=lambda value: type(value).__name__)
def test_values_in_every_form(value):
    """A whole number beyond float64 is infinite."""
    r = oc.minimize(lambda x: value, [1.0], jac=np.zeros_like)
    assert r.success == np.isfinite(float(r.fun)) and r.status in (0, 3)


# ------------------------------------------------------------------------------------------- no warnings of ours


SIZES = [1e-320, 1e-300, 1e-200, 1e-40, 1.0, 1e30, 1e38, 1e200, 1e300, 1e307]


@settings(max_examples=150)
@given(method=st.sampled_from(METHODS), scale=st.sampled_from(SIZES),
       of_x=st.sampled_from([1e-200, 1e-30, 1.0, 1e30, 1e200]),
       value=st.sampled_from([float, np.float32, np.float64]), dtype=st.sampled_from([np.float32, np.float64]),
       gtol=st.sampled_from([0.0, 1e-5]), jac=st.sampled_from(["told", None, "3-point"]))
def test_no_size_of_fun_or_x_makes_a_warning_or_an_error(method, scale, of_x, value, dtype, gtol, jac):
    """A result comes, and success says that the gradient is small or that fun hardly fell."""
    if dtype == np.float32 and not 1e-30 <= of_x <= 1e30:
        return

    def quiet(function):
        def called(x):
            with np.errstate(all="ignore"):
                return function(x.astype(np.float64) / of_x)
        return called

    r = oc.minimize(quiet(lambda x: value(scale * rosen(x))), (of_x * START).astype(dtype), method=method,
                    jac=quiet(lambda x: scale * rosen_der(x) / of_x) if jac == "told" else jac,
                    options={"gtol": gtol, "maxfun": 300},
                    **curvature(method, quiet(lambda x: scale * rosen_hess(x) / of_x / of_x)))
    assert not r.success or float(np.abs(r.jac).max()) <= gtol or "ftol" in r.message


@settings(max_examples=100)
@given(method=st.sampled_from(METHODS), data=st.data())
def test_no_value_makes_a_warning_or_an_error(method, data):
    """Values, gradients and Hessians of no function, at times not finite: the run ends, and x is finite."""
    numbers = st.floats(-3, 3) | st.sampled_from([0.0, 1e-300, 1e160, -1e300, 1.7e308, -1.7e308, np.inf, np.nan])
    m = oc.Minimizer(START, method, maxfun=25)
    while not m.done:
        m.ask()
        h = np.array(data.draw(st.lists(numbers, min_size=10, max_size=10)))
        square = np.zeros((4, 4))
        square[np.triu_indices(4)] = h
        m.tell(data.draw(numbers), data.draw(st.lists(numbers, min_size=4, max_size=4)),
               hess=np.triu(square) + np.triu(square, 1).T)
    assert np.isfinite(m.x).all() and m.status in (0, 1, 2, 3, 4, 5)


def test_warnings_of_the_callers_own_functions_are_the_callers():
    def hessp(x, v):
        np.log(np.zeros(1))
        return rosen_hess(x) @ v

    with pytest.warns(RuntimeWarning, match="divide by zero"):
        oc.minimize(rosen, START, jac=rosen_der, hessp=hessp, method="newton-cg")
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        oc.minimize(rosen, START, jac=rosen_der, hessp=hessp, method="newton-cg")
    with np.errstate(all="raise"):                      # ours are answers, whatever is asked for elsewhere
        assert oc.minimize(rosen, START, jac=rosen_der).success


# ------------------------------------------------------------------------------------------- rounding


def rounded(x):
    """A bowl of which float32 knows nothing below 2^-24 of 1e4: its gradient is told with an error of some 1e-3."""
    x = x.astype(np.float32)
    value = np.float32(1e4) + ((x - np.float32(1 / 3)) ** 2).sum(dtype=np.float32)
    return value, 2 * (x - np.float32(1 / 3)) + np.float32(2.0 ** -10) * np.sign(x - np.float32(1 / 3))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", ["lbfgs", "bfgs"])
def test_a_run_that_rounding_ends_above_gtol_is_no_success(method, dtype):
    r = oc.minimize(rounded, np.full(3, 2, dtype), jac=True, method=method, options={"ftol": 0})
    assert np.abs(r.jac).max() > 1e-5 and (r.success, r.status) == (False, 5), r.message
    assert "precision is exhausted" in r.message and "gtol=1e-05" in r.message and "jac its gradient" not in r.message
    assert abs(r.x - 1 / 3).max() < 0.1         # where fun falls by less than 2^-24 of 1e4, and so by its own rounding


@pytest.mark.parametrize("method", ["lbfgs", "bfgs"])
def test_rounding_in_float64_too(method):
    """No gradient is 0 exactly, so gtol=0 is out of reach."""
    r = oc.minimize(lambda x: (1e6 + np.cosh(x - 1 / 3).sum(), np.sinh(x - 1 / 3) + 1e-12), np.full(3, 2.0), jac=True,
                    method=method, options={"ftol": 0, "gtol": 0})
    assert (r.success, r.status) == (False, 5) and "precision is exhausted" in r.message


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_run_that_ftol_or_gtol_ends_is_a_success(dtype):
    r = oc.minimize(rounded, np.full(3, 2, dtype), jac=True, options={"ftol": 1e-6, "gtol": 0})
    assert (r.success, r.status) == (True, 0) and "ftol=1e-06" in r.message
    r = oc.minimize(rounded, np.full(3, 2, dtype), jac=True, options={"ftol": 0, "gtol": 0.1})
    assert (r.success, r.status) == (True, 0) and "gtol=0.1" in r.message


@pytest.mark.parametrize("method", ["newton", "newton-cg"])
def test_no_way_on_from_a_point_that_is_flat_within_gtol_is_a_success(method):
    """The Hessian told has a negative eigenvalue that fun does not have."""
    r = oc.minimize(lambda x: (5.0, np.zeros(2)), [1.0, 2.0], jac=True, method=method,
                    hess=lambda x: np.diag([1.0, -1.0]))
    assert (r.success, r.status) == (True, 0) and "gtol" in r.message
