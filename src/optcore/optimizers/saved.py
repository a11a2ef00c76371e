"""What of an optimizer lasts: its state, as dictionaries and as files.

Owns what a state dict holds and what is checked before one is taken over; the files are _files.py's.
"""
from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from optcore import _files
from optcore.formats import FORMATS
from optcore.optimizers.layout import Layout
from optcore.rules import Family
from optcore.rules.settings import whole
from optcore.step import arrays as _arrays
from optcore.step.arrays import Array


class Saved:
    """The part of Optimizer that gives its state away and takes it over."""

    family: ClassVar[Family]
    defaults: dict[str, Any]
    param_groups: list[dict[str, Any]]
    _layout: Layout
    _before: Any                        # what undo() needs

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

        A parameter that has taken no step has no entry under "state".
        """
        layout = self._layout
        layout.settle()
        groups, i = [], 0
        for group in self.param_groups:
            numbers = list(range(i, i + len(group["params"])))
            i += len(numbers)
            groups.append({**{k: v for k, v in group.items() if k != "params"}, "params": numbers})
            if layout.names is not None:
                groups[-1]["param_names"] = [layout.names[k] for k in numbers]
        return {"state": {k: {"step": t, **{n: a.copy() for n, a in s.items()}}
                          for k, (t, s) in enumerate(zip(layout.steps, layout.state, strict=True)) if t},
                "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over settings and state that `state_dict` gave, copying the arrays.

        Raises before anything is changed if groups, names, shapes, dtypes or settings do not fit.
        """
        groups, states, layout = state_dict["param_groups"], state_dict["state"], self._layout
        mine = self.state_dict()["param_groups"]
        if len(groups) != len(mine):
            raise ValueError(f"param_groups: {len(mine)} groups are needed, got {len(groups)}")
        new_settings = []
        for k, (new, old) in enumerate(zip(groups, mine, strict=True)):
            for what in ("params", "param_names"):
                if len(new.get(what, ())) != len(old.get(what, ())) or (
                        what == "param_names" and list(new.get(what, ())) != list(old.get(what, ()))):
                    raise ValueError(f"param_groups[{k}][{what!r}] is {new.get(what)}, here it is {old.get(what)}")
            settings = {n: v for n, v in new.items() if n not in ("params", "param_names")}
            if settings.keys() != self.defaults.keys():
                odd = sorted(settings.keys() ^ self.defaults.keys())
                raise ValueError(f"param_groups[{k}]: missing or unknown settings {', '.join(odd)}")
            self._scalars(settings, 1)
            new_settings.append(settings)
        order = {number: i for i, number in enumerate(n for g in groups for n in g["params"])}
        meaning = [self.family.pick(s)[0] for s in new_settings]
        new_state: list[dict[str, Array]] = [{} for _ in layout.params]
        new_steps = [0] * len(layout.params)
        for number, entries in states.items():
            if number not in order:
                raise ValueError(f"state[{number!r}] belongs to no parameter")
            i = order[number]
            new_steps[i] = whole(f"state[{number!r}]['step']", entries["step"], least=0)
            for key, x in entries.items():
                if key == "step":
                    continue
                p, label = layout.params[i], f"state[{number!r}][{key!r}]"
                form = layout.form(key, p)
                if form is None:
                    raise ValueError(f"{label} is no state of {type(self).__name__}, as it is set up")
                a = _arrays.view(label, x, writable=False, formats=(form,))
                _arrays.check_shape(label, a, layout.labels[i], FORMATS[form].shape(p.shape))
                new_state[i][key] = _arrays.allocate(p, 0.0, form)
                new_state[i][key][...] = a
        for group, settings in zip(self.param_groups, new_settings, strict=True):
            group.update(settings)
        layout.take_over(new_state, new_steps, set())
        self._before = None
        layout.prepare(meaning)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write settings and state (not the parameters) to a file in safetensors format, with a checksum.

        However this ends, in an error or with the process killed, `path` is then the whole old file or the whole
        new one. Needs the safetensors library: pip install optcore[save].
        Schedules of optcore.schedules are written by name and arguments.
        Raises ValueError for a setting that a file cannot hold, such as a function of your own, OSError if the file
        cannot be written.
        """
        _files.save(path, self.state_dict(), self.family.name)

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
        return {**self.__dict__, "_before": None, "_turn": [None]}
