"""torch.optim as a peer: the default, foreach=True and fused=True, as far as torch has the class and the way.

The tensors and the optimizer's state are views of the shared arrays. The state is put in place by hand
under torch's own keys, as loading a checkpoint would do; what is there is what torch starts from.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from bench.rules.data import TABLE, Data, of_class, settings
from tests.support.meanings import CLASSES

FLAGS = {"default": {}, "foreach": {"foreach": True}, "fused": {"fused": True}}


def _class(rule: str) -> type[torch.optim.Optimizer] | None:
    return getattr(torch.optim, CLASSES[rule][0].__name__, None)


def _own(rule: str) -> dict[str, float]:
    """Numbers that torch keeps as state beside the arrays, before the first step: NAdam's product, ASGD's step."""
    return {"step": 0.0, "mu_product": 1.0, "eta": settings(rule).get("lr", 0.0), "mu": 1.0}


@cache
def _state(rule: str, flavour: str) -> tuple[str, ...] | None:
    """The keys of torch's state, seen at an optimizer of one element; None: torch has no such optimizer."""
    p = torch.zeros(1, requires_grad=True)
    p.grad = torch.ones(1)
    try:
        opt = _class(rule)([p], **of_class(rule), **FLAGS[flavour])
        opt.step()
    except (TypeError, RuntimeError):  # not a class, no such argument, or not on the CPU
        return None
    keys = tuple(opt.state[p])
    if p.grad != 1:  # it writes into the gradient, which all contenders share: SGD with nesterov and foreach
        return None
    return keys if set(TABLE[rule].keys) <= set(keys) <= {*TABLE[rule].keys, *_own(rule)} else None


def flavours(rule: str) -> tuple[str, ...]:
    """Which of the three ways torch has for a rule: none for Lion, no fused RMSprop."""
    return tuple(flavour for flavour in FLAGS if _state(rule, flavour) is not None)


def stepper(flavour: str, data: Data) -> Callable[[], Any]:
    params = [torch.from_numpy(p).requires_grad_() for p in data.p]
    opt = _class(data.rule)(params, **of_class(data.rule), **FLAGS[flavour])
    own = [key for key in _state(data.rule, flavour) if key not in TABLE[data.rule].keys]
    for param, g, *state in zip(params, data.g, *data.state, strict=True):
        param.grad = torch.from_numpy(g)
        opt.state[param] = dict(zip(TABLE[data.rule].keys, map(torch.from_numpy, state), strict=True))
        opt.state[param] |= {key: torch.tensor(_own(data.rule)[key]) for key in own}
    return opt.step
