"""What is kept of a tensor between steps, and in which format: its rule's state, and what may stand beside it.

Owns the choice of a format for each state array, for every front end. Allocates nothing: arrays are NumPy's or torch's.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from optcore.formats import FORMATS, Format, playing
from optcore.rules import SENSITIVE_STATE, Family
from optcore.step.options import GROUP, check, defaults

OF_GROUP = defaults(GROUP)      # state_dtype and min_8bit_size: what a group may have of its own
_DTYPE, _SIZE = OF_GROUP
Asked = tuple[Any, Any]         # these two, for a group
BESIDE = ("compensation", "master", "average")      # what may be kept of a parameter beside its rule's state
COMPENSATIONS = {"kahan": "bfloat16", "residual": "residual"}       # by rounding
ALL_NARROW = ("residual",)      # roundings that are for parameters of few bits alone; others leave float32 as it is


class StateFormats:
    """The storage format of each state array of a class, by torch's name."""

    def __init__(self, family: Family, wanted: str | Mapping[str, str], small: int) -> None:
        """wanted, small: state_dtype and min_8bit_size, as given. Raises TypeError or ValueError for an unknown array
        or format, or what is no size."""
        check(GROUP, {"min_8bit_size": small})
        self.small = max(small, 1)
        keys = family.keys()
        known = [form for form in playing("state") if FORMATS[form].arithmetic == "float32"]
        # Where one format is asked for all, what it would harm is kept in float32.
        self.exact = SENSITIVE_STATE if isinstance(wanted, str) else set()
        self.of_rows = {key for key, shape in family.shapes.items() if shape == "row"}      # never narrow
        chosen = wanted if isinstance(wanted, Mapping) else dict.fromkeys(keys, wanted)
        for key, form in chosen.items():
            if key not in keys:
                raise ValueError(f"state_dtype: {key!r} is no state of {family.name}; it has {', '.join(keys)}")
            if not isinstance(form, str) or form not in known:
                raise ValueError(f"state_dtype={form!r}: it must be {' or '.join(known)}")
        if not isinstance(wanted, Mapping) and (not isinstance(wanted, str) or wanted not in known):
            raise ValueError(f"state_dtype={wanted!r}: it must be {' or '.join(known)}")
        self.wanted = {**dict.fromkeys(keys, "float32"), **chosen}

    def check(self, label: str, kept: Format) -> None:
        """Raise the error that names a parameter of this format whose state cannot be kept as it was asked for."""
        for form in self.wanted.values():
            if kept.arithmetic != "float32" and form != "float32":
                raise TypeError(f"state_dtype={form!r}: it is for parameters that are computed in float32; {label} is "
                                f"{kept.name}, and so is its state")

    def of(self, key: str, size: int, kept: Format) -> str:
        """The format of this array of a tensor of `size` elements, of this format."""
        if kept.arithmetic != "float32" or key in self.of_rows:
            return kept.arithmetic
        form = self.wanted[key]
        coded = FORMATS[form].block > 1
        return "float32" if coded and (size < self.small or key in self.exact) else form


def asked(groups: Iterable[Mapping[str, Any]], state_dtype: Any, min_8bit_size: Any) -> list[Asked]:
    """What each group asks for: its own, or else what the optimizer was given."""
    return [(group.get("state_dtype", state_dtype), group.get("min_8bit_size", min_8bit_size)) for group in groups]


def all_alike(groups: Iterable[Mapping[str, Any]]) -> bool:
    """Whether no group has anything of its own to ask for."""
    for group in groups:            # at each step: 60 ns a group, where a set of its keys takes twice that
        if _DTYPE in group or _SIZE in group:
            return False
    return True


def agree(now: list[Asked], then: list[Asked] | None) -> bool:
    """Whether the same is asked for; what cannot be compared is not the same."""
    try:
        return now == then
    except Exception:
        return False


def remembered(now: list[Asked]) -> list[Asked]:
    """To be compared later: a dict that is changed in place then differs."""
    return [(dict(wanted) if isinstance(wanted, Mapping) else wanted, small) for wanted, small in now]


def check_rounding(label: str, kept: Format, rounding: str) -> None:
    """Raise the error that names a parameter of this format that cannot be rounded so."""
    if rounding in ALL_NARROW and not kept.narrow:
        raise TypeError(f"rounding={rounding!r}: it is for bfloat16 parameters; {label} is {kept.name}, which lacks "
                        "nothing")


def beside(kept: Format, rounding: str, averaged: bool) -> dict[str, str]:
    """The storage format of each of BESIDE that is kept of a parameter of this format."""
    have = {"compensation": COMPENSATIONS.get(rounding, "") if kept.narrow else "",
            "master": kept.arithmetic if kept.narrow and rounding == "master" else "",
            "average": kept.arithmetic if averaged else ""}
    return {key: form for key, form in have.items() if form}
