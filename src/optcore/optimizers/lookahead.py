"""The way to the point at which a rule takes its gradient, for families that take it elsewhere than at the parameters.

Owns the context in which parameters are moved there and back. The move itself is a rule of the table (Family.ahead).
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from optcore import _kernels
from optcore.formats import FORMATS, form_of
from optcore.optimizers.base import Optimizer
from optcore.rules import RULES
from optcore.step.arrays import Array
from optcore.step.share import scalars_at


def _moving(row: tuple[Array | None, ...]) -> tuple[Array | None, ...]:
    """What the move changes, for (p, velocity, compensation, copy, average) of a tensor: p, room for what it was, and
    the copy. Where p lacks something it is the copy, rounded to nearest, of numbers that have it."""
    p, _, lack, copy, _ = row
    assert p is not None
    if lack is not None and (join := FORMATS[form_of(lack)].join) is not None:
        p, copy = np.array(join(p, lack)), p
    return p, np.empty_like(p, FORMATS[FORMATS[form_of(p)].arithmetic].dtype), None, copy, None


class LookaheadOptimizer(Optimizer):
    """Adds lookahead()."""

    _ahead = False

    @contextmanager
    def lookahead(self) -> Iterator[None]:
        """Within it the parameters are p + momentum * velocity; after it they are what they were, to the bit.

            with opt.lookahead():
                grads = gradient(params)
            opt.step(grads)
        """
        if self._ahead:
            raise RuntimeError("lookahead() is already entered")
        with self._turn:
            moved, before = self._move()
        self._ahead = True
        try:
            yield
        finally:
            for a, was in zip(moved, before, strict=True):
                a[...] = was
            self._ahead = False

    def _move(self) -> tuple[list[Array], list[Array]]:
        """Move the parameters there. Returns the arrays that were changed, and what they held."""
        layout, move = self._layout, RULES[self.family.ahead]
        layout.look()
        meaning = [self.family.pick(group)[0] for group in self.param_groups]
        coming = layout.coming(meaning)
        now = 1 + max(layout.steps, default=0)
        for k, t in set(coming):
            self._scalars(self.param_groups[k], t, now)
        if meaning != layout.meaning:
            layout.prepare(meaning)
        rule, = {RULES[name].name: RULES[name] for name in meaning}.values()
        rows = [layout.row(i, rule, {}) for i in range(len(layout.params))]
        ahead = list(map(_moving, rows))
        met = list(dict.fromkeys(coming))
        settings = [[group[s.name] for s in move.all_settings] for group in self.param_groups]
        blocks = [(t, scalars_at(self.family.ahead, settings[k], t, now)) for k, t in met]
        which = [met.index(x) for x in coming]
        plan = _kernels.Plan(_kernels.rule_index(move.kernel), ahead, which, True)
        key, = rule.keys
        velocity = [s[key] for s in layout.state]
        for k, (v, p) in enumerate(zip(velocity, layout.params, strict=True)):
            if (kept := FORMATS[form_of(v)]).block > 1:         # which no gradient is in
                velocity[k] = kept.decode(v, p.size, 0).reshape(p.shape)
        moved = [a for row in rows for a in (row[0], row[3]) if a is not None]
        before = [a.copy() for a in moved]
        plan.step((blocks, which), velocity)
        return moved, before

    def step(self, grads: Any, **options: Any) -> None:
        if self._ahead:
            raise RuntimeError("step() inside lookahead(): leave it first, so that the parameters are back")
        super().step(grads, **options)


LookaheadOptimizer.step.__signature__ = Optimizer.step.__signature__       # type: ignore[attr-defined]
LookaheadOptimizer.step.__doc__ = Optimizer.step.__doc__
