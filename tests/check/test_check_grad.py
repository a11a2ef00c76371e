"""check_grad: mistakes are found and named, correct gradients of hard functions are not accused, and what is
neither (a kink, randomness, too much noise) is called by its name. bench/check/rates.py measures the rates.
"""
from __future__ import annotations

import runpy
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import optcore as oc
from tests.support.paths import ROOT

# ---------------------------------------------------------------------------------------------- problems


class Network:
    """tanh or ReLU, squared error, weight decay; a gradient that may be spoilt; `inside`: the dtype it computes in."""

    def __init__(self, sizes, *, act="tanh", stored=np.float64, inside=None, batch=24, seed=0):
        rng = np.random.default_rng(seed)
        self.act, self.inside = act, inside
        self.x, self.y = rng.standard_normal((batch, sizes[0])), rng.standard_normal((batch, sizes[-1]))
        self.params = {}
        for k, (n, m) in enumerate(zip(sizes, sizes[1:], strict=False)):
            self.params[f"w{k}"] = (rng.standard_normal((n, m)) / np.sqrt(n)).astype(stored)
            self.params[f"b{k}"] = (0.1 * rng.standard_normal(m)).astype(stored)
        self.depth = len(sizes) - 1

    def forward(self, p):
        p = {name: a.astype(self.inside or a.dtype) for name, a in p.items()}
        kind = p["w0"].dtype
        outputs = [self.x.astype(kind)]
        for k in range(self.depth):
            u = outputs[-1] @ p[f"w{k}"] + p[f"b{k}"]
            last = k == self.depth - 1
            outputs.append(u if last else np.tanh(u) if self.act == "tanh" else np.maximum(u, 0))
        return p, outputs, (outputs[-1] - self.y.astype(kind)) / kind.type(len(self.y))

    def fun(self, p):
        p, _, e = self.forward(p)
        kind = e.dtype.type
        return (e * e).sum() * kind(len(e) / 2) + kind(5e-3) * sum((p[f"w{k}"] ** 2).sum() for k in range(self.depth))

    def grad(self, p):
        p, outputs, e = self.forward(p)
        g = {}
        for k in reversed(range(self.depth)):
            g[f"w{k}"] = outputs[k].T @ e + e.dtype.type(1e-2) * p[f"w{k}"]
            g[f"b{k}"] = e.sum(0)
            h = outputs[k]
            e = e @ p[f"w{k}"].T * (1 - h * h if self.act == "tanh" else h > 0)
        return {name: g[name] for name in p}

    def spoilt(self, change):
        def grad(p):
            g = {name: a.copy() for name, a in self.grad(p).items()}
            change(g, p)
            return g
        return grad


def flip(g, p):
    g["w1"] *= -1


def drop_a_term(g, p):
    for name in ("w0", "w1"):
        g[name] -= 1e-2 * p[name]


def double(g, p):
    g["b0"] *= 2


def shift(g, p):
    g["w0"][:, 1:] = g["w0"][:, :-1].copy()


def transpose(g, p):
    g["w1"] = g["w1"].T.copy()


def forget_the_mean(g, p):
    g["b1"] *= 24


MISTAKES = {"w1": flip, "w0": drop_a_term, "b0": double, "w0 ": shift, "w1 ": transpose, "b1": forget_the_mean}
KINDS = {"float64": {}, "relu": {"act": "relu"}, "shadowed": {"stored": np.float32},
         "float32": {"stored": np.float32, "inside": np.float32}}
SMALL = (6, 9, 9, 3)

# ---------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", MISTAKES)
@pytest.mark.parametrize("seed", range(3))
def test_mistakes_are_found_where_they_are(where, kind, seed):
    net = Network(SMALL, seed=seed, **KINDS[kind])
    report = oc.check_grad(net.fun, net.spoilt(MISTAKES[where]), net.params, seed=seed)
    assert report.verdict == "wrong" and not report, report
    wrong = {b.name for b in report.blocks if b.status == "wrong"}
    touched = {f"x0['{where.strip()}']"} | ({"x0['w0']", "x0['w1']"} if MISTAKES[where] is drop_a_term else set())
    assert wrong and wrong <= touched
    if report.worst:
        assert report.worst.where.startswith(tuple(wrong))
    with pytest.raises(AssertionError, match="gradient check: wrong"):
        report.raise_if_wrong()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(8))
