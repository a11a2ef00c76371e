"""The optimizer classes, made from the table: parameter groups, state, one walk over all tensors a step.

Owns what lasts between steps. All arithmetic is below: which rule a group means and its scalars come from
_specs.py, the walk from the kernels. A step checks every setting and every gradient before the first change.
"""
from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from optcore import _arrays, _kernels, _threads
from optcore._arrays import Array
from optcore._specs import FAMILIES, RULES, Family, Rule, explain, whole


def _allocate(p: Array, value: float) -> Array:
    """A state array for p, filled with value, that lies as p does in its cache line: all streams of the walk
    then cross lines at the same elements."""
    raw = np.zeros(p.nbytes + 64, np.uint8)
    first = (_arrays.bounds(p)[0] - _arrays.bounds(raw)[0]) % 64
    a = raw[first:first + p.nbytes].view(np.float32).reshape(p.shape)
    if value:
        a[...] = value
    return a


def _is_array(x: Any) -> bool:
    return not isinstance(x, (Mapping, list, tuple)) and (
        isinstance(x, np.ndarray) or hasattr(x, "__array_interface__") or hasattr(x, "__dlpack__")
        or hasattr(x, "__buffer__") or isinstance(x, (bytearray, memoryview)))


class _Walk:
    """One rule's share of a step: its tensors, ready for the kernels."""

    def __init__(self, rule: Rule, rows: list[tuple[Array, ...]], members: list[int], groups: list[int]) -> None:
        self.plan = _kernels.Plan(_kernels.rule_index(rule.kernel), rows)
        self.members = members              # indices of the tensors
        self.groups = groups                # the group of each


