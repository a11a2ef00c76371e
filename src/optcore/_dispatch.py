"""Which build of the kernels this process uses: chosen once, at import, by what the processor supports.

Owns the environment variable OPTCORE_ISA and the name `optcore._kernels`, under which the chosen build is known
to the rest of the package. Never loads a build that the processor cannot run: its first instruction could be
an illegal one.
"""
from __future__ import annotations

import importlib
import os
import sys
from importlib.util import find_spec
from types import ModuleType

# psABI level that each build needs, best first; "generic" is the only build on other processors.
LEVELS = {"v4": 4, "v3": 3, "baseline": 1, "generic": 0}


def built() -> list[str]:
    """The builds that are installed."""
    return [isa for isa in LEVELS if find_spec(f"optcore._kernels_{isa}") is not None]


def load(isa: str) -> ModuleType:
    """The build for `isa`; only for one that `available()` lists."""
    return importlib.import_module(f"optcore._kernels_{isa}")


def available() -> list[str]:
    """The builds that are installed and that this processor can run, best first."""
    installed = built()
    if not installed:
        raise ImportError("optcore: no compiled kernels are installed; build the package with `pip install .`")
    level = load(installed[-1]).info()["cpu_level"]     # the last one needs nothing special of the processor
    return [isa for isa in installed if LEVELS[isa] <= level]


def choose() -> ModuleType:
    """The best build, or the one that OPTCORE_ISA names."""
    usable = available()
    wanted = os.environ.get("OPTCORE_ISA", "").strip().lower()
    if not wanted:
        return load(usable[0])
    if wanted not in LEVELS:
        raise ImportError(f"OPTCORE_ISA={wanted!r} is unknown; here it may be: {', '.join(usable)}")
    if wanted not in usable:
        why = "this processor cannot run it" if wanted in built() else "it was not built"
        raise ImportError(f"OPTCORE_ISA={wanted!r}: {why}; here it may be: {', '.join(usable)}")
    return load(wanted)


def install() -> ModuleType:
    """Make the chosen build importable as optcore._kernels."""
    chosen = choose()
    sys.modules["optcore._kernels"] = chosen
    setattr(sys.modules["optcore"], "_kernels", chosen)  # noqa: B010  (a module has no such attribute for mypy)
    return chosen


kernels = install()
