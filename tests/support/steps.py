"""A step of a rule by one build of the kernels or by the reference, and an optimizer as a loop over the reference."""
from __future__ import annotations

import numpy as np

from optcore import reference
from optcore.rules import FAMILIES, RULES


def scalars(rule, step, values):
    return rule.scalars(step, *(values[s.name] for s in rule.all_settings))


def kernel_step(module, rule, arrays, step, values, num_threads=0):
    """One step by one build of the kernels, past the public functions, which know one build only."""
    assert module.apply(module.rule_index(rule.kernel), tuple(arrays), scalars(rule, step, values), num_threads)


def reference_step(rule, arrays, step, values):
    getattr(reference, rule.name)(*arrays, step=step, **values)


class ReferenceLoop:
    """What a class should do, said with the reference's functions alone."""

    def __init__(self, name, params, **chosen):
        self.family = FAMILIES[name]
        self.settings = {**self.family.settings, **chosen}
        self.params = params
        self.state = [{} for _ in params]
        self.steps = [0] * len(params)

    def step(self, grads):
        name, values = self.family.pick(self.settings)
        rule, now = RULES[name], 1 + max(self.steps)
        values = [v(now) if callable(v) else v for v in values]         # by the optimizer's own count
        for i, (p, g) in enumerate(zip(self.params, grads, strict=True)):
            if g is None:
                continue
            for k in rule.keys:
                if k not in self.state[i]:
                    first = self.settings.get(self.family.fill.get(k, ""), 0.0)
                    self.state[i][k] = np.full_like(p, first)
            self.steps[i] += 1
            named = {s.name: v for s, v in zip(rule.all_settings, values, strict=True)}
            getattr(reference, name)(p, g, *(self.state[i][k] for k in rule.keys), step=self.steps[i], **named)