class Optimizer:
    """What all optimizer classes share. Not used by itself; see optcore.Adam and its siblings."""

    family: ClassVar[Family]

    def __init__(self, params: Any, *args: Any, **settings: Any) -> None:
        bound = self._settings_signature().bind(*args, **settings)
        bound.apply_defaults()
        self.defaults: dict[str, Any] = dict(bound.arguments)
        self.param_groups: list[dict[str, Any]] = []
        self._params: list[Array] = []
        self._names: list[str] | None = None
        self._labels: list[str] = []
        self._state: list[dict[str, Any]] = []
        self._walks: list[_Walk] = []
        self._meaning: tuple[str, ...] | None = None
        groups = params if isinstance(params, (list, tuple)) and params and all(
            isinstance(g, Mapping) and "params" in g for g in params) else [{"params": params}]
        for group in groups:
            self.add_param_group(group)

    @classmethod
    def _settings_signature(cls) -> inspect.Signature:
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        return inspect.Signature([inspect.Parameter(n, kind, default=d) for n, d in cls.family.settings.items()])

    def __repr__(self) -> str:
        settings = ", ".join(f"{k}={v!r}" for k, v in self.defaults.items())
        return (f"{type(self).__name__}({settings}): {len(self._params)} tensors, "
                f"{sum(p.size for p in self._params)} parameters, {len(self.param_groups)} groups")

    # -------------------------------------------------------------------------------- parameters and settings

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
        names: list[str] | None = None
        if isinstance(params, Mapping):
            names, arrays = [str(n) for n in params], list(params.values())
        elif _is_array(params):
            arrays = [params]
        elif isinstance(params, Sequence) and not isinstance(params, str):
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
        views = [_arrays.view(label, a, writable=True) for label, a in zip(labels, arrays, strict=True)]
        _arrays.check_disjoint([*self._labels, *labels], [*self._params, *views])

        self._params += views
        self._labels += labels
        if names is not None:
            self._names = [*(self._names or []), *names]
        self._state += [{} for _ in views]
        self.param_groups.append({"params": views, **settings})
        self._meaning = None

    def _scalars(self, group: Mapping[str, Any], step: int) -> tuple[float, ...]:
        """The scalars of a group's rule, after checking every setting."""
        try:
            explain(group, self.family.domains)
            name, values = self.family.pick(group)
        except (TypeError, ValueError) as e:
            betas = group.get("betas", (0, 0))
            if not isinstance(betas, (tuple, list)) or len(betas) != 2:
                raise ValueError(f"betas={betas!r}: two numbers are needed") from None
            raise e
        return RULES[name].scalars(step, *values)

    # -------------------------------------------------------------------------------------------- the step

    def step(self, grads: Any, *, num_threads: int | None = None) -> None:
        """Update all parameters in place, in one walk.

        grads: as the parameters were given: a dict by the same names, a list in the same order (over all groups),
        or one array. None in place of an array leaves that parameter and its state as they are.
        num_threads: threads for this call (default: see optcore.get_num_threads).

        Raises TypeError or ValueError, naming the argument, before anything is changed.
        """
        flat = self._flat(grads)
        threads = 0 if num_threads is None else _threads.checked(num_threads)
        pick = self.family.pick
        meant = []
        for group in self.param_groups:
            if self.family.domains:
                explain(group, self.family.domains)
            meant.append(pick(group))
        meaning = tuple([name for name, _ in meant])
        if meaning != self._meaning:
            self._prepare(meaning)
        state = self._state
        calls = []
        for walk in self._walks:
            blocks: list[tuple[float, ...]] = []
            which: list[int] = []
            known: dict[tuple[int, int], int] = {}
            for i, group_number in zip(walk.members, walk.groups, strict=True):
                if flat[i] is None:
                    which.append(0)
                    continue
                step = state[i].get("step", 0) + 1
                block = known.get((group_number, step))
                if block is None:
                    name, values = meant[group_number]
                    block = known[group_number, step] = len(blocks)
                    blocks.append(RULES[name].scalars(step, *values))
                which.append(block)
            calls.append((walk, blocks, which))
        if len(calls) > 1:                      # a refusal by the second walk would come after the first one's work
            flat = self._checked(flat)
        for walk, blocks, which in calls:
            mine = [flat[i] for i in walk.members]
            if not walk.plan.step(mine, blocks, which, threads):
                flat = self._checked(flat)
                if not walk.plan.step([flat[i] for i in walk.members], blocks, which, threads):
                    raise AssertionError("the kernels refused gradients that passed every check")
        for i, g in enumerate(flat):
            if g is not None and "step" in state[i]:
                state[i]["step"] += 1

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
            return list(grads)
        if len(self._params) == 1 and not isinstance(grads, Mapping):
            return [grads]
        raise TypeError(f"grads: a list of {len(self._params)} arrays is needed, got {type(grads).__name__}")

    def _checked(self, flat: list[Any]) -> list[Any]:
        """Usable views of all gradients, or the error that names the first that cannot be used."""
        written = list(zip(self._labels, self._params, strict=True))
        for label, state in zip(self._labels, self._state, strict=True):
            written += [(f"the state of {label}", a) for k, a in state.items() if k != "step"]
        return [None if g is None else _arrays.gradient(
                    label.replace("params", "grads", 1), g, label, p.shape, written)
                for g, label, p in zip(flat, self._labels, self._params, strict=True)]

    def _prepare(self, meaning: tuple[str, ...]) -> None:
        """Allocate the state that the groups' rules need, and lay out the walks, one for each kernel."""
        self._ensure_state(meaning)
        gathered: dict[str, tuple[Rule, list[tuple[Array, ...]], list[int], list[int]]] = {}
        i = 0
        for number, (group, name) in enumerate(zip(self.param_groups, meaning, strict=True)):
            rule = RULES[name]
            _, rows, members, groups = gathered.setdefault(rule.kernel, (rule, [], [], []))
            for p in group["params"]:
                rows.append((p, *(self._state[i][k] for k in rule.keys)))
                members.append(i)
                groups.append(number)
                i += 1
        self._walks = [_Walk(*x) for x in gathered.values() if x[2]]
        self._meaning = meaning

    def _ensure_state(self, meaning: tuple[str, ...]) -> None:
        i = 0
        for group, name in zip(self.param_groups, meaning, strict=True):
            for p in group["params"]:
                for key in RULES[name].keys:
                    self._state[i].setdefault("step", 0)
                    if key not in self._state[i]:
                        self._state[i][key] = _allocate(p, group.get(self.family.fill.get(key, ""), 0.0))
                i += 1

    # ------------------------------------------------------------------------------------------- the state

    @property
    def state(self) -> tuple[Mapping[str, Any], ...]:
        """For each parameter its state: "step" and arrays by torch's names. The arrays may be changed in place."""
        return tuple(MappingProxyType(s) for s in self._state)

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything that lasts: {"state": {number: {...}}, "param_groups": [...]}, laid out as torch's.

        A parameter that has taken no step has no entry under "state".
        """
        groups, i = [], 0
        for group in self.param_groups:
            numbers = list(range(i, i + len(group["params"])))
            i += len(numbers)
            groups.append({**{k: v for k, v in group.items() if k != "params"}, "params": numbers})
            if self._names is not None:
                groups[-1]["param_names"] = [self._names[k] for k in numbers]
        return {"state": {k: {n: v if n == "step" else v.copy() for n, v in s.items()}
                          for k, s in enumerate(self._state) if s.get("step", 0)},
                "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over settings and state that `state_dict` gave, copying the arrays.

        Raises before anything is changed if groups, names, shapes, dtypes or settings do not fit.
        """
        groups, states = state_dict["param_groups"], state_dict["state"]
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
        meaning = tuple(self.family.pick(s)[0] for s in new_settings)
        allowed = {key for rule in RULES.values() for key in rule.keys}
        new_state: list[dict[str, Any]] = [{} for _ in self._params]
        for number, entries in states.items():
            if number not in order:
                raise ValueError(f"state[{number!r}] belongs to no parameter")
            i = order[number]
            new_state[i] = {"step": whole(f"state[{number!r}]['step']", entries["step"], least=0)}
            for key, x in entries.items():
                if key == "step":
                    continue
                if key not in allowed:
                    raise ValueError(f"state[{number!r}][{key!r}] is no state of {type(self).__name__}")
                label = f"state[{number!r}][{key!r}]"
                a = _arrays.view(label, x, writable=False)
                _arrays.check_shape(label, a, self._labels[i], self._params[i].shape)
                new_state[i][key] = _allocate(self._params[i], 0.0)
                new_state[i][key][...] = a
        for group, settings in zip(self.param_groups, new_settings, strict=True):
            group.update(settings)
        self._state = new_state
        self._prepare(meaning)

    def __getstate__(self) -> dict[str, Any]:
        # Walks hold addresses; they are laid out again at the next step.
        return {**self.__dict__, "_walks": [], "_meaning": None}


