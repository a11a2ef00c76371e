"""What all optimizer classes share: parameter groups, state, one walk over all tensors a step.

Owns what lasts between steps. All arithmetic is below: which rule a group means and its scalars come from
_specs.py, the walk from the kernels. A step checks every setting and every gradient before the first change.
"""
from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from optcore.formats import decode
from optcore.optimizers.saved import Saved
from optcore.rules import RULES, SENSITIVE_STATE, Family, Rule
from optcore.rules.settings import CLIP_VALUE, FRACTION, NONNEGATIVE, POSITIVE, Setting, explain, number, whole
from optcore.step import arrays as _arrays
from optcore.step import threads as _threads
from optcore.step.arrays import Array
from optcore.step.share import Walk, scaled

NONFINITE = ("propagate", "skip", "raise")
ROUNDING = ("stochastic", "nearest", "kahan", "master")
SMALL = 4096                    # tensors of fewer elements keep float32 state where "int8" is asked for
MAX_NORM = Setting("max_norm", 1.0, NONNEGATIVE, "", scheduled=False)
GRAD_SCALE = Setting("grad_scale", 1.0, POSITIVE, "", scheduled=False)
AVERAGE = Setting("average", 0.999, FRACTION, "")
BESIDE = ("compensation", "master", "average")      # what may be kept of a parameter beside its rule's state


def formats(family: Family, wanted: str | Mapping[str, str]) -> dict[str, str]:
    """The storage format of each state array that a class may keep, by torch's name. wanted: state_dtype, as given."""
    keys = family.keys()
    if not isinstance(wanted, Mapping):
        wanted = dict.fromkeys(keys, wanted)
    for key, form in wanted.items():
        if key not in keys:
            raise ValueError(f"state_dtype: {key!r} is no state of {family.name}; it has {', '.join(keys)}")
        if form not in _arrays.STATE:
            raise ValueError(f"state_dtype={form!r}: it must be {' or '.join(_arrays.STATE)}")
    return {**dict.fromkeys(keys, "float32"), **wanted}


def beside(narrow: bool, rounding: str, averaged: bool) -> dict[str, str]:
    """The storage format of each of BESIDE that is kept; narrow: of a parameter that is not float32."""
    have = {"compensation": "bfloat16" if narrow and rounding == "kahan" else "",
            "master": "float32" if narrow and rounding == "master" else "",
            "average": "float32" if averaged else ""}
    return {key: form for key, form in have.items() if form}


