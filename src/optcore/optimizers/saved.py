"""What of an optimizer lasts: its state, as dictionaries and as files.

Owns what a state dict holds and what is checked before one is taken over; the files are _files.py's.
"""
from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from optcore import _files
from optcore.formats import FORMATS, form_of, numbers, rows8
from optcore.optimizers.layout import Layout
from optcore.rules import RULES, Family
from optcore.rules.settings import whole
from optcore.step import arrays as _arrays
from optcore.step.arrays import Array, is_torch
from optcore.step.state import OF_GROUP, StateFormats


class Saved:
    """The part of Optimizer that gives its state away and takes it over."""

    family: ClassVar[Family]
    defaults: dict[str, Any]
    param_groups: list[dict[str, Any]]
    _layout: Layout
    _before: Any                        # what undo() needs
    _turn: Any                          # whether somebody is at work on it
    _from_torch = False                 # whether the state came from torch.optim

    def _scalars(self, group: Mapping[str, Any], step: int) -> tuple[float, ...]:
        raise NotImplementedError

    @property
    def state(self) -> tuple[Mapping[str, Any], ...]:
        """For each parameter its state: "step" and arrays by torch's names. The arrays may be changed in place."""
        self._layout.settle()
        return tuple(MappingProxyType({"step": t, **s})
                     for t, s in zip(self._layout.steps, self._layout.state, strict=True))

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything that lasts: {"state": {number: {...}}, "param_groups": [...]}, laid out as torch's.

        A parameter that has taken no step has no entry under "state". Of state that was taken over from torch.optim the
        arrays are tensors, so that it goes back there. Raises RuntimeError beside a step in another thread.
        """
        with self._turn:
            self._refuse_late()
            return self._as_dict(self._from_torch)

    def _refuse_late(self) -> None:
        if late := self._layout.late():
            raise RuntimeError(f'{late[0]} has rows that are behind (rows="dense"): call catch_up() before its state, '
                               "or the parameter, is saved")

    def _as_dict(self, tensors: bool) -> dict[str, Any]:
        layout = self._layout
        layout.look()
        layout.settle()
        groups, i = [], 0
        for group in self.param_groups:
            numbers = list(range(i, i + len(group["params"])))
            i += len(numbers)
            groups.append({**{k: v for k, v in group.items() if k != "params"}, "params": numbers})
            if layout.names is not None:
                groups[-1]["param_names"] = [layout.names[k] for k in numbers]
        state: dict[int, dict[str, Any]] = {
            k: {"step": t, **{n: a.copy() for n, a in s.items()}}
            for k, (t, s) in enumerate(zip(layout.steps, layout.state, strict=True)) if t}
        if tensors:
            as_torch = sys.modules["torch"].as_tensor
            state = {k: {n: as_torch(float(x) if n == "step" else widened(layout, n, k, x)) for n, x in s.items()}
                     for k, s in state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over settings and state that `state_dict` gave, or torch.optim's class of this name, copying the arrays.

        Arrays in another format than this optimizer keeps are converted by value, rounded to nearest. A group's own
        state_dtype and min_8bit_size are taken along, and stay where the state dict has none; so are keys of your own.
        Under rounding="master" parameters become at once what their masters round to.
        Raises before anything is changed, naming it, if groups, names, shapes or settings do not fit, if a state array
        is missing, or holds what it cannot (a second moment below 0, or not finite); RuntimeError beside a step in
        another thread.
        """
        with self._turn:
            groups, states = self._parts(state_dict)
            new_settings = [self._group(k, new, old) for k, (new, old) in enumerate(
                zip(groups, self._as_dict(False)["param_groups"], strict=True))]
            order = {number: i for i, number in enumerate(n for g in groups for n in g["params"])}
            rules = [RULES[self.family.pick(s)[0]]
                     for s, g in zip(new_settings, groups, strict=True) for _ in g["params"]]
            layout = self._layout
            formats = [layout.formats_of({**group, **s}) for group, s, g in zip(
                self.param_groups, new_settings, groups, strict=True) for _ in g["params"]]
            for label, p, kept in zip(layout.labels, layout.params, formats, strict=True):
                layout.check_formats(label, p, kept)
            new_state: list[dict[str, Array]] = [{} for _ in layout.params]
            new_steps = [0] * len(layout.params)
            tensors = False
            for number, entries in states.items():
                label = f"state[{number!r}]"
                if number not in order:
                    raise ValueError(f"{label} belongs to no parameter")
                if not isinstance(entries, Mapping):
                    raise TypeError(f"{label}: a dict is needed, got {type(entries).__name__}")
                i = order[number]
                new_steps[i] = count_in(label, entries, self.family.counted)
                for key, x in entries.items():
                    if key != "step" and key not in self.family.carries:
                        new_state[i][key] = taken_over(layout, label, key, x, i, formats[i])
                        tensors = tensors or is_torch(x)
                missing = [key for key in rules[i].keys if key not in new_state[i]]
                if missing and new_steps[i]:
                    raise ValueError(f"{label}[{missing[0]!r}] is missing: {self.family.name} keeps it")
            for group, settings in zip(self.param_groups, new_settings, strict=True):
                for key in [k for k in group if k != "params" and k not in settings and k not in OF_GROUP]:
                    del group[key]
                group.update(settings)
            layout.behind = {}
            layout.take_over(new_state, new_steps, set())
            for p, state in zip(layout.params, new_state, strict=True):
                if "master" in state:           # or the next step would take p for what others have written
                    p[...] = FORMATS[form_of(p)].store(state["master"]).reshape(p.shape)
            self._before, self._from_torch = None, tensors

    def _parts(self, state_dict: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], Mapping[Any, Any]]:
        """The groups and states of a state dict, or an error that names what it lacks."""
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"state_dict: a dict is needed, got {type(state_dict).__name__}")
        for key, kind, needed in (("param_groups", (list, tuple), "a list"), ("state", (Mapping,), "a dict")):
            if not isinstance(state_dict.get(key), kind):
                what = "is missing" if key not in state_dict else f"is a {type(state_dict[key]).__name__}"
                raise ValueError(f"state_dict[{key!r}] {what}: {needed} is needed")
        groups = list(state_dict["param_groups"])
        if len(groups) != len(self.param_groups):
            raise ValueError(f"param_groups: {len(self.param_groups)} groups are needed, got {len(groups)}")
        for k, group in enumerate(groups):
            if not isinstance(group, Mapping) or not isinstance(group.get("params"), (list, tuple)):
                raise ValueError(f"param_groups[{k}]: a dict with a list 'params' is needed")
        return groups, state_dict["state"]

    def _group(self, k: int, new: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a group that is taken over, after checking them, with the user's own keys."""
        names = ("param_names",) if "param_names" in old or self._layout.names is not None else ()
        for what in ("params", *names):
            if len(new.get(what, ())) != len(old.get(what, ())) or (
                    what == "param_names" and list(new.get(what, ())) != list(old.get(what, ()))):
                raise ValueError(f"param_groups[{k}][{what!r}] is {new.get(what)}, here it is {old.get(what)}")
        settings = {n: v for n, v in new.items() if n not in ("params", "param_names")}
        for name in self.defaults:
            if name not in settings:
                raise ValueError(f"param_groups[{k}]: missing or unknown settings {name}")
        for flag, other in self.family.becomes.items():
            if settings.get(flag):
                raise ValueError(f"param_groups[{k}]: {flag}={settings[flag]!r} is {other}'s; load it into one")
        self._scalars(settings, 1)
        return settings

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write settings and state (not the parameters) to a file in safetensors format, with a checksum.

        However this ends, in an error or with the process killed, `path` is then the whole old file or the whole
        new one. Needs the safetensors library: pip install optcore[save].
        Schedules of optcore.schedules are written by name and arguments.
        Raises ValueError for a setting that a file cannot hold, such as a function of your own, OSError if the file
        cannot be written.
        """
        with self._turn:
            self._refuse_late()
            saved = self._as_dict(False)
        _files.save(path, saved, self.family.name)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Take over settings and state that `save` wrote; the next steps are those that the saved one would make.

        Raises before anything is changed: ValueError, naming the file, if it is damaged, of another class or does
        not fit these parameters; OSError if it cannot be read.
        """
        saved = _files.load(path, self.family.name)
        try:
            self.load_state_dict(saved)
        except (TypeError, ValueError) as e:
            raise ValueError(f"{os.fsdecode(path)}: {e}") from e

    def __getstate__(self) -> dict[str, Any]:
        kept = {k: v for k, v in self.__dict__.items() if k not in ("_turn", "param_groups")}
        return {**kept, "_before": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        layout = state["_layout"]
        self.__dict__.update(state, _turn=layout.turn, param_groups=layout.groups)


def count_in(label: str, entries: Mapping[str, Any], counted: bool) -> int:
    """How many steps a state says were taken. torch keeps the count in a tensor of float32, and of SGD none: what has
    state there has taken one step at least."""
    if "step" not in entries and not counted:
        return 1
    if "step" not in entries:
        raise ValueError(f"{label}['step'] is missing")
    x = entries["step"]
    x = x.item() if hasattr(x, "item") and getattr(x, "ndim", 1) == 0 else x
    return whole(f"{label}['step']", int(x) if isinstance(x, float) and x.is_integer() else x, least=0)


def taken_over(layout: Layout, label: str, key: Any, x: Any, i: int, formats: StateFormats) -> Array:
    """A state array of parameter i in the format that is to be kept, with the values of x."""
    p, label = layout.params[i], f"{label}[{key!r}]"
    form = layout.form(key, p, formats)
    if form is None:
        raise ValueError(f"{label} is no state of this optimizer, as it is set up")
    a = _arrays.view(label, x, writable=False, formats=(*_arrays.STATE, "float16", *_arrays.EXTRAS.get(key, ())))
    kept, given, code = FORMATS[form], FORMATS[form_of(a)], layout.codes.get(key, 0)
    if given is not kept and not (given.by_itself and kept.by_itself):
        raise ValueError(f"{label} is {given.name}, {kept.name} is kept here: what a parameter lacks in one of them "
                         "says nothing in the other")
    a = given.renewed(a if given.block == 1 else rows8.in_blocks(a, p.shape), p.size, code)
    shape = layout.shape(key, p)
    _arrays.check_shape(label, a, f"the state of {layout.labels[i]}" if shape != p.shape else layout.labels[i],
                        given.shape(shape))
    made = _arrays.allocate(p, 0.0, form, shape)
    values = numbers(a, math.prod(shape), code, kept.arithmetic)
    if not np.isfinite(values).all() or code and (values < 0).any():
        what = "negative or not finite" if code else "not finite"
        raise ValueError(f"{label} has elements that are {what}")
    if given is kept:
        made[...] = a
    else:
        made[...] = kept.store(np.ascontiguousarray(values), code).reshape(made.shape)
    return made


def widened(layout: Layout, key: str, i: int, a: Array) -> Array:
    """A state array in its parameter's shape and arithmetic; what says nothing by itself as it is."""
    p = layout.params[i]
    if not FORMATS[form_of(a)].by_itself:
        return a
    shape = layout.shape(key, p)
    values: Array = numbers(a, math.prod(shape), layout.codes.get(key, 0), FORMATS[form_of(p)].arithmetic)
    return values.reshape(shape)
