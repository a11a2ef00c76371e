"""What is kept of a tensor between steps, and in which format: its rule's state, and what may stand beside it.

Owns the choice of a format for each state array, for every front end. Allocates nothing: arrays are NumPy's or torch's.
"""
from __future__ import annotations

from collections.abc import Mapping

from optcore.formats import FORMATS, Format, playing
from optcore.rules import SENSITIVE_STATE, Family

SMALL = 4096                    # tensors of fewer elements keep float32 state where blocks of codes are asked for
BESIDE = ("compensation", "master", "average")      # what may be kept of a parameter beside its rule's state
COMPENSATIONS = {"kahan": "bfloat16", "residual": "residual"}       # by rounding
ALL_NARROW = ("residual",)      # roundings that are for parameters of few bits alone; others leave float32 as it is


class StateFormats:
    """The storage format of each state array of a class, by torch's name."""

    def __init__(self, family: Family, wanted: str | Mapping[str, str]) -> None:
        """wanted: state_dtype, as given. Raises ValueError for an unknown array or format."""
        keys = family.keys()
        known = [form for form in playing("state") if FORMATS[form].arithmetic == "float32"]
        # Where one format is asked for all, what it would harm is kept in float32.
        self.exact = SENSITIVE_STATE if isinstance(wanted, str) else set()
        self.of_rows = {key for key, shape in family.shapes.items() if shape == "row"}      # never narrow
        chosen = wanted if isinstance(wanted, Mapping) else dict.fromkeys(keys, wanted)
        for key, form in chosen.items():
            if key not in keys:
                raise ValueError(f"state_dtype: {key!r} is no state of {family.name}; it has {', '.join(keys)}")
            if form not in known:
                raise ValueError(f"state_dtype={form!r}: it must be {' or '.join(known)}")
        if isinstance(wanted, str) and wanted not in known:
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
        return "float32" if coded and (size < SMALL or key in self.exact) else form


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
