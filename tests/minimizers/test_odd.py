"""minimize where it is asked for odd things: objectives that do not behave, extreme scales, Hessians of all kinds,
states that do not fit."""
from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, rosen, rosen_der, rosen_hess
from scipy.sparse.linalg import aslinearoperator

import optcore as oc
from optcore.minimizers import linesearch
from tests.support.bits import assert_same_bits

METHODS = ["lbfgs", "bfgs", "newton", "newton-cg"]
START = np.array([-1.2, 1.0, 0.8, -0.5])


def bowl(x):
    return float((x - 1) @ (x - 1)), 2 * (x - 1)


def curvature(method, hess):
    return {"hess": hess} if method.startswith("newton") else {}


# ------------------------------------------------------------------------------------------- the objective


@pytest.mark.parametrize("jac", [None, "3-point"])
def test_a_value_may_be_an_array_of_one_number(jac):
    r = oc.minimize(lambda x: np.array([[bowl(x)[0]]]), [3.0, 4.0], jac=jac)
    assert r.success
    # gtol and the error of a difference (1.5e-8 in the step, times the curvature 2) over the curvature.
    np.testing.assert_allclose(r.x, 1, atol=1e-5)


@pytest.mark.parametrize("answer", [1j, None, [1.0, 2.0]])
def test_what_fun_returns_is_checked_in_differences_too(answer):
    with pytest.raises(TypeError, match=r"^fun: one real number"):
        oc.minimize(lambda x: answer, [3.0, 4.0])


def test_what_fun_does_to_the_array_it_gets_ends_with_the_call():
    def odd(x):
        value = bowl(x)
        x.shape = (1, 2)
        x.flags.writeable = False
        return value

    assert_same_bits(oc.minimize(odd, [3.0, 4.0], jac=True).x, oc.minimize(bowl, [3.0, 4.0], jac=True).x)


@pytest.mark.parametrize("jac", [None, "3-point"])
def test_evaluations_for_differences_count(jac):
    """In maxfun, which ends the run with the gradient that crosses it, and in what a callback is told."""
    told, calls = [], []

    def fun(x):
        calls.append(1)
        return rosen(x)

    def callback(intermediate_result):
        told.append(intermediate_result.nfev == len(calls))

    r = oc.minimize(fun, START, jac=jac, options={"maxfun": 40}, callback=callback)
    assert r.status == 1 and r.nfev == len(calls) and 40 <= r.nfev < 40 + (5 if jac is None else 9)
    assert told and all(told)


@pytest.mark.parametrize("method", METHODS)
def test_no_iteration_is_none(method):
    r = oc.minimize(rosen, START, jac=rosen_der, method=method, options={"maxiter": 0}, **curvature(method, rosen_hess))
    assert (r.nit, r.nfev, r.status, r.success) == (0, 1, 1, False)
    assert_same_bits(r.x, START)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [0, 1])
def test_few_unknowns(method, n):
    r = oc.minimize(bowl, np.full(n, 3.0), jac=True, method=method, **curvature(method, lambda x: 2 * np.eye(x.size)))
    assert r.success and r.x.shape == (n,) and (abs(r.x - 1) < 1e-5).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [1e-100, 1e80, 1e100])
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_extreme_scales_of_fun_end_at_the_minimum(method, scale):
    def fun(x):
        return scale * rosen(x), scale * rosen_der(x)

    r = oc.minimize(fun, START, jac=True, method=method, options={"ftol": 0, "gtol": 1e-6 * scale},
                    **curvature(method, lambda x: scale * rosen_hess(x)))
    assert r.success and abs(rosen_der(r.x)).max() <= 1e-6 * (1 + 2.0 ** -50)       # scale * g is rounded


def test_no_success_where_fun_has_no_value_but_at_the_start():
    r = oc.minimize(lambda x: (bowl(x)[0] if (x == 3).all() else np.nan, 2 * (x - 1)), [3.0, 3.0], jac=True,
                    options={"maxls": 10})
    assert (r.status, r.success) == (2, False) and "no step of 10" in r.message


