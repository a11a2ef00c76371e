"""minimize and its methods: SciPy's conventions, what ends a run, threads, saved states."""
from __future__ import annotations

import doctest
import subprocess
import sys

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import rosen, rosen_der, rosen_hess, rosen_hess_prod
from scipy.stats import norm

import optcore as oc
from optcore.minimizers import driver, linesearch, minimizer
from tests.support.bits import assert_same_bits

METHODS = ["lbfgs", "bfgs", "newton", "newton-cg"]
START = np.array([-1.2, 1.0, 0.8, -0.5])


def curvature(method):
    return {"newton": {"hess": rosen_hess}, "newton-cg": {"hessp": rosen_hess_prod}}.get(method, {})


def entropy(features=((1, 1, 1), (1, 1, 0), (1, 0, 1), (1, 0, 0), (1, 0, 0)), wanted=(1.0, 0.3, 0.5)):
    """Berger, Della Pietra and Della Pietra's example of a maximum-entropy model (Comp. Ling. 22, 1996): log Z minus
    the wanted means, and its gradient, counted."""
    features, wanted = np.array(features, float), np.array(wanted)
    calls = {"f": 0, "g": 0}

    def f(p):
        calls["f"] += 1
        return np.log(np.exp(features @ p).sum()) - wanted @ p

    def g(p):
        calls["g"] += 1
        q = np.exp(features @ p)
        return features.T @ (q / q.sum()) - wanted
    return f, g, calls


@pytest.mark.parametrize("method, most", [("bfgs", (10, 8)), ("lbfgs", (7, 5))])
def test_maximum_entropy_in_few_evaluations(method, most):
    f, g, calls = entropy()
    r = oc.minimize(f, np.zeros(3), jac=g, method=method)
    assert (calls["f"], calls["g"]) == (r.nfev, r.njev)
    assert r.nfev <= most[0] and r.njev <= most[1]
    # At the solution f is flat: within gtol = 1e-5 of it f differs by about 1e-10.
    assert r.success and abs(f(r.x) - f(np.array([0.0, -0.524869316, 0.487525860]))) < 1e-9


@pytest.mark.parametrize("scale", [1e-50, 1.0, 1e50])
@pytest.mark.parametrize("method", ["lbfgs", "bfgs"])
def test_the_first_step_does_not_depend_on_the_scale_of_f(method, scale):
    """The gradient told is half the true one: steps that trust it blindly run away. At 1e50 the pairs' y is huge, where
    an O(n^2) update in the wrong order loses everything."""
    first = []

    def f(x):
        if x[0] != -1.0 and not first:
            first.append(abs(x[0] + 1.0))
        assert abs(x[0]) < 1e4
        return scale * (x[0] - 1) ** 2

    r = oc.minimize(f, [-1.0], jac=lambda x: scale * (x - 1), method=method, options={"gtol": scale * 1e-8, "ftol": 0})
    assert r.success and abs(r.x[0] - 1) < 1e-7 and r.nit <= 3
    assert 0.5 < first[0] < 3


# Spector and Mazzeo (J. Econ. Educ. 11, 1980): grade point average, test score, whether taught by the new method,
# whether the grade rose.
SPECTOR = np.array([
    (2.66, 20, 0, 0), (2.89, 22, 0, 0), (3.28, 24, 0, 0), (2.92, 12, 0, 0), (4, 21, 0, 1), (2.86, 17, 0, 0),
    (2.76, 17, 0, 0), (2.87, 21, 0, 0), (3.03, 25, 0, 0), (3.92, 29, 0, 1), (2.63, 20, 0, 0), (3.32, 23, 0, 0),
    (3.57, 23, 0, 0), (3.26, 25, 0, 1), (3.53, 26, 0, 0), (2.74, 19, 0, 0), (2.75, 25, 0, 0), (2.83, 19, 0, 0),
    (3.12, 23, 1, 0), (3.16, 25, 1, 1), (2.06, 22, 1, 0), (3.62, 28, 1, 1), (2.89, 14, 1, 0), (3.51, 26, 1, 0),
    (3.54, 24, 1, 1), (2.83, 27, 1, 1), (3.39, 17, 1, 1), (2.67, 24, 1, 0), (3.65, 21, 1, 1), (4, 23, 1, 1),
    (3.1, 21, 1, 0), (2.39, 19, 1, 1)])