def test_correct_networks_are_found_correct(kind, seed):
    net = Network(SMALL, seed=seed, **KINDS[kind])
    report = oc.check_grad(net.fun, net.grad, net.params, seed=seed).raise_if_wrong()
    assert report.evaluations <= 190 and report.gradients <= 8
    assert {b.name for b in report.blocks} == {f"x0['{name}']" for name in net.params}


@given(st.integers(1, 40), st.data())
def test_one_wrong_element_is_named_with_both_values(n, data):
    """f = sum c x^4 + x . A x / 2: gradients of ordinary size, so that a thousandth is above every limit."""
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    i, factor = data.draw(st.integers(0, n - 1)), data.draw(st.sampled_from([-1.0, 0.0, 2.0, 1.001, 1e6]))
    a = rng.standard_normal((n, n))
    c, x = rng.uniform(0.5, 2, n), rng.choice([-1.0, 1.0], n) * rng.uniform(0.5, 2, n)

    def fun(x):
        return float(c @ x ** 4 + x @ a @ x / 2)

    def grad(x, factor=1.0):
        g = 4 * c * x ** 3 + (a + a.T) @ x / 2
        g[i] *= factor
        return g
    assert oc.check_grad(fun, grad, x).verdict == "correct"
    right = grad(x)[i]
    report = oc.check_grad(fun, lambda x: grad(x, factor), x)
    assert report.verdict == "wrong" and report.worst.where == f"x0[{i}]"
    assert report.worst.analytic == factor * right
    assert abs(report.worst.numerical - right) <= 1e-5 * max(abs(right), np.abs(grad(x)).max())


@pytest.fixture(scope="module")
def large():
    """1 017 110 parameters."""
    return Network((1000, 1000, 16, 10), batch=8)


def test_a_million_parameters_in_under_200_evaluations(large):
    calls = []

    def fun(p):
        calls.append(1)
        return large.fun(p)
    report = oc.check_grad(fun, large.grad, large.params)
    assert report.verdict == "correct" and report.evaluations == len(calls) < 200


@pytest.mark.parametrize("place", [(0, 0), (999, 999), (412, 733)])
def test_one_wrong_element_in_a_million(large, place):
    def change(g, p):
        g["w0"][place] *= -1
    report = oc.check_grad(large.fun, large.spoilt(change), large.params)
    assert report.verdict == "wrong" and report.evaluations < 200
    assert report.worst.where == f"x0['w0'][{place[0]}, {place[1]}]"
    assert report.worst.analytic * report.worst.numerical < 0


def test_the_example_finds_its_bug(capsys):
    runpy.run_path(str(ROOT / "examples" / "gradient_check.py"), run_name="__main__")
    first, second = capsys.readouterr().out.split("without it")
    assert "gradient check: wrong" in first and "worst: x0['hidden'][0]" in first
    assert "gradient check: correct" in second


def test_taylor_order():
    net = Network(SMALL)
    assert abs(oc.check_grad(net.fun, net.grad, net.params).taylor_order - 2) < 0.1
    assert abs(oc.check_grad(net.fun, net.spoilt(flip), net.params).taylor_order - 1) < 0.1
    # x0 and the steps are powers of two, so this is linear to the last bit.
    assert oc.check_grad(lambda x: 2 * x[0] - x[1], lambda x: np.array([2.0, -1.0]), [1.0, 2.0]).taylor_order is None

# ---------------------------------------------------------------------------------------------- hard, and correct


UNITS = 10.0 ** np.linspace(-8, 8, 33)


def square(x):
    return x * x


