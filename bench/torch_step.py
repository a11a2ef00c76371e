"""The step of optcore.torch beside torch.optim's, over the parameters of three networks; and what Python adds to it.

    python bench/torch_step.py

ours: optcore.torch.X(params).step(). Beside it torch.optim.X three ways: its default, foreach=True and, where it has
it, fused=True. Rounds are interleaved in shuffled order; a ratio is formed within one round, the median and quartiles
over the rounds are told. The overhead: a step over 150 tensors of 16 elements, less the kernel's walk over
the same elements in one call of ours per step, both on one thread.
"""

import argparse
import random
from time import perf_counter

import numpy as np
import torch

import optcore as oc
import optcore.torch as ot
from rounds import timed
from shapes import LISTS

FUSED = ("SGD", "Adagrad", "Adam", "AdamW")
WORK = [*(("AdamW", name) for name in LISTS),
        *((cls, "ResNet-50") for cls in ("RMSprop", "NAdam", "RAdam", "Adamax", "Adadelta", "Adagrad", "SGD"))]


def contenders(cls, shapes):
    def made(module, **how):
        params = [torch.randn(s).requires_grad_() for s in shapes]
        for p in params:
            p.grad = torch.randn_like(p)
        return getattr(module, cls)(params, lr=1e-6, **({"momentum": 0.9} if cls == "SGD" else {}), **how).step

    ways = {"ours": made(ot), "default": made(torch.optim), "foreach": made(torch.optim, foreach=True)}
    return ways | ({"fused": made(torch.optim, fused=True)} if cls in FUSED else {})


def rounds_of(steps, count, repeats):
    """Seconds of a call, for each contender one number a round."""
    times = {who: [] for who in steps}
    order, rng = list(steps), random.Random(0)
    for _ in range(count):
        rng.shuffle(order)
        for who in order:
            # Wakes the threads, fills the caches with its arrays, and outlasts the time for which the idle threads of
            # the one before go on spinning.
            start = perf_counter()
            while perf_counter() - start < 0.01:
                steps[who]()
            times[who].append(timed(steps[who], repeats))
    return {who: np.array(x) for who, x in times.items()}


def overhead(tensors, rounds):
    """Median microseconds of a step, and of the kernel alone over as many elements."""
    params = [torch.randn(16).requires_grad_() for _ in range(tensors)]
    for p in params:
        p.grad = torch.randn_like(p)
    opt = ot.AdamW(params, num_threads=1)
    arrays = [np.zeros(16 * tensors, np.float32) for _ in range(4)]
    t = rounds_of({"step": opt.step, "kernel": lambda: oc.functional.adamw(*arrays, step=1, num_threads=1)}, rounds,
                  200)
    return np.median(t["step"]) * 1e6, np.median(t["kernel"]) * 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--threads", type=int, default=oc.get_num_threads())
    parser.add_argument("--only", help="the rows whose list has this name")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.threads != oc.get_num_threads():
        oc.set_num_threads(options.threads)
    step, kernel = overhead(150, options.rounds)
    print(f"A step over 150 tensors: {step:.0f} us, of which the kernel {kernel:.1f} us.\n")
    print("| step | ours, us | default / ours | foreach / ours | fused / ours |\n|---|---:|---:|---:|---:|")
    for cls, name in WORK:
        if options.only not in (None, name):
            continue
        shapes = LISTS[name]
        elements = sum(int(np.prod(s)) for s in shapes)
        t = rounds_of(contenders(cls, shapes), options.rounds, max(1, 10_000_000 // elements))
        cells = []
        for who in ("default", "foreach", "fused"):
            cells.append("")
            if who in t:
                low, median, high = np.percentile(t[who] / t["ours"], (25, 50, 75))
                cells[-1] = f"{median:.2f} [{low:.2f}, {high:.2f}]"
        print(f"| {cls}, {name} | {np.median(t['ours']) * 1e6:,.0f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