@pytest.mark.parametrize("method", ["lbfgs", "bfgs", "newton-cg"])
def test_a_probit_that_an_earlier_fast_bfgs_failed(method):
    """The case by which SciPy took an O(n^2) BFGS back: badly scaled columns. The wanted digits are those that
    statsmodels and Greene's textbook print."""
    x = np.column_stack([SPECTOR[:, :3], np.ones(32)])
    sign = 2 * SPECTOR[:, 3] - 1

    def f(b):
        return -norm.logcdf(sign * (x @ b)).sum()

    def g(b):
        z = sign * (x @ b)
        return -x.T @ (sign * np.exp(norm.logpdf(z) - norm.logcdf(z)))

    r = oc.minimize(f, np.zeros(4), jac=g, method=method, options={"ftol": 0})
    assert r.success
    np.testing.assert_allclose(r.x, [1.6258, 0.0517, 1.4263, -7.4523], atol=6e-5)   # half a unit, and gtol's share


# ------------------------------------------------------------------------------------------- SciPy's conventions


@pytest.mark.parametrize("method", METHODS)
def test_scipy_takes_each_method_and_gets_the_same(method):
    mine = oc.minimize(rosen, START, jac=rosen_der, method=method, tol=1e-6, **curvature(method))
    there = scipy.optimize.minimize(rosen, START, jac=rosen_der, tol=1e-6, **curvature(method),
                                    method=getattr(oc, method.replace("-", "_")))
    assert mine.success and isinstance(mine, scipy.optimize.OptimizeResult)
    assert_same_bits(mine.x, there.x)
    assert (mine.nfev, mine.nit) == (there.nfev, there.nit)
    assert {"x", "success", "status", "message", "fun", "jac", "nfev", "njev", "nhev", "nit"} <= set(mine)
    assert mine.fun == rosen(mine.x)
    assert_same_bits(mine.jac, rosen_der(mine.x))


@pytest.mark.parametrize("jac", [True, None, "2-point", "3-point"])
def test_forms_of_jac(jac):
    def f(x, a):
        return (rosen(x) + a, rosen_der(x)) if jac is True else rosen(x) + a

    r = oc.minimize(f, START[:2], args=(1.0,), jac=jac)
    # Forward differences are off by about sqrt(eps) |H| = 1e-5: f stops that much squared over its curvature above 1.
    assert abs(r.fun - 1) < 1e-6 and r.success
    assert (r.nfev >= 3 * r.njev) == (jac is not True and r.njev > 0)


def test_callback_in_both_forms_and_stop():
    seen = []
    oc.minimize(rosen, START, jac=rosen_der, callback=seen.append)
    assert all(x.shape == START.shape for x in seen) and len({id(x) for x in seen}) == len(seen)
    scipy.optimize.minimize(rosen, START, jac=rosen_der, method=oc.lbfgs, callback=seen.append)
    assert all(isinstance(x, np.ndarray) for x in seen)

    def stop(intermediate_result):
        assert intermediate_result.fun == rosen(intermediate_result.x)
        if intermediate_result.nit == 3:
            raise StopIteration

    for minimize, method in ((oc.minimize, "lbfgs"), (scipy.optimize.minimize, oc.lbfgs)):
        r = minimize(rosen, START, jac=rosen_der, method=method, callback=stop)
        assert (r.nit, r.success, r.status) == (3, False, 99)


@pytest.mark.parametrize("method", ["lbfgs", "bfgs"])
def test_hess_inv_holds_what_was_learnt(method):
    """On a quadratic with n <= m pairs BFGS with exact steps would end with the inverse; here with inexact ones it
    satisfies the last secant equation and is symmetric and positive."""
    a = np.diag([1.0, 3.0, 10.0]) + 0.5
    m = oc.Minimizer(np.array([1.0, -2.0, 3.0]), method, gtol=1e-9)
    points = []
    while not m.done:
        x = m.ask().copy()
        nit = m.nit
        m.tell(0.5 * x @ a @ x, a @ x)
        if m.nit > nit and not m.done:
            points.append(x)
            last = m.result().hess_inv
    h = last if method == "bfgs" else last @ np.eye(3)
    s = points[-1] - points[-2]
    np.testing.assert_allclose(h @ (a @ s), s, rtol=1e-8)
    np.testing.assert_allclose(h, h.T, rtol=1e-10, atol=1e-12)
    assert np.linalg.eigvalsh(h).min() > 0


