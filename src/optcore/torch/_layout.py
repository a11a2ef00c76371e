"""The parameters of a step as the kernels hold them: rows of tensors, their counts of steps, the walks.

Owns how torch's state (a dict for each parameter, keys and meaning as torch.optim's) becomes the kernels' rows. A
layout is kept from step to step while every tensor in it is the one that the optimizer would find.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from optcore import _kernels
from optcore.optimizers.base import BESIDE, beside
from optcore.rules import RULES, Family, Rule
from optcore.step.share import Walk
from optcore.torch import _tensors

ONE = np.ones((), np.float32)                # an array: NumPy adds it in half the time that a scalar takes
Copies = list[tuple[Tensor, Tensor]]        # tensors, and what they held
Row = tuple[Tensor | None, ...]


def entries(state: Mapping[Any, Any], params: list[Any] | None) -> list[Any]:
    """All values of the state (of these parameters only), in order."""
    dicts: Iterable[Any] = state.values() if params is None else [state.get(p, {}) for p in params]
    return list(chain.from_iterable(map(dict.values, dicts)))


class Layout:
    """What one step of these groups needs; makes the state that is missing.

    params: all parameters of the groups. state: the optimizer's. names: the rule of each group. form: gives the
    storage format of a parameter's state array by its key. counted: whether the class keeps "step" in its state (else
    only beside what is narrow: the noise goes by it). how: the rounding, and whether averages are kept. before: the
    layout that this one replaces; it knows counts that the state does not. begin: the number of the first parameter,
    None if the groups hold the optimizer's all. waiting: hold also those that have state, but no gradient now.
    """

    def __init__(self, groups: list[dict[str, Any]], params: list[Any], grads: list[Any], state: Any,
                 names: list[str], family: Family, form: Callable[[str, Any], str], counted: bool,
                 how: tuple[str, bool], before: Layout | None, begin: int | None, waiting: bool = True) -> None:
        self.params, self.names, self.how, self.whole = params, names, how, begin is None
        self.sizes = [len(group["params"]) for group in groups]
        self.derived = family.carried
        self.known = b""
        self.counts: npt.NDArray[np.float32]
        self.members: list[int] = []                    # numbers of the parameters that take part
        self.group_of: list[int] = []                   # and for each the number of its group
        self.rows: list[Row] = []                       # and (p, state..., rest, copy, average)
        self.shares: list[Tensor] = []                  # and what of p is in this process, or is stepped for it
        self.detours: list[tuple[Tensor, Tensor]] = []  # parameters with holes or such, and what is stepped
        kept = {} if before is None else dict(
            zip(map(id, before.mine(before.params)), before.counts.tolist(), strict=True))
        counts: list[int] = []
        gathered: dict[str, tuple[Rule, list[Row], list[int], list[int]]] = {}
        i = 0
        for number, (group, name) in enumerate(zip(groups, names, strict=True)):
            rule = RULES[name]
            first = {key: float(group.get(family.fill.get(key, ""), 0.0)) for key in rule.keys}
            for p in group["params"]:
                # As torch: no state before the first gradient.
                if grads[i] is not None or waiting and (state.get(p) or not rule.keys and id(p) in kept):
                    entry = state[p] if rule.keys or how[1] or p.dtype != torch.float32 else state.get(p, {})
                    counts.append(_count(entry, rule, kept.get(id(p))))
                    self.rows.append(self._row(p, entry, rule, first, form))
                    _, rows, members, where = gathered.setdefault(rule.kernel, (rule, [], [], []))
                    rows.append(self.rows[-1])
                    members.append(len(self.members))
                    where.append(number)
                    self.group_of.append(number)
                    self.members.append(i)
                i += 1
        inside = set(self.members)
        self.outside = [i for i in range(len(params)) if i not in inside]
        # torch keeps the count of each parameter in a tensor; these are parts of one, so that one addition serves all.
        together = torch.tensor(counts, dtype=torch.float32, device="cpu")
        self.counts = together.numpy()
        carried: dict[str, Tensor] = {}                 # the derived state, likewise
        for k, i in enumerate(self.members):
            entry = state.get(params[i])
            if entry and counted or any(t is not None and t.dtype != torch.float32 for t in self.rows[k]):
                entry["step"] = together[k]
            for key in self.derived(groups[self.group_of[k]], 0) if self.derived else ():
                if key not in carried:
                    carried[key] = torch.empty(len(counts), dtype=torch.float32, device="cpu")
                entry[key] = carried[key][k]
        self.carried = {key: t.numpy() for key, t in carried.items()}
        self.derive(groups)
        firsts = [_tensors.first_of(params[i]) for i in self.members]
        self.walks = [Walk(*x, counts, how[0] == "nearest", [(begin or 0) + self.members[k] for k in x[2]], Tensor,
                           [firsts[k] for k in x[2]]) for x in gathered.values()]
        self.spread = [_tensors.spread(params[i]) for i in self.members]
        self.careful = len(self.walks) > 1 or any(self.spread)     # is all usable? before anything is done
        self.entries = entries(state, None if self.whole else params)
        self.direct = not self.detours and all(type(p) in _tensors.PLAIN for p in params)

    def _row(self, p: Any, entry: dict[str, Any], rule: Rule, first: Mapping[str, float],
             form: Callable[[str, Any], str]) -> Row:
        mine = _tensors.local(p)
        forms = {key: form(key, p) for key in rule.keys} | beside(mine.dtype != torch.float32, *self.how)
        # Blocks of 8-bit codes are of elements in C order: in the order of some strides they would mean something
        # else where the strides are others.
        whole = mine.is_contiguous() if "int8" in forms.values() else _tensors.dense(mine)
        if not whole or mine.is_neg() or mine.data_ptr() % mine.itemsize:
            self.detours.append((mine, mine.clone(memory_format=torch.contiguous_format)))
            mine = self.detours[-1][1]
        self.shares.append(mine)
        for key in BESIDE:
            if key not in forms:                        # of another setting, and out of date from now on
                entry.pop(key, None)
        found: dict[str, Tensor] = {}
        for key, kept in forms.items():
            if entry.get(key) is None:
                entry[key] = _tensors.state_of(p, first.get(key, 0.0), kept)
                if key in ("master", "average"):        # the parameter as exactly as it is known
                    entry[key].copy_(p if key == "master" else entry.get("master", p))
            share = _tensors.local(entry[key])
            if kept == "int8":
                found[key] = _tensors.check_codes(key, share, mine)
                continue
            dtype = getattr(torch, kept)
            _tensors.check_state(key, share, mine)
            fitting = _tensors.placed_as(share, mine, dtype)
            if fitting is not share and share is entry[key]:
                entry[key] = fitting
            elif fitting is not share:
                raise TypeError(f"state {key!r} is a distributed tensor of {share.dtype} with strides "
                                f"{share.stride()}; {dtype} with {mine.stride()} is needed")
            found[key] = fitting
        master = found.get("master")
        return (mine if master is None else master, *(found[key] for key in rule.keys), found.get("compensation"),
                None if master is None else mine, found.get("average"))

    def found(self, groups: list[dict[str, Any]], state: Any) -> tuple[list[Any], int, bool] | None:
        """The gradients, how many there are, and whether all are plain tensors; None if these groups and this state
        do not have the parameters and tensors that this layout holds."""
        if [len(group["params"]) for group in groups] != self.sizes:
            return None                         # one that went to the next group takes other settings
        dicts = state.values() if self.whole else [state.get(p, {}) for p in self.params]
        return _kernels.found(groups, self.params, dicts, self.entries, *_tensors.PLAIN)

    def fits(self, names: list[str], how: tuple[str, bool], grads: list[Any]) -> bool:
        """Whether a step that found these is one of these rules, of this kind and of no further parameter."""
        return (names == self.names and how == self.how
                and not (self.outside and any(grads[i] is not None for i in self.outside)))

    def still(self) -> bool:
        """Whether what is stepped for each parameter can go on being it."""
        return self.direct or all(map(self._still, self.mine(self.params), self.shares))

    def _still(self, p: Any, share: Tensor) -> bool:
        mine = _tensors.local(p)
        return mine is share or mine.shape == share.shape and any(q is mine for q, _ in self.detours)

    def mine(self, flat: list[Any]) -> list[Any]:
        return flat if not self.outside else [flat[i] for i in self.members]

    def unusable(self, flat: list[Any]) -> int | None:
        """The number of the first gradient that the kernels would not take by itself."""
        for walk in self.walks:
            for k, at in enumerate(walk.members):
                alone = [None] * len(walk.members)
                alone[k] = flat[at]
                if not walk.plan.usable(alone):
                    return at
        return None

    def recount(self) -> None:
        """Let the walks know counts that were changed from outside, as when a checkpoint is read into the tensors."""
        if self.counts.tobytes() == self.known:
            return
        for walk in self.walks:
            now = self.counts if walk.all else self.counts[walk.members]
            if not (now == (walk.steps if walk.taken is None else walk.taken)).all():
                walk.start([int(n) for n in now])

    def note(self) -> None:
        """Remember the counts as they are now."""
        self.known = self.counts.tobytes()

    def count(self, walk: Walk, stepped: int, flat: list[Any]) -> None:
        """Take note that a walk was made in which `stepped` tensors took part."""
        walk.count(stepped, flat)
        if walk.all and stepped == len(walk.members):
            np.add(self.counts, ONE, self.counts)
        else:
            self.counts[[i for i in walk.members if flat[i] is not None]] += 1

    def squares(self, flat: list[Any], threads: int) -> float | None:
        """The sum of squares of all gradients in float64, of every process's share; None if one is not usable."""
        totals, cuts = {}, dict.fromkeys(self.spread)
        for groups in cuts:
            some = flat if len(cuts) == 1 else [
                g if x == groups else None for g, x in zip(flat, self.spread, strict=True)]
            sums = [walk.plan.squares(walk.mine(some), threads) for walk in self.walks]
            if None in sums:
                return None                             # before any process waits for the others
            totals[groups] = math.fsum(x for x in sums if x is not None)
        return math.fsum(_tensors.over_all(total, groups) for groups, total in totals.items())

    def derive(self, groups: list[dict[str, Any]]) -> None:
        """Bring the state that the step does not need, but torch would, up to date."""
        if self.derived is None:
            return
        known: dict[tuple[int, int], dict[str, float]] = {}
        for at in zip(self.group_of, self.counts.astype(int).tolist(), strict=True):
            if at not in known:
                known[at] = self.derived(groups[at[0]], at[1])
        for key, values in self.carried.items():
            values[...] = [known[at][key] for at in zip(self.group_of, self.counts.astype(int).tolist(), strict=True)]

    def gather(self) -> None:
        """Bring what is stepped in place of parameters with holes up to date."""
        for p, stepped in self.detours:
            stepped.copy_(p)

    def scatter(self) -> None:
        """Write it back."""
        for p, stepped in self.detours:
            p.copy_(stepped)

    def copy(self) -> Copies:
        """All that a step writes, with copies."""
        written = [t for row in self.rows for t in row if t is not None] + [p for p, _ in self.detours]
        written += map(torch.from_numpy, (self.counts, *self.carried.values()))
        return [(t, t.detach().clone()) for t in written]


def _count(entry: Mapping[str, Any], rule: Rule, kept: float | None) -> int:
    """How many steps a parameter with this state has taken. kept: how many the last layout knew of, if any."""
    # As in torch, steps count from the first state on; state without a count has seen one step at least.
    if rule.keys and all(entry.get(key) is None for key in rule.keys):
        return 0
    if "step" in entry:
        return int(entry["step"])
    return int(bool(rule.keys) if kept is None else kept)
