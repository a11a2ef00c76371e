"""Word vectors of the names in Python's standard library: with gradients by rows, beside a dense Adam, torch, gensim.

    python examples/train_embed.py --seconds 45 --out train_embed.png

The same pairs and noise in the same order go to optcore's SparseAdam with gradients by rows, to its Adam with dense
gradients and to torch.optim.SparseAdam. The first trains for the given time; the others take some steps beside it.
gensim's word2vec, in C, is then trained on the same words, with the same width, window, negatives and passes. What is
compared: words a second, and how often a true neighbour in files that were held out scores higher than a word of noise.
"""

import argparse
import os
import sys
import time

import numpy as np
from tqdm import tqdm

import optcore as oc
from wordvec import GROUP, NEGATIVE, SHARED, THIN, WIDTH, WINDOW, Corpus, SkipGram, dense, load_words, nearest, ranking

BATCH = 32 * GROUP
LR = 2e-3
SHOWN = ("self", "append", "int", "open", "True", "thread", "encoding", "yield")
HELD_PAIRS, TIMED = 20_000, 12


class Ours:
    name = "optcore.SparseAdam, by rows"

    def __init__(self, model):
        self.opt = oc.SparseAdam(model.params, lr=LR)

    def step(self, grads):
        self.opt.step(grads)


class Dense(Ours):
    name = "optcore.Adam, dense"

    def __init__(self, model):
        self.opt = oc.Adam(model.params, lr=LR)
        self.shapes = {name: p.shape for name, p in model.params.items()}

    def step(self, grads):
        self.opt.step({name: dense(g, self.shapes[name]) for name, g in grads.items()})


class Torch:
    name = "torch.optim.SparseAdam"

    def __init__(self, model):
        import torch

        self.torch = torch
        self.params = {name: torch.nn.Parameter(torch.from_numpy(p)) for name, p in model.params.items()}
        self.opt = torch.optim.SparseAdam(list(self.params.values()), lr=LR)

    def step(self, grads):
        for name, p in self.params.items():
            g = grads[name]
            p.grad = self.torch.sparse_coo_tensor(
                self.torch.from_numpy(g.ids)[None], self.torch.from_numpy(g.values), p.shape, check_invariants=False)
        self.opt.step()


class Run:
    """One copy of the model, its optimizer, and what its steps took."""

    def __init__(self, kind, size, seed):
        self.model = SkipGram(np.random.default_rng(seed), size)
        self.optimizer = kind(self.model)
        self.name, self.gradient_s, self.update_s, self.losses = kind.name, [], [], []

    def step(self, pairs, noise):
        t0 = time.perf_counter()
        loss, grads = self.model.loss_and_grads(pairs, noise)
        t1 = time.perf_counter()
        self.optimizer.step(grads)
        self.gradient_s.append(t1 - t0)
        self.update_s.append(time.perf_counter() - t1)
        self.losses.append(loss)


