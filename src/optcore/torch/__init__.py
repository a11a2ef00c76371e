"""torch.optim with the step as one walk of the kernels: optcore.torch.AdamW in place of torch.optim.AdamW.

A class here inherits from torch's class of that name, where there is one: constructor, settings, checks, state and
checkpoints are torch's, only the step is not. Owns how the classes are made from the table; imports torch, which
optcore itself never does.
"""
from __future__ import annotations

import inspect

import torch.optim

from optcore.rules import FAMILIES, Family
from optcore.step.options import TORCH
from optcore.step.signatures import first_key, paragraphs
from optcore.torch._backward import step_in_backward
from optcore.torch._grouped import EXTRAS
from optcore.torch._lbfgs import LBFGS
from optcore.torch._optimizer import FusedOptimizer
from optcore.torch._tabled import LookaheadOptimizer, TabledOptimizer

UNUSED = {"foreach": None, "capturable": False, "differentiable": False, "fused": None}
_KEYWORD = inspect.Parameter.KEYWORD_ONLY


def _describe(family: Family, rival: str) -> str:
    origin = (f"Drop-in for {rival}: same arguments, defaults, state and checkpoints." if rival
              else "torch.optim has no such class; arguments as optcore." + family.name + "'s.")
    extras = ", ".join(f"{k}={v!r}" for k, v in EXTRAS.items())
    return f"""{family.title}, as one fused walk over all parameters on the CPU.{family.remarks}

    {origin} Beside them, as keywords: {extras}.

Parameters
    params: as torch.optim takes them: tensors, (name, tensor) pairs or groups; float32, float64, complex (stepped as
        pairs of real numbers) or bfloat16 on the CPU (float16 under rounding="master"), of any strides, DTensors too.
        Updated in place.
{paragraphs(TORCH, first_key(family))}
    foreach, fused, capturable: taken and kept for checkpoints, without effect: there is one walk, and it is fused.
    differentiable: True is refused, since autograd does not see the step.

    The keywords above are attributes too, and may be changed between steps. What then is no longer kept (averages,
    masters) is let go at the next step, and state is converted by value where its format is another.

    >>> import torch, optcore.torch
    >>> w = torch.nn.Parameter(torch.ones(3))
    >>> opt = optcore.torch.{family.name}([w], lr=0.1)
    >>> w.{'gather(0, torch.tensor([0, 2]), sparse_grad=True)' if family.only_rows else 'square()'}.sum().backward()
    >>> opt.step()
    >>> bool((w{'[::2]' if family.only_rows else ''} < 1).all())
    True
"""


def _make_class(family: Family) -> type[FusedOptimizer]:
    theirs = getattr(torch.optim, family.name, None)
    rival = f"torch.optim.{family.name}" if theirs else ""
    extras = [inspect.Parameter(k, _KEYWORD, default=v) for k, v in EXTRAS.items()]
    if theirs:
        own = list(inspect.signature(theirs.__init__).parameters.values())
        bases: tuple[type, ...] = (FusedOptimizer, theirs)
    else:
        place = inspect.Parameter.POSITIONAL_OR_KEYWORD
        own = [inspect.Parameter("self", place), inspect.Parameter("params", place),
               *(inspect.Parameter(k, place, default=v) for k, v in family.settings.items()),
               *(inspect.Parameter(k, _KEYWORD, default=v) for k, v in UNUSED.items())]
        bases = (LookaheadOptimizer if family.ahead else TabledOptimizer,)
    made = type(family.name, bases, {
        "family": family, "rival": rival, "counted": family.counted,
        "__doc__": _describe(family, rival), "__module__": __name__})
    made.__signature__ = inspect.Signature([*own[1:], *extras])  # type: ignore[attr-defined]
    return made


for _family in FAMILIES.values():
    globals()[_family.name] = _make_class(_family)
del _family

__all__ = ["LBFGS", "FusedOptimizer", "step_in_backward", *FAMILIES]