def test_what_fun_gets_is_its_own():
    """fun may keep x, and may write to it."""
    kept = []

    def f(x):
        kept.append(x)
        value = rosen(x), rosen_der(x)
        if len(kept) > 5:
            x[:] = 7.0
        return value

    r = oc.minimize(f, START, jac=True)
    assert r.success and len({x.ctypes.data for x in kept}) == len(kept)

# ------------------------------------------------------------------------------------------- what ends a run


@pytest.mark.parametrize("method", ["newton", "newton-cg"])
@pytest.mark.parametrize("start", [[0.0, 0.0], [1.0, 0.0], [0.3, 1e-12]])
def test_newton_leaves_a_saddle(method, start):
    """x^2 + y^4/4 - y^2/2 has a saddle at 0 and its minima, -1/4, at y = +-1."""
    def f(x):
        return x[0] ** 2 + x[1] ** 4 / 4 - x[1] ** 2 / 2, np.array([2 * x[0], x[1] ** 3 - x[1]])

    r = oc.minimize(f, start, jac=True, method=method, hess=lambda x: np.diag([2.0, 3 * x[1] ** 2 - 1]))
    assert r.success and abs(r.fun + 0.25) < 1e-9


def test_newton_needs_one_step_on_a_quadratic_and_differences_of_gradients_will_do():
    a = np.diag([1.0, 1e4, 1e8])
    r = oc.minimize(lambda x: (0.5 * x @ a @ x, a @ x), np.ones(3), jac=True, method="newton", hess=lambda x: a)
    assert r.success and r.nit == 1
    r = oc.minimize(rosen, START, jac=rosen_der, method="newton-cg")
    assert r.success and r.nhev > 0 and r.njev >= r.nfev + 2 * r.nhev


@pytest.mark.parametrize("method", ["lbfgs", "bfgs"])
def test_non_finite_values_shorten_the_step(method):
    """log(x) - a barrier: the first trial steps leave the domain."""
    def f(x):
        with np.errstate(all="ignore"):
            return (1e3 * (x - np.log(x))).sum(), np.where(x > 0, 1e3 * (1 - 1 / x), np.nan)

    r = oc.minimize(f, [1e-3, 4.0, 60.0], jac=True, method=method, options={"ftol": 0})
    assert r.success
    np.testing.assert_allclose(r.x, 1, atol=1.1e-8)     # gtol / curvature = 1e-5 / 1e3


@pytest.mark.parametrize("method", ["lbfgs", "bfgs"])
def test_failures_say_why_and_keep_the_best_point(method):
    def wrong(x):
        return rosen(x), -rosen_der(x)

    r = oc.minimize(wrong, START, jac=True, method=method)
    assert not r.success and r.status == 2 and "jac" in r.message and r.fun <= rosen(START)
    r = oc.minimize(rosen, START, jac=rosen_der, method=method, options={"maxiter": 3})
    assert (r.status, r.nit, r.success) == (1, 3, False) and "maxiter=3" in r.message
    r = oc.minimize(lambda x: np.nan, START, jac=rosen_der, method=method)
    assert r.status == 3 and not r.success
    assert_same_bits(r.x, START)
    values = []

    def noted(x):
        values.append(rosen(x))
        return values[-1], rosen_der(x)

    for most in range(1, 40):
        values.clear()
        r = oc.minimize(noted, START, jac=True, method=method, options={"maxfun": most})
        assert r.nfev == len(values) <= most
        # The approximate Wolfe condition lets f rise by its rounding, 16 units, and no more.
        assert r.fun <= min(values) + 16 * 2.0**-52 * max(values)
    r = oc.minimize(lambda x: (-np.inf if x[0] > 5 else -float(x[0]), -np.ones(1)), [0.0], jac=True, method=method)
    assert r.status == 4 and not r.success


# ------------------------------------------------------------------------------------------- bits


def path(method, form, threads, most=12, n=40_000):
    rng = np.random.default_rng(1)
    n = n if method == "lbfgs" else 300
    scale, x0 = rng.uniform(0.1, 10, n).astype(form), rng.standard_normal(n).astype(form)
    m = oc.Minimizer(x0, method, num_threads=threads, maxiter=most, gtol=0, ftol=0)
    while not m.done:
        x = m.ask()
        m.tell(float((scale * np.cosh(x)).sum(dtype=np.float64)), scale * np.sinh(x))
        yield m


