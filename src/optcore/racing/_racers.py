"""Who can race: a row for each name, with the settings it takes from a surface, and all other ways to name one.

Owns the rows of what is no class of the table; those of a class stand in its family's file. A surface gives two
lengths (surfaces.py); a row says which of them is this optimizer's lr, and times what. So all settings of all pictures
are these rows and the surfaces' two numbers; nothing was tuned for a single picture.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optcore import optimizers as classes
from optcore.optimizers import Optimizer
from optcore.racing import _run
from optcore.racing._run import Run
from optcore.rules import FAMILIES
from optcore.search import RandomSearch
from optcore.surfaces import Surface


@dataclass(frozen=True)
class Row:
    """A name's optimizer: a class of ours with settings, random search, or a method of Minimizer.

    lr = times * the surface's `length` ("lr" or "stride"); settings: those that are not the class's defaults.
    """

    family: str
    length: str = ""
    times: float = 1.0
    settings: Mapping[str, Any] = field(default_factory=dict)

    def on(self, surface: Surface) -> Run:
        if not self.length:
            return _run.Asked(self.family)
        length = float(f"{self.times * getattr(surface, self.length):.3g}")
        if self.family == "RandomSearch":
            return _run.Searched({"sigma": length})
        return _run.Ours(getattr(classes, self.family), {"lr": length, **self.settings})


_OTHERS = {
    "Newton": Row("newton"),
    "BFGS": Row("bfgs"),
    "L-BFGS": Row("lbfgs"),
    "Random search": Row("RandomSearch", "stride"),     # its lr is sigma
}
# The order in which they are shown; a class's race that is not named comes after. Nothing is added here.
_FIRST = ("SGD", "Momentum", "Nesterov", "Nesterov classical", "AdaGrad", "RMSProp", "Adam", "AdamW", "Lion", *_OTHERS)


def _racers() -> dict[str, Row]:
    rows = _OTHERS | {name: Row(family.name, race.length, race.times, race.settings)
                      for family in FAMILIES.values() for name, race in family.races.items()}
    return {name: rows[name] for name in dict.fromkeys((*_FIRST, *rows))}


RACERS = _racers()

DEFAULT = ("SGD", "Momentum", "Nesterov", "AdaGrad", "RMSProp", "Adam", "L-BFGS")


def _key(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def line_up(optimizers: Any, surface: Surface) -> dict[str, Run]:
    """Label -> what runs, in order."""
    if optimizers == "all":
        optimizers = list(RACERS)
    if isinstance(optimizers, Mapping):
        found = {str(label): _racer(x, surface)[1] for label, x in optimizers.items()}
    else:
        several = optimizers if isinstance(optimizers, (list, tuple)) else [optimizers]
        found = {}
        for label, made in (_racer(x, surface) for x in several):
            if label in found:
                raise ValueError(f"optimizers: there are two with the label {label!r}; give a dict label -> optimizer")
            found[label] = made
    if not found:
        raise ValueError("optimizers: none is given")
    return found


def _racer(x: Any, surface: Surface) -> tuple[str, Run]:
    if isinstance(x, str):
        for name, row in RACERS.items():
            if _key(name) == _key(x):
                return name, row.on(surface)
        raise ValueError(f"optimizer {x!r} is unknown; there are {', '.join(RACERS)}")
    if isinstance(x, type) and issubclass(x, (Optimizer, RandomSearch)):
        for name, row in RACERS.items():
            if row.family == x.__name__:
                return name, row.on(surface)
    if isinstance(x, type) and issubclass(x, Optimizer):
        raise TypeError(f"optimizers: {x.__name__} has no row of settings in RACERS; race an instance, "
                        f"{x.__name__}([p], lr=...)")
    if isinstance(x, Optimizer):
        settings = {k: v for k, v in x.param_groups[0].items() if k != "params"}
        own = [f"{k}={v!r}" for k, v in settings.items() if v != x.family.settings[k]]
        return " ".join([type(x).__name__, *own]), _run.Ours(type(x), settings)
    if callable(x) and not isinstance(x, type):
        return getattr(x, "__name__", type(x).__name__), _run.Own(x)
    raise TypeError("optimizers: each is a name, a class or an instance of optcore, or a function "
                    f"(x, gradient) -> next x; got {x!r}")
