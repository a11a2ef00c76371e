"""The parameters of a step as the kernels hold them: rows of tensors, and the shares of the step over them.

Owns how torch's state (a dict for each parameter, keys and meaning as torch.optim's) becomes the kernels' rows. A
layout is kept from step to step while every tensor in it is the one that the optimizer would find.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor

from optcore import _kernels
from optcore.formats import FORMATS
from optcore.rules import RULES, Family, Rule
from optcore.step.policy import Tensors
from optcore.step.share import Gathered
from optcore.step.state import BESIDE, Asked, StateFormats, agree, beside
from optcore.torch import _rows, _saved, _shards, _tensors
from optcore.torch._carried import Carried, count_of
from optcore.torch._detours import Detours
from optcore.torch._following import Following
from optcore.torch._written import FOLLOWING

Copies = list[tuple[Tensor, Tensor | None, Tensor]]     # tensors, which of their rows (None: all), and what they held
Row = tuple[Tensor | None, ...]
Made = tuple[Any, Any, Any]     # a dict, a key that is new in it or has a new value, and the old one; None: it had none
Group = Mapping[str, Any]


class Kept(NamedTuple):
    """What is kept of each parameter."""

    formats: Sequence[StateFormats]     # of each group
    asked: list[Asked]                  # and what it asked for
    rounding: str
    averaged: bool
    counted: bool           # whether torch keeps "step" in the state of the class; else only beside what is narrow


def take_away(made: list[Made]) -> None:
    """Let the dicts be what they were."""
    for where, key, old in reversed(made):
        if old is None:
            where.pop(key, None)
        else:
            where[key] = old


def entries(state: Mapping[Any, Any], params: list[Any] | None) -> list[Any]:
    """All values of the state (of these parameters only), in order."""
    dicts: Iterable[Any] = state.values() if params is None else [state.get(p, {}) for p in params]
    return list(chain.from_iterable(map(dict.values, dicts)))


class Layout(Tensors):
    """What one step of these groups needs; makes the state that is missing.

    names: the rule of each group. grads: of all parameters of the groups. state: the optimizer's. last: the layout that
    this one replaces; it knows counts that the state does not. begin: the number of the first parameter, None if the
    groups hold the optimizer's all. waiting: hold also those that have state, but no gradient now. made: receives
    all state that is new or converted, for who has to take it away again if this is not finished: state without a
    count would be taken for that of a step.
    """

    def __init__(self, family: Family, kept: Kept, groups: Sequence[Group], names: list[str], grads: list[Any],
                 state: Any, made: list[Made], *, last: Layout | None, begin: int | None,
                 waiting: bool = True) -> None:
        self.made = made
        self.names, self.kept, self.whole = names, kept, begin is None
        self.shapes, self.codes = family.shapes, family.codes
        self.params: list[Any] = [p for group in groups for p in group["params"]]
        self.sizes = [(len(group["params"]), len(group)) for group in groups]
        self.members: list[int] = []                    # numbers of the parameters that take part
        self.rows: list[Row] = []                       # of each (p, state..., compensation, copy, average)
        self.formats: list[StateFormats] = []           # of each
        self.parts: list[Tensor] = []                   # and what of p is in this process, or is stepped for it
        self.held: list[_shards.Held | None] = []       # of each whose state is in blocks, what is here
        self.detours = Detours()
        self.carried: Carried
        known = {} if last is None else dict(
            zip(map(id, last.mine(last.params)), last.carried.counts.tolist(), strict=True))
        counts: list[int] = []
        group_of: list[int] = []
        gathered = Gathered()
        i = 0
        for number, (group, name) in enumerate(zip(groups, names, strict=True)):
            rule = RULES[name]
            first = {key: float(group.get(family.fill.get(key, ""), 0.0)) for key in rule.keys}
            for p in group["params"]:
                # As torch: no state before the first gradient.
                if grads[i] is not None or waiting and (state.get(p) or not rule.keys and id(p) in known):
                    needs = rule.keys or kept.averaged or _tensors.kept_as(p).narrow
                    if needs and p not in state:
                        made.append((state, p, None))
                    entry = state[p] if needs else state.get(p, {})
                    counts.append(count_of(entry, rule, known.get(id(p))))
                    self.formats.append(kept.formats[number])
                    self.rows.append(self._row(p, entry, rule, first))
                    gathered.add(rule, self.rows[-1], len(self.members), number)
                    group_of.append(number)
                    self.members.append(i)
                i += 1
        inside = set(self.members)
        self.outside = [i for i in range(len(self.params)) if i not in inside]
        self.carried = Carried(family, counts, group_of)
        for k, i in enumerate(self.members):
            entry = state.get(self.params[i])
            counted = bool(entry) and kept.counted or any(
                t is not None and t.dtype not in (torch.float32, torch.float64) for t in self.rows[k])
            if counted or family.carried:
                self.carried.put(k, entry, groups[group_of[k]], counted)
        self.carried.begin(groups)
        self.gathered = gathered
        self.numbers = [(begin or 0) + i for i in self.members]
        self.offsets = [_tensors.first_of(self.params[i]) if of is None else of.low
                        for i, of in zip(self.members, self.held, strict=True)]
        self.shares = self._shares(counts)
        among = [_tensors.spread(self.params[i]) for i in self.members]
        self.among = among if any(among) else None
        self.careful = any(of is not None and of.cut for of in self.held)
        self.entries = entries(state, None if self.whole else self.params)
        self.coded = any(t is not None and t.dtype == torch.uint8 for row in self.rows for t in row)
        self.followed = [p for p in self.mine(self.params) if state.get(p, {}).keys() & FOLLOWING]
        self.direct = not self.detours.pairs and all(
            type(p) in _tensors.PLAIN and not p.is_complex() for p in self.params)

    def _row(self, p: Any, entry: dict[str, Any], rule: Rule, first: Mapping[str, float]) -> Row:
        mine, format_of_p = _tensors.real(_tensors.local(p)), _tensors.kept_as(p)
        forms = {key: self.formats[-1].of(key, p.numel(), format_of_p) for key in rule.keys}
        forms |= beside(format_of_p, self.kept.rounding, self.kept.averaged)
        block = max((FORMATS[form].block for form in forms.values()), default=1)
        of = _shards.held(p, block) if block > 1 else None
        shared = of is not None and of.shares
        mine = self.detours.filled_up(mine, of) if of and shared else self.detours.stepped(mine, block > 1)
        self.held.append(of)
        self.parts.append(mine)
        for key in BESIDE:
            if key not in forms:                        # of another setting, and out of date from now on
                entry.pop(key, None)
        found: dict[str, Tensor] = {}
        for key, form in forms.items():
            if entry.get(key) is None:
                new = _saved.state_of(p, first.get(key, 0.0), form, self.shapes.get(key, "parameter"))
                if key in ("master", "average"):        # the parameter as exactly as it is known
                    new.copy_(p if key == "master" else entry.get("master", p))
                self.made.append((entry, key, None))
                entry[key] = new
            elif (new := _saved.recoded(key, entry[key], p, form, self.codes.get(key, 0))) is not entry[key]:
                self.made.append((entry, key, entry[key]))
                entry[key] = new
            part = _tensors.local(entry[key])
            if FORMATS[form].block > 1:
                found[key] = _tensors.check_codes(key, part, tuple(mine.shape), form)
                continue
            dtype = _tensors.dtype_of(form)
            kind = self.shapes.get(key, "parameter")
            _tensors.check_state(key, part, _tensors.local(p), kind)
            if part.dtype != dtype and (part.dtype == torch.int8 or not FORMATS[form].by_itself):
                raise TypeError(f"state {key!r} is {part.dtype}, {dtype} is kept here: what a parameter lacks in one "
                                "of them says nothing in the other")
            if kind == "row":
                if part.dtype != dtype or not part.is_contiguous():
                    entry[key] = part = part.to(dtype).contiguous()
                found[key] = part
                continue
            if p.is_complex():
                if part.dtype != p.dtype:
                    entry[key] = part = part.to(p.dtype)
                part = _tensors.real(part)
            fitting = _tensors.placed_as(part, _tensors.local(p) if shared else mine, dtype)
            if fitting is not part and p.is_complex():
                entry[key] = torch.view_as_complex(fitting)
            elif fitting is not part and part is entry[key]:
                entry[key] = fitting
            elif fitting is not part:
                entry[key] = _tensors.distributed(fitting, entry[key])
            found[key] = self.detours.filled_up(fitting, of) if of and shared else fitting
        master = found.get("master")
        return (mine if master is None else master, *(found[key] for key in rule.keys), found.get("compensation"),
                None if master is None else mine, found.get("average"))

    def _shares(self, counts: list[int]) -> Sequence[Any]:
        """The shares of the rows, which look where they lie now. Raises ValueError if they cannot lie there."""
        params = self.mine(self.params)
        self.places = [(p.dtype, p.data_ptr() if type(p) in _tensors.PLAIN else 0) for p in params]
        shares = self.gathered.shares(counts, self.kept.rounding == "nearest", Tensor, self.numbers, self.offsets)
        return [Following(share, self.carried) for share in shares] if self.carried.numbers else shares

    # -------------------------------------------------------------------------------------------- does it still hold?

    def moved(self) -> bool:
        """Whether parameters lie elsewhere and nothing else is new, as where `p.data` is replaced at each step. The
        shares then know where: that costs a part of what a new layout does."""
        params = self.mine(self.params)
        if not self.direct or all(p.data_ptr() == place[1] for p, place in zip(params, self.places, strict=True)):
            return False
        for p, place in zip(params, self.places, strict=True):
            if p.dtype != place[0] or not self.detours.stands(p) or self.coded and not p.is_contiguous():
                return False
        try:
            self.shares = self._shares([int(n) for n in self.carried.counts])
        except ValueError:                      # the layout that is made anew says what is wrong
            return False
        return True

    def found(self, groups: list[dict[str, Any]], state: Any) -> tuple[list[Any], int, bool] | None:
        """The gradients, how many there are, and whether all are plain tensors; None if these groups and this state
        do not have the parameters and tensors that this layout holds."""
        if [(len(group["params"]), len(group)) for group in groups] != self.sizes:
            return None             # one that went to the next group takes other settings; a new key may be refused
        dicts = state.values() if self.whole else [state.get(p, {}) for p in self.params]
        return _kernels.found(groups, self.params, dicts, self.entries, *_tensors.PLAIN)

    def fits(self, names: list[str], rounding: str, averaged: bool, grads: list[Any], formats: list[Asked]) -> bool:
        """Whether a step that found these is one of these rules, of this kind and of no further parameter."""
        return (names == self.names and agree(formats, self.kept.asked) and rounding == self.kept.rounding
                and averaged == self.kept.averaged
                and not (self.outside and any(grads[i] is not None for i in self.outside)))

    def still(self) -> bool:
        """Whether what is stepped for each parameter can go on being it."""
        return self.direct or all(map(self._still, self.mine(self.params), self.parts))

    def _still(self, p: Any, part: Tensor) -> bool:
        mine = _tensors.local(p)
        if mine.is_complex() and mine.data_ptr() == part.data_ptr():
            return _tensors.alike(_tensors.real(mine), part)
        return mine is part or self.detours.has(mine)

    def mine(self, flat: list[Any]) -> list[Any]:
        return flat if not self.outside else [flat[i] for i in self.members]

    # -------------------------------------------------------------------------------------------- around a step

    def sum_over(self, total: float, among: Any) -> float:
        return _tensors.over_all(total, among)

    def prepare(self, groups: Sequence[Group]) -> None:
        """Before a step: let the shares know counts that were changed from outside, as when a checkpoint is read into
        the tensors, and the copies what their parameters are. groups: the step's, with the settings of now."""
        self.carried.groups = groups
        if self.carried.changed():
            counts = self.carried.counts
            for share in self.shares:
                now = [int(n) for n in counts[share.members]]
                if now != share.counts():
                    share.start(now)
        if not self.direct:
            self.detours.gather()

    def gradient(self, k: int, g: Tensor) -> Tensor:
        """A strided gradient of member k, or what is here of it, as the kernels read it."""
        of = self.held[k]
        return _shards.filled_up(g, of) if of and of.shares else _tensors.placed_as(g, self.parts[k])

    def begin(self, grads: list[Any]) -> None:
        """Before the first change: let blocks that several processes share be whole."""
        _shards.exchange([(of, t.view(-1)) for of, row, g in zip(self.held, self.rows, grads, strict=True)
                          if of and g is not None for t in (*row, g) if t is not None])

    def settle(self, grads: list[Any], cleared: bool) -> None:
        """After a step that was interrupted: take note of those tensors whose walk was made, by the shares' counts."""
        known, walked = self.carried.counts.tolist(), [False] * len(grads)
        for share in self.shares:
            for k, count in zip(share.members, share.counts(), strict=True):
                walked[k] = count > known[k]
        if any(walked):
            made = [g if is_walked else None for g, is_walked in zip(grads, walked, strict=True)]
            self.note(made, sum(walked), cleared)
        else:
            self.carried.known = self.carried.counts.tobytes()

    def note(self, grads: list[Any], stepped: int, cleared: bool) -> None:
        """After a step in which `stepped` parameters took part. cleared: the walk has set the gradients to zero.

        The count is the last thing done, in one call, and what comes before it may be done twice: see `settle`."""
        if not self.direct:
            self.detours.scatter()
        written = self.mine(self.params)
        if stepped < len(grads):
            written = [p for p, g in zip(written, grads, strict=True) if g is not None]
        if cleared:
            written = [*written, *(_rows.values_of(g) for g in grads if g is not None)]
        torch.autograd.graph.increment_version(written)
        self.carried.count(None if stepped == len(grads) else [g is not None for g in grads])

    def copy(self, last: Copies | None, grads: list[Any]) -> Copies:
        written = [x for row, g in zip(self.rows, grads, strict=True) for x in _rows.touched(row, g)]
        return _rows.copied([*written, *((t, None) for t in (*(p for p, _ in self.detours.pairs),
                                                             *self.carried.tensors()))])
