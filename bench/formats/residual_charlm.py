"""A deep character model for `same_loss.py`: 8 residual blocks, 18 layers of weights one after another, plain NumPy.

The last 16 characters are embedded side by side; each block adds relu(n(x) A + a) B to x, where n(x) is x over its
root mean square; a softmax guesses the next character. It has the methods of `charlm.CharLM`, and takes its text.
"""

import numpy as np

import optcore as oc
from charlm import ALPHABET, batch_at, cross_entropy

TINY = 1e-5  # under the root: no row of zeros divides by zero


class ResidualLM:
    """Embedding, linear layer, residual blocks, softmax over ASCII; float32 unless another dtype is asked for."""

    def __init__(self, rng, context=16, embedding=16, width=128, hidden=192, blocks=8, dtype=np.float32):
        self.context, self.blocks = context, blocks

        def normal(shape, scale):
            return (rng.standard_normal(shape) * scale).astype(dtype)

        self.params = {
            "embedding": normal((ALPHABET, embedding), 1.0),
            "W_in": normal((context * embedding, width), 1.0 / (context * embedding) ** 0.5),
            "W_out": normal((width, ALPHABET), 0.5 / width**0.5),
            "b_out": np.zeros(ALPHABET, dtype),
        }
        for k in range(blocks):
            self.params[f"A{k}"] = normal((width, hidden), (2.0 / width) ** 0.5)
            self.params[f"a{k}"] = np.zeros(hidden, dtype)
            self.params[f"B{k}"] = normal((hidden, width), 1.0 / (hidden * blocks) ** 0.5)
        self.grads = {name: np.zeros_like(p) for name, p in self.params.items()}

    @property
    def size(self):
        return sum(p.size for p in self.params.values())

    def forward(self, contexts):
        """Return (embedded, [(n(x), 1/rms, hidden) of each block], n(x) and 1/rms of the end, logits)."""
        P, kept = self.params, []
        e = P["embedding"][contexts].reshape(len(contexts), -1)
        x = e @ P["W_in"]
        for k in range(self.blocks):
            n, r = normalized(x)
            h = np.maximum(n @ P[f"A{k}"] + P[f"a{k}"], 0)
            x = x + h @ P[f"B{k}"]
            kept.append((n, r, h))
        n, r = normalized(x)
        return e, kept, (n, r), n @ P["W_out"] + P["b_out"]

    def loss(self, contexts, targets):
        """Mean cross-entropy in nats."""
        return float(cross_entropy(self.forward(contexts)[3], targets)[0].mean())

    def loss_and_grads(self, contexts, targets):
        """Mean cross-entropy in nats; the gradient of every parameter is left in `self.grads`."""
        P, G = self.params, self.grads
        e, kept, (n, r), z = self.forward(contexts)
        losses, dz = cross_entropy(z, targets)
        dz[np.arange(len(dz)), targets] -= 1
        dz /= len(dz)
        np.matmul(n.T, dz, out=G["W_out"])
        dz.sum(axis=0, out=G["b_out"])
        dx = through_norm(dz @ P["W_out"].T, n, r)
        for k in reversed(range(self.blocks)):
            n, r, h = kept[k]
            np.matmul(h.T, dx, out=G[f"B{k}"])
            dh = dx @ P[f"B{k}"].T
            dh *= h > 0
            np.matmul(n.T, dh, out=G[f"A{k}"])
            dh.sum(axis=0, out=G[f"a{k}"])
            dx += through_norm(dh @ P[f"A{k}"].T, n, r)
        np.matmul(e.T, dx, out=G["W_in"])
        de = (dx @ P["W_in"].T).reshape(contexts.size, -1)
        chosen = np.zeros((contexts.size, ALPHABET), de.dtype)  # a product is faster than adding row by row
        chosen[np.arange(contexts.size), contexts.ravel()] = 1
        np.matmul(chosen.T, de, out=G["embedding"])
        return float(losses.mean())


def normalized(x):
    """x over the root mean square of each row, and one over that root."""
    r = 1 / np.sqrt((x * x).mean(axis=1, keepdims=True) + x.dtype.type(TINY))
    return x * r, r


def through_norm(dn, n, r):
    """The gradient for x of n = normalized(x)."""
    return (dn - n * (dn * n).mean(axis=1, keepdims=True)) * r


def check_gradients(codes):
    """optcore.check_grad on a small float64 copy of the model: its report."""
    rng = np.random.default_rng(7)
    model = ResidualLM(rng, context=4, embedding=3, width=8, hidden=10, blocks=3, dtype=np.float64)
    batch = batch_at(codes, rng.integers(model.context, len(codes), 16), model.context)
    start = {name: p.copy() for name, p in model.params.items()}

    def loss(params):
        model.params.update(params)
        return model.loss(*batch)

    def gradient(params):
        model.params.update(params)
        model.loss_and_grads(*batch)
        return {name: g.copy() for name, g in model.grads.items()}

    return oc.check_grad(loss, gradient, start)