@pytest.mark.parametrize("method, form", [("lbfgs", np.float32), ("lbfgs", np.float64), ("bfgs", np.float64)])
def test_same_bits_at_any_number_of_threads(method, form):
    ends = []
    for threads in range(1, 5):
        *_, m = path(method, form, threads)
        ends.append(m)
    for m in ends[1:]:
        assert (m.nfev, m.fun) == (ends[0].nfev, ends[0].fun)
        assert_same_bits(m.x, ends[0].x)


@settings(max_examples=25)
@given(method=st.sampled_from(METHODS), when=st.integers(0, 60))
def test_a_resumed_run_is_the_uninterrupted_one(method, when):
    def tell(m):
        x = m.ask().copy()
        m.tell(rosen(x), rosen_der(x), hess=lambda: rosen_hess(x), hessp=lambda v: rosen_hess_prod(x, v))

    whole = oc.Minimizer(START, method, gtol=1e-10)
    saved = None
    while not whole.done:
        if whole.nfev == when:
            saved = whole.state_dict()
        tell(whole)
    if saved is None:
        saved = whole.state_dict()
    resumed = oc.Minimizer(np.zeros(4), method)
    resumed.load_state_dict(saved)
    while not resumed.done:
        tell(resumed)
    assert_same_bits(resumed.x, whole.x)
    assert_same_bits(resumed.jac, whole.jac)
    assert (resumed.nfev, resumed.nit, resumed.fun, resumed.message) == (
        whole.nfev, whole.nit, whole.fun, whole.message)


@pytest.mark.parametrize("method", METHODS)
def test_a_run_goes_on_from_a_file(method, tmp_path):
    def tell(m):
        x = m.ask().copy()
        m.tell(rosen(x), rosen_der(x), hess=lambda: rosen_hess(x), hessp=lambda v: rosen_hess_prod(x, v))

    whole, file = oc.Minimizer(START, method, gtol=1e-10), tmp_path / "run"
    for _ in range(9):
        tell(whole)
    whole.save(file)
    resumed = oc.Minimizer(np.zeros(4), method)
    resumed.load(file)
    for m in (whole, resumed):
        while not m.done:
            tell(m)
    assert_same_bits(resumed.x, whole.x)
    other = oc.Minimizer(np.zeros(3), method)
    with pytest.raises(ValueError, match=rf"{file}: the state's x"):
        other.load(file)
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(ValueError, match=rf"{file}: its bytes do not agree"):
        resumed.load(file)


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), bend=st.floats(-2, 0.9).filter(lambda x: abs(x) > 1e-6))
def test_a_damped_pair_has_a_fifth_of_the_curvature_known(seed, bend):
    """A search of one trial takes any fall, whatever the gradient does: here it shrinks to 1 - bend of itself, which
    shows `bend` of what B = -g / d promises for a whole step."""
    rng = np.random.default_rng(seed)
    for damping in (True, False):
        m = oc.Minimizer(10 + rng.standard_normal(5), maxls=1, gtol=0, ftol=0, damping=damping)
        for _ in range(2):                              # a parabola gives a first pair
            x = m.ask()
            m.tell(float(x @ x), 2 * x)
        x, g, step = m.x.copy(), m.jac.copy(), m._search.step
        m.ask()
        m.tell(m.fun - 10, (1 - bend) * g)
        assert m.nit == 2 and (len(m._model.slots) == 2) == (damping or bend > 0) != bool(m.skipped)
        if m.skipped:
            continue
        s, promised = m.x - x, -step * (m.x - x) @ g    # s.Bs
        # s and y are each rounded to 2^-53 of their elements, and s.y adds 5 products.
        expected = -bend * (s @ g) if not damping or bend >= 0.2 * step else 0.2 * promised
        np.testing.assert_allclose(m._model.sy[-1, -1], expected, rtol=0, atol=40 * 2.0 ** -53 * abs(s) @ abs(g))


def test_disp_says_how_it_ended(capsys):
    oc.minimize(rosen, START, jac=rosen_der)
    assert capsys.readouterr().out == ""
    found = oc.minimize(rosen, START, jac=rosen_der, options={"disp": True})
    out = capsys.readouterr().out
    assert found.message in out and f"{found.nfev} values" in out


