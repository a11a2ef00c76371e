"""The model of `make embed`: its gradients, and that by rows they train as dense ones do."""
from __future__ import annotations

import numpy as np

import optcore as oc
from tests.support.bits import assert_same_bits
from tests.support.paths import ROOT, modules_of


def problem(dtype=np.float32):
    wordvec, = modules_of(ROOT / "examples", "wordvec")
    rng = np.random.default_rng(0)
    model = wordvec.SkipGram(rng, 30, width=6, dtype=dtype)
    model.params["near"][:] = rng.standard_normal((30, 6))
    return wordvec, model, rng.integers(0, 30, (16, 2)), rng.integers(0, 30, (4, 5))


def test_the_gradient_is_that_of_the_loss():
    wordvec, model, pairs, noise = problem(np.float64)
    shapes = {name: p.shape for name, p in model.params.items()}

    def set_to(x):
        model.params["word"][:], model.params["near"][:] = x.reshape(2, 30, 6)

    def loss(x):
        set_to(x)
        return model.loss_and_grads(pairs, noise)[0]

    def gradient(x):
        set_to(x)
        grads = model.loss_and_grads(pairs, noise)[1]
        return np.concatenate([wordvec.dense(grads[name], shapes[name]).ravel() for name in ("word", "near")])

    start = np.concatenate([p.ravel() for p in model.params.values()])
    assert oc.check_grad(loss, gradient, start).verdict == "correct"


def test_by_rows_is_as_dense():
    """SGD leaves rows without gradient as they are. The sums are added in another order than np.add.at's where a row is
    named more than twice: at most 30 values of a row, each sum rounded to 2^-24 of what it has become."""
    wordvec, model, pairs, noise = problem()
    other = {name: p.copy() for name, p in model.params.items()}
    _, grads = model.loss_and_grads(pairs, noise)
    whole = {name: wordvec.dense(g, other[name].shape) for name, g in grads.items()}
    oc.SGD(model.params, lr=1.0).step(grads)
    oc.SGD(other, lr=1.0).step(whole)
    for name in other:
        np.testing.assert_allclose(model.params[name], other[name], rtol=0, atol=30 * 2.0 ** -24 * 4)
    untouched = np.setdiff1d(np.arange(30), pairs[:, 0])
    assert_same_bits(model.params["word"][untouched], other["word"][untouched])