@pytest.mark.parametrize(("fun", "grad", "x"), [
    pytest.param(lambda x: np.sum((x / UNITS) ** 4 + x / UNITS), lambda x: (4 * (x / UNITS) ** 3 + 1) / UNITS, UNITS,
                 id="badly scaled"),
    pytest.param(lambda x: np.sum(square(x - 1)), lambda x: 2 * (x - 1), np.ones(9), id="at the minimum"),
    pytest.param(lambda x: np.sum(square(x - 1)), lambda x: 2 * (x - 1), np.ones(9) + 1e-9, id="close to it"),
    pytest.param(lambda x: np.sum(x ** 4), lambda x: 4 * x ** 3, np.zeros(5), id="flat"),
    pytest.param(lambda x: 1e8 + np.sum(np.sin(x)), np.cos, np.linspace(0, 3, 20), id="large offset"),
    pytest.param(lambda x: -np.sum(np.log(x)), lambda x: -1 / x, 10.0 ** np.linspace(-6, 2, 20), id="logarithm"),
    pytest.param(lambda x: np.exp(x).sum(), np.exp, np.linspace(-50, 50, 21), id="exponential"),
    pytest.param(lambda x: np.sin(1e4 * x).sum(), lambda x: 1e4 * np.cos(1e4 * x), np.linspace(1, 2, 7), id="fast"),
    pytest.param(lambda x: 3.0, np.zeros_like, np.ones(4), id="constant"),
    pytest.param(lambda x: x.sum(), np.ones_like, np.zeros(4), id="linear"),
    pytest.param(lambda x: float(np.float32(x[0]) ** 2), lambda x: 2 * x, np.array([1.3]), id="rounds inside"),
])
def test_hard_functions_are_not_accused(fun, grad, x):
    for seed in range(5):
        oc.check_grad(fun, grad, x, seed=seed).raise_if_wrong()


def test_zero_for_a_slope_that_is_not_zero_is_wrong():
    report = oc.check_grad(lambda x: x @ x, np.zeros_like, np.ones(3))
    assert report.verdict == "wrong" and report.worst.analytic == 0.0 and abs(report.worst.numerical - 2) < 1e-9


def test_a_function_that_does_not_read_its_argument_is_told():
    report = oc.check_grad(lambda x: 2.5, np.ones_like, np.ones(3))
    assert report.verdict == "wrong" and "does it read its argument" in str(report)

# ---------------------------------------------------------------------------------------------- neither


def hinge(x):
    return np.maximum(x, 0).sum() + 0.5 * x @ x


@pytest.mark.parametrize("side", [0.0, 0.5, 1.0])
def test_a_kink_is_told_from_a_wrong_gradient(side):
    """At 0 every number from 0 to 1 is a slope of max(x, 0); the other elements are not on their kink."""
    x = np.array([0.0, 0.7, -0.3, 0.0])
    report = oc.check_grad(hinge, lambda x: x + np.where(x == 0, side, x > 0), x)
    assert report.verdict == ("correct" if side == 0.5 else "kink") and report
    for seed in range(5):
        assert oc.check_grad(hinge, lambda x: x - np.where(x == 0, side, x > 0), x, seed=seed).verdict == "wrong"
        # Wrong only at elements that are on their kink, and right at the others.
        spoilt = oc.check_grad(hinge, lambda x: np.array([3.0, 1, 1, 1]) * (x + np.where(x == 0, side, x > 0)),
                               x + np.array([1e-3, 0, 0, 0]), seed=seed)
        assert spoilt.verdict == "wrong" and spoilt.worst.where == "x0[0]"


def test_kinks_close_by_are_not_mistaken():
    for exponent in range(1, 12):
        x = np.array([10.0 ** -exponent, -(10.0 ** -exponent), 1.0])
        assert oc.check_grad(hinge, lambda x: x + (x > 0), x), exponent


def test_randomness_is_told():
    rng = np.random.default_rng(0)
    for size, verdict in ((1e-3, "not deterministic"), (1e-15, "correct")):
        report = oc.check_grad(lambda x, size=size: x @ x * (1 + size * rng.standard_normal()), lambda x: 2 * x,
                               np.ones(5))
        assert report.verdict == verdict, report
    report = oc.check_grad(lambda x: x @ x, lambda x: 2 * x * (1 + 1e-3 * rng.standard_normal()), np.ones(5))
    assert report.verdict == "not deterministic" and "two different gradients" in str(report)


def test_a_value_that_drifts_is_told():
    calls = []

    def fun(x):
        calls.append(1)
        return x @ x + (len(calls) > 20)
    assert oc.check_grad(fun, lambda x: 2 * x, np.ones(5)).verdict == "not deterministic"