class Optimizer(Saved):
    """What all optimizer classes share. Not used by itself; see optcore.Adam and its siblings."""

    def _set_up(self, params: Any, settings: dict[str, Any], state_dtype: str | Mapping[str, str], seed: int,
                nonfinite: str, rounding: str, average: Any) -> None:
        if nonfinite not in NONFINITE:
            raise ValueError(f"nonfinite={nonfinite!r}: it must be {' or '.join(NONFINITE)}")
        if rounding not in ROUNDING:
            raise ValueError(f"rounding={rounding!r}: it must be {' or '.join(ROUNDING)}")
        self.defaults = settings
        self.nonfinite = nonfinite
        self._rounding = rounding
        self._average = average
        self._weight(1)
        self.skipped = 0                                # steps left out under nonfinite="skip"
        self.grad_norm: float | None = None             # of the last step that needed it
        self._seed = whole("seed", seed, least=0)
        self._forms = formats(self.family, state_dtype)     # the storage format of each state array, by torch's name
        self._exact = SENSITIVE_STATE if isinstance(state_dtype, str) else set()
        self.param_groups, self._params, self._labels, self._names = [], [], [], None
        self._steps, self._state, self._fresh, self._walks, self._before = [], [], set(), [], None
        self._meaning: list[str] | None = None          # the rule of each group, as the walks know it
        self._turn = [None]                             # empty while a step is being made; list.pop is atomic
        groups = params if isinstance(params, (list, tuple)) and params and all(
            isinstance(g, Mapping) and "params" in g for g in params) else [{"params": params}]
        for group in groups:
            self.add_param_group(group)
        if not self._params and groups[0]["params"] is params:
            raise ValueError("params: it is empty")

    def __repr__(self) -> str:
        first, *others = self.param_groups
        settings = ", ".join(f"{k}={first[k]!r}" if all(g[k] == first[k] for g in others) else f"{k} by group"
                             for k in self.defaults)
        return (f"{type(self).__name__}({settings}): {len(self._params)} tensors, "
                f"{sum(p.size for p in self._params)} parameters, {len(self.param_groups)} groups")

    # -------------------------------------------------------------------------------- parameters and settings

    def _form(self, key: str, p: Array) -> str | None:
        """The storage format of a tensor's array of this name; None if it has none.

        Where state is asked to be int8, tensors of fewer than 4096 elements and the SENSITIVE_STATE keep float32.
        """
        if key in self._forms:
            exact = self._forms[key] == "int8" and (p.size < SMALL or key in self._exact)
            return "float32" if exact else self._forms[key]
        return beside(p.dtype != np.float32, self._rounding, self._average is not None).get(key)

    def _weight(self, step: int) -> float:
        """How far the average moves towards the parameters at a step."""
        return 0.0 if self._average is None else 1.0 - number(AVERAGE, self._average, step)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters, with settings of their own where they are given.

        group: {"params": array, list of arrays or dict of arrays, setting: value, ...}. Parameters are given by
        name (dicts) in all groups or in none. Raises before anything is added.
        """
        settings = {k: v for k, v in group.items() if k != "params"}
        for k in settings:
            if k not in self.defaults:
                raise TypeError(f"{k!r} is no setting of {type(self).__name__}; it has {', '.join(self.defaults)}")
        settings = {**self.defaults, **settings}
        self._scalars(settings, 1)

        params = group["params"]
        names: list[Any] | None = None
        if isinstance(params, Mapping):
            names, arrays = list(params), _arrays.members(params)
        elif _arrays.is_array(params):
            arrays = [params]
        elif isinstance(params, (Sequence, Iterator)) and not isinstance(params, str):
            arrays = list(params)
        else:
            raise TypeError(f"params: an array, a list or a dict of arrays is needed, got {type(params).__name__}")
        if self._params and (names is None) != (self._names is None):
            raise ValueError("params: give the parameters of all groups by name, or of none")
        first = len(self._params)
        labels = [f"params[{n!r}]" for n in names] if names is not None else [
            f"params[{first + k}]" for k in range(len(arrays))]
        for label in labels:
            if label in self._labels:
                raise ValueError(f"{label} is in two groups")
        formats = (*_arrays.PARAMETER, *(("float16",) if self._rounding == "master" else ()))
        views = [_arrays.view(label, a, writable=True, formats=formats)
                 for label, a in zip(labels, arrays, strict=True)]
        _arrays.intervals([*self._labels, *labels], [*self._params, *views])

        self._params += views
        self._labels += labels
        if names is not None:
            self._names = [*(self._names or []), *names]
        self._steps += [0] * len(views)
        self._state += [{} for _ in views]
        self.param_groups.append({"params": views, **settings})
        self._meaning = self._before = None

    def _scalars(self, group: Mapping[str, Any], step: int) -> tuple[float, ...]:
        """The scalars of a group's rule, after checking every setting."""
        explain(group, self.family.domains, step)
        name, values = self.family.pick(group)
        return RULES[name].scalars(step, *values)

    # -------------------------------------------------------------------------------------------- the step

    def step(self, grads: Any, *, num_threads: int | None = None, max_norm: float | None = None,
             clip_value: float | None = None, grad_scale: float | None = None, zero_grads: bool = False,
             undoable: bool = False) -> None:
        """Update all parameters in place, in one walk.

        grads: as the parameters were given: a dict by the same names, a list in the same order (over all groups),
        or one array. None in place of an array leaves that parameter and its state as they are.
        num_threads: threads for this call (default: see optcore.get_num_threads).
        grad_scale: what the gradients are too large by (loss scaling); the step is made as if they had been divided
        by it.
        max_norm: clip: the step is made as if all gradients had then been multiplied by
        min(1, max_norm / (norm + 1e-6)), with their global Euclidean norm, which `grad_norm` then holds. They are
        read once more for it, and not changed.
        clip_value: the step is made as if every element had then been brought into -clip_value..clip_value.
        zero_grads: set the gradients to zero, while they are in the cache; those of a skipped step too.
        undoable: keep what undo() needs: a copy of parameters and state (Adam: 12 bytes a parameter), taken before
        the step and held until the next one.

        Raises TypeError or ValueError, naming the argument, before anything is changed; under nonfinite="raise"
        FloatingPointError, naming gradient and index.
        """
        try:
            self._turn.pop()
        except IndexError:
            raise RuntimeError("this optimizer is in the middle of a step in another thread") from None
        try:
            self._step(grads, num_threads, max_norm, clip_value, grad_scale, zero_grads, undoable)
        finally:
            self._turn.append(None)

    def _step(self, grads: Any, num_threads: int | None, max_norm: float | None, clip_value: float | None,
              grad_scale: float | None, zero_grads: bool, undoable: bool) -> None:
        flat = self._flat(grads)
        threads = 0 if num_threads is None else _threads.checked(num_threads)
        measured = max_norm is not None or self.nonfinite != "propagate"
        if not (max_norm is clip_value is grad_scale is None):
            for value, setting in ((max_norm, MAX_NORM), (clip_value, CLIP_VALUE), (grad_scale, GRAD_SCALE)):
                if value is not None:
                    explain({setting.name: value}, (setting,))
        pick = self.family.pick
        try:
            meant = [pick(group) for group in self.param_groups]
        except Exception:
            for group in self.param_groups:     # the same error, or one that names the setting
                self._scalars(group, 1)
            raise
        meaning = [name for name, _ in meant]
        if meaning != self._meaning:            # new state is seen from outside: nothing may be refused after it
            for k, t in set(self._coming(meaning)):
                self._scalars(self.param_groups[k], t)
                self._weight(t)
            flat = self._checked(flat, zero_grads)
            self._prepare(meaning)
        calls = [(walk, *walk.blocks(meant, flat)) for walk in self._walks]
        if self._average is not None:
            calls = [(walk, [(t, x, self._weight(t)) for t, x in blocks], which) for walk, blocks, which in calls]
        if len(calls) > 1:                      # a refusal by the second walk would come after the first one's work
            flat = self._checked(flat, zero_grads)
        if measured or grad_scale is not None:
            factor: float | None = 1.0 / grad_scale if grad_scale is not None else 1.0
            if measured:
                flat, factor = self._measure(flat, threads, max_norm, 1.0 if grad_scale is None else grad_scale,
                                             zero_grads)
            if factor is None:
                self._before = None             # undo() takes back the last step asked for, not one before it
                return
            calls = [(walk, scaled(blocks, factor), which) for walk, blocks, which in calls]
        before = None
        if self._fresh:
            flat = self._checked(flat, zero_grads)      # what begins now is seen from outside, too
            self._begin(flat)
        if undoable:
            flat = self._checked(flat, zero_grads)      # a refused step must not cost the copy of the last one
            before = self._copy()
        rest = (threads, self._seed, zero_grads, math.inf if clip_value is None else clip_value)
        for walk, blocks, which in calls:
            stepped = walk.plan.step(walk.mine(flat), blocks, which, *rest)
            if stepped < 0:
                flat = self._checked(flat, zero_grads)
                stepped = walk.plan.step(walk.mine(flat), blocks, which, *rest)
                if stepped < 0:
                    raise AssertionError("the kernels refused gradients that passed every check")
            walk.count(stepped, flat)
        self._before = before

    @property
    def averages(self) -> Any:
        """The moving averages of the parameters, as these were given (a dict, or a list over all groups); float32.

        They begin as the parameters do before the first step. Raises RuntimeError before it, or without average=.
        """
        if self._average is None or not all("average" in s for s in self._state):
            raise RuntimeError("averages: there are none before the first step, or without average= at construction")
        arrays = [s["average"] for s in self._state]
        return dict(zip(self._names, arrays, strict=True)) if self._names is not None else arrays

    def _begin(self, flat: list[Any]) -> None:
        """Let state that begins at a setting take its value at the tensor's first step (Rprop's lr), not the value that
        the setting had when the array was made."""
        groups = [group for group in self.param_groups for _ in group["params"]]
        for i in [i for i in self._fresh if flat[i] is not None]:
            for key, setting in self.family.fill.items():
                form = self._form(key, self._params[i]) or "float32"
                self._state[i][key][...] = _arrays.allocate(self._params[i], groups[i][setting], form)
            self._fresh.remove(i)

    def _copy(self) -> tuple[list[Array], list[Array], list[int]]:
        """All arrays that a step writes, copies of them (in the memory of the last ones), and the counts of steps."""
        self._settle()
        arrays = [*self._params, *(a for state in self._state for a in state.values())]
        kept = self._before[1] if self._before is not None else []
        if [a.shape for a in kept] != [a.shape for a in arrays] or [a.dtype for a in kept] != [a.dtype for a in arrays]:
            kept = [np.empty_like(a) for a in arrays]
        for copy, a in zip(kept, arrays, strict=True):
            copy[...] = a
        return arrays, kept, list(self._steps)

    def undo(self) -> None:
        """Take back the last step, to the bit: parameters, state and counts are what they were before it.

        Raises RuntimeError if the last step was not made with undoable=True, or has been taken back.
        """
        if self._before is None:
            raise RuntimeError("undo: the last step was not made with undoable=True, or has been taken back")
        arrays, kept, self._steps = self._before
        for a, copy in zip(arrays, kept, strict=True):
            a[...] = copy
        self._before, self._walks, self._meaning = None, [], None
        self._fresh = {i for i, t in enumerate(self._steps) if t == 0 and self.family.fill and self._state[i]}

    def _measure(self, flat: list[Any], threads: int, max_norm: float | None, grad_scale: float,
                 zero_grads: bool) -> tuple[list[Any], float | None]:
        """Usable gradients and the factor that scales and clips them; None for it when this step is to be skipped."""
        sums = [walk.plan.squares(walk.mine(flat), threads) for walk in self._walks]
        if None in sums:
            flat = self._checked(flat, zero_grads)
            sums = [walk.plan.squares(walk.mine(flat), threads) for walk in self._walks]
        self.grad_norm = norm = math.sqrt(math.fsum(x for x in sums if x is not None)) / grad_scale
        if not math.isfinite(norm) and self.nonfinite != "propagate":
            flat = self._checked(flat, zero_grads)
            if self.nonfinite == "raise":
                _arrays.name_nonfinite([x.replace("params", "grads", 1) for x in self._labels], flat)
            self.skipped += 1
            for g in flat:
                if zero_grads and g is not None:
                    g[...] = 0
            return flat, None
        factor = 1.0 if max_norm is None else max_norm / (norm + 1e-6)
        return flat, (1.0 if factor > 1.0 else factor) / grad_scale     # not min(): a NaN reaches every parameter

    def _flat(self, grads: Any) -> list[Any]:
        """The gradients as a list in the order of the parameters."""
        if self._names is not None:
            if not isinstance(grads, Mapping):
                raise TypeError(f"grads: a dict by the parameters' names is needed, got {type(grads).__name__}")
            try:
                flat = [grads[n] for n in self._names]
            except KeyError as e:
                raise ValueError(f"grads: {e.args[0]!r} is missing (None leaves a parameter as it is)") from None
            if len(grads) != len(flat):
                unknown = next(n for n in grads if n not in self._names)
                raise ValueError(f"grads: there is no parameter {unknown!r}")
            return flat
        if isinstance(grads, (list, tuple)):
            if len(grads) != len(self._params):
                raise ValueError(f"grads: {len(self._params)} are needed, one for each parameter, got {len(grads)}")
            return grads if isinstance(grads, list) else list(grads)
        if len(self._params) == 1 and not isinstance(grads, Mapping):
            return [grads]
        raise TypeError(f"grads: a list of {len(self._params)} arrays is needed, got {type(grads).__name__}")

    def _checked(self, flat: list[Any], writable: bool) -> list[Any]:
        """Usable views of all gradients, or the error that names the first that cannot be used."""
        labels, arrays = list(self._labels), list(self._params)
        for label, state in zip(self._labels, self._state, strict=True):
            labels += [f"the state of {label}"] * len(state)
            arrays += state.values()
        written = _arrays.intervals(labels, arrays)
        names = [label.replace("params", "grads", 1) for label in self._labels]
        views = [None if g is None else _arrays.gradient(name, g, label, p.shape, written, writable=writable)
                 for name, g, label, p in zip(names, flat, self._labels, self._params, strict=True)]
        if writable:
            pairs = [(name, g) for name, g in zip(names, views, strict=True) if g is not None]
            _arrays.intervals([name for name, _ in pairs], [g for _, g in pairs])
        return views

    def _prepare(self, meaning: list[str]) -> None:
        """Allocate the state that the groups' rules need, and lay out the walks, one for each kernel."""
        self._settle()
        gathered: dict[str, tuple[Rule, list[tuple[Array | None, ...]], list[int], list[int]]] = {}
        i = 0
        for k, (group, name) in enumerate(zip(self.param_groups, meaning, strict=True)):
            rule = RULES[name]
            _, rows, members, groups = gathered.setdefault(rule.kernel, (rule, [], [], []))
            for _ in group["params"]:
                rows.append(self._row(i, rule, group))
                members.append(i)
                groups.append(k)
                i += 1
        self._walks = [Walk(*x, self._steps, self._rounding == "nearest") for x in gathered.values() if x[2]]
        self._meaning = meaning

    def _row(self, i: int, rule: Rule, group: Mapping[str, Any]) -> tuple[Array | None, ...]:
        """What the kernels update of tensor i, in their order; what it still lacks is made here."""
        p, state = self._params[i], self._state[i]
        if rule.keys and not state.keys() & self._forms.keys():
            self._steps[i] = 0                          # as in torch, steps count from the first state on
        for key in (*rule.keys, *BESIDE):
            form = self._form(key, p)
            if form is not None and key not in state:
                state[key] = _arrays.allocate(p, group.get(self.family.fill.get(key, ""), 0.0), form)
                if key in ("master", "average"):
                    state[key][...] = state["master"] if key == "average" and "master" in state else decode(p)
                if key in self.family.fill:
                    self._fresh.add(i)
        master = state.get("master")
        return (p if master is None else master, *(state[key] for key in rule.keys), state.get("compensation"),
                None if master is None else p, state.get("average"))

    def _coming(self, meaning: list[str]) -> list[tuple[int, int]]:
        """For each tensor its group's number and the step that it would take now, by a rule of these names."""
        self._settle()
        keys = [(k, RULES[name].keys) for k, (group, name) in enumerate(
            zip(self.param_groups, meaning, strict=True)) for _ in group["params"]]
        return [(k, 1 if needed and not state.keys() & self._forms.keys() else t + 1)    # as in _row
                for (k, needed), state, t in zip(keys, self._state, self._steps, strict=True)]
