"""The arrays of an optimizer: parameters and state, as the kernels hold them between steps.

Owns which arrays are trained, what is kept of each, how many steps each has taken, and the shares of a step over them
(step/share.py). Checks every array before it is taken; never changes one but to allocate or restore state.
"""
from __future__ import annotations

import math
from collections.abc import Mapping
from operator import is_
from typing import Any

import numpy as np

from optcore import _kernels
from optcore.formats import FORMATS, decode, form_of, numbers, playing
from optcore.optimizers.given import Given, Group, Member, Source
from optcore.rules import FAMILIES, RULES, Family, Rule
from optcore.step import arrays as _arrays
from optcore.step import gradients as _gradients
from optcore.step.arrays import Array
from optcore.step.behind import Behind
from optcore.step.policy import Tensors
from optcore.step.rows import Rows, by_row
from optcore.step.share import Call, Elementwise, Gathered, Meant
from optcore.step.state import BESIDE, Asked, StateFormats, agree, all_alike, asked, beside, check_rounding, remembered

Written = tuple[Array, Array | None]                         # an array, and which of its rows; None: all
Copies = tuple[list[Written], list[Array], list[int]]       # what is written, what it held, and the counts of steps


def block_of(p: Array, formats: StateFormats) -> int:
    """The largest block of a tensor's state."""
    kept = FORMATS[form_of(p)]
    return max((FORMATS[formats.of(key, p.size, kept)].block for key in formats.wanted), default=1)