class _Lookahead(Optimizer):
    """Adds the way to the point at which classical Nesterov takes its gradient."""

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
        meaning = tuple(self.family.pick(group)[0] for group in self.param_groups)
        for group in self.param_groups:
            self._scalars(group, 1)
        if meaning != self._meaning:
            self._prepare(meaning)
        saved = [np.empty_like(p) for p in self._params]
        blocks = [RULES["lookahead"].scalars(1, group["momentum"]) for group in self.param_groups]
        which = [k for k, group in enumerate(self.param_groups) for _ in group["params"]]
        plan = _kernels.Plan(_kernels.rule_index("Lookahead"), list(zip(self._params, saved, strict=True)))
        plan.step([s["velocity"] for s in self._state], blocks, which)
        self._ahead = True
        try:
            yield
        finally:
            for p, before in zip(self._params, saved, strict=True):
                p[...] = before
            self._ahead = False

    def step(self, grads: Any, *, num_threads: int | None = None) -> None:
        if self._ahead:
            raise RuntimeError("step() inside lookahead(): leave it first, so that the parameters are back")
        super().step(grads, num_threads=num_threads)


_Lookahead.step.__doc__ = Optimizer.step.__doc__


def _docstring(family: Family) -> str:
    settings = ", ".join(f"{k}={v!r}" for k, v in family.settings.items())
    return f"""{family.title}.

    {family.name}(params, {settings})

Parameters
    params: an array, a list of arrays, a dict of arrays, or a list of groups {{"params": ..., setting: value}};
        float32, C-contiguous, NumPy or anything with the buffer protocol, __array_interface__ or CPU DLPack.
        Updated in place by `step`, never copied.
    the others: names, meaning and defaults of torch.optim; they may be changed between steps in `param_groups`.

    >>> import numpy as np, optcore as oc
    >>> w = np.ones(3, np.float32)
    >>> opt = oc.{family.name}([w], lr=0.1)
    >>> opt.step([np.full(3, 0.5, np.float32)])
    >>> bool((w < 1).all())
    True
"""


def _make_class(family: Family) -> type[Optimizer]:
    base = _Lookahead if family.name == "NesterovClassical" else Optimizer
    made = type(family.name, (base,), {"family": family, "__doc__": _docstring(family), "__module__": __name__})
    signature = made._settings_signature()
    made.__signature__ = signature.replace(parameters=[
        inspect.Parameter("params", inspect.Parameter.POSITIONAL_OR_KEYWORD), *signature.parameters.values()])
    return made


for _family in FAMILIES.values():
    globals()[_family.name] = _make_class(_family)
del _family

__all__ = ["Optimizer", *FAMILIES]