# ------------------------------------------------------------------------------------------- the line search


@settings(max_examples=300)
@given(data=st.data(), d0=st.sampled_from([-1.0, -1e-300, -1e160, -1e300]) | st.floats(-1e3, -1e-3),
       step=st.floats(1e-6, 1e6))
def test_whatever_it_is_told_the_search_asks_for_finite_steps_and_ends(data, d0, step):
    """Values and slopes of no function, such as those of a noisy one, at times the same again."""
    numbers = st.floats(-3, 3) | st.sampled_from([0.0, 1e-300, 1e160, -1e160, 1e300, -1e300, np.inf, np.nan])
    search = linesearch.Wolfe(0.0, d0, step, trials_left=30)
    seen = [(0.0, d0)]
    for _ in range(30):
        seen.append(data.draw(st.tuples(numbers, numbers) | st.sampled_from(seen)))
        if search.take(*seen[-1]) != linesearch.MORE:
            return
        assert 0 < search.step < np.inf
    raise AssertionError("it did not end")


def test_a_search_asked_twice_at_the_same_end_fails():
    """A function that gives another value there the second time: the interval has no width, and no cubic."""
    search = linesearch.Wolfe(0.0, -1.0, 2.0, lo=1.0, f_lo=-1.0, d_lo=-0.5, hi=2.0, f_hi=0.0, d_hi=1.0, bracketed=True,
                              width=1.0, width_before=10.0)
    assert search.take(-1.5, -2.0) == linesearch.FAILED


# ------------------------------------------------------------------------------------------- Hessians


@pytest.mark.parametrize("n", [1, 2, 5])
def test_newton_goes_on_where_the_hessian_vanishes(n):
    """The sum of 9 x + x^4 is straight at 0, and its minimum is at -(9 / 4)^(1/3)."""
    r = oc.minimize(lambda x: (9 * x + x ** 4).sum(), np.zeros(n), jac=lambda x: 9 + 4 * x ** 3,
                    hess=lambda x: np.diag(12 * x ** 2), method="newton")
    assert r.success
    np.testing.assert_allclose(r.x, -(9 / 4) ** (1 / 3), atol=1e-6)     # gtol = 1e-5 / curvature 20


def test_newton_goes_on_where_a_pivot_has_no_inverse():
    """1 / 1e-310 is infinite."""
    def hess(x):
        return np.diag([2, 1e-310, 1e-310])[::-1, ::-1] if x[0] == 3 else 2 * np.eye(3)

    r = oc.minimize(bowl, np.full(3, 3.0), jac=True, hess=hess, method="newton")
    assert r.success and (abs(r.x - 1) < 1e-5).all()


@pytest.mark.parametrize("method", ["newton", "newton-cg"])
def test_newton_goes_on_where_its_direction_is_far_too_long(method):
    """Beside that point it is -1 / 12 x^2 long, and no 20 trials shorten that enough."""
    r = oc.minimize(lambda x: x[0] + x[0] ** 4, [1e-35], jac=lambda x: 1 + 4 * x ** 3, hess=lambda x: [12 * x ** 2],
                    method=method)
    assert r.success and abs(r.x[0] + 4 ** (-1 / 3)) < 1e-5


@pytest.mark.parametrize("method", ["newton", "newton-cg"])
def test_a_constant_is_left_at_once(method):
    r = oc.minimize(lambda x: 5.0, START, jac=np.zeros_like, hess=lambda x: np.zeros((4, 4)), method=method)
    assert r.success and r.nfev == 1


def test_a_hessian_that_is_not_finite_ends_the_run_there():
    def hess(x):
        return rosen_hess(x) * (np.nan if rosen(x) < 5 else 1)

    r = oc.minimize(rosen, START, jac=rosen_der, hess=hess, method="newton")
    assert (r.status, r.success, r.message) == (3, False, "hess is not finite") and r.fun == rosen(r.x) < 5
    assert_same_bits(r.jac, rosen_der(r.x))


