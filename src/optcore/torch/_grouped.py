"""What a parameter group may have of its own beside torch's settings: the formats of its state.

Owns which of our keywords a group may have, and every check of what it asks for. What an optimizer's groups ask for is
compared at each step; what is no longer kept as it was is converted in _layout.py.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from optcore.formats import FORMATS
from optcore.rules import Family
from optcore.step.options import TORCH, defaults
from optcore.step.state import OF_GROUP, StateFormats
from optcore.torch import _tensors

EXTRAS = defaults(TORCH)                    # keyword arguments beside torch's; attributes of the same names
_FOR_ALL = EXTRAS.keys() - OF_GROUP.keys()


def refuse_extras(group: Mapping[str, Any], number: int) -> None:
    """Refuse a group that has one of our keywords which it may not have: torch keeps whatever it finds there, and
    nobody would read it."""
    if not group.keys().isdisjoint(_FOR_ALL):
        name = next(key for key in group if key in _FOR_ALL)
        raise TypeError(f"param_groups[{number}] has {name}={group[name]!r}: {name} is a keyword of the optimizer, for "
                        "all its groups; give it to the constructor, or make an optimizer for each of them")


def check_formats(label: str, p: Any, formats: StateFormats, family: Family) -> None:
    """Refuse a parameter whose state cannot be kept as its group asks for it."""
    kept = _tensors.kept_as(p)
    formats.check(label, kept)
    if p.is_complex() and any(form != "float32" for form in formats.wanted.values()):
        form = next(form for form in formats.wanted.values() if form != "float32")
        raise TypeError(f"state_dtype={form!r}: {label} is complex, for which it is not")
    forms = [formats.of(key, p.numel(), kept) for key in formats.wanted]
    if _tensors.sharded(p) and any(FORMATS[form].block > 1 for form in forms):
        raise ValueError(f"{label} is sharded, and state_dtype=\"int8\" is not for shards: a checkpoint "
                         "could not cut its blocks of 256 elements anew; \"bfloat16\" is")


def own(groups: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What each of the groups has of its own."""
    return [{key: group[key] for key in OF_GROUP if key in group} for group in groups]
