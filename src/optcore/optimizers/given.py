"""What the caller gave, and keeps: the dicts, lists and arrays in which the parameters are.

Owns which arrays are trained. They are looked at before each step: what is bound to another array in the dict or list
that was given is trained from then on, with the state of its name or place. An array put into a group's own list
"params" is a new parameter, as in torch.optim, and one that is taken out of it is no longer trained. So no step trains
an array that nobody holds. Never touches an array's elements.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from optcore.step import arrays as _arrays
from optcore.step.arrays import Array

Group = dict[str, Any]
View = Callable[[Group, str, Any], Array]            # of a parameter of a group, by its label


class Source(NamedTuple):
    """Where a group's parameters are: a mapping and its keys, or a list."""

    container: Any
    names: list[Any] | None

    @classmethod
    def of(cls, params: Any) -> Source:
        if isinstance(params, Mapping):
            _arrays.members(params)
            return cls(params, list(params))
        if _arrays.is_array(params):
            return cls([params], None)
        if isinstance(params, (Sequence, Iterator)) and not isinstance(params, str):
            return cls(params if isinstance(params, list) else list(params), None)
        raise TypeError(f"params: an array, a list or a dict of arrays is needed, got {type(params).__name__}")

    def objects(self, labels: Sequence[str]) -> list[Any]:
        """The arrays, one for each label, or the error that names one that is gone."""
        found = []
        for k, label in enumerate(labels):
            try:
                found.append(self.container[k if self.names is None else self.names[k]])
            except LookupError:
                raise ValueError(f"{label} is no longer in what the parameters were given in") from None
        return found


class Member(NamedTuple):
    """One parameter as it is found."""

    given: Any                  # the caller's array
    array: Array                # a view of it
    label: str                  # what messages call it
    name: Any                   # its key, if the parameters have names
    old: int | None             # its number until now; None: it is new


class Given:
    """groups: the optimizer's param_groups, the list itself."""

    def __init__(self, groups: list[Group]) -> None:
        self.groups = groups
        self.seen: list[Group] = []                     # the groups as they were looked at
        self.sources: list[Source] = []                 # of each
        self.containers: list[Any] = []                 # theirs
        self.sizes: list[int] = []                      # and how many parameters it has
        self.members: list[Member] = []
        self.objects: list[Any] = []
        self.arrays: list[Array] = []

    def add(self, source: Source, members: list[Member], group: Group) -> None:
        self.seen.append(group)
        self.sources.append(source)
        self.containers.append(source.container)
        self.sizes.append(len(members))
        self.members += members
        self.objects += [m.given for m in members]
        self.arrays += [m.array for m in members]

    def watched(self, turn: Any) -> None:
        """Let the lock know what to look at before each step. It knows dicts and lists; for any other container it says
        each time that it may have changed."""
        turn.watch(self.groups, self.arrays, self.containers, self.objects)

    def look(self, view: View, named: bool) -> Given:
        """What there is now. Raises TypeError or ValueError, naming it, for what cannot be trained."""
        found = Given(self.groups)
        known = {id(x): k for k, m in enumerate(self.members) for x in (m.array, m.given)}
        places, start = {}, 0
        for group, source, size in zip(self.seen, self.sources, self.sizes, strict=True):
            places[id(group)] = source, range(start, start + size)
            start += size
        for k, group in enumerate(self.groups):
            if not isinstance(group, dict) or not isinstance(group.get("params"), list):
                raise TypeError(f"param_groups[{k}]: a dict with a list 'params' is needed; add_param_group makes one")
            place, numbers = places.get(id(group), (None, range(0)))
            mine = group["params"]
            if place is not None and len(mine) == len(numbers) and all(
                    self.members[i].array is x for i, x in zip(numbers, mine, strict=True)):
                source = place
                now = source.objects([self.members[i].label for i in numbers])
                members = [self._bound(i, x, view, group) for i, x in zip(numbers, now, strict=True)]
            else:
                members = [self._listed(f"param_groups[{k}]['params'][{j}]", x, known.get(id(x)), view, named, group)
                           for j, x in enumerate(mine)]
                source = Source(mine, None)
                members = [m._replace(given=m.array) for m in members]      # what the list is made to hold
            if not named:                   # their names are their places, which may have changed
                first = len(found.members)
                members = [m._replace(label=f"params[{first + j}]") for j, m in enumerate(members)]
            found.add(source, members, group)
        return found

    def _bound(self, i: int, x: Any, view: View, group: Group) -> Member:
        was = self.members[i]
        if x is was.given or x is was.array:
            return was._replace(given=x, old=i)
        a = view(group, was.label, x)
        if (a.shape, a.dtype) != (was.array.shape, was.array.dtype):
            raise ValueError(f"{was.label} was bound to an array of {a.dtype} and shape {a.shape}, it was of "
                             f"{was.array.dtype} and {was.array.shape}: make a new optimizer for it")
        if _arrays.bounds(a) == _arrays.bounds(was.array):      # another object on the same memory
            return was._replace(given=x, old=i)
        return Member(x, a, was.label, was.name, i)

    def _listed(self, label: str, x: Any, i: int | None, view: View, named: bool, group: Group) -> Member:
        if i is not None:
            return self.members[i]._replace(old=i)
        if named:
            raise ValueError(f"{label} has no name, as the other parameters have: add it with add_param_group")
        return Member(x, view(group, label, x), label, None, None)

    def write_back(self) -> None:
        """Let the groups' lists hold the arrays that were found."""
        start = 0
        for group, size in zip(self.groups, self.sizes, strict=True):
            group["params"][:] = self.arrays[start:start + size]
            start += size

    def __getstate__(self) -> dict[str, Any]:
        # What was given, and no views of it: they are taken anew of what is there after a copy, or from a file.
        parts = [({k: v for k, v in group.items() if k != "params"}, source, group["params"] is source.container)
                 for group, source in zip(self.seen, self.sources, strict=True)]
        return {"parts": parts,
                "sizes": self.sizes, "about": [(m.label, m.name) for m in self.members]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__([])       # type: ignore[misc]
        self._restored = state

    def restore(self, view: View) -> None:
        """After __setstate__: take the views of what is there now."""
        state, about = self.__dict__.pop("_restored"), 0
        for (settings, source, listed), size in zip(state["parts"], state["sizes"], strict=True):
            labels = state["about"][about:about + size]
            about += size
            now = source.objects([label for label, _ in labels])
            members = [Member(x, view(settings, label, x), label, name, None)
                       for x, (label, name) in zip(now, labels, strict=True)]
            group = {"params": source.container if listed else [m.array for m in members], **settings}
            self.groups.append(group)
            self.add(source, members, group)