@pytest.mark.parametrize("form", [scipy.sparse.csr_array, aslinearoperator, np.ndarray.tolist])
def test_newton_cg_takes_hessians_that_can_be_multiplied(form):
    found = [oc.minimize(rosen, START, jac=rosen_der, hess=lambda x, f=f: f(rosen_hess(x)), method="newton-cg")
             for f in (form, np.asarray)]
    assert found[0].success
    # The products are summed in another order, and both end within gtol / curvature of the minimum.
    np.testing.assert_allclose(found[0].x, found[1].x, atol=1e-4)


def test_a_product_of_the_wrong_size_is_refused_by_name():
    with pytest.raises(ValueError, match="hessp gave 1 numbers, 4 are needed"):
        oc.minimize(rosen, START, jac=rosen_der, hessp=lambda x, v: v[:1], method="newton-cg")


# ------------------------------------------------------------------------------------------- hess_inv0


@pytest.mark.parametrize("bad, why", [(np.eye(1), "shape"), (np.eye(3), "shape"), (-np.eye(4), "positive definite"),
                                      (np.diag([1.0, 1, 1, 0]), "positive definite"),
                                      (np.full((4, 4), np.nan), "finite"), (np.triu(np.ones((4, 4))), "symmetric")])
def test_an_inverse_hessian_that_is_none_is_refused(bad, why):
    with pytest.raises(ValueError, match=rf"^hess_inv0.*{why}"):
        oc.minimize(rosen, START, jac=rosen_der, method="bfgs", options={"hess_inv0": bad})


def test_what_scipy_found_may_be_the_first_inverse_hessian():
    """It is symmetric but for its rounding."""
    h = minimize(rosen, START, jac=rosen_der, method="BFGS").hess_inv
    h[0, 1] *= 1 + 2.0 ** -50
    r = oc.minimize(rosen, START, jac=rosen_der, method="bfgs", options={"hess_inv0": h})
    assert r.success and (r.hess_inv == r.hess_inv.T).all()


# ------------------------------------------------------------------------------------------- states


def tell(m):
    x = m.ask().copy()
    m.tell(rosen(x), rosen_der(x), hess=lambda: rosen_hess(x))


def flat(state, prefix=""):
    return {k: v for name, value in state.items() for k, v in
            (flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}).items()}


@pytest.mark.parametrize("method", ["newton", "newton-cg"])
def test_a_curvature_that_is_missing_changes_nothing(method):
    whole, odd = oc.Minimizer(START, method), oc.Minimizer(START, method)
    while not whole.done:
        with pytest.raises(ValueError, match=rf"^hess: {method} needs"):
            odd.tell(rosen(odd.ask()), rosen_der(odd.ask()))
        for m in (whole, odd):
            tell(m)
        assert_same_bits(odd.x, whole.x)
        assert odd.nfev == whole.nfev


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("part", ["arrays", "scalars", "model"])
def test_a_state_that_lacks_something_changes_nothing(method, part):
    whole, other = oc.Minimizer(START, method), oc.Minimizer(START + 1, method)
    for m in (whole, other):
        for _ in range(4):
            tell(m)
    before = flat(other.state_dict())
    for name in whole.state_dict()[part]:
        state = whole.state_dict()
        del state[part][name]
        with pytest.raises(KeyError):
            other.load_state_dict(state)
        after = flat(other.state_dict())
        assert before.keys() == after.keys()
        assert all(np.array_equal(before[k], after[k], equal_nan=True) if isinstance(before[k], np.ndarray)
                   else before[k] == after[k] for k in before)


def test_a_resumed_run_has_the_first_matrix_of_the_saved_one():
    """It counts where the search fails and the minimizer begins anew."""
    h = np.diag([1e-3, 2e-3, 3e-3, 4e-3])
    whole, resumed = oc.Minimizer(START, "bfgs", hess_inv0=h), oc.Minimizer(START, "bfgs")
    for _ in range(3):
        tell(whole)
    resumed.load_state_dict(whole.state_dict())
    for m in (whole, resumed):
        m._model.reset()
        m._aim()
    assert_same_bits(resumed.ask(), whole.ask())
