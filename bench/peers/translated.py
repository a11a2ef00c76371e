"""Settings of Keras, optax and scikit-learn translated to ours: how far 50 steps on the same gradients lie apart.

    pip install keras optax jax scikit-learn
    python -m bench.peers.translated

Needs these packages, which no other program of the bench does; Keras runs on JAX, on the CPU. Printed is the largest
difference of a parameter over the largest distance that one has travelled, for gradients that are normal numbers, and
for the same times 1e-4, where eps counts. docs/answers.md has the rows.
"""

import os
from importlib.metadata import version
from math import sqrt

# Read at import.
os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"

import keras
import numpy as np
import optax
from sklearn.neural_network import MLPRegressor

import optcore as oc

STEPS, N = 50, 1000
BETA2 = 0.999


def uncorrected(eps):
    """eps that is added to a root whose bias is not corrected yet."""
    return lambda t: eps / sqrt(1 - BETA2 ** t)


def by_keras(name, **settings):
    def run(p, grads):
        opt, variable = getattr(keras.optimizers, name)(**settings), keras.Variable(p)
        opt.build([variable])
        for g in grads:
            opt.apply([keras.ops.convert_to_tensor(g)], [variable])
        return np.asarray(variable.value)
    return f"keras.optimizers.{name}", run


def by_optax(name, *given, **settings):
    def run(p, grads):
        opt = getattr(optax, name)(*given, **settings)
        state = opt.init(p)
        for g in grads:
            updates, state = opt.update(g, state, p)
            p = optax.apply_updates(p, updates)
        return np.asarray(p)
    return f"optax.{name}", run


def ours(name, **settings):
    def run(p, grads):
        p = p.copy()
        opt = getattr(oc, name)([p], **settings)
        for g in grads:
            opt.step([g])
        return p
    return run


LR = 1e-3
FALLING = keras.optimizers.schedules.ExponentialDecay(LR, 10, 0.9)
RISING = optax.warmup_cosine_decay_schedule(0.0, LR, 10, 50)
ROWS = [
    (*by_keras("SGD", learning_rate=LR, momentum=0.9, nesterov=True), "",
     "SGD(momentum=0.9, nesterov=True)", ours("SGD", lr=LR, momentum=0.9, nesterov=True)),
    (*by_keras("Adam", learning_rate=LR), "",
     "Adam(eps=lambda t: 1e-7 / sqrt(1 - beta2 ** t))", ours("Adam", lr=LR, eps=uncorrected(1e-7))),
    (*by_keras("Adam", learning_rate=LR), "", "Adam(eps=1e-7)", ours("Adam", lr=LR, eps=1e-7)),
    (*by_keras("Adam", learning_rate=LR, amsgrad=True), "amsgrad=True",
     "Adam(amsgrad=True, eps=lambda t: ...)", ours("Adam", lr=LR, amsgrad=True, eps=uncorrected(1e-7))),
    (*by_keras("Adam", learning_rate=LR, weight_decay=1.0), "weight_decay=1",
     "AdamW(weight_decay=1, eps=lambda t: ...)", ours("AdamW", lr=LR, weight_decay=1.0, eps=uncorrected(1e-7))),
    (*by_keras("Nadam", learning_rate=LR), "", "NAdam(momentum_decay=1, eps=1e-7)",
     ours("NAdam", lr=LR, momentum_decay=1.0, eps=1e-7)),
    (*by_keras("Nadam", learning_rate=LR), "", "NAdam(eps=1e-7)", ours("NAdam", lr=LR, eps=1e-7)),
    (*by_keras("RMSprop", learning_rate=LR), "", "RMSprop(alpha=0.9, eps=1e-7)",
     ours("RMSprop", lr=LR, alpha=0.9, eps=1e-7)),
    (*by_keras("RMSprop", learning_rate=LR), "", "RMSprop(alpha=0.9, eps=3.2e-4)",
     ours("RMSprop", lr=LR, alpha=0.9, eps=sqrt(1e-7))),
    (*by_keras("Adagrad", learning_rate=LR), "", "Adagrad(initial_accumulator_value=0.1 + 1e-7, eps=0)",
     ours("Adagrad", lr=LR, initial_accumulator_value=0.1 + 1e-7, eps=0.0)),
    (*by_keras("Adadelta", learning_rate=1.0), "", "Adadelta(rho=0.95, eps=1e-7)",
     ours("Adadelta", lr=1.0, rho=0.95, eps=1e-7)),
    (*by_keras("Adamax", learning_rate=LR), "", "Adamax(eps=1e-7)", ours("Adamax", lr=LR, eps=1e-7)),
    (*by_keras("Lion", learning_rate=LR), "", "Lion(betas=(0.9, 0.99))", ours("Lion", lr=LR, betas=(0.9, 0.99))),
    (*by_optax("adam", LR), "", "Adam()", ours("Adam", lr=LR)),
    (*by_optax("adamw", LR, weight_decay=1.0), "weight_decay=1", "AdamW(weight_decay=1)",
     ours("AdamW", lr=LR, weight_decay=1.0)),
    (*by_optax("amsgrad", LR), "", "Adam(amsgrad=True)", ours("Adam", lr=LR, amsgrad=True)),
    (*by_optax("amsgrad", LR, bias_correction_nu=False), "bias_correction_nu=False",
     "Adam(amsgrad=True, lr=lambda t: lr * r, eps=lambda t: 1e-8 * r), r = 1 / sqrt(1 - beta2 ** t)",
     ours("Adam", lr=uncorrected(LR), amsgrad=True, eps=uncorrected(1e-8))),
    (*by_optax("nadam", LR), "", "NAdam(momentum_decay=1e6)", ours("NAdam", lr=LR, momentum_decay=1e6)),
    (*by_optax("rmsprop", LR), "", "RMSprop(alpha=0.9, eps=1e-8)", ours("RMSprop", lr=LR, alpha=0.9, eps=1e-8)),
    (*by_optax("rmsprop", LR, eps_in_sqrt=False), "eps_in_sqrt=False", "RMSprop(alpha=0.9, eps=1e-8)",
     ours("RMSprop", lr=LR, alpha=0.9, eps=1e-8)),
    (*by_optax("adagrad", LR), "", "Adagrad(initial_accumulator_value=0.1 + 1e-7, eps=0)",
     ours("Adagrad", lr=LR, initial_accumulator_value=0.1 + 1e-7, eps=0.0)),
    (*by_optax("lion", LR, weight_decay=1.0), "weight_decay=1", "Lion(weight_decay=1)",
     ours("Lion", lr=LR, weight_decay=1.0)),
    (*by_keras("Adam", learning_rate=FALLING), "ExponentialDecay(lr, 10, 0.9)",
     "Adam(lr=lambda t: lr * 0.9 ** ((t - 1) / 10), eps=lambda t: ...)",
     ours("Adam", lr=lambda t: LR * 0.9 ** ((t - 1) / 10), eps=uncorrected(1e-7))),
    (*by_optax("adam", RISING), "warmup_cosine_decay_schedule(0, lr, 10, 50)",
     "Adam(lr=lambda t: float(s(t - 1))), s the schedule", ours("Adam", lr=lambda t: float(RISING(t - 1)))),
]


