"""Does narrow state follow the gradients? Adam's v in each format beside float32's, on the same gradients.

    python -m bench.formats.moments [--quick]

The gradients' scale changes by a factor in the middle of the run. Told is how far the mean of v is from that in float32
at worst, over all checkpoints from a tenth of the run on. torch's parameters are bfloat16, as its state is then; the
gradients are bfloat16 for all, so that every run gets the same.
"""

import argparse

import numpy as np
import torch

import optcore as oc
from optcore import reference
from optcore.formats import block8

OURS = ("bfloat16", "int8")
TORCH = {"torch bfloat16, fused": True, "torch bfloat16": False}


def mean(v, n):
    values = block8.decode8(v, n, nonnegative=True) if v.dtype == np.uint8 else reference.decode(v)
    return values.mean(dtype=np.float64)


def errors(n, steps, factor):
    """For each format the largest relative error of the mean of v."""
    rng = np.random.default_rng(0)
    base = [torch.from_numpy(rng.standard_normal(n).astype(np.float32)) for _ in range(16)]
    p = np.zeros(n, np.float32)
    ours = {form: [p.copy(), oc.state_array(p, form), oc.state_array(p, form)] for form in ("float32", *OURS)}
    theirs = {name: torch.zeros(n, dtype=torch.bfloat16) for name in TORCH}
    judges = {name: torch.optim.Adam([theirs[name]], fused=fused) for name, fused in TORCH.items()}
    worst = dict.fromkeys((*OURS, *TORCH), 0.0)
    for t in range(1, steps + 1):
        g = (base[t % 16] * (1.0 if t <= steps // 2 else factor)).to(torch.bfloat16)
        bits = g.view(torch.uint16).numpy()
        for x, m, v in ours.values():
            oc.functional.adam(x, bits, m, v, step=t)
        for name, judge in judges.items():
            theirs[name].grad = g
            judge.step()
        if t % (steps // 10) == 0:
            want = mean(ours["float32"][2], n)
            found = {form: mean(ours[form][2], n) for form in OURS} | {
                name: float(judge.state[theirs[name]]["exp_avg_sq"].double().mean()) for name, judge in judges.items()}
            worst = {name: max(worst[name], abs(x / want - 1)) for name, x in found.items()}
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1 << 15)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--quick", action="store_true", help="200 steps: shows that it runs")
    options = parser.parse_args()
    if options.quick:
        options.steps = 200
    rows = {factor: errors(options.size, options.steps, factor) for factor in (0.1, 10.0)}
    print(f"Error of the mean of v, %, {options.size:,} parameters, {options.steps:,} steps\n")
    print("| state | gradients x 0.1 in the middle | x 10 |\n|---|---:|---:|")
    for name in (*OURS, *TORCH):
        print(f"| {name} | {100 * rows[0.1][name]:.2f} | {100 * rows[10.0][name]:.2f} |")


if __name__ == "__main__":
    main()
