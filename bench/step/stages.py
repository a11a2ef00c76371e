"""What one walk saves: clipping, the step and clearing as one call beside torch's three; a moving average in the walk.

    python -m bench.step.stages [--quick]

ours: opt.step(grads, max_norm=1.0, zero_grads=True). torch: clip_grad_norm_, Adam(fused=True).step() and
zero_grad(set_to_none=False). Before each turn both sides' gradients are refilled, uncounted; a turn has few calls, so
that what the walks leave at zero makes no moment denormal.
What the average adds is the time of our step with average=0.999 less that without, as a share of the time of
torch._foreach_lerp_, which is what torch.optim.swa_utils.get_ema_multi_avg_fn calls.
The lists are those of run.py.
"""

import numpy as np
import torch

import optcore as oc
from bench.harness.command import parsed, parser
from bench.harness.shapes import LISTS
from bench.harness.spread import Spread, number
from bench.harness.timing import Effort, Turn, interleaved

DECAY = 0.999
MOST_CALLS = 100  # in a turn: a moment that shrinks by 0.9 a call loses 1e-5, and 1e-38 would be denormal


def contenders(shapes, threads):
    """(the calls by name, what refills the gradients)."""
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    params = [rng.standard_normal(s, dtype=np.float32) for s in shapes]
    full = [rng.standard_normal(s, dtype=np.float32) for s in shapes]
    grads = [g.copy() for g in full]
    ours = oc.Adam([p.copy() for p in params], lr=1e-6)
    averaged = oc.Adam([p.copy() for p in params], lr=1e-6, average=DECAY)
    ema = [torch.from_numpy(p.copy()) for p in params]
    theirs = [torch.from_numpy(p).requires_grad_() for p in params]
    values = [p.detach() for p in theirs]
    for p, g in zip(theirs, full, strict=True):
        p.grad = torch.from_numpy(g.copy())
    judge = torch.optim.Adam(theirs, lr=1e-6, fused=True)

    def refill():
        for g, mine, p in zip(full, grads, theirs, strict=True):
            mine[...] = g
            p.grad.copy_(torch.from_numpy(g))

    def torch_step():
        torch.nn.utils.clip_grad_norm_(theirs, 1.0)
        judge.step()
        judge.zero_grad(set_to_none=False)

    return {
        "ours": lambda: ours.step(grads, max_norm=1.0, zero_grads=True),
        "ours, step alone": lambda: ours.step(grads),
        "ours, average": lambda: averaged.step(grads),
        "torch": torch_step,
        "torch, average alone": lambda: torch._foreach_lerp_(ema, values, 1 - DECAY),
    }, refill


def main():
    made = parser(__doc__, rounds=21, threads=False)
    made.add_argument("--threads", type=int, help="of both (default: optcore's, as many as it measures to pay)")
    options = parsed(made)
    if options.threads is not None:
        oc.set_num_threads(options.threads)
    print("| list | ours, us | torch, us | torch / ours [quartiles] | ours: what clip and zero add "
          "| torch's average, us | what the average adds to our step, us | share of torch's [quartiles] |\n"
          "|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, shapes in LISTS.items():
        if options.quick and name != "MLP":
            continue
        steps, refill = contenders(shapes, oc.get_num_threads())
        repeats = min(MOST_CALLS, max(1, 20_000_000 // sum(int(np.prod(s)) for s in shapes)))
        # Warmed up by calls, not for a time: a turn is to have few of them.
        turns = {who: Turn(step, repeats=repeats, warm=3, warm_seconds=0.0, before=refill)
                 for who, step in steps.items()}
        t = interleaved(turns, Effort.rounds(options.rounds))
        added = t["ours, average"] - t["ours, step alone"]
        cells = [name, number(t.us("ours")), number(t.us("torch")), str(t.ratio("torch", "ours")),
                 f"{t.ratio('ours', 'ours, step alone').median:.2f}x", number(t.us("torch, average alone")),
                 number(Spread.of(added).median * 1e6), str(Spread.of(added / t["torch, average alone"]))]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
