"""The arrays of an optimizer: parameters and state, as the kernels hold them between steps.

Owns which arrays are trained, what is kept of each, how many steps each has taken, and the shares of a step over them
(step/share.py). Checks every array before it is taken; never changes one but to allocate or restore state.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from optcore.formats import decode, playing
from optcore.rules import RULES, Family, Rule
from optcore.step import arrays as _arrays
from optcore.step.arrays import Array
from optcore.step.policy import Tensors
from optcore.step.share import Elementwise, Gathered
from optcore.step.state import BESIDE, StateFormats, beside

Group = dict[str, Any]
Copies = tuple[list[Array], list[Array], list[int]]         # arrays, what they held, and the counts of steps


class Layout(Tensors):
    """groups: the optimizer's param_groups, the list itself. averaged: whether averages of the parameters are kept."""

    def __init__(self, family: Family, groups: list[Group], formats: StateFormats, rounding: str,
                 averaged: bool) -> None:
        self.fill = dict(family.fill)                   # state -> the setting that it begins at
        self.groups, self.formats = groups, formats
        self.rounding, self.averaged = rounding, averaged
        self.params: list[Array] = []
        self.labels: list[str] = []                     # what messages call each of them
        self.names: list[Any] | None = None             # their keys, if they were given by name
        self.steps: list[int] = []                      # taken by each, where the shares do not know better
        self.state: list[dict[str, Array]] = []         # of each its arrays, by torch's names
        self.fresh: set[int] = set()                    # tensors before their first step, with state that has a start
        self.shares: list[Elementwise] = []
        self.meaning: list[str] | None = None           # the rule of each group, as the shares know it

    # -------------------------------------------------------------------------------------------- parameters

    def add(self, params: Any) -> list[Array]:
        """Take parameters, and give views of them. Raises before anything is added."""
        names: list[Any] | None = None
        if isinstance(params, Mapping):
            names, arrays = list(params), _arrays.members(params)
        elif _arrays.is_array(params):
            arrays = [params]
        elif isinstance(params, (Sequence, Iterator)) and not isinstance(params, str):
            arrays = list(params)
        else:
            raise TypeError(f"params: an array, a list or a dict of arrays is needed, got {type(params).__name__}")
        if self.params and (names is None) != (self.names is None):
            raise ValueError("params: give the parameters of all groups by name, or of none")
        first = len(self.params)
        labels = [f"params[{n!r}]" for n in names] if names is not None else [
            f"params[{first + k}]" for k in range(len(arrays))]
        for label in labels:
            if label in self.labels:
                raise ValueError(f"{label} is in two groups")
        # Under a master, the parameter is a rounded copy of what is updated.
        formats = dict.fromkeys((*_arrays.PARAMETER, *(playing("copy") if self.rounding == "master" else ())))
        views = [_arrays.view(label, a, writable=True, formats=tuple(formats))
                 for label, a in zip(labels, arrays, strict=True)]
        _arrays.intervals([*self.labels, *labels], [*self.params, *views])

        self.params += views
        self.labels += labels
        if names is not None:
            self.names = [*(self.names or []), *names]
        self.steps += [0] * len(views)
        self.state += [{} for _ in views]
        self.meaning = None
        return views

    def as_given(self, arrays: list[Array]) -> Any:
        """One array for each parameter, as these were given: a dict, or a list over all groups."""
        return dict(zip(self.names, arrays, strict=True)) if self.names is not None else arrays

    # -------------------------------------------------------------------------------------------- gradients

    def flat(self, grads: Any) -> list[Any]:
        """The gradients as a list in the order of the parameters."""
        if self.names is not None:
            if not isinstance(grads, Mapping):
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
        labels, arrays = list(self.labels), list(self.params)
        for label, state in zip(self.labels, self.state, strict=True):
            labels += [f"the state of {label}"] * len(state)
            arrays += state.values()
        written = _arrays.intervals(labels, arrays)
        names = self.gradient_names()
        views = [None if g is None else _arrays.gradient(name, g, label, p.shape, written, writable=writable)
                 for name, g, label, p in zip(names, flat, self.labels, self.params, strict=True)]
        if writable:
            pairs = [(name, g) for name, g in zip(names, views, strict=True) if g is not None]
            _arrays.intervals([name for name, _ in pairs], [g for _, g in pairs])
        return views

    def gradient_names(self) -> list[str]:
        return [label.replace("params", "grads", 1) for label in self.labels]

    # -------------------------------------------------------------------------------------------- state and shares

    def form(self, key: str, p: Array) -> str | None:
        """The storage format of a tensor's array of this name; None if it has none."""
        if key in self.formats.wanted:
            return self.formats.of(key, p.size)
        return beside(p.dtype != np.float32, self.rounding, self.averaged).get(key)

    def prepare(self, meaning: list[str]) -> None:
        """Allocate the state that the groups' rules need, and lay out the shares, one for each kernel."""
        self.settle()
        gathered, i = Gathered(), 0
        for k, (group, name) in enumerate(zip(self.groups, meaning, strict=True)):
            rule = RULES[name]
            for _ in group["params"]:
                gathered.add(rule, self.row(i, rule, group), i, k)
                i += 1
        self.shares = gathered.shares(self.steps, self.rounding == "nearest")
        self.meaning = meaning

    def row(self, i: int, rule: Rule, group: Mapping[str, Any]) -> tuple[Array | None, ...]:
        """What the kernels update of tensor i, in their order; what it still lacks is made here."""
        p, state = self.params[i], self.state[i]
        if self._begins(i, rule):
            self.steps[i] = 0
        for key in (*rule.keys, *BESIDE):
            form = self.form(key, p)
            if form is not None and key not in state:
                state[key] = _arrays.allocate(p, group.get(self.fill.get(key, ""), 0.0), form)
                if key in ("master", "average"):
                    state[key][...] = state["master"] if key == "average" and "master" in state else decode(p)
                if key in self.fill:
                    self.fresh.add(i)
                    self.careful = True                 # what begins is seen from outside: nothing may be refused then
        master = state.get("master")
        return (p if master is None else master, *(state[key] for key in rule.keys), state.get("compensation"),
                None if master is None else p, state.get("average"))

    def _begins(self, i: int, rule: Rule) -> bool:
        """Whether tensor i has none of the state that the rule needs: as in torch, steps count from the first on."""
        return bool(rule.keys) and not self.state[i].keys() & self.formats.wanted.keys()

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

    def begin(self, grads: list[Any]) -> None:
        """Let state that begins at a setting take its value at the tensor's first step (Rprop's lr), not the value that
        the setting had when the array was made."""
        groups = [group for group in self.groups for _ in group["params"]]
        for i in [i for i in self.fresh if grads[i] is not None]:
            for key, setting in self.fill.items():
                form = self.form(key, self.params[i]) or "float32"
                self.state[i][key][...] = _arrays.allocate(self.params[i], groups[i][setting], form)
            self.fresh.remove(i)
        self.careful = bool(self.fresh)

    def copy(self, last: Copies | None) -> Copies:
        self.settle()
        arrays = [*self.params, *(a for state in self.state for a in state.values())]
        kept = last[1] if last is not None else []
        if [a.shape for a in kept] != [a.shape for a in arrays] or [a.dtype for a in kept] != [a.dtype for a in arrays]:
            kept = [np.empty_like(a) for a in arrays]
        for copy, a in zip(kept, arrays, strict=True):
            copy[...] = a
        return arrays, kept, list(self.steps)

    def restore(self, copies: Copies) -> None:
        """Take back what `copy` has copied."""
        arrays, kept, steps = copies
        for a, copy in zip(arrays, kept, strict=True):
            a[...] = copy
        fresh = {i for i, t in enumerate(steps) if t == 0 and self.fill and self.state[i]}
        self.take_over(self.state, steps, fresh)

    def take_over(self, state: list[dict[str, Array]], steps: list[int], fresh: set[int]) -> None:
        """Let this be the state; the shares are laid out anew at the next step."""
        self.state, self.steps, self.fresh, self.careful = state, steps, fresh, bool(fresh)
        self.shares, self.meaning = [], None

    def __getstate__(self) -> dict[str, Any]:
        self.settle()                                   # plans hold addresses; they are laid out again at the next step
        return {**self.__dict__, "shares": [], "meaning": None}
