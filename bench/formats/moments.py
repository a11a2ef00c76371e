"""Does narrow state follow the gradients? Adam's moments in each format beside float32's, on the same gradients.

    python -m bench.formats.moments [--quick] [--spread 6]

Gaussian gradients, 4000 steps; then their scale changes and 3000 more. Told, at the end, are by how much the mean step
(1 / sqrt(v), mean over the elements) is longer or shorter than with float32's v, the root mean square of the relative
errors of single v's, the error of the mean of v, and that of m as a vector. --spread: scales of the elements differ by
up to so many powers of 2, in every block. bitsandbytes takes part where it is installed; FlashOptim's format, which is
for GPUs, is restated here from its source (github.com/databricks/flashoptim): groups of 32 with a float16 scale, m as
2x / (1 + |x|) in 8 bits, v as its root in 8 bits, both to nearest.
"""

import argparse
import importlib.util

import numpy as np
import torch

import optcore as oc
from optcore import reference
from optcore.formats import block8

BETA1, BETA2 = 0.9, 0.999
CHANGES = {             # after: what element i is multiplied by, `part` of the 3000 steps after the change are over
    "steady": lambda i, part: 1.0,
    "x 0.1": lambda i, part: 0.1,
    "x 0.1, gradually": lambda i, part: 0.1**part,
    "x 0.1, every other": lambda i, part: np.where(i % 2, 0.1, 1.0),
    "x 10": lambda i, part: 10.0,
}


class Ours:
    def __init__(self, n, form):
        self.n, self.p = n, np.zeros(n, np.float32)
        self.state = [oc.state_array(self.p, form) for _ in range(2)]
        self.bytes = sum(a.nbytes for a in self.state) / n

    def step(self, g, t):
        oc.functional.adam(self.p, g, *self.state, step=t)

    def moments(self):
        return [block8.decode8(a, self.n, k) if a.dtype == np.uint8 else reference.decode(a)
                for k, a in enumerate(self.state)]


class Torchs:
    """Any optimizer of torch's kind."""

    def __init__(self, n, make, dtype):
        self.p = torch.zeros(n, dtype=dtype)
        self.opt = make([self.p])

    def step(self, g, t):
        self.p.grad = torch.from_numpy(g).to(self.p.dtype)
        self.opt.step()
        held = [x for key, x in self.opt.state[self.p].items() if key != "step" and not key.startswith("qmap")]
        self.bytes = sum(x.numel() * x.element_size() for x in held) / self.p.numel()

    def moments(self):
        s = self.opt.state[self.p]
        if "exp_avg" in s:
            return [s[key].float().numpy() for key in ("exp_avg", "exp_avg_sq")]
        return [(s[f"qmap{k}"][s[f"state{k}"].long()].view(-1, 256) * s[f"absmax{k}"][:, None]).view(-1).numpy()
                for k in (1, 2)]


class FlashOptim:
    """Its state; the values are what is left of them in 8 bits."""

    bytes = 2 + 2 * 2 / 32

    def __init__(self, n):
        self.m, self.v = np.zeros(n, np.float32), np.zeros(n, np.float32)

    def step(self, g, t):
        m = np.float32(BETA1) * self.m + np.float32(1 - BETA1) * g
        v = np.float32(BETA2) * self.v + np.float32(1 - BETA2) * (g * g)
        x, most = self._scaled(m)
        y = np.floor(2 * x / (1 + np.abs(x)) * 127 + np.float32(0.5)) / 127
        self.m = (y / (2 - np.abs(y)) * most.astype(np.float16)).reshape(-1)
        x, most = self._scaled(np.sqrt(v))
        self.v = np.square(np.floor(x * 255 + np.float32(0.5)) / 255 * most.astype(np.float16)).reshape(-1)

    @staticmethod
    def _scaled(x):
        groups = x.reshape(-1, 32)
        most = np.maximum(np.abs(groups).max(axis=1, keepdims=True), np.float32(1e-12))
        return groups / most, most

    def moments(self):
        return self.m, self.v


CONTENDERS = {
    "bfloat16": lambda n: Ours(n, "bfloat16"),
    "8-bit": lambda n: Ours(n, "int8"),
    "torch, bfloat16, fused": lambda n: Torchs(n, lambda p: torch.optim.Adam(p, fused=True), torch.bfloat16),
    "FlashOptim's format": FlashOptim,
}
if importlib.util.find_spec("bitsandbytes"):
    import bitsandbytes
    CONTENDERS[f"bitsandbytes {bitsandbytes.__version__}, Adam8bit"] = lambda n: Torchs(
        n, bitsandbytes.optim.Adam8bit, torch.float32)


def errors(n, steps, change, spread):
    """For each contender: mean step, rms of v, mean of v, rms of m, bytes a parameter; of what float32 has."""
    before, after = steps
    rng, i = np.random.default_rng(0), np.arange(n)
    scale = np.exp2(-rng.uniform(0, spread, n))
    exact, runs = Ours(n, "float32"), {name: make(n) for name, make in CONTENDERS.items()}
    for t in range(1, before + after + 1):
        factor = 1.0 if t <= before else CHANGES[change](i, (t - before) / after)
        g = (rng.standard_normal(n, np.float32) * (scale * factor)).astype(np.float32)
        for run in (exact, *runs.values()):
            run.step(g, t)
    m, v = (x.astype(np.float64) for x in exact.moments())
    found = {}
    for name, run in runs.items():
        a, b = (x.astype(np.float64) for x in run.moments())
        with np.errstate(divide="ignore"):
            found[name] = (np.sqrt(v / b).mean() - 1, np.sqrt(np.square(b / v - 1).mean()), b.sum() / v.sum() - 1,
                           np.sqrt(np.square(a - m).sum() / np.square(m).sum()), run.bytes)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1 << 16, help="parameters, a multiple of 256")
    parser.add_argument("--spread", type=float, default=0.0, help="powers of 2 between the scales of the elements")
    parser.add_argument("--quick", action="store_true", help="100 steps: shows that it runs")
    options = parser.parse_args()
    steps = (50, 50) if options.quick else (4000, 3000)
    rows = {change: errors(options.size, steps, change, options.spread) for change in CHANGES}
    print(f"{options.size:,} parameters, {steps[0]:,} steps and {steps[1]:,} after the change, scales from "
          f"2^-{options.spread:g} to 1; per cent of float32's\n")
    tell = (("mean step", "+.1f"), ("rms of v", ".1f"), ("mean of v", "+.2f"), ("rms of m", ".1f"))
    for k, (what, digits) in enumerate(tell):
        print(f"| {what} | bytes a parameter | {' | '.join(CHANGES)} |\n|---|---:|{'---:|' * len(CHANGES)}")
        for name in CONTENDERS:
            cells = [format(100 * rows[change][name][k], digits) for change in CHANGES]
            print(f"| {name} | {rows['steady'][name][4]:.2f} | {' | '.join(cells)} |")
        print()


if __name__ == "__main__":
    main()
