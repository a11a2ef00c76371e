"""Noise made in the kernel beside NumPy's: the time of out = p + sigma * noise over 16 Mi float32, and of an ES update.

    python bench/search.py [threads [rounds]]

In each round every contender has a turn, in an order shuffled anew; the ratios are formed within a round, and their
median is given. NumPy has one thread, and its arrays beforehand (out=), so that it pays for no allocation.
"""
from __future__ import annotations

import sys
from time import perf_counter

import numpy as np

from optcore import _kernels, build_info
from optcore.search.noise import KINDS

N, SIGMA, SAMPLES = 1 << 24, np.float32(0.1), 8


def main(threads: int = 2, rounds: int = 9) -> None:
    p = np.random.default_rng(0).standard_normal(N, dtype=np.float32)
    out, scratch = np.zeros_like(p), np.zeros_like(p)
    numpys = np.random.Generator(np.random.Philox(0))

    def numpy_normal():
        numpys.standard_normal(dtype=np.float32, out=scratch)
        np.multiply(scratch, SIGMA, out=scratch)
        np.add(p, scratch, out=out)

    def numpy_signs():
        signs = numpys.integers(0, 2, N, dtype=np.int8)
        np.multiply(signs, 2 * SIGMA, out=scratch, dtype=np.float32)
        np.subtract(scratch, SIGMA, out=scratch)
        np.add(p, scratch, out=out)

    def ours(kind, samples, count):
        return lambda: _kernels.perturb([out], [p], [0], [0.1] * samples, KINDS[kind], 0, 0, count)

    turns = {"NumPy Philox, normal": numpy_normal, "NumPy Philox, signs": numpy_signs}
    for count in sorted({1, threads}):
        turns[f"gaussian, {count} threads"] = ours("gaussian", 1, count)
        turns[f"rademacher, {count} threads"] = ours("rademacher", 1, count)
    turns[f"gaussian, {SAMPLES} samples in one pass, {threads} threads"] = ours("gaussian", SAMPLES, threads)

    rng, times = np.random.default_rng(1), {name: [] for name in turns}
    for call in turns.values():
        call()
    for _ in range(rounds):
        for name in rng.permutation(list(turns)):
            start = perf_counter()
            turns[name]()
            times[name].append(perf_counter() - start)
    print(f"{N >> 20} Mi float32, {rounds} rounds, build {build_info()['isa']}")
    print(f"{'':52}{'ms':>8}{'ns/element':>12}{'times NumPy':>13}")
    for name, took in times.items():
        numpy_name = "NumPy Philox, signs" if "rademacher" in name or "signs" in name else "NumPy Philox, normal"
        samples = SAMPLES if "samples" in name else 1
        ratio = np.median(samples * np.array(times[numpy_name]) / took)
        print(f"{name:52}{np.median(took) * 1e3:8.1f}{np.median(took) / N / samples * 1e9:12.3f}{ratio:13.1f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
