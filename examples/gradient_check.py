"""A gradient check finds a planted bug: in a network of 20 000 parameters, one weight matrix is used transposed.

The matrix is square, so every shape fits, nothing fails, and the loss even falls when one trains with it.

    python examples/gradient_check.py
"""
import numpy as np

import optcore as oc

rng = np.random.default_rng(0)
X, Y = rng.standard_normal((64, 20), dtype=np.float32), rng.integers(0, 10, 64)
PARAMS = {
    "hidden": [{"w": rng.standard_normal((n, 128), dtype=np.float32) / np.float32(n) ** 0.5,
                "b": np.zeros(128, np.float32)} for n in (20, 128)],
    "out": rng.standard_normal((128, 10), dtype=np.float32) / np.float32(128) ** 0.5,
}


def forward(params):
    """The input of every layer, and the log probabilities."""
    inputs = [X]
    for layer in params["hidden"]:
        inputs.append(np.maximum(inputs[-1] @ layer["w"] + layer["b"], 0))
    scores = inputs[-1] @ params["out"]
    scores = scores - scores.max(1, keepdims=True)
    return inputs, scores - np.log(np.exp(scores).sum(1, keepdims=True))


def loss(params):
    return -forward(params)[1][np.arange(len(Y)), Y].mean()


def gradient(params, back):
    """back(w) is what the error of a layer is multiplied by on its way to the layer before: w.T."""
    inputs, log_p = forward(params)
    error = np.exp(log_p)
    error[np.arange(len(Y)), Y] -= 1
    error /= len(Y)
    grads = {"hidden": [], "out": inputs[-1].T @ error}
    error = error @ params["out"].T
    for layer, before, after in zip(params["hidden"][::-1], inputs[-2::-1], inputs[:0:-1], strict=True):
        error = error * (after > 0)
        grads["hidden"].insert(0, {"w": before.T @ error, "b": error.sum(0)})
        if layer["w"].shape[0] == layer["w"].shape[1]:
            error = error @ back(layer["w"])
    return grads


if __name__ == "__main__":
    print("with the bug\n", oc.check_grad(loss, lambda p: gradient(p, lambda w: w), PARAMS), "\n", sep="")
    print("without it\n", oc.check_grad(loss, lambda p: gradient(p, lambda w: w.T), PARAMS).raise_if_wrong(), sep="")
