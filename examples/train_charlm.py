"""Train a character language model twice, side by side: once with optcore's Adam, once with Adam in plain NumPy.

Both copies start from the same weights, see the same batches in the same order, and get the same time; they take
turns of a quarter of a second, so that whatever else the machine does falls on both.  What is reported: held-out bits
per character against two baselines, the optimizer's share of the step, and how many times faster the whole step is.

    python examples/train_charlm.py --seconds 80 --out train_charlm.png
"""

import argparse
import copy
import math
import os
import sys
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

import optcore as oc
from charlm import (
    CharLM,
    as_codes,
    batch_at,
    check_gradients,
    generate,
    held_out_bits,
    load_text,
    unigram_bits,
    zlib_bits,
)
from charlm_plot import draw

BATCH = 128
PEAK_LR = 3e-3
WARM_UP_STEPS = 200
DECAY_FROM = 0.4  # share of the time budget after which the learning rate falls, along a cosine, to zero
TURN_SECONDS = 0.25
SETTLING_STEPS = 20  # first touch of memory and start of threads: left out of the timings
GRADIENT_TOLERANCE = 1e-6  # rounding and truncation give about 1e-9 (see check_gradients); a wrong term gives about 1
BUSY = 1.5  # quartiles of forward and backward lie within 1.1 of each other on a quiet machine
SAME_STEPS = 50  # well inside the warm-up, where the learning rate depends on the step and not on the clock
CURVE_POINTS = 30
CURVE_CHARACTERS = 12_288


