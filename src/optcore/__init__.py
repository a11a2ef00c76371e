"""optcore: the optimizer step at the speed of memory, on any CPU, from any array library."""
from importlib import import_module as _import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

from optcore import _dispatch  # first: it chooses the build that the other modules import
from optcore import functional, reference, schedules
from optcore.step.arrays import state_array
from optcore._info import build_info
from optcore.accumulate import GradientAccumulator
from optcore.check import check_grad
from optcore.step.rows import Rows
from optcore.step.threads import get_num_threads, set_num_threads
from optcore.optimizers import *  # noqa: F403  (its __all__ holds the table's classes)
from optcore.optimizers import __all__ as _classes
from optcore.search import ES, SPSA, RandomSearch

if TYPE_CHECKING:
    from optcore import surfaces
    from optcore.minimizers import Minimizer, bfgs, lbfgs, minimize, newton, newton_cg
    from optcore.racing import race

__version__ = _version("optcore")

# What is imported when first asked for, and from where.
_LATER = {"Minimizer": "minimizers", "bfgs": "minimizers", "lbfgs": "minimizers", "minimize": "minimizers",
          "newton": "minimizers", "newton_cg": "minimizers", "race": "racing", "surfaces": ""}

__all__ = ["ES", "GradientAccumulator", "RandomSearch", "Rows", "SPSA", "build_info", "check_grad", "functional",
           "get_num_threads", "reference", "schedules", "set_num_threads", "state_array", *_LATER, *_classes]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'optcore' has no attribute {name!r}")
    home = _LATER[name]
    return getattr(_import_module(f"optcore.{home}"), name) if home else _import_module(f"optcore.{name}")
