"""Training on what one wants: the share of wrong answers, a function of steps: its gradient is 0 wherever it exists.

A linear classifier on scikit-learn's breast cancer data, if scikit-learn is there, else on data of its kind made here.
Least squares begins; an evolution strategy then lowers the wrong answers themselves, with a small price on weights.

    python examples/random_search.py
"""
import numpy as np

import optcore as oc


def data():
    try:
        from sklearn.datasets import load_breast_cancer

        x, y = load_breast_cancer(return_X_y=True)
    except ImportError:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((569, 30))
        y = (x @ rng.standard_normal(30) + np.abs(x[:, 0]) + rng.standard_normal(569) > 0).astype(int)
    x = (x - x.mean(0)) / x.std(0)
    return np.column_stack([x, np.ones(len(x))]).astype(np.float32), 2 * y - 1


def main():
    x, y = data()
    held_out = np.random.default_rng(0).permutation(len(y)) < len(y) // 4
    train, test = (x[~held_out], y[~held_out]), (x[held_out], y[held_out])

    def wrong(w, part):
        return float(np.mean((part[0] @ w) * part[1] <= 0))

    w = np.linalg.lstsq(*train, rcond=None)[0].astype(np.float32)
    print(f"least squares: {wrong(w, train):.1%} wrong in training, {wrong(w, test):.1%} held out")
    opt = oc.ES(w, lr=lambda t: 0.1 / (1 + t / 100), sigma=0.05, samples=32)
    for _ in range(300):
        opt.step(lambda w: wrong(w, train) + 1e-3 * float(np.abs(w).mean()))
    print(f"evolution:     {wrong(w, train):.1%} wrong in training, {wrong(w, test):.1%} held out")


if __name__ == "__main__":
    main()