def apart(a, b, start):
    return float(np.abs(a - b).max() / np.abs(a - start).max())


def network(alpha, batch):
    """MLPRegressor's own steps beside ours, on a network without a bend, whose gradient is two lines."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((batch, 10), dtype=np.float32)
    y = x[:, 0] - 2 * x[:, 1]
    settings = {"hidden_layer_sizes": (5,), "activation": "identity", "random_state": 0, "batch_size": batch}
    theirs = MLPRegressor(alpha=alpha, **settings)
    # One step that moves nothing draws the first values.
    first = MLPRegressor(alpha=0.0, solver="sgd", momentum=0.0, learning_rate_init=1e-30, **settings).partial_fit(x, y)
    w = [a.astype(np.float32) for a in first.coefs_]
    b = [a.astype(np.float32) for a in first.intercepts_]
    start = np.concatenate([a.ravel() for a in w])
    opt = oc.Adam([{"params": w, "weight_decay": alpha / batch}, {"params": b}], lr=1e-3, eps=uncorrected(1e-8))
    for _ in range(STEPS):
        theirs.partial_fit(x, y)
        h = x @ w[0] + b[0]
        error = ((h @ w[1] + b[1])[:, 0] - y)[:, None] / np.float32(batch)
        back = error @ w[1].T
        opt.step([x.T @ back, h.T @ error, back.sum(0), error.sum(0)])
    return apart(np.concatenate([a.ravel() for a in theirs.coefs_]), np.concatenate([a.ravel() for a in w]), start)


def main():
    print(", ".join(f"{name} {version(name)}" for name in ("keras", "optax", "jax", "scikit-learn", "numpy")), "\n")
    print("| theirs | with | ours | gradients of 1 | of 1e-4 |\n|---|---|---|---:|---:|")
    rng = np.random.default_rng(0)
    start = rng.standard_normal(N, dtype=np.float32) * np.float32(0.1)
    grads = [rng.standard_normal(N, dtype=np.float32) for _ in range(STEPS)]
    for name, theirs, settings, words, mine in ROWS:
        figures = []
        for scale in (1.0, 1e-4):
            scaled = [g * np.float32(scale) for g in grads]
            # From 0, where what a step adds is rounded least; where there is decay, from small numbers.
            p = start if "weight_decay=" in settings else np.zeros_like(start)
            figures.append(f"{apart(theirs(p, scaled), mine(p, scaled), p):.1e}")
        print(f"| `{name}` | `{settings}` | `{words}` | {' | '.join(figures)} |".replace("| `` |", "| |"), flush=True)
    words = "Adam([weights with weight_decay=alpha / batch, biases], eps=lambda t: 1e-8 / sqrt(1 - beta2 ** t))"
    print(f"| `MLPRegressor` | `solver=\"adam\", alpha=1` | `{words}` | {network(1.0, 32):.1e} | |")


if __name__ == "__main__":
    main()
