"""float64: Adam of ours on float64 arrays and tensors beside torch's fused one, and beside our own float32.

    python -m bench.formats.float64 [--quick]

Each has arrays of its own, with one parameter of that many elements; a call is what a user writes.
"""

import numpy as np
import torch

import optcore as oc
import optcore.torch as ot
from bench.harness.command import parsed, parser, use_threads
from bench.harness.spread import number
from bench.harness.timing import Effort, Turn, interleaved


def functional(n, dtype):
    p, g, m, v = (np.full(n, x, dtype) for x in (0.5, 0.5, 0.0, 0.0))
    return lambda: oc.functional.adam(p, g, m, v, step=10, lr=1e-6)


def numpys(n, dtype):
    p, g = np.full(n, 0.5, dtype), np.full(n, 0.5, dtype)
    opt = oc.Adam([p], lr=1e-6)
    return lambda: opt.step([g])


def torchs(module, n, **settings):
    p = torch.nn.Parameter(torch.full((n,), 0.5, dtype=torch.float64))
    p.grad = torch.full_like(p, 0.5)
    return module.Adam([p], lr=1e-6, **settings).step


def contenders(n):
    return {"torch.optim.Adam(fused=True)": torchs(torch.optim, n, fused=True),
            "optcore.torch.Adam": torchs(ot, n),
            "optcore.Adam": numpys(n, np.float64),
            "optcore.functional.adam": functional(n, np.float64),
            "optcore.functional.adam, float32": functional(n, np.float32)}


def main():
    made = parser(__doc__, rounds=31)
    made.add_argument("--sizes", type=int, nargs="+", metavar="N", help="default: 4 Ki, 1 Mi and 16 Mi")
    options = parsed(made)
    use_threads(options.threads)
    torch.set_num_threads(options.threads)
    print(f"Adam in float64, {options.threads} threads, {oc.build_info()['isa']} kernels, torch {torch.__version__}; "
          "how many times as long as optcore.torch.Adam [quartiles]\n")
    print("| parameters | who | us a step | times as long |\n|---:|---|---:|---:|")
    for n in options.sizes or ([4096] if options.quick else [1 << 12, 1 << 20, 1 << 24]):
        times = interleaved({who: Turn(call) for who, call in contenders(n).items()}, Effort.rounds(options.rounds))
        for who in times:
            print(f"| {n:,} | {who} | {number(times.us(who))} | {times.ratio(who, 'optcore.torch.Adam')} |")


if __name__ == "__main__":
    main()