def test_too_much_noise_is_not_called_correct():
    """Rounded to steps of 1/8: nothing can be said of slopes near 1e-3 x."""
    report = oc.check_grad(lambda x: np.round(8 * (1e-3 * x.sum() + 1000)) / 8, lambda x: np.full_like(x, 1e-3),
                           np.ones(4))
    assert report.verdict == "inconclusive" and not report


def test_a_gradient_that_is_not_finite_is_named():
    x = np.array([[1.0, 1, 1], [1, 2, 1]])
    report = oc.check_grad(lambda x: (x * x).sum(), lambda x: np.where(x > 1, np.nan, 2 * x), x)
    assert report.verdict == "wrong" and "x0[1, 1]" in str(report)

# ---------------------------------------------------------------------------------------------- what it takes


class Pair(NamedTuple):
    a: np.ndarray
    b: list


def test_nested_structures():
    x = {"p": Pair(np.ones((2, 2), np.float32), [np.array(2.0), {"deep": np.arange(3.0), "empty": np.zeros(0)}]),
         3: 1.5}

    def fun(x, power):
        assert isinstance(x["p"], Pair)
        return (x["p"].a ** power).sum() * x["p"].b[0] * x[3] + (x["p"].b[1]["deep"] ** 2).sum()

    def grad(x, power):
        s = (x["p"].a ** power).sum()
        return {3: s * x["p"].b[0], "p": Pair(power * x["p"].a ** (power - 1) * x["p"].b[0] * x[3], [
            s * x[3], {"deep": 2 * x["p"].b[1]["deep"], "empty": np.zeros(0)}])}
    report = oc.check_grad(fun, grad, x, 3).raise_if_wrong()
    assert [b.name for b in report.blocks] == ["x0['p'][0]", "x0['p'][1][0]", "x0['p'][1][1]['deep']", "x0[3]"]


@pytest.mark.parametrize("x", [2.0, [1.0, 2.0], (1, 2), [[1.0, 2.0], [3.0, 4.0]], np.arange(4)])
def test_numbers_are_one_array_as_in_scipy(x):
    report = oc.check_grad(lambda x: (x ** 3).sum(), lambda x: 3 * x ** 2, x)
    assert report and [b.name for b in report.blocks] == ["x0"]


def test_value_and_gradient_from_one_function():
    assert oc.check_grad(lambda x: ((x ** 3).sum(), 3 * x ** 2), True, [1.0, 2.0])
    assert not oc.check_grad(lambda x: ((x ** 3).sum(), 2 * x ** 2), True, [1.0, 2.0])


def test_float32_only_functions_get_float32():
    def fun(x):
        if x.dtype != np.float32:
            raise TypeError("float32 is needed")
        return (x * x).sum()
    x = np.linspace(1, 2, 50, dtype=np.float32)
    assert oc.check_grad(fun, lambda x: 2 * x, x).precision == "float32"
    assert not oc.check_grad(fun, lambda x: 2.1 * x, x)
    assert "passed as float64" in oc.check_grad(lambda x: (x * x).sum(), lambda x: 2 * x, x).precision


def test_arguments_that_are_changed_in_place_do_no_harm():
    x = {"a": np.arange(1.0, 4.0)}
    buffer = {"a": np.empty(3)}

    def fun(p):
        p["a"] *= p["a"]
        return p.pop("a").sum()

    def grad(p):
        np.multiply(2, p["a"], out=buffer["a"])
        return buffer
    assert oc.check_grad(fun, grad, x)
    assert x["a"].tolist() == [1, 2, 3]


def test_many_arrays_are_all_seen():
    x = [np.full(3, 1.0 + k) for k in range(60)]

    def grad(x, wrong):
        g = [2 * a for a in x]
        g[wrong] = g[wrong] * np.array([1, 1, 1.01])
        return g
    assert oc.check_grad(lambda x: sum(a @ a for a in x), lambda x: [2 * a for a in x], x)
    for wrong in (0, 31, 59):
        report = oc.check_grad(lambda x: sum(a @ a for a in x), lambda x, wrong=wrong: grad(x, wrong), x)
        assert report.worst.where == f"x0[{wrong}][2]" and report.evaluations < 200


def test_the_same_report_for_the_same_seed():
    net = Network(SMALL)
    one, two = (oc.check_grad(net.fun, net.spoilt(shift), net.params, seed=7) for _ in range(2))
    assert str(one) == str(two) and repr(one) == repr(two)


