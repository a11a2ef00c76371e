"""Clipping, the step and clearing the gradients, as one call of ours and as three of torch's.

    python bench/stages.py

ours: opt.step(grads, max_norm=1.0, zero_grads=True). torch: clip_grad_norm_, Adam(fused=True).step() and
zero_grad(set_to_none=False). The lists are those of run.py. Rounds are interleaved in shuffled order; a ratio is
formed within one round, the median and quartiles over the rounds are told. Both walk over gradients that are zero
after the first call; they read and write the same bytes as others.
"""

import argparse
import random

import numpy as np
import torch

import optcore as oc
from formats import timed
from shapes import LISTS


def contenders(shapes, threads):
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    params = [rng.standard_normal(s, dtype=np.float32) for s in shapes]
    grads = [rng.standard_normal(s, dtype=np.float32) for s in shapes]
    ours = oc.Adam([p.copy() for p in params], lr=1e-6)
    theirs = [torch.from_numpy(p).requires_grad_() for p in params]
    for p, g in zip(theirs, grads, strict=True):
        p.grad = torch.from_numpy(g.copy())
    judge = torch.optim.Adam(theirs, lr=1e-6, fused=True)

    def torch_step():
        torch.nn.utils.clip_grad_norm_(theirs, 1.0)
        judge.step()
        judge.zero_grad(set_to_none=False)

    return {
        "ours": lambda: ours.step(grads, max_norm=1.0, zero_grads=True),
        "ours, step alone": lambda: ours.step(grads),
        "torch": torch_step,
        "torch, step alone": judge.step,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--threads", type=int, default=oc.get_num_threads())
    options = parser.parse_args()
    print("| list | ours, us | torch, us | torch / ours [quartiles] | ours: what clip and zero add |\n"
          "|---|---:|---:|---:|---:|")
    for name, shapes in LISTS.items():
        steps = contenders(shapes, options.threads)
        repeats = max(1, 2_000_000 // sum(int(np.prod(s)) for s in shapes))
        times = {who: [] for who in steps}
        order, rng = list(steps), random.Random(0)
        for _ in range(options.rounds):
            rng.shuffle(order)
            for who in order:
                timed(steps[who], 3)  # wakes the threads, and fills the caches with this one's arrays
                times[who].append(timed(steps[who], repeats))
        t = {who: np.array(x) for who, x in times.items()}
        low, median, high = np.percentile(t["torch"] / t["ours"], (25, 50, 75))
        added = np.median(t["ours"] / t["ours, step alone"])
        print(f"| {name} | {np.median(t['ours']) * 1e6:,.1f} | {np.median(t['torch']) * 1e6:,.1f} "
              f"| {median:.2f} [{low:.2f}, {high:.2f}] | {added:.2f}x |")


if __name__ == "__main__":
    main()
