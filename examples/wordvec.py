"""Word vectors from source code: skip-gram with negative sampling, in NumPy, with gradients by rows.

    loss = -log s(v_c . u_o) - 5 mean over n of log s(-v_c . u_n),   s(x) = 1 / (1 + exp(-x))

A pair is a word c and one near it, o. Pairs share the words n that stand for noise, 32 for each 128 pairs, so that
scores are products of matrices. The noise is drawn by the words' counts to the power 3/4, frequent words are thinned
out, windows are of random width, as in T. Mikolov et al., Distributed representations of words and phrases, 2013.
"""

import re
import sysconfig
from collections import Counter
from pathlib import Path

import numpy as np

import optcore as oc

WIDTH, WINDOW, NEGATIVE = 64, 4, 5
GROUP, SHARED = 128, 32  # pairs that share noise, and how many words of it
LEAST, THIN = 5, 1e-4  # occurrences of a word that is kept; the share from which on a word is thinned out
WORD = re.compile(r"[A-Za-z_]\w+")


def load_words():
    """The names and words in the .py files of Python's standard library, file by file."""
    root = Path(sysconfig.get_path("stdlib"))
    files = sorted(f for f in root.rglob("*.py") if not {"site-packages", "test", "encodings"} & set(f.parts))
    return [WORD.findall(f.read_text(encoding="utf-8", errors="replace")) for f in files]


class Corpus:
    """Words as numbers, the most frequent first; every twentieth file is held out."""

    def __init__(self, texts):
        counts = Counter(word for text in texts for word in text)
        self.words = [word for word, n in counts.most_common() if n >= LEAST]
        self.number = {word: k for k, word in enumerate(self.words)}
        coded = [np.array([self.number[w] for w in text if w in self.number], np.int64) for text in texts]
        self.texts = [text for k, text in enumerate(coded) if k % 20]
        self.held = [text for k, text in enumerate(coded) if k % 20 == 0]
        self.counts = np.bincount(np.concatenate(self.texts), minlength=len(self.words))
        self.noise = np.cumsum(self.counts**0.75)
        share = self.counts / self.counts.sum()
        self.kept = np.minimum(1, np.sqrt(THIN / np.maximum(share, 1e-12)) + THIN / np.maximum(share, 1e-12))

    @property
    def size(self):
        return int(self.counts.sum())

    def draw_noise(self, rng, shape):
        return np.searchsorted(self.noise, rng.random(shape) * self.noise[-1], side="right")

    def pairs(self, rng, texts, thin=True):
        """All pairs of one pass, (n, 2), shuffled."""
        text = np.concatenate(texts)
        file = np.repeat(np.arange(len(texts)), [len(t) for t in texts])
        if thin:
            stays = rng.random(len(text)) < self.kept[text]
            text, file = text[stays], file[stays]
        reach = rng.integers(1, WINDOW + 1, len(text))
        found = []
        for d in range(1, WINDOW + 1):
            here, there = np.arange(len(text) - d), np.arange(d, len(text))
            for a, b in ((here, there), (there, here)):
                near = (reach[a] >= d) & (file[a] == file[b])
                found.append(np.stack([text[a[near]], text[b[near]]], axis=1))
        pairs = np.concatenate(found)
        rng.shuffle(pairs)
        return pairs


def logistic(x):
    return 1 / (1 + np.exp(-x))


class SkipGram:
    """Two tables: `word` has the vectors, `near` those of words as neighbours."""

    def __init__(self, rng, size, width=WIDTH, dtype=np.float32):
        self.params = {
            "word": ((rng.random((size, width)) - 0.5) / width).astype(dtype),
            "near": np.zeros((size, width), dtype),
        }

    def loss_and_grads(self, pairs, noise):
        """Mean loss of the pairs, (G * GROUP, 2) numbers, with noise, (G, SHARED); and the gradients, by rows."""
        c, o = pairs[:, 0], pairs[:, 1]
        v, u = self.params["word"][c], self.params["near"][o]
        groups = len(noise)
        vg, un = v.reshape(groups, -1, v.shape[1]), self.params["near"][noise]
        true = np.einsum("nd,nd->n", v, u)
        false = vg @ un.transpose(0, 2, 1)
        weight = NEGATIVE / noise.shape[1]
        loss = np.logaddexp(0, -true).mean() + weight * np.logaddexp(0, false).sum() / len(c)
        d_true = ((logistic(true) - 1) / len(c)).astype(v.dtype)[:, None]
        d_false = (logistic(false) * (weight / len(c))).astype(v.dtype)
        dv = d_true * u + (d_false @ un).reshape(v.shape)
        du = np.concatenate([d_true * v, (d_false.transpose(0, 2, 1) @ vg).reshape(-1, v.shape[1])])
        return float(loss), {"word": oc.Rows(c, dv), "near": oc.Rows(np.concatenate([o, noise.ravel()]), du)}


def dense(rows, shape):
    """A gradient by rows with all its zeros."""
    g = np.zeros(shape, rows.values.dtype)
    np.add.at(g, rows.ids, rows.values)
    return g


def ranking(word, near, pairs, noise):
    """The share of (pair, noise) comparisons in which the true neighbour has the higher score: 0.5 is chance."""
    v = word[pairs[:, 0]]
    true = np.einsum("nd,nd->n", v, near[pairs[:, 1]])
    false = np.einsum("nd,nkd->nk", v, near[noise])
    return float((true[:, None] > false).mean())


def nearest(word, k, count=6):
    """The numbers of the words whose vectors point most nearly where that of word k does."""
    unit = word / np.maximum(np.linalg.norm(word, axis=1, keepdims=True), 1e-12)
    return np.argsort(-(unit @ unit[k]))[1 : count + 1]
