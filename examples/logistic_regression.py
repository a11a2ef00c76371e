"""Logistic regression on scikit-learn's breast-cancer data by L-BFGS, BFGS and Newton's methods.

    python examples/logistic_regression.py

569 tumours, 30 measurements each; the loss is the mean log loss plus a small square penalty. All methods end at the one
minimum, and a Newton step costs a Hessian where a quasi-Newton step costs a gradient.
"""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

import optcore as oc

PENALTY = 1e-3


def data():
    x, y = load_breast_cancer(return_X_y=True)
    x = (x - x.mean(0)) / x.std(0)
    return np.column_stack([x, np.ones(len(x))]), y.astype(float)


def loss(w, x, y):
    """The loss and its gradient; the last weight, the intercept, is not penalized."""
    z = x @ w
    value = np.mean(np.logaddexp(0, z) - y * z) + 0.5 * PENALTY * w[:-1] @ w[:-1]
    return value, x.T @ (1 / (1 + np.exp(-z)) - y) / len(y) + PENALTY * np.append(w[:-1], 0)


def hessian(w, x, y):
    p = 1 / (1 + np.exp(-(x @ w)))
    h = (x.T * (p * (1 - p))) @ x / len(y)
    h[np.arange(len(w) - 1), np.arange(len(w) - 1)] += PENALTY
    return h


def main():
    x, y = data()
    print("| method | iterations | evaluations | loss | correct |\n|---|---:|---:|---:|---:|")
    for method in ("lbfgs", "bfgs", "newton", "newton-cg"):
        hess = hessian if "newton" in method else None
        r = oc.minimize(loss, np.zeros(x.shape[1]), args=(x, y), jac=True, hess=hess, method=method, tol=1e-8)
        correct = np.mean((x @ r.x > 0) == y)
        print(f"| {method} | {r.nit} | {r.nfev} | {r.fun:.10f} | {correct:.1%} |")
    judge = LogisticRegression(C=1 / (PENALTY * len(y)), tol=1e-10, max_iter=1000).fit(x[:, :-1], y)
    w = np.append(judge.coef_[0], judge.intercept_)
    print(f"| scikit-learn | {judge.n_iter_[0]} | | {loss(w, x, y)[0]:.10f} | {judge.score(x[:, :-1], y):.1%} |")


if __name__ == "__main__":
    main()