def batches(corpus, seed):
    """Pairs and noise, pass after pass; with each the passes that it completes a part of."""
    rng, passes = np.random.default_rng(seed), 0
    while True:
        pairs = corpus.pairs(rng, corpus.texts)
        steps = len(pairs) // BATCH
        for k in range(steps):
            noise = corpus.draw_noise(rng, (BATCH // GROUP, SHARED))
            yield pairs[k * BATCH : (k + 1) * BATCH], noise, passes + (k + 1) / steps
        passes += 1


def train(run, others, corpus, seconds, score):
    """Train one run for `seconds` of its own time; the others take TIMED steps each beside it. Returns how many passes
    that were, the curve and the run's seconds."""
    clock, curve, taken = 0.0, [], 0
    with tqdm(total=seconds, bar_format="  {percentage:3.0f}% {bar:30} {elapsed}  {desc}", file=sys.stdout,
              mininterval=0.1 if sys.stdout.isatty() else 10.0) as bar:
        for pairs, noise, passes in batches(corpus, seed=1):
            begin = time.perf_counter()
            run.step(pairs, noise)
            took = time.perf_counter() - begin
            bar.update(min(took, max(0.0, seconds - clock)))
            clock += took
            if taken < TIMED:
                for other in others:
                    other.step(pairs, noise)
                taken += 1
            if clock >= len(curve) * seconds / 20:
                curve.append((clock, score(run.model.params["word"], run.model.params["near"])))
                bar.set_description_str(f"true neighbours above noise: {curve[-1][1]:.3f}", refresh=False)
            if clock >= seconds:
                return passes, curve, clock


def gensims(corpus, passes):
    """gensim's vectors after as many whole passes, in our order of words, and its seconds; None where it is not."""
    try:
        from gensim.models import Word2Vec
    except ImportError:
        return None
    chunks = [[str(k) for k in text[i : i + 10_000]] for text in corpus.texts for i in range(0, len(text), 10_000)]
    begin = time.perf_counter()
    made = Word2Vec(chunks, vector_size=WIDTH, window=WINDOW, negative=NEGATIVE, sg=1, min_count=1, sample=THIN,
                    workers=len(os.sched_getaffinity(0)), epochs=passes, seed=1)
    took = time.perf_counter() - begin
    word, near = (np.zeros((len(corpus.words), WIDTH), np.float32) for _ in range(2))
    order = [int(k) for k in made.wv.index_to_key]
    word[order], near[order] = made.wv.vectors, made.syn1neg
    return word, near, took


def draw(corpus, word, curve, path):
    """The most frequent names in the plane of the two largest principal components, and how the measure rose."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    some = word[:220] - word[:220].mean(0)
    at = some @ np.linalg.svd(some, full_matrices=False)[2][:2].T
    fig, (left, right) = plt.subplots(1, 2, figsize=(15, 7), width_ratios=(2, 1))
    left.scatter(*at.T, s=6, color="0.7")
    for k, (x, y) in enumerate(at):
        left.annotate(corpus.words[k], (x, y), fontsize=7)
    left.set(title="220 frequent names of Python's library, two principal components", xticks=[], yticks=[])
    right.plot(*zip(*curve, strict=True))
    right.set(xlabel="seconds", ylabel="true neighbours above noise, held-out files")
    fig.tight_layout()
    fig.savefig(path, dpi=110)


def main():
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made.add_argument("--seconds", type=float, default=45.0, help="of training; default: %(default)s")
    made.add_argument("--out", default="train_embed.png", help="the picture; default: %(default)s")
    options = made.parse_args()
    corpus = Corpus(load_words())
    print(f"{corpus.size:,} words; two tables of {len(corpus.words):,} different ones x {WIDTH}; {BATCH} pairs a step, "
          f"lr {LR:g}")
    rng = np.random.default_rng(7)
    held = corpus.pairs(rng, corpus.held, thin=False)[:HELD_PAIRS]
    held_noise = corpus.draw_noise(rng, (len(held), 20))

    def score(word, near):
        return ranking(word, near, held, held_noise)

    ours = Run(Ours, len(corpus.words), 0)
    others = [Run(kind, len(corpus.words), 0) for kind in (Dense, Torch)]
    passes, curve, clock = train(ours, others, corpus, options.seconds, score)
    word, near = (ours.model.params[name] for name in ("word", "near"))
    print("\n| the same first steps | gradient, ms | optimizer, ms | its share |\n|---|---:|---:|---:|")
    for run in (ours, *others):
        gradient, update = (1e3 * np.median(x[2:TIMED]) for x in (run.gradient_s, run.update_s))
        print(f"| {run.name} | {gradient:.2f} | {update:.2f} | {100 * update / (gradient + update):.0f} % |")
    apart = np.abs(np.array(others[1].losses) - ours.losses[:TIMED]).max()
    print(f"\ntheir losses after {TIMED} steps differ from torch's by at most {apart:.1e}")
    theirs = gensims(corpus, max(1, round(passes)))
    print("\n| | words a second | true neighbours above noise |\n|---|---:|---:|")
    print(f"| optcore and NumPy, {passes:.1f} passes | {passes * corpus.size / clock:,.0f} | {score(word, near):.4f} |")
    if theirs:
        print(f"| gensim, {max(1, round(passes))} passes | {max(1, round(passes)) * corpus.size / theirs[2]:,.0f} "
              f"| {score(*theirs[:2]):.4f} |")
    print()
    for name in SHOWN:
        if name in corpus.number:
            print(f"{name:>10}: {', '.join(corpus.words[k] for k in nearest(word, corpus.number[name]))}")
    draw(corpus, word, curve, options.out)
    print(f"\nthe picture is in {options.out}")


if __name__ == "__main__":
    main()