class Layout(Tensors):
    """groups: the optimizer's param_groups, the list itself. chosen: state_dtype and min_8bit_size, where a group has
    none of its own. averaged: whether averages of the parameters are kept. rows: the option."""

    def __init__(self, family: Family, groups: list[Group], chosen: Asked, rounding: str, averaged: bool,
                 rows: str) -> None:
        self.name, self.keys = family.name, family.keys()
        self.fill = dict(family.fill)                   # state -> the setting that it begins at
        self.codes = family.codes                       # state -> the kind of its 8-bit codes
        self.shapes = dict(family.shapes)               # state -> its shape, as rules/row.py says it
        self.groups, self.chosen = groups, remembered([chosen])[0]
        self.kept: list[StateFormats] = []              # of each tensor, by its group, since the shares were laid out
        self.agreed: list[Asked] | None = None          # and what the groups asked for then
        self.alike = False                              # and whether none of them had anything of its own
        self.rounding, self.averaged = rounding, averaged
        self.dense = rows == "dense"
        self.behind: dict[int, Behind] = {}             # by tensor, where rows may have missed steps
        self.given = Given(groups)                      # what the caller has
        self.turn = _kernels.Turn()                     # whether somebody is at work, and whether that is still so
        self.params: list[Array] = []                   # and views of it
        self.labels: list[str] = []                     # what messages call each of them
        self.names: list[Any] | None = None             # their keys, if they were given by name
        self.memory = _arrays.Memory()                  # where they lie
        self.steps: list[int] = []                      # taken by each, where the shares do not know better
        self.state: list[dict[str, Array]] = []         # of each its arrays, by torch's names
        self.fresh: set[int] = set()                    # tensors before their first step, with state that has a start
        self.shares: list[Elementwise] = []
        self.unusual: set[int] = set()                  # tensors whose gradient had to be converted at the last step
        self.meaning: list[str] | None = None           # the rule of each group, as the shares know it

    # -------------------------------------------------------------------------------------------- parameters

    def view(self, group: Mapping[str, Any], label: str, x: Any) -> Array:
        """A usable view of a parameter of this group."""
        # Under a master, the parameter is a rounded copy of what is updated.
        formats = dict.fromkeys((*_arrays.PARAMETER, *(playing("copy") if self.rounding == "master" else ())))
        a = _arrays.view(label, x, writable=True, formats=tuple(formats), order="dense")
        check_rounding(label, FORMATS[form_of(a)], self.rounding)
        if "row" in self.shapes.values():
            _gradients.in_c_order(label, a)
        self.check_formats(label, a, self.formats_of(group))
        return a

    def check_formats(self, label: str, a: Array, formats: StateFormats) -> None:
        """Raise the error that names a parameter whose state cannot be kept in these formats."""
        formats.check(label, FORMATS[form_of(a)])
        if self.dense and block_of(a, formats) > 1:
            raise ValueError(f'rows="dense": {label} would have state in blocks of 8 bits, of which rows cannot be '
                             'brought up to date one by one; rows="lazy" takes it, "bfloat16" goes with both')
        if not a.flags.c_contiguous and any(FORMATS[form].block > 1 for form in formats.wanted.values()):
            raise ValueError(f"state_dtype: {label} is not in C order (strides {a.strides}), and blocks are")

    def add(self, params: Any, settings: Mapping[str, Any]) -> None:
        """Take parameters as a group with these settings. Raises before anything is added."""
        source, first = Source.of(params), len(self.params)
        if self.params and (source.names is None) != (self.names is None):
            raise ValueError("params: give the parameters of all groups by name, or of none")
        labels = [f"params[{n!r}]" for n in source.names] if source.names is not None else [
            f"params[{first + k}]" for k in range(len(source.container))]
        for label in labels:
            if label in self.memory.names:
                raise ValueError(f"{label} is in two groups")
        given = source.objects(labels)
        self.formats_of(settings)
        views = [self.view(settings, label, x) for label, x in zip(labels, given, strict=True)]
        self.memory.add(labels, views)
        names = source.names or [None] * len(views)
        group = {"params": views, **settings}
        self.given.add(source, [Member(x, a, label, name, None) for x, a, label, name in zip(
            given, views, labels, names, strict=True)], group)
        self.groups.append(group)
        self.params += views
        self.labels += labels
        if source.names is not None:
            self.names = self.names or []
            self.names += source.names
        self.steps += [0] * len(views)
        self.state += [{} for _ in views]
        self.meaning = None
        self.given.watched(self.turn)

    def look(self) -> None:
        """Take note of what the caller has put in the place of what was there (see given.py)."""
        if self.turn.unchanged():
            return
        found = self.given.look(self.view, self.names is not None)
        found.watched(self.turn)
        memory = _arrays.Memory()
        memory.add([m.label for m in found.members], found.arrays)
        if [m.old for m in found.members] == list(range(len(self.params))) and all(
                map(is_, found.arrays, self.params)):
            self.given, self.memory = found, memory     # other objects, the same arrays
            self.labels = [m.label for m in found.members]
            return
        self.settle()
        self.behind = {k: self.behind[m.old] for k, m in enumerate(found.members) if m.old in self.behind}
        kept = [({}, 0) if m.old is None else (self.state[m.old], self.steps[m.old]) for m in found.members]
        fresh = {k for k, m in enumerate(found.members) if m.old in self.fresh}
        self.given, self.memory, self.params = found, memory, list(found.arrays)
        self.labels = [m.label for m in found.members]
        self.names = None if self.names is None else [m.name for m in found.members]
        self.take_over([state for state, _ in kept], [t for _, t in kept], fresh)
        found.write_back()

    def number_of(self, name: Any) -> int:
        """The number of the parameter of this key; without names, of this number."""
        known = self.names if self.names is not None else range(len(self.params))
        if name not in known:
            raise ValueError(f"name={name!r}: there is no such parameter")
        return known.index(name)

    def as_given(self, arrays: list[Array]) -> Any:
        """One array for each parameter, as these were given: a dict, or a list over all groups."""
        return dict(zip(self.names, arrays, strict=True)) if self.names is not None else arrays

    # -------------------------------------------------------------------------------------------- gradients

    def flat(self, grads: Any) -> list[Any]:
        """The gradients as a list in the order of the parameters."""
        if self.names is not None:
            if grads.__class__ is not dict and not isinstance(grads, Mapping):
                raise TypeError(f"grads: a dict by the parameters' names is needed, got {type(grads).__name__}")
            try:
                flat = [grads[n] for n in self.names]
            except KeyError as e:
                raise ValueError(f"grads: {e.args[0]!r} is missing (None leaves a parameter as it is)") from None
            if len(grads) != len(flat):
                unknown = next(n for n in grads if n not in self.names)
                raise ValueError(f"grads: there is no parameter {unknown!r}")
            return flat
        if isinstance(grads, (list, tuple)):
            if len(grads) != len(self.params):
                raise ValueError(f"grads: {len(self.params)} are needed, one for each parameter, got {len(grads)}")
            return grads if isinstance(grads, list) else list(grads)
        if len(self.params) == 1 and not isinstance(grads, Mapping):
            return [grads]
        raise TypeError(f"grads: a list of {len(self.params)} arrays is needed, got {type(grads).__name__}")

    def converted(self, flat: list[Any], writable: bool) -> list[Any]:
        """Usable views of all gradients, or the error that names the first that cannot be used."""
        written = self.written()
        names = self.gradient_names()
        views = [None if g is None else _gradients.gradient(
            name, g, label, p, written, writable=writable, block=block_of(p, formats))
            for name, g, label, p, formats in zip(names, flat, self.labels, self.params, self.kept, strict=True)]
        if writable:
            _gradients.zeroed(names, views)
        return views

    def written(self) -> list[_arrays.Interval]:
        """All memory that a step writes."""
        labels, arrays = list(self.labels), list(self.params)
        for label, state in zip(self.labels, self.state, strict=True):
            labels += [f"the state of {label}"] * len(state)
            arrays += state.values()
        return _arrays.intervals(labels, arrays)

    def one_converted(self, flat: list[Any], writable: bool) -> list[Any]:
        """The gradients, the one that was refused converted: what is unusual about it costs its own conversion."""
        return self._convert(flat, writable, [i for share in self.shares for i in share.refused()])

    def each_converted(self, flat: list[Any], writable: bool) -> list[Any]:
        """The gradients, those that are not usable by themselves, as they stand, converted."""
        return self._convert(flat, writable, [i for share in self.shares for i in share.unusable(flat, writable)])

    def as_before(self, flat: list[Any], writable: bool) -> list[Any]:
        """The gradients, those converted that had to be at the last step: a try without costs more than the look."""
        numbers = [i for i in self.unusual if flat[i] is not None]
        self.unusual.clear()
        converted = self._convert(flat, writable, numbers)
        self.unusual = {i for i in numbers if converted[i] is not flat[i]}
        return converted

    def _convert(self, flat: list[Any], writable: bool, numbers: list[int]) -> list[Any]:
        flat = list(flat)
        self.unusual.update(numbers)
        for i in numbers:
            name = self.labels[i].replace("params", "grads", 1)
            flat[i] = _gradients.seen(name, flat[i], self.labels[i], self.params[i], writable=writable,
                                      block=block_of(self.params[i], self.kept[i]))
        return flat

    def gradient_names(self) -> list[str]:
        return [label.replace("params", "grads", 1) for label in self.labels]

    # -------------------------------------------------------------------------------------------- state and shares

    def formats_of(self, group: Mapping[str, Any]) -> StateFormats:
        """Those of a group's state. Raises TypeError or ValueError for what it may not ask for."""
        return StateFormats(FAMILIES[self.name], *asked([group], *self.chosen)[0])

    def agree(self) -> None:
        """Let `kept` be what the groups ask for now; or raise, naming it, if they ask for what cannot be."""
        kept = [formats for group in self.groups for formats in [self.formats_of(group)] for _ in group["params"]]
        for label, p, formats in zip(self.labels, self.params, kept, strict=True):
            self.check_formats(label, p, formats)
        self.kept = kept

    def holds(self, meaning: list[str]) -> bool:
        """Whether the shares are of these rules, and the state in the formats that the groups ask for."""
        return meaning == self.meaning and (
            self.alike and all_alike(self.groups) or agree(asked(self.groups, *self.chosen), self.agreed))

    def form(self, key: str, p: Array, formats: StateFormats) -> str | None:
        """The storage format of a tensor's array of this name; None if it has none."""
        kept = FORMATS[form_of(p)]
        if key in self.keys:
            return formats.of(key, p.size, kept)
        return beside(kept, self.rounding, self.averaged).get(key)

    def converted_state(self, key: str, p: Array, a: Array, form: str) -> Array:
        """A state array of p in another format, to nearest."""
        kept, code = FORMATS[form], self.codes.get(key, 0)
        made = _arrays.allocate(p, 0.0, form, self.shape(key, p))
        values = numbers(a, math.prod(self.shape(key, p)), code, kept.arithmetic)
        made[...] = kept.store(np.ascontiguousarray(values), code).reshape(made.shape)
        return made

    def shape(self, key: str, p: Array) -> tuple[int, ...]:
        """Of a tensor's state array of this name."""
        return _gradients.shape_of(p, self.shapes.get(key, ""))

    def prepare(self, meaning: list[str]) -> None:
        """Allocate the state that the groups' rules need, and lay out the shares, one for each kernel."""
        self.settle()
        self.agree()
        for label, p in zip(self.labels, self.params, strict=True):
            if not p.flags.writeable:
                raise ValueError(f"{label} is read-only, but it is to be updated in place")
        gathered, i = Gathered(), 0
        for k, (group, name) in enumerate(zip(self.groups, meaning, strict=True)):
            rule = RULES[name]
            for _ in group["params"]:
                gathered.add(rule, self.row(i, rule, group), i, k)
                i += 1
        self.shares = gathered.shares(self.steps, self.rounding == "nearest")
        self.meaning, self.agreed = meaning, remembered(asked(self.groups, *self.chosen))
        self.alike = all_alike(self.groups)

    def row(self, i: int, rule: Rule, group: Mapping[str, Any]) -> tuple[Array | None, ...]:
        """What the kernels update of tensor i, in their order; what it still lacks is made here."""
        p, state = self.params[i], self.state[i]
        if self._begins(i, rule):
            self.steps[i] = 0
        for key in (*rule.keys, *BESIDE):
            form = self.form(key, p, self.kept[i])
            if form is not None and key in state and form_of(state[key]) != form:
                state[key] = self.converted_state(key, p, state[key], form)
            elif form is not None and key not in state:
                state[key] = _arrays.allocate(p, group.get(self.fill.get(key, ""), 0.0), form, self.shape(key, p))
                if key in ("master", "average"):
                    state[key][...] = (
                        state["master"] if key == "average" and "master" in state else decode(p, form))
                if key in self.fill:
                    self.fresh.add(i)
                    self.careful = True                 # what begins is seen from outside: nothing may be refused then
        master = state.get("master")
        return (p if master is None else master, *(state[key] for key in rule.keys), state.get("compensation"),
                None if master is None else p, state.get("average"))

    def _begins(self, i: int, rule: Rule) -> bool:
        """Whether tensor i has none of the state that the rule needs: as in torch, steps count from the first on."""
        return bool(rule.keys) and not self.state[i].keys() & self.keys

    def coming(self, meaning: list[str]) -> list[tuple[int, int]]:
        """For each tensor its group's number and the step that it would take now, by a rule of these names."""
        self.settle()
        rules = [(k, RULES[name]) for k, (group, name) in enumerate(zip(self.groups, meaning, strict=True))
                 for _ in group["params"]]
        return [(k, 1 if self._begins(i, rule) else self.steps[i] + 1) for i, (k, rule) in enumerate(rules)]

    def settle(self) -> None:
        """Bring the count of steps of every tensor up to date."""
        for share in self.shares:
            for i, t in zip(share.members, share.counts(), strict=True):
                self.steps[i] = t

    # -------------------------------------------------------------------------------------------- around a step

    def ready(self, calls: list[Call], meant: Meant, grads: list[Any], threads: int, seed: int) -> None:
        """Under rows="dense": take note of what a step over some rows is made with, for those that it leaves out;
        before one over all elements bring all rows up to date."""
        if not self.dense:
            return
        now = 1 + max(share.latest() for share in self.shares)
        for share, (blocks, which) in zip(self.shares, calls, strict=True):
            for k, i in enumerate(share.members):
                if grads[i] is None:
                    continue
                if not isinstance(grads[i], Rows):
                    self.catch_up(i, None, threads, seed)
                    share.plan.behind(k, None)
                    continue
                step, scalars, *weight = blocks[which[k]]
                if i not in self.behind:
                    p = self.params[i]
                    self.behind[i] = Behind(len(p), p.size // max(len(p), 1), step - 1, FORMATS[form_of(p)].arithmetic)
                name, values = meant[share.groups[share.group_of[k]]]
                self.behind[i].record(step, now, RULES[name], values, scalars, *weight)
                share.plan.behind(k, self.behind[i].history())

    def catch_up(self, i: int, ids: Any, threads: int, seed: int) -> None:
        """Bring rows of tensor i up to date, all or those of an array of their numbers."""
        label = self.labels[i]
        ids = None if ids is None else _gradients.row_numbers("ids", ids, label, self.params[i])
        self.settle()
        behind = self.behind.get(i)
        if behind is None:
            return
        share = next(s for s in self.shares if i in s.members)
        k = share.members.index(i)
        share.plan.behind(k, behind.history())
        if not share.plan.catch_up(k, ids, self.steps[i] + 1, threads, seed):
            raise AssertionError("the kernels refused row numbers that passed every check")
        if ids is None:
            share.plan.behind(k, None)
            del self.behind[i]

    def late(self) -> list[str]:
        """The labels of those that have rows which are behind."""
        self.settle()
        return [self.labels[i] for i, b in self.behind.items() if (b.last < self.steps[i]).any()]

    def begin(self, grads: list[Any]) -> None:
        """Let state that begins at a setting take its value at the tensor's first step (Rprop's lr), not the value that
        the setting had when the array was made."""
        groups = [group for group in self.groups for _ in group["params"]]
        for i in [i for i in self.fresh if grads[i] is not None]:
            for key, setting in self.fill.items():
                form = self.form(key, self.params[i], self.kept[i])
                assert form is not None
                self.state[i][key][...] = _arrays.allocate(self.params[i], groups[i][setting], form,
                                                           self.shape(key, self.params[i]))
            self.fresh.remove(i)
        self.careful = bool(self.fresh)

    def copy(self, last: Copies | None, grads: list[Any]) -> Copies:
        self.settle()
        written: list[Written] = []
        for i, (p, state, g) in enumerate(zip(self.params, self.state, grads, strict=True)):
            if isinstance(g, Rows):
                touched = np.unique(g.ids)
                written += [(part, touched) for a in (p, *state.values()) for part in by_row(a, p)]
                written += [(self.behind[i].last, touched)] if i in self.behind else []
            else:
                written += [(a, None) for a in (p, *state.values())]
        kept = last[1] if last is not None else []
        shapes = [(a.shape if rows is None else (len(rows), *a.shape[1:]), a.dtype) for a, rows in written]
        if [(a.shape, a.dtype) for a in kept] != shapes:
            kept = [np.empty_like(a) if rows is None else np.empty(shape, dtype)
                    for (a, rows), (shape, dtype) in zip(written, shapes, strict=True)]
        for copy, (a, rows) in zip(kept, written, strict=True):
            copy[...] = a if rows is None else a[rows]
        return written, kept, list(self.steps)

    def restore(self, copies: Copies) -> None:
        """Take back what `copy` has copied."""
        written, kept, steps = copies
        for (a, rows), copy in zip(written, kept, strict=True):
            a[slice(None) if rows is None and a.ndim else () if rows is None else rows] = copy
        fresh = {i for i, t in enumerate(steps) if t == 0 and self.fill and self.state[i]}
        self.take_over(self.state, steps, fresh)

    def take_over(self, state: list[dict[str, Array]], steps: list[int], fresh: set[int]) -> None:
        """Let this be the state; the shares are laid out anew at the next step."""
        self.state, self.steps, self.fresh, self.careful = state, steps, fresh, bool(fresh)
        self.shares, self.meaning, self.unusual = [], None, set()

    def __getstate__(self) -> dict[str, Any]:
        self.settle()                                   # plans hold addresses; they are laid out again at the next step
        gone = ("groups", "params", "memory", "shares", "meaning", "turn", "unusual")
        return {k: v for k, v in self.__dict__.items() if k not in gone}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, shares=[], meaning=None, unusual=set(), memory=_arrays.Memory())
        self.given.restore(self.view)
        self.groups, self.params = self.given.groups, list(self.given.arrays)
        self.turn = _kernels.Turn()
        self.given.watched(self.turn)
        self.memory.add(self.labels, self.params)
