"""A small character language model in plain NumPy: its text, its forward and backward pass, its gradient check.

The text is the source of Python's own standard library, split into train and held-out by whole files.
The model reads the last 16 characters and guesses the next one: embedding table -> one ReLU layer -> softmax.
The table has a row for each character and, hashed into the rest, a row for each run of 2 to 6 characters
that ends the context; those rows are where a small model keeps what it knows of words.
Nothing here knows which optimizer is used: `loss_and_grads` fills a dict of gradients, and that is all.
"""

import sysconfig
import zlib
from pathlib import Path

import numpy as np

ALPHABET = 128  # ASCII: one byte is one character, so bits per byte and bits per character are the same number
# Tests are unlike the rest; encodings and pydoc_data are tables written by scripts; the last two are not the library's.
SKIPPED_FOLDERS = {"test", "tests", "idle_test", "encodings", "pydoc_data", "site-packages", "dist-packages"}
HELD_OUT_EVERY = 12  # one file in twelve, in sorted order: the same split on every run
HASH_FACTOR = np.uint64(0xD6E8FEB86659FD93)  # any large odd number mixes well enough


# ---- the text


def load_text():
    """Return (train files, held-out files), each a list of bytes, from this interpreter's standard library."""
    root = Path(sysconfig.get_path("stdlib"))
    paths = [p.relative_to(root) for p in root.rglob("*.py")]
    paths = sorted((p for p in paths if not SKIPPED_FOLDERS & set(p.parts)), key=lambda p: p.as_posix())
    files = [(root / p).read_bytes() for p in paths]
    files = [text for text in files if text and text.isascii()]
    if len(files) < 2 * HELD_OUT_EVERY:
        raise SystemExit(f"found only {len(files)} source files of the standard library under {root}")
    train = [text for i, text in enumerate(files) if i % HELD_OUT_EVERY != HELD_OUT_EVERY // 2]
    held_out = [text for i, text in enumerate(files) if i % HELD_OUT_EVERY == HELD_OUT_EVERY // 2]
    return train, held_out


def as_codes(files, context):
    """All files as one array of byte codes, after `context` newlines that give the first character a context."""
    return np.frombuffer(b"\n" * context + b"".join(files), dtype=np.uint8)


def unigram_bits(train, held_out):
    """Bits per held-out character when each character is coded by how often it occurs in train (plus one)."""
    counts = np.bincount(np.frombuffer(b"".join(train), np.uint8), minlength=ALPHABET) + 1
    bits = -np.log2(counts / counts.sum())
    return float(bits[np.frombuffer(b"".join(held_out), np.uint8)].mean())


def zlib_bits(files):
    """Bits per character of `zlib` at level 9: (all files as one stream, each file alone)."""
    size = sum(map(len, files))
    together = 8 * len(zlib.compress(b"".join(files), 9)) / size
    alone = 8 * sum(len(zlib.compress(text, 9)) for text in files) / size
    return together, alone


# ---- the model


class CharLM:
    """Embedding table, one hidden ReLU layer, softmax over ASCII; float32 unless another dtype is asked for."""

    def __init__(self, rng, context=16, orders=(2, 3, 4, 5, 6), hash_bits=16, width=32, hidden=512, dtype=np.float32):
        self.context, self.orders, self.hash_bits, self.width = context, orders, hash_bits, width
        rows, inputs = ALPHABET + 2**hash_bits, (context + len(orders)) * width

        def normal(shape, scale):
            return (rng.standard_normal(shape) * scale).astype(dtype)

        self.params = {
            "table": normal((rows, width), 0.1),
            "W1": normal((inputs, hidden), 2.0 / inputs**0.5),
            "b1": np.zeros(hidden, dtype),
            "W2": normal((hidden, ALPHABET), 0.5 / hidden**0.5),
            "b2": np.zeros(ALPHABET, dtype),
        }
        self.grads = {name: np.zeros_like(p) for name, p in self.params.items()}
        self.touched = np.array([0])  # rows of the table whose gradient may be other than zero

    @property
    def size(self):
        return sum(p.size for p in self.params.values())

    def rows_of(self, contexts):
        """Rows of the table for each context: one for each character, one for each run that ends the context."""
        columns, h = [contexts.astype(np.int64)], np.zeros(len(contexts), np.uint64)
        for n in range(1, max(self.orders, default=0) + 1):
            h = (h + contexts[:, -n] + np.uint64(1)) * HASH_FACTOR  # wraps modulo 2**64
            if n in self.orders:
                columns.append((ALPHABET + (h >> np.uint64(64 - self.hash_bits))).astype(np.int64)[:, None])
        return np.concatenate(columns, axis=1)

    def forward(self, contexts):
        """Return (rows, embedded, hidden, logits) for contexts of shape (batch, context)."""
        P = self.params
        rows = self.rows_of(contexts)
        e = P["table"][rows].reshape(len(rows), -1)
        h = e @ P["W1"]
        h += P["b1"]
        np.maximum(h, 0, out=h)
        z = h @ P["W2"]
        z += P["b2"]
        return rows, e, h, z

    def loss(self, contexts, targets):
        """Mean cross-entropy in nats."""
        z = self.forward(contexts)[3]
        return float(cross_entropy(z, targets)[0].mean())

    def loss_and_grads(self, contexts, targets):
        """Mean cross-entropy in nats; the gradient of every parameter is left in `self.grads`."""
        P, G = self.params, self.grads
        rows, e, h, z = self.forward(contexts)
        losses, dz = cross_entropy(z, targets)
        dz[np.arange(len(dz)), targets] -= 1
        dz /= len(dz)

        np.matmul(h.T, dz, out=G["W2"])
        dz.sum(axis=0, out=G["b2"])
        dh = dz @ P["W2"].T
        dh *= h > 0
        np.matmul(e.T, dh, out=G["W1"])
        dh.sum(axis=0, out=G["b1"])
        de = (dh @ P["W1"].T).reshape(-1, self.width)
        self.scatter(rows.ravel(), de)
        return float(losses.mean())

    def scatter(self, rows, de):
        """table gradient[rows[i]] += de[i]: sorting the rows and adding up each run is far faster than np.add.at."""
        G = self.grads["table"]
        G[self.touched] = 0  # cheaper than clearing the whole table, nearly all of which is zero already
        order = np.argsort(rows, kind="stable")
        rows = rows[order]
        starts = np.flatnonzero(np.concatenate(([True], rows[1:] != rows[:-1])))
        self.touched = rows[starts]
        G[self.touched] = np.add.reduceat(de[order], starts, axis=0)


def cross_entropy(z, targets):
    """Return (loss of each example in nats, softmax probabilities)."""
    z = z - z.max(axis=1, keepdims=True)
    p = np.exp(z)
    total = p.sum(axis=1, keepdims=True)
    p /= total
    return np.log(total[:, 0]) - z[np.arange(len(z)), targets], p


# ---- using it


def batch_at(codes, positions, context):
    """Contexts (batch, context) and targets (batch,) for the characters at `positions`."""
    return codes[positions[:, None] + np.arange(-context, 0)], codes[positions]


def held_out_bits(model, codes, positions):
    """Mean bits per character over the characters at `positions`."""
    nats = 0.0
    for part in np.array_split(positions, max(1, len(positions) // 2048)):
        contexts, targets = batch_at(codes, part, model.context)
        nats += model.loss(contexts, targets) * len(part)
    return nats / len(positions) / np.log(2)


def generate(model, rng, prompt, length, temperature):
    """Continue `prompt` by `length` characters, each drawn from the model's softmax at `temperature`."""
    text = b"\n" * model.context + prompt
    for _ in range(length):
        contexts = np.frombuffer(text[-model.context :], np.uint8)[None, :]
        z = model.forward(contexts)[3][0].astype(np.float64) / temperature
        p = np.exp(z - z.max())
        text += bytes([rng.choice(ALPHABET, p=p / p.sum())])
    return text[model.context :].decode("ascii")


# ---- is the backward pass right?


def check_gradients(codes, step=1e-5, samples=40):
    """Compare the backward pass with central differences on a small float64 copy of the model.

    Returns {block: error}: the largest error over `samples` entries and one random direction, as a fraction of the
    block's largest gradient entry (of the largest directional term for the direction).  A right gradient shows the
    rounding of the differences, about 2**-52 * loss / step = 1e-10 over gradients near 1e-1, and the truncation,
    step**2; a wrong one shows errors near 1.
    """
    rng = np.random.default_rng(7)
    # 64 hash rows for 24 * 3 runs of characters: some rows must be hit more than once.
    model = CharLM(rng, context=5, orders=(2, 3, 4), hash_bits=6, width=4, hidden=24, dtype=np.float64)
    for p in model.params.values():  # biases too: a zero would hide a term
        p[...] = rng.standard_normal(p.shape) * 0.3
    contexts, targets = batch_at(codes, rng.integers(5, len(codes), 24), 5)
    # A first call with other data leaves old rows in the table's gradient; the second has to clear them.
    model.loss_and_grads(*batch_at(codes, rng.integers(5, len(codes), 24), 5))
    model.loss_and_grads(contexts, targets)

    def slope(p, direction):
        saved = p.copy()
        p += step * direction
        up = model.loss(contexts, targets)
        p[...] = saved - step * direction
        down = model.loss(contexts, targets)
        p[...] = saved
        return (up - down) / (2 * step)

    errors = {}
    for name, p in model.params.items():
        g = model.grads[name]
        # Half of the entries from those with a gradient, so that a sparse block is not checked on zeros alone.
        chosen = rng.permutation(np.flatnonzero(g))[: samples // 2]
        entries = np.concatenate((chosen, rng.integers(0, g.size, samples // 2)))
        worst, tiny = 0.0, np.finfo(np.float64).tiny  # a block left all zero must fail, not divide by zero
        for i in entries:
            direction = np.zeros(g.size)
            direction[i] = 1.0
            worst = max(worst, abs(slope(p, direction.reshape(g.shape)) - g.flat[i]) / (abs(g).max() + tiny))
        direction = rng.standard_normal(g.shape)
        worst = max(worst, abs(slope(p, direction) - (g * direction).sum()) / (abs(g * direction).max() + tiny))
        errors[name] = float(worst)
    return errors
