"""False alarms and misses of optcore.check_grad over random problems.

    python -m bench.check.rates [rounds [seed]]

Correct gradients of hard functions are to be found correct (or not to be judged, where a line says so); gradients
with one of the usual mistakes are to be found wrong. Each round draws every problem anew.
"""
from __future__ import annotations

import argparse
from collections import Counter

import numpy as np

import optcore as oc

# ------------------------------------------------------------------------------------------------- problems
# A problem is (fun, grad, x0), drawn by rng.


def network(rng, act="relu", stored=np.float64, inside=None, bias=0.1, decay=1e-2, square=False):
    """Two layers and a squared error; `inside` rounds everything to this dtype, whatever is passed."""
    n, d = int(rng.integers(8, 40)), int(rng.integers(5, 30))
    m, k = (d, d) if square else (int(rng.integers(5, 60)), int(rng.integers(1, 6)))
    x, y = rng.standard_normal((n, d)), rng.standard_normal((n, k))
    p = {"w1": rng.standard_normal((d, m)) / np.sqrt(d), "b1": bias * rng.standard_normal(m),
         "w2": rng.standard_normal((m, k)) / np.sqrt(m), "b2": bias * rng.standard_normal(k)}
    p = {name: a.astype(stored) for name, a in p.items()}

    def pass_through(p):
        p = {name: a.astype(inside or a.dtype) for name, a in p.items()}
        kind = p["w1"].dtype
        u = x.astype(kind) @ p["w1"] + p["b1"]
        h = np.maximum(u, 0) if act == "relu" else np.tanh(u)
        e = h @ p["w2"] + p["b2"] - y.astype(kind)
        return p, kind, u, h, e

    def fun(p):
        p, kind, _, _, e = pass_through(p)
        weights = (p["w1"] * p["w1"]).sum() + (p["w2"] * p["w2"]).sum()
        return (e * e).sum() * kind.type(0.5 / n) + weights * kind.type(decay / 2)

    def grad(p):
        p, kind, u, h, e = pass_through(p)
        e = e * kind.type(1 / n)
        du = e @ p["w2"].T * (u > 0 if act == "relu" else 1 - h * h)
        return {"w1": x.astype(kind).T @ du + p["w1"] * kind.type(decay), "b1": du.sum(0),
                "w2": h.T @ e + p["w2"] * kind.type(decay), "b2": e.sum(0)}

    return fun, grad, p


def dead_inputs(rng):
    """Biases of zero and examples of zeros: many units exactly on their kink."""
    n, d, m = 20, 6, 15
    x = rng.standard_normal((n, d)) * (rng.random((n, 1)) < 0.7)
    y, w2 = rng.standard_normal(n), rng.standard_normal(m)
    p = [rng.standard_normal((d, m)), np.zeros(m)]

    def parts(p):
        u = x @ p[0] + p[1]
        return u, np.maximum(u, 0) @ w2 - y

    def grad(p):
        u, e = parts(p)
        du = np.outer(e, w2) * (u > 0)
        return [x.T @ du, du.sum(0)]

    return lambda p: 0.5 * float(parts(p)[1] @ parts(p)[1]), grad, p


def lasso(rng):
    n, d = 30, 12
    a, y = rng.standard_normal((n, d)), rng.standard_normal(n)
    x = rng.standard_normal(d) * (rng.random(d) < 0.5)
    return (lambda x: 0.5 * float(np.sum((a @ x - y) ** 2)) + float(np.abs(x).sum()),
            lambda x: a.T @ (a @ x - y) + np.sign(x), x)


def badly_scaled(rng):
    n = int(rng.integers(2, 200))
    s = 10.0 ** rng.uniform(-6, 6, n)
    c = rng.standard_normal(n)
    return (lambda x: float(np.sum((x / s) ** 4) + np.sum(c * x / s) + np.exp(np.sum(x / s) / n)),
            lambda x: (4 * (x / s) ** 3 + c + np.exp(np.sum(x / s) / n) / n) / s, s * rng.standard_normal(n))


def stiff(rng):
    """A quadratic form of condition 1e12 in unlucky coordinates."""
    n = int(rng.integers(2, 60))
    q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    h = (q * 10.0 ** rng.uniform(-6, 6, n)) @ q.T
    h = (h + h.T) / 2
    return lambda x: 0.5 * float(x @ h @ x), lambda x: h @ x, rng.standard_normal(n)


def at_a_minimum(rng):
    n, d = 60, int(rng.integers(2, 30))
    a, y = rng.standard_normal((n, d)) * 10.0 ** rng.uniform(-2, 2, d), rng.standard_normal(n)
    return (lambda x: float(np.sum((a @ x - y) ** 2)), lambda x: 2 * a.T @ (a @ x - y),
            np.linalg.lstsq(a, y, rcond=None)[0])


def large_offset(rng):
    fun, grad, x = network(rng, "tanh")
    offset = 10.0 ** rng.uniform(3, 9)
    return lambda p: float(fun(p)) + offset, grad, x


def rosenbrock(rng):
    def grad(x):
        g = np.zeros_like(x)
        g[:-1] = -400 * x[:-1] * (x[1:] - x[:-1] ** 2) - 2 * (1 - x[:-1])
        g[1:] += 200 * (x[1:] - x[:-1] ** 2)
        return g
    x = rng.standard_normal(int(rng.integers(2, 100))) * 10.0 ** rng.uniform(-1, 2)
    return lambda x: float(np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)), grad, x