class NumpyAdam:
    """Adam as it is usually written in NumPy: one expression a line, a new array for each operation."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
        self.params, self.step_count = params, 0
        self.m = {name: np.zeros_like(p) for name, p in params.items()}
        self.v = {name: np.zeros_like(p) for name, p in params.items()}
        self.param_groups = [{"lr": lr, "betas": betas, "eps": eps}]

    def step(self, grads):
        self.step_count += 1
        group, t = self.param_groups[0], self.step_count
        lr, (b1, b2), eps = group["lr"], group["betas"], group["eps"]
        for name, p in self.params.items():
            g = grads[name]
            self.m[name] = b1 * self.m[name] + (1 - b1) * g
            self.v[name] = b2 * self.v[name] + (1 - b2) * g**2
            m_hat = self.m[name] / (1 - b1**t)
            v_hat = self.v[name] / (1 - b2**t)
            p -= lr * m_hat / (np.sqrt(v_hat) + eps)


class Run:
    """One copy of the model with its optimizer, its clock and its record."""

    def __init__(self, name, model, optimizer, seed):
        self.name, self.model, self.optimizer = name, model, optimizer
        self.rng = np.random.default_rng(seed)  # the same seed in both runs: step k sees the same batch
        self.clock = 0.0  # seconds of training, evaluation left out
        self.losses, self.backward_s, self.update_s, self.turns = [], [], [], []
        self.curve = []  # (clock, held-out bits per character)

    def turn(self, codes, budget):
        """Train for one turn; at the end of the budget, for what is left of it."""
        start, first = self.clock, len(self.losses)
        while self.clock - start < TURN_SECONDS and self.clock < budget:
            t0 = time.perf_counter()
            positions = self.rng.integers(self.model.context, len(codes), BATCH)
            contexts, targets = batch_at(codes, positions, self.model.context)
            loss = self.model.loss_and_grads(contexts, targets)
            t1 = time.perf_counter()
            self.optimizer.param_groups[0]["lr"] = learning_rate(len(self.losses), self.clock / budget)
            self.optimizer.step(self.model.grads)
            t2 = time.perf_counter()
            self.losses.append(loss)
            self.backward_s.append(t1 - t0)
            self.update_s.append(t2 - t1)
            self.clock += t2 - t0
        self.turns.append((first, len(self.losses)))

    def step_ms(self):
        """Milliseconds of each settled step: (forward and backward, optimizer, whole step)."""
        backward = 1e3 * np.array(self.backward_s[SETTLING_STEPS:])
        update = 1e3 * np.array(self.update_s[SETTLING_STEPS:])
        return backward, update, backward + update


def learning_rate(step, elapsed):
    """Linear warm-up by steps, then flat, then a cosine to zero by the share of the time budget that has passed."""
    decay = max(0.0, (elapsed - DECAY_FROM) / (1 - DECAY_FROM))
    return PEAK_LR * min(1.0, (step + 1) / WARM_UP_STEPS) * 0.5 * (1 + math.cos(math.pi * min(1.0, decay)))


def train(runs, train_codes, held_codes, seconds):
    """Let the runs take turns until each has used half of `seconds`."""
    budget = seconds / 2
    context = runs[0].model.context
    positions = np.linspace(context, len(held_codes) - 1, CURVE_CHARACTERS).astype(np.int64)
    frame = "  {percentage:3.0f}% {bar:30} {elapsed}  {desc}"
    often = 0.1 if sys.stdout.isatty() else 10.0  # seconds between redraws; in a log each of them is a line
    with tqdm(total=seconds, bar_format=frame, file=sys.stdout, mininterval=often) as bar:
        while any(run.clock < budget for run in runs):
            for run in runs:
                before = run.clock
                run.turn(train_codes, budget)
                if run.clock >= budget or run.clock >= len(run.curve) * budget / CURVE_POINTS:
                    run.curve.append((run.clock, held_out_bits(run.model, held_codes, positions)))
                bar.update(min(run.clock, budget) - min(before, budget))
            scores = ", ".join(f"{run.name} {run.curve[-1][1]:.2f}" for run in runs)
            bar.set_description_str(f"held-out bits: {scores}", refresh=False)


def quartiles(values):
    return np.percentile(values, [25, 50, 75])


def step_ratio(ours, theirs):
    """(ratio of the two median whole steps, its quartiles over pairs of neighbouring turns)."""
    overall = np.median(theirs.step_ms()[2]) / np.median(ours.step_ms()[2])
    totals = [np.array(run.backward_s) + np.array(run.update_s) for run in (ours, theirs)]
    pairs = [
        np.median(totals[1][slice(*b)]) / np.median(totals[0][slice(*a)])
        for a, b in zip(ours.turns, theirs.turns, strict=False)
        if a[0] >= SETTLING_STEPS and b[0] >= SETTLING_STEPS and a[1] > a[0] and b[1] > b[0]
    ]
    return overall, *(quartiles(pairs)[[0, 2]] if pairs else (overall, overall))


def print_results(runs, bits, baselines):
    ours, theirs = runs
    print(f"\n{'':30}{ours.name:>26}{theirs.name:>26}")

    def row(label, cells):
        print(f"  {label:28}" + "".join(f"{cell:>26}" for cell in cells))

    for label, part in (("forward and backward, ms", 0), ("optimizer, ms", 1), ("whole step, ms", 2)):
        q = [quartiles(run.step_ms()[part]) for run in runs]
        row(label, [f"{b:.2f}  [{a:.2f}, {c:.2f}]" for a, b, c in q])
    row("optimizer's share of step", [f"{np.median(u / s):.0%}" for _, u, s in (run.step_ms() for run in runs)])
    row(f"steps taken in {ours.clock:.0f} s", [f"{len(run.losses):,}" for run in runs])
    row("held-out bits per character", [f"{b:.3f}" for b in bits])
    print("  (medians, with the quartiles in brackets)\n")
    for label, value in baselines:
        print(f"  {label:58}{value:.3f} bits per character")

    ratio, low, high = step_ratio(ours, theirs)
    spread = f"quartiles over turns {low:.1f} to {high:.1f}"
    print(f"\n  The whole training step is {ratio:.1f}x faster with optcore ({spread}).")
    low, _, high = quartiles(ours.step_ms()[0])
    if high > BUSY * low:
        print("  These times swing widely: other work is using the cores, and BLAS threads that wait for one another")
        print("  lose most.  Run again on a quiet machine, or with OPENBLAS_NUM_THREADS=1, before quoting them.")
    # Two right Adams differ in rounding only, but training magnifies any difference exponentially: look early.
    same = min(SAME_STEPS, len(ours.losses), len(theirs.losses))
    gap = np.abs(np.subtract(ours.losses[:same], theirs.losses[:same])).max()
    print(f"  Same work: over the first {same} steps the two training losses differ by at most {gap:.1e} nats.")
    return ratio


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=80.0, help="training time of the two together (default 80)")
    parser.add_argument("--seed", type=int, default=0, help="of the weights, the batches and the sample (default 0)")
    parser.add_argument("--out", type=Path, default=Path("train_charlm.png"), help="where the picture goes")
    args = parser.parse_args()
    if not args.seconds > 0:
        parser.error("--seconds must be above 0")

    train_files, held_files = load_text()
    model = CharLM(np.random.default_rng(args.seed))
    train_codes, held_codes = (as_codes(files, model.context) for files in (train_files, held_files))
    info = oc.build_info()
    print("A character language model, trained on the source of Python's standard library\n")
    for label, files in (("train", train_files), ("held out", held_files)):
        print(f"  {label:10}{sum(map(len, files)):>10,} characters in {len(files)} files")
    shapes = ", ".join(f"{name} {p.shape}" for name, p in model.params.items())
    print(f"  {'model':10}{model.size:>10,} parameters: {shapes}")
    print(f"  {'batch':10}{BATCH:>10,} characters, each with the {model.context} before it")
    print(f"  {'machine':10}{os.cpu_count():>10} cores; optcore uses {info['isa']}, {info['threads']} threads")

    errors = check_gradients(train_codes)
    wrong = [name for name, error in errors.items() if not error < GRADIENT_TOLERANCE]
    print("\n  gradient check against central differences: " + ", ".join(f"{k} {e:.0e}" for k, e in errors.items()))
    if wrong:
        raise SystemExit(f"  the backward pass is wrong in {', '.join(wrong)}: not training")
    print(f"  all below {GRADIENT_TOLERANCE:.0e}: passed\n")

    runs = []
    for name, make in (("optcore", oc.Adam), ("NumPy Adam", NumpyAdam)):
        twin = copy.deepcopy(model)
        runs.append(Run(name, twin, make(twin.params, lr=PEAK_LR), args.seed + 1))
    train(runs, train_codes, held_codes, args.seconds)

    everything = np.arange(model.context, len(held_codes))
    bits = [held_out_bits(run.model, held_codes, everything) for run in runs]
    together, alone = zlib_bits(held_files)
    baselines = [
        ("unigram: each character by how often it occurs in train", unigram_bits(train_files, held_files)),
        ("zlib -9: the held-out files one by one", alone),
        ("zlib -9: the held-out files as one stream", together),
    ]
    ratio = print_results(runs, bits, baselines)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    draw(runs, together, ratio, args.out)
    print(f"  Loss curves: {args.out}")

    prompt = b"\nclass "
    text = generate(runs[0].model, np.random.default_rng(args.seed), prompt, 300, temperature=0.8)
    print("\nWhat the optcore copy writes (temperature 0.8):\n")
    # Control characters other than the newline are shown, not sent to the terminal.
    print("".join(c if c == "\n" or c.isprintable() else repr(c)[1:-1] for c in text).replace("\n", "\n  | "))


if __name__ == "__main__":
    main()
