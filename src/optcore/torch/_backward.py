"""The step inside the backward pass: each parameter as soon as its gradient is there.

Owns the hooks. The arithmetic is that of the ordinary step, parameter by parameter, so the bits are the same; what is
gained is that no two gradients need exist at a time.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from optcore.torch import _tensors
from optcore.torch._optimizer import FusedOptimizer


def step_in_backward(model: torch.nn.Module, optimizer: FusedOptimizer) -> Callable[[], None]:
    """Let `backward` step each parameter of `model` as its gradient arrives, and free the gradient.

    The results are those of optimizer.step() after backward, bit for bit; optimizer.step() then finds no gradients and
    does nothing, so a training loop may keep its call (step hooks and schedulers see it). Learning rates are read as
    each parameter is stepped. Returns a function that takes the hooks away again.

    What needs all gradients at once cannot be done, and is refused: max_norm, nonfinite="skip" or "raise", undoable.
    Each backward pass is a step: gradients of several cannot be added up. Not with GradScaler.

    Raises ValueError, naming the setting, or if a parameter of the model that wants a gradient is not the optimizer's.

    >>> import torch, optcore.torch as ot
    >>> model = torch.nn.Linear(2, 1)
    >>> undo = ot.step_in_backward(model, ot.SGD(model.parameters(), lr=0.1))
    >>> model(torch.ones(1, 2)).sum().backward()
    >>> model.weight.grad is None
    True
    """
    whole = {"max_norm": None, "nonfinite": "propagate", "undoable": False}
    theirs = {p for group in optimizer.param_groups for p in group["params"]}
    wanted = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    for name, p in wanted:
        if p not in theirs:
            raise ValueError(f"{name} is a parameter of the model, but not of the optimizer")

    update = _tensors.without_grad(optimizer._update)

    def hook(p: Any) -> None:
        for setting, plain in whole.items():
            if getattr(optimizer, setting) != plain:
                raise ValueError(f"{setting}={getattr(optimizer, setting)!r} needs all gradients at once; "
                                 "in backward they come one by one")
        if groups := optimizer._alone(p):       # none, if it was taken out of the optimizer since
            update(groups, p)
            p.grad = None

    handles = [p.register_post_accumulate_grad_hook(hook) for _, p in wanted]  # type: ignore[no-untyped-call]

    def remove() -> None:
        for handle in handles:
            handle.remove()

    return remove