@given(st.integers(60, 200), st.integers(1, 30), st.booleans())
def test_never_more_evaluations_than_allowed(maxfev, n, wrong):
    def fun(x):
        return np.abs(x).sum() + np.exp(x).sum()

    def grad(x):
        return np.sign(x) + (2 if wrong else 1) * np.exp(x)
    report = oc.check_grad(fun, grad, np.arange(n) - n // 2, maxfev=maxfev)
    assert report.evaluations <= maxfev and bool(report) is not wrong


@pytest.mark.parametrize(("call", "error", "says"), [
    (lambda: oc.check_grad(3, square, [1.0]), TypeError, "fun"),
    (lambda: oc.check_grad(square, None, [1.0]), TypeError, "grad"),
    (lambda: oc.check_grad(np.sum, square, "text"), TypeError, "x0"),
    (lambda: oc.check_grad(np.sum, square, {"a": np.ones(2, complex)}), TypeError, r"x0\['a'\] is complex128"),
    (lambda: oc.check_grad(np.sum, square, []), ValueError, "no elements"),
    (lambda: oc.check_grad(np.sum, square, [1.0, np.nan]), ValueError, "x0 is not finite"),
    (lambda: oc.check_grad(lambda x: np.inf, square, [1.0]), ValueError, r"fun\(x0\) is inf"),
    (lambda: oc.check_grad(square, square, [1.0, 2.0]), ValueError, "one real number"),
    (lambda: oc.check_grad(np.sum, lambda x: x[:1], [1.0, 2.0]), ValueError, r"shape \(1,\), x0 has \(2,\)"),
    (lambda: oc.check_grad(lambda p: p["a"].sum(), lambda p: {"b": p["a"]}, {"a": np.ones(2)}), ValueError,
     r"lacks \[\"x0\['a'\]\"\]"),
    (lambda: oc.check_grad(np.sum, square, [1.0], maxfev=10), ValueError, "maxfev=10"),
    (lambda: oc.check_grad(np.sum, square, [1.0], rtol=0.0), ValueError, "rtol=0.0"),
    (lambda: oc.check_grad(np.sum, square, [1.0], rtol="a"), ValueError, "rtol='a'"),
    (lambda: oc.check_grad(np.sum, square, [1.0], maxfev="a"), TypeError, "maxfev"),
    (lambda: oc.check_grad(np.sum, square, [1.0], seed=-1), ValueError, "seed=-1"),
    (lambda: oc.check_grad(np.sum, True, [1.0]), TypeError, "grad=True it must give its value and its gradient"),
])
def test_what_cannot_be_checked_is_refused(call, error, says):
    with pytest.raises(error, match=says):
        call()


# ---------------------------------------------------------------------------------------------- extreme sizes


@pytest.mark.parametrize("scale, of_x", [(1e-290, 1.0), (1e-200, 1e-100), (1e-200, 1.0), (1.0, 1e-200), (1.0, 1e200),
                                         (1e200, 1.0), (1e200, 1e100), (1e300, 1.0)])
def test_mistakes_are_seen_at_any_scale(scale, of_x):
    """No square of a gradient overflows and makes every error allowed."""
    x = np.random.default_rng(0).standard_normal(20)

    def fun(p):
        return scale * float((p / of_x) @ (p / of_x))

    def grad(p):
        return scale * (2 * (p / of_x)) / of_x

    def dropped(p):
        g = grad(p)
        g[3] = 0
        return g

    assert oc.check_grad(fun, grad, of_x * x).verdict == "correct"
    report = oc.check_grad(fun, dropped, of_x * x)
    assert report.verdict == "wrong" and report.worst.where == "x0[3]"


@pytest.mark.parametrize("n", [2, 4])
@pytest.mark.parametrize("seed", range(8))
def test_a_function_is_not_taken_for_float32_since_its_values_are_round(n, seed):
    """Signs that cancel left the sum of ones what it was, and 1e-4 was within what float32 allows."""
    report = oc.check_grad(np.sum, lambda x: np.r_[1 + 1e-4, np.ones(n - 1)], np.ones(n), seed=seed)
    assert report.precision == "float64" and report.verdict == "wrong" and report.worst.where == "x0[0]"