def test_a_state_that_does_not_fit_is_refused():
    state = oc.Minimizer(START).state_dict()
    for other in (oc.Minimizer(START, "bfgs"), oc.Minimizer(START[:2]), oc.Minimizer(START.astype(np.float32)),
                  oc.Minimizer(START, maxcor=3)):
        with pytest.raises(ValueError, match="the state"):
            other.load_state_dict(state)


# ------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("name, bad", [
    ("x0", {"x0": np.zeros((2, 2))}), ("x0", {"x0": [1.0, np.nan]}), ("x0", {"x0": [1j, 2]}), ("x0", {"x0": ["a"]}),
    ("fun", {"fun": 3}), ("jac", {"jac": 3}), ("jac", {"jac": "cs"}), ("method", {"method": "adam"}),
    ("bounds", {"bounds": [(0, 1)] * 4}), ("constraints", {"constraints": [{}]}), ("callback", {"callback": 1}),
    ("gtol", {"options": {"gtol": -1}}), ("ftol", {"options": {"ftol": "x"}}),
    ("maxiter", {"options": {"maxiter": -1}}),
    ("maxcor", {"options": {"maxcor": 0}}), ("maxls", {"options": {"maxls": 1.5}}), ("eps", {"options": {"eps": 1}}),
    ("first", {"options": {"first": 0}}),
    ("damping", {"options": {"damping": "yes"}}), ("disp", {"options": {"disp": 2}}),
    ("num_threads", {"options": {"num_threads": 0}}), ("hess", {"method": "newton"}),
    ("hess_inv0", {"method": "bfgs", "options": {"hess_inv0": [[1, 2], [3, 4]]}}), ("hess", {"hess": 1}),
    ("hess_inv0", {"method": "bfgs", "options": {"hess_inv0": "a"}}), ("x0", {"x0": [[1.0], [1.0, 2.0]]}),
    ("jac", {"jac": np.ones(2)}), ("method", {"method": ["lbfgs"]})])
def test_bad_input_is_refused_by_name_before_fun_is_called(name, bad):
    def never(x):
        raise AssertionError("fun was called")

    with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
        oc.minimize(**{"fun": never, "x0": START, "jac": rosen_der} | bad)


@pytest.mark.parametrize("fun, jac", [("x", rosen_der), ([1.0, 2.0], rosen_der), (1j, rosen_der),
                                      (1.0, lambda x: x[:2]), (1.0, lambda x: [1j] * 4), (1.0, lambda x: None)])
def test_what_fun_returns_is_checked(fun, jac):
    with pytest.raises((TypeError, ValueError), match=r"\b(fun|jac)\b"):
        oc.minimize(lambda x: fun, START, jac=jac)


def test_examples_in_docstrings():
    for module in (minimizer, driver):
        ran = doctest.testmod(module)
        assert ran.attempted > 0 and ran.failed == 0


def test_nothing_of_it_is_imported_before_it_is_asked_for():
    code = ("import sys, optcore as oc; assert not any(m.startswith(('scipy', 'optcore.minimizers')) for m in "
            "sys.modules); oc.lbfgs; assert 'scipy' not in sys.modules; sys.modules['scipy'] = None\n"
            "try: oc.minimize(abs, [0.0])\n"
            "except ImportError as e: assert 'optcore[minimize]' in str(e)\n"
            "else: raise AssertionError")
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------------------------------------- the search


@settings(max_examples=200)
@given(a=st.floats(-2, 2), b=st.floats(-2, 2), c=st.floats(0.05, 2), first=st.floats(1e-6, 1e4))
def test_the_search_ends_at_a_wolfe_point(a, b, c, first):
    """On f(t) = -t + a t^2 + b t^3 + c t^4, which falls at 0 and is bounded below."""
    def f(t):
        return -t + a * t**2 + b * t**3 + c * t**4

    def slope(t):
        return -1 + 2 * a * t + 3 * b * t**2 + 4 * c * t**3

    search = linesearch.Wolfe(0.0, -1.0, first, trials_left=60)
    verdict = linesearch.MORE
    while verdict == linesearch.MORE:
        t = search.step
        verdict = search.take(f(t), slope(t))
    assert verdict == linesearch.FOUND
    assert f(t) <= -linesearch.DECREASE * t and abs(slope(t)) <= linesearch.FLATNESS
