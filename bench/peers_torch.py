"""torch.optim as a peer: the default, foreach=True and, where torch has it, fused=True.

The tensors and the optimizer's state are views of the shared arrays. The state is put in place by hand
under torch's own keys, as loading a checkpoint would do; the zeros there are what torch starts from.
"""

from collections.abc import Callable

import torch

from data import ALPHA, BETA1, BETA2, EPS, LR, MOMENTUM, STATE, Data

FLAGS = {"default": {}, "foreach": {"foreach": True}, "fused": {"fused": True}}


def flavours(rule: str) -> tuple[str, ...]:
    """torch has no fused RMSprop."""
    return ("default", "foreach") if rule == "rmsprop" else tuple(FLAGS)


def _optimizer(rule: str, params: list[torch.Tensor], flags: dict[str, bool]) -> torch.optim.Optimizer:
    if rule == "adam":
        return torch.optim.Adam(params, lr=LR, betas=(BETA1, BETA2), eps=EPS, **flags)
    if rule == "momentum":
        return torch.optim.SGD(params, lr=LR, momentum=MOMENTUM, **flags)
    return torch.optim.RMSprop(params, lr=LR, alpha=ALPHA, eps=EPS, **flags)


def stepper(flavour: str) -> Callable[[Data], Callable[[], None]]:
    def build(data: Data) -> Callable[[], None]:
        params = [torch.from_numpy(p).requires_grad_() for p in data.p]
        opt = _optimizer(data.rule, params, FLAGS[flavour])
        for param, g, *state in zip(params, data.g, *data.state, strict=True):
            param.grad = torch.from_numpy(g)
            opt.state[param] = dict(zip(STATE[data.rule], map(torch.from_numpy, state), strict=True))
            if data.rule != "momentum":
                opt.state[param]["step"] = torch.tensor(0.0)
        return opt.step

    return build
