"""The step of optcore.torch beside torch.optim's, over the parameters of three networks; and what Python adds to it.

    python -m bench.torch.steps [--quick]

ours: optcore.torch.X(params).step(). Beside it torch.optim.X three ways: its default, foreach=True and, where it has
it, fused=True. AdamW over each network, every other class of the table that torch has over one. The overhead: a step
over 150 tensors of 16 elements, less the kernel's walk over the same elements in one call of ours per step, both on one
thread.
"""

from inspect import signature

import numpy as np
import torch

import optcore as oc
import optcore.torch as ot
from bench.harness.command import parsed, parser, use_threads
from bench.harness.shapes import LISTS
from bench.harness.timing import Effort, Turn, interleaved
from optcore.rules import FAMILIES

CLASSES = [name for name, family in FAMILIES.items() if hasattr(torch.optim, name) and not family.only_rows]
FUSED = [name for name in CLASSES if "fused" in signature(getattr(torch.optim, name)).parameters]
WORK = [*(("AdamW", name) for name in LISTS), *((cls, "ResNet-50") for cls in CLASSES if cls != "AdamW")]


def contenders(cls, shapes):
    def made(module, **how):
        params = [torch.randn(s).requires_grad_() for s in shapes]
        for p in params:
            p.grad = torch.randn_like(p)
        return getattr(module, cls)(params, lr=1e-6, **({"momentum": 0.9} if cls == "SGD" else {}), **how).step

    ways = {"ours": made(ot), "default": made(torch.optim), "foreach": made(torch.optim, foreach=True)}
    return ways | ({"fused": made(torch.optim, fused=True)} if cls in FUSED else {})


def measured(steps, rounds, repeats):
    # Warmed up for a time that outlasts the spinning of torch's idle threads too.
    return interleaved({who: Turn(step, repeats=repeats, warm_seconds=0.01) for who, step in steps.items()},
                       Effort.rounds(rounds))


def overhead(tensors, rounds):
    """Median microseconds of a step, and of the kernel alone over as many elements."""
    params = [torch.randn(16).requires_grad_() for _ in range(tensors)]
    for p in params:
        p.grad = torch.randn_like(p)
    opt = ot.AdamW(params, num_threads=1)
    arrays = [np.zeros(16 * tensors, np.float32) for _ in range(4)]
    t = measured({"step": opt.step, "kernel": lambda: oc.functional.adamw(*arrays, step=1, num_threads=1)}, rounds, 200)
    return t.us("step"), t.us("kernel")


def main():
    made = parser(__doc__, rounds=21)
    made.add_argument("--only", choices=LISTS, help="the rows of this list")
    options = parsed(made)
    torch.set_num_threads(options.threads)
    use_threads(options.threads)
    step, kernel = overhead(150, options.rounds)
    print(f"A step over 150 tensors: {step:.0f} us, of which the kernel {kernel:.1f} us.\n")
    print("| step | ours, us | default / ours | foreach / ours | fused / ours |\n|---|---:|---:|---:|---:|")
    for cls, name in WORK:
        if name != (options.only or ("MLP" if options.quick else name)):
            continue
        shapes = LISTS[name]
        elements = sum(int(np.prod(s)) for s in shapes)
        t = measured(contenders(cls, shapes), options.rounds, max(1, 10_000_000 // elements))
        cells = [str(t.ratio(who, "ours")) if who in t else "" for who in ("default", "foreach", "fused")]
        print(f"| {cls}, {name} | {t.us('ours'):,.0f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
