"""Ctrl-C at any moment of a step: each parameter was moved as often as it was counted, and the next step works."""
from __future__ import annotations

import signal

import pytest
import torch

import optcore.torch as ot

TIMES = 2500            # interrupts of each case


def plain():
    return [torch.zeros(3, requires_grad=True) for _ in range(3)], {}


def through_copies():
    return [torch.zeros(3, 2)[:, 0].requires_grad_() for _ in range(3)], {}


def with_masters():
    return [torch.zeros(3, dtype=torch.bfloat16, requires_grad=True) for _ in range(3)], {"rounding": "master"}


def undoable():
    return [torch.zeros(3, requires_grad=True) for _ in range(3)], {"undoable": True, "max_norm": 1e9}


@pytest.mark.parametrize("case", [plain, through_copies, with_masters, undoable], ids=lambda f: f.__name__)
def test_what_moved_is_what_is_counted(case):
    """SGD with lr = 1 and gradients of -1: a parameter is the number of its steps. A master is; its rounded copy is up
    to 256."""
    params, how = case()
    opt = ot.SGD(params, lr=1.0, **how)
    for p in params:
        p.grad = -torch.ones_like(p)
    opt.step()
    armed = []

    def fire(*_):
        if armed:
            armed.clear()
            raise KeyboardInterrupt

    before, fired = signal.signal(signal.SIGALRM, fire), 0
    try:
        for k in range(100 * TIMES):
            if fired == TIMES:
                break
            try:
                armed.append(1)
                signal.setitimer(signal.ITIMER_REAL, 2e-6 + (k % 97) * 1e-6)
                for _ in range(40):
                    opt.step()
                armed.clear()
            except KeyboardInterrupt:
                fired += 1
            layout = opt._layouts[None]
            moved = [float((opt.state[p]["master"] if how.get("rounding") else p.detach())[0]) for p in params]
            assert moved == layout.carried.counts.tolist() == [n for s in layout.shares for n in s.counts()]
            assert not how.get("rounding") or all(torch.equal(p, opt.state[p]["master"].bfloat16()) for p in params)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    assert fired == TIMES
    taken = layout.carried.counts[0]
    opt.step()
    assert opt._layouts[None].carried.counts.tolist() == [taken + 1] * 3


def test_an_interrupted_first_step_is_no_step():
    """State that was made, and not counted, would be taken for that of a parameter that has seen a step."""
    for name in ("AdamW", "NAdam", "SGD"):
        p, q = (torch.ones(3, requires_grad=True) for _ in range(2))
        opt = getattr(ot, name)([p, q], **({"momentum": 0.9} if name == "SGD" else {}))
        p.grad, q.grad = torch.ones(3), torch.ones(3)
        row, seen = ot._optimizer.Layout._row, []

        def interrupted(self, *args, row=row, seen=seen):
            seen.append(1)
            if len(seen) == 2:
                raise KeyboardInterrupt
            return row(self, *args)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ot._optimizer.Layout, "_row", interrupted)
            with pytest.raises(KeyboardInterrupt):
                opt.step()
        assert not opt.state and (p == 1).all()
        opt.step()
        assert opt._layouts[None].carried.counts.tolist() == [1.0, 1.0]
