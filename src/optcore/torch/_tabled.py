"""Classes that torch does not have: their constructor follows from the table.

Owns the checks of a constructor that torch's class would make, and the point at which a rule takes its gradient.
"""
from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from optcore.rules import RULES
from optcore.rules.settings import explain
from optcore.torch import _saved, _tensors
from optcore.torch._grouped import EXTRAS
from optcore.torch._optimizer import FusedOptimizer


class TabledOptimizer(FusedOptimizer):
    """A class that torch does not have."""

    def __init__(self, params: Any, *args: Any, **settings: Any) -> None:
        extras = {k: settings.pop(k) for k in EXTRAS if k in settings}
        bound = inspect.signature(type(self)).bind(params, *args, **settings)
        bound.apply_defaults()
        defaults = {k: v for k, v in bound.arguments.items() if k not in ("params", *EXTRAS)}
        explain(defaults, self.family.domains)
        name, values = self.family.pick(defaults)
        RULES[name].scalars(1, *values)
        super().__init__(params, defaults, **extras)


class LookaheadOptimizer(TabledOptimizer):
    """Adds the way to the point at which the rule takes its gradient (Family.ahead)."""

    @contextmanager
    def lookahead(self) -> Iterator[None]:
        """Within it the parameters are p + momentum * velocity; after it they are what they were, to the bit.

            with opt.lookahead():
                loss(model).backward()
            opt.step()
        """
        rule, mover, ahead = RULES[self.family.rules[0]], RULES[self.family.ahead], {}
        self._take_over()
        for p, settings in ((q, group) for group in self.param_groups for q in group["params"]):
            if s := self.state.get(p):
                v, exact = s[rule.keys[0]], s["master"] if "master" in s else p.detach()
                exact = exact.float() if _tensors.kept_as(p).narrow else exact
                if v.dtype == torch.uint8:
                    v = _saved.recoded(rule.keys[0], v, p, "float32", 0)
                if "compensation" in s:
                    exact = _tensors.joined(p, s["compensation"])
                scalars = mover.scalars(int(s["step"]) + 1, *(settings[x.name] for x in mover.all_settings))[3:]
                settled = dict(zip(mover.fields, scalars, strict=True))
                ahead[p] = mover.update(exact, v.to(exact.dtype), None, **settled)[0]
        with self._instead("lookahead", ahead):
            yield