def logistic(rng):
    n, d = 100, int(rng.integers(2, 40))
    a, y = rng.standard_normal((n, d)), rng.choice([-1.0, 1.0], n)
    w = rng.standard_normal(d) * 10.0 ** rng.uniform(-3, 1.5)
    return (lambda w: float(np.logaddexp(0, -y * (a @ w)).mean()),
            lambda w: -(a.T @ (y * np.exp(-np.logaddexp(0, y * (a @ w))))) / n, w)


def barrier(rng):
    """A logarithm near the end of its domain."""
    n = int(rng.integers(2, 50))
    c = rng.standard_normal(n)
    return (lambda x: float(c @ x - np.sum(np.log(x))), lambda x: c - 1 / x, 10.0 ** rng.uniform(-6, 2, n))


def oscillating(rng):
    n = int(rng.integers(1, 50))
    k = 10.0 ** rng.uniform(0, 3, n)
    return (lambda x: float(np.sum(np.sin(k * x))), lambda x: k * np.cos(k * x), rng.standard_normal(n))


def from_zero(rng):
    fun, grad, p = network(rng, "tanh")
    return fun, grad, {name: np.zeros_like(a) if name != "w2" else a for name, a in p.items()}


HARD = {
    "relu network": network,
    "relu network, many dead inputs": dead_inputs,
    "lasso with zeros": lasso,
    "tanh network": lambda rng: network(rng, "tanh"),
    "tanh network, zero weights": from_zero,
    "float32 relu network, shadowed": lambda rng: network(rng, stored=np.float32),
    "float32 relu network": lambda rng: network(rng, stored=np.float32, inside=np.float32),
    "float32 tanh network": lambda rng: network(rng, "tanh", np.float32, np.float32),
    "float64 x0, float32 inside": lambda rng: network(rng, "tanh", np.float64, np.float32),
    "badly scaled": badly_scaled,
    "condition 1e12": stiff,
    "at a minimum": at_a_minimum,
    "offset 1e3 to 1e9": large_offset,
    "Rosenbrock": rosenbrock,
    "logistic regression": logistic,
    "log barrier": barrier,
    "sin(k x), k to 1000": oscillating,
}

# ------------------------------------------------------------------------------------------------- mistakes


def changed(grad, change, *args):
    return lambda p: change({name: a.copy() for name, a in grad(p).items()}, p, *args)


def flip_block(g, p, name):
    g[name] *= -1
    return g


def double_block(g, p, name):
    g[name] *= 2
    return g


def shift(g, p, name):
    g[name] = np.roll(g[name], 1)
    return g


def drop_decay(g, p):
    return {name: a - 1e-2 * p[name] if name[0] == "w" else a for name, a in g.items()}


def transpose(g, p):
    g["w1"] = g["w1"].T.copy()
    return g


def flip_element(g, p, name, place):
    flat = g[name].reshape(-1)
    flat[place] *= -1
    return g


def off_by_one_percent(g, p, name, place):
    flat = g[name].reshape(-1)
    flat[place] *= 1.01
    return g


def mistakes(rng, **kind):
    fun, grad, p = network(rng, **kind)
    name = str(rng.choice(["w1", "b1", "w2"]))
    g = np.abs(grad(p)[name].ravel())
    place = int(rng.choice(np.flatnonzero(g >= np.median(g))))      # one that matters
    yield "sign of a block", fun, changed(grad, flip_block, name), p
    yield "factor 2 in a block", fun, changed(grad, double_block, name), p
    yield "off by one", fun, changed(grad, shift, name), p
    yield "dropped term", fun, changed(grad, drop_decay), p
    yield "sign of an element", fun, changed(grad, flip_element, name, place), p
    yield "1 % in an element", fun, changed(grad, off_by_one_percent, name, place), p
    fun, grad, p = network(rng, square=True, **kind)
    yield "transposed block", fun, changed(grad, transpose), p


KINDS = {"float64": {}, "float32 shadowed": {"stored": np.float32},
         "float32": {"stored": np.float32, "inside": np.float32}}

# ------------------------------------------------------------------------------------------------- counting


def table(rounds, first):
    seeds = range(first, first + rounds)
    print(f"{rounds} draws of each\n\n{'correct gradient of':<34} correct  kink  inconclusive  wrong  evaluations")
    false = 0
    for name, make in HARD.items():
        seen, most = Counter(), 0
        for seed in seeds:
            report = oc.check_grad(*make(np.random.default_rng(seed)), seed=seed)
            seen[report.verdict] += 1
            most = max(most, report.evaluations)
        false += rounds - seen["correct"] - seen["kink"] - seen["inconclusive"]
        print(f"{name:<34} {seen['correct']:7} {seen['kink']:5} {seen['inconclusive']:13} {seen['wrong']:6}  <= {most}")
    print(f"false alarms: {false} of {rounds * len(HARD)}")
    for kind, settings in KINDS.items():
        print(f"\n{'wrong gradient, relu and tanh, ' + kind:<50} wrong  else  element named")
        seen, named = Counter(), Counter()
        for seed in seeds:
            act = ("relu", "tanh")[seed % 2]
            for name, *problem in mistakes(np.random.default_rng(seed), act=act, **settings):
                report = oc.check_grad(*problem, seed=seed)
                seen[name, report.verdict == "wrong"] += 1
                named[name] += report.worst is not None
        for name in dict.fromkeys(name for name, _ in seen):
            print(f"{name:<50} {seen[name, True]:5} {seen[name, False]:5} {named[name]:6}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rounds", type=int, nargs="?", default=200)
    parser.add_argument("seed", type=int, nargs="?", default=0, help="of the first round")
    given = parser.parse_args()
    table(given.rounds, given.seed)
