"""Noise made in the kernel beside NumPy's: the time of out = p + sigma * noise over 16 Mi float32, and of an ES update.

    python -m bench.search.noise [--quick]

NumPy has one thread, and its arrays beforehand (out=), so that it pays for no allocation.
"""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.harness.command import parsed, parser
from bench.harness.spread import aligned, number
from bench.harness.timing import Effort, Turn, interleaved
from optcore import _kernels, build_info
from optcore.search.noise import KINDS

SIGMA, SAMPLES = np.float32(0.1), 8


def contenders(n: int, threads: int) -> dict[str, Callable[[], object]]:
    p = np.random.default_rng(0).standard_normal(n, dtype=np.float32)
    out, scratch = np.zeros_like(p), np.zeros_like(p)
    numpys = np.random.Generator(np.random.Philox(0))

    def numpy_normal():
        numpys.standard_normal(dtype=np.float32, out=scratch)
        np.multiply(scratch, SIGMA, out=scratch)
        np.add(p, scratch, out=out)

    def numpy_signs():
        signs = numpys.integers(0, 2, n, dtype=np.int8)
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

    return turns


def main() -> None:
    options = parsed(parser(__doc__, rounds=9))
    n = 1 << 18 if options.quick else 1 << 24
    turns = {name: Turn(call, repeats=1, warm=1) for name, call in contenders(n, options.threads).items()}
    times = interleaved(turns, Effort.rounds(options.rounds))
    print(f"{n:,} float32, {options.rounds} rounds, build {build_info()['isa']}")
    rows = [["", "ms", "ns/element", "times NumPy [quartiles]"]]
    for name in times:
        numpy_name = "NumPy Philox, signs" if "rademacher" in name or "signs" in name else "NumPy Philox, normal"
        samples = SAMPLES if "samples" in name else 1
        us, ratio = times.us(name), times.ratio(numpy_name, name).scaled(samples)
        rows.append([name, number(us / 1e3), f"{us * 1e3 / n / samples:.3f}", str(ratio)])
    print(aligned(rows))


if __name__ == "__main__":
    main()
