"""The 35 problems of More, Garbow and Hillstrom: evaluations and what is left above the known minimum, beside SciPy's.

    python -m bench.minimizers.problems

Both with SciPy's default tolerances, and with the gradient's alone (ftol=0; gtol=1e-5). A number in brackets did
not end at a known minimum (within 1 % of it or, where it is small, of 1e-5 of fun at x0).
"""

import warnings

import numpy as np
import scipy.optimize

import optcore as oc
from tests.support.mgh import PROBLEMS, gap

RUNS = {
    "L-BFGS": ("lbfgs", {}, np.float64),
    "L-BFGS-B": ("L-BFGS-B", {}, None),
    "L-BFGS, ftol=0": ("lbfgs", {"ftol": 0}, np.float64),
    "L-BFGS-B, ftol=0": ("L-BFGS-B", {"ftol": 0}, None),
    "L-BFGS float32, ftol=0": ("lbfgs", {"ftol": 0}, np.float32),
    "BFGS": ("bfgs", {}, np.float64),
    "SciPy BFGS": ("BFGS", {}, None),
}
PEERS = (("L-BFGS", "L-BFGS-B"), ("L-BFGS, ftol=0", "L-BFGS-B, ftol=0"), ("BFGS", "SciPy BFGS"))


def main():
    warnings.simplefilter("ignore")
    print("| problem | " + " | ".join(RUNS) + " |\n|---|" + "---:|" * len(RUNS))
    found = {name: {} for name in RUNS}
    for number, p in PROBLEMS.items():
        cells = []
        for name, (method, options, form) in RUNS.items():
            run = scipy.optimize.minimize if form is None else oc.minimize
            r = run(p, np.array(p.x0, form or np.float64), jac=True, method=method, options=options)
            found[name][number] = r.nfev, gap(p, float(r.fun)) < 1e-2
            cells.append(f"{r.nfev}" if found[name][number][1] else f"({r.nfev})")
        print(f"| {number} {p.name} | " + " | ".join(cells) + " |")
    print("| solved | " + " | ".join(str(sum(ok for _, ok in x.values())) for x in found.values()) + " |")
    for pair in PEERS:
        both = [k for k in PROBLEMS if all(found[name][k][1] for name in pair)]
        totals = [sum(found[name][k][0] for k in both) for name in pair]
        print(f"\n{pair[0]} and {pair[1]}, the {len(both)} problems that both solve: {totals[0]} and {totals[1]}")


if __name__ == "__main__":
    main()
