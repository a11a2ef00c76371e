"""A step over the rows of a large table that a batch names, beside torch's, NumPy's and the dense step.

    python -m bench.rows.steps [--quick]

Row numbers are drawn by Zipf's law (the k-th most frequent as often as 1/k) and lie anywhere in the table. Each call
takes the next of 16 batches, so that the rows of a step are not in the cache from the one before; the gradient's values
were made beforehand, as a backward pass leaves them.
"""

from itertools import cycle

import numpy as np
import torch

import optcore as oc
from bench.harness.command import parsed, parser
from bench.harness.timing import Effort, Turn, interleaved

WIDTH, BATCHES, FEW, MANY = 64, 16, 8192, 65536


def zipf(rng, rows, n):
    """n row numbers."""
    weights = np.cumsum(1 / np.arange(1, rows + 1))
    place = rng.permutation(rows)
    return lambda: place[np.searchsorted(weights, rng.random(n) * weights[-1])]


def batches(rng, rows, n):
    draw = zipf(rng, rows, n)
    return [oc.Rows(draw(), rng.standard_normal((n, WIDTH), dtype=np.float32)) for _ in range(BATCHES)]


def table(rows):
    return np.full((rows, WIDTH), 0.01, np.float32)


def ours(make, rows, given, threads):
    p = table(rows)
    opt, turn = make([p]), cycle(given)
    opt.step([given[0]])
    return lambda: opt.step([next(turn)], num_threads=threads)


def torchs(make, rows, given):
    p = torch.nn.Parameter(torch.from_numpy(table(rows)))
    opt, turn = make([p]), cycle([torch.sparse_coo_tensor(
        torch.from_numpy(g.ids)[None], torch.from_numpy(g.values), p.shape, check_invariants=False) for g in given])

    def step():
        p.grad = next(turn)
        opt.step()

    return step


def add_at(ids, values):
    touched, which = np.unique(ids, return_inverse=True)
    sums = np.zeros((len(touched), WIDTH), np.float32)
    np.add.at(sums, which, values)
    return touched, sums


def reduce_at(ids, values):
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    return ordered[first], np.add.reduceat(values[order], first, axis=0)


def gathered(sum_up, rows, given, threads):
    """What can be written without gradients by rows: sum up, gather, the fused dense step, scatter."""
    p, m, v = table(rows), np.zeros((rows, WIDTH), np.float32), np.zeros((rows, WIDTH), np.float32)
    turn = cycle(given)

    def step():
        g = next(turn)
        touched, sums = sum_up(g.ids, g.values)
        parts = [a[touched] for a in (p, m, v)]
        oc.functional.adam(parts[0], sums, *parts[1:], step=10, num_threads=threads)
        for a, part in zip((p, m, v), parts, strict=True):
            a[touched] = part

    return step


def dense(rows, threads):
    p, g = table(rows), table(rows)
    opt = oc.Adam([p])
    return lambda: opt.step([g], num_threads=threads)


def main():
    options = parsed(parser(__doc__, rounds=25))
    rows = 1 << (14 if options.quick else 20)
    few, many = (FEW // 16, MANY // 16) if options.quick else (FEW, MANY)
    rng, threads = np.random.default_rng(0), options.threads
    torch.set_num_threads(threads)
    short, long = batches(rng, rows, few), batches(rng, rows, many)
    of_two = batches(rng, 2 * rows, few)
    unique = int(np.mean([len(np.unique(g.ids)) for g in short]))
    adagrad = oc.RowwiseAdagrad
    calls = {
        "ours": ours(oc.Adam, rows, short, threads), "SparseAdam": torchs(torch.optim.SparseAdam, rows, short),
        "add.at": gathered(add_at, rows, short, threads), "reduceat": gathered(reduce_at, rows, short, threads),
        "row-wise": ours(adagrad, rows, short, threads), "Adagrad": torchs(torch.optim.Adagrad, rows, short),
        "ours, many": ours(oc.Adam, rows, long, threads), "ours, many, one thread": ours(oc.Adam, rows, long, 1),
        "ours of two": ours(oc.Adam, 2 * rows, of_two, threads), "dense of two": dense(2 * rows, threads),
    }
    slow = ("SparseAdam", "Adagrad", "dense of two", "add.at")
    t = interleaved({name: Turn(call, repeats=1 if name in slow else 8) for name, call in calls.items()},
                    Effort.rounds(options.rounds))
    print(f"{few} rows of {rows:,} x {WIDTH}, float32 (about {unique} different ones), {threads} threads, "
          f"{oc.build_info()['isa']} kernels\n\n| work | time over ours [quartiles] | ours, us |\n|---|---:|---:|")
    for name, who, to in (
            ("Adam: torch.optim.SparseAdam", "SparseAdam", "ours"),
            ("Adam: np.unique, np.add.at, gather, functional.adam, scatter", "add.at", "ours"),
            ("Adam: sort, np.add.reduceat, gather, functional.adam, scatter", "reduceat", "ours"),
            (f"Adam, a table of {2 * rows:,}: our dense step", "dense of two", "ours of two"),
            ("row-wise AdaGrad: torch.optim.Adagrad, sparse", "Adagrad", "row-wise"),
            (f"Adam: {many} rows over {few}", "ours, many", "ours"),
            (f"Adam, {many} rows: one thread over {threads}", "ours, many, one thread", "ours, many")):
        print(f"| {name} | {t.ratio(who, to)} | {t.us(to):,.0f} |")


if __name__ == "__main__":
    main()
