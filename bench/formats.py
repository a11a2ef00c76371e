"""What storage formats bring: Adam with narrower gradients and state against our own float32 step.

    python bench/formats.py

Every round times each format once, in shuffled order, on arrays of its own; a ratio is formed within one round,
the median and quartiles over the rounds are told. Bytes moved a parameter stand beside: they bound the ratio where
memory is the limit.
"""

import argparse
import random
import time

import numpy as np

import optcore as oc

FORMATS = {  # name: (gradient, state), bytes moved a parameter
    "float32": ((np.float32, np.float32), 28),
    "bfloat16 gradient": ((np.uint16, np.float32), 26),
    "float16 gradient": ((np.float16, np.float32), 26),
    "bfloat16 state": ((np.float32, np.uint16), 20),
    "bfloat16 gradient and state": ((np.uint16, np.uint16), 18),
}
ONE_HALF = {np.float32: 0.5, np.float16: 0.5, np.uint16: 0x3F00}


def arrays(n, gradient, state):
    kinds = (np.float32, gradient, state, state)
    return [np.full(n, ONE_HALF[kind], kind) for kind in kinds]


def timed(step, repeats):
    begin = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - begin) / repeats


def measure(n, rounds, threads):
    repeats = max(1, 2_000_000 // n)
    steps = {}
    for name, (kinds, _) in FORMATS.items():
        mine = arrays(n, *kinds)
        steps[name] = lambda mine=mine: oc.functional.adam(*mine, step=10, lr=1e-6, num_threads=threads)
    times = {name: [] for name in FORMATS}
    order, rng = list(FORMATS), random.Random(0)
    for _ in range(rounds):
        rng.shuffle(order)
        for name in order:
            timed(steps[name], 2)  # wakes the threads, and fills the caches with this one's arrays
            times[name].append(timed(steps[name], repeats))
    return {name: np.array(t) for name, t in times.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1 << 16, 1 << 20, 1 << 24, 1 << 26], metavar="N")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--threads", type=int, default=oc.get_num_threads())
    options = parser.parse_args()
    info = oc.build_info()
    print(f"Adam, {options.threads} threads, {info['isa']} kernels; times as fast as our float32\n")
    print("| parameters | format | bytes | us a step | x float32 [quartiles] |\n|---:|---|---:|---:|---:|")
    for n in options.sizes:
        times = measure(n, options.rounds, options.threads)
        for name, t in times.items():
            low, median, high = np.percentile(times["float32"] / t, (25, 50, 75))
            ratio = f"{median:.2f} [{low:.2f}, {high:.2f}]"
            print(f"| {n:,} | {name} | {FORMATS[name][1]} | {np.median(t) * 1e6:,.1f} | {ratio} |")


if __name__ == "__main__":
    main()
