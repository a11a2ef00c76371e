"""One iteration of L-BFGS and of BFGS, less the objective: ours beside SciPy's and torch's.

    python -m bench.minimizers.iterations [--quick]

What is timed is the gap between the end of one evaluation and the beginning of the next. The objective is a
separable quadratic on which nearly every first trial is accepted, so a gap is an iteration; evaluations an
iteration are told. The roof is the least that L-BFGS has to read: its 2 m vectors twice, by dot products, with nothing
else done. A turn is a run of as many iterations as fill the memory, and some more, of which the median counts.
"""

import time
from functools import partial

import numpy as np
import scipy.optimize
import torch

import optcore as oc
from bench.harness.command import parsed, parser, use_threads
from bench.harness.spread import number
from bench.harness.timing import Effort, interleaved
from optcore.minimizers import vectors

MEMORY = 10


class Objective:
    """0.5 sum c (x - 1)^2 with c from 1 to 10, which keeps the gaps between its evaluations."""

    def __init__(self, n, dtype, library=np):
        self.scale = library.linspace(1, 10, n, dtype=getattr(library, dtype))
        self.gaps, self.left = [], None

    def __call__(self, x):
        if self.left is not None:
            self.gaps.append(time.perf_counter() - self.left)
        g = x - 1
        f = g * self.scale
        value = 0.5 * float((f * g).sum())      # not f @ g: BLAS's threads would spin on into the iteration
        self.left = time.perf_counter()
        return value, f


def ours(method, n, dtype, iterations):
    objective = Objective(n, dtype)
    options = {"maxiter": iterations, "gtol": 0, "ftol": 0}
    found = oc.minimize(objective, np.zeros(n, dtype), jac=True, method=method, options=options)
    return objective.gaps, found.nfev / found.nit


def scipys(method, n, dtype, iterations):
    objective = Objective(n, "float64")
    options = {"maxiter": iterations, "gtol": 0} | ({"ftol": 0, "maxcor": MEMORY} if method == "L-BFGS-B" else {})
    found = scipy.optimize.minimize(objective, np.zeros(n), jac=True, method=method, options=options)
    return objective.gaps, found.nfev / found.nit


def torchs(method, n, dtype, iterations):
    objective = Objective(n, dtype, torch)
    x = torch.zeros(n, dtype=getattr(torch, dtype), requires_grad=True)
    search = torch.optim.LBFGS([x], max_iter=iterations, max_eval=10 * iterations, history_size=MEMORY,
                               tolerance_grad=0, tolerance_change=0, line_search_fn="strong_wolfe")

    def closure():
        value, x.grad = objective(x.detach())
        return value

    search.step(closure)
    state = search.state[x]
    return objective.gaps, state["func_evals"] / state["n_iter"]


def roof(n, dtype, iterations):
    pairs = vectors.rows(2 * MEMORY, n, dtype)
    pairs[:] = 1e-3
    times = []
    for _ in range(iterations):
        start = time.perf_counter()
        for k in 2 * [*range(MEMORY)]:
            vectors.dot(pairs[k], pairs[MEMORY + k])
        times.append(time.perf_counter() - start)
    return times, 0


def table(cases, rounds):
    print("| work | contender | an iteration, ms | evaluations an iteration | its time / ours [quartiles] |")
    print("|---|---|---:|---:|---:|")
    for label, contenders, iterations, skipped in cases:
        evaluations = {}

        def turn(who, run, iterations=iterations, skipped=skipped, evaluations=evaluations):
            gaps, evaluations[who] = run(iterations)
            return float(np.median(gaps[skipped:]))

        # The first iterations of a run, which do not count, warm it up.
        times = interleaved({who: partial(turn, who, run) for who, run in contenders.items()},
                            Effort.rounds(rounds, uncounted=0))
        for who in contenders:
            told = f"{evaluations[who]:.2f}" if evaluations[who] else ""
            milliseconds = number(times.us(who) / 1e3)
            print(f"| {label} | {who} | {milliseconds} | {told} | {times.ratio(who, 'ours')} |", flush=True)


def contenders(n, dtype):
    return {
        "ours": lambda k: ours("lbfgs", n, dtype, k),
        "SciPy L-BFGS-B (float64)": lambda k: scipys("L-BFGS-B", n, dtype, k),
        "torch LBFGS": lambda k: torchs("LBFGS", n, dtype, k),
        "roof": lambda k: roof(n, dtype, k),
    }


def dense(n):
    return {"ours": lambda k: ours("bfgs", n, "float64", k), "SciPy BFGS": lambda k: scipys("BFGS", n, "float64", k)}


def main():
    made = parser(__doc__, rounds=5)
    made.add_argument("--small", action="store_true", help="without n = 10 M")
    options = parsed(made)
    use_threads(options.threads)
    torch.set_num_threads(options.threads)
    sizes = {"10 K": 10_000} if options.quick else {"1 M": 1_000_000} | ({} if options.small else {"10 M": 10_000_000})
    cases = [(f"L-BFGS {dtype}, n = {name}", contenders(n, dtype), 18, MEMORY + 2)
             for dtype in ("float64", "float32") for name, n in sizes.items()]
    cases += [(f"BFGS, n = {n}", dense(n), 12, 2) for n in ((500,) if options.quick else (500, 2000))]
    table(cases, options.rounds)


if __name__ == "__main__":
    main()
