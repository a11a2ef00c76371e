"""torch's own cases for its optimizers, which ship in its wheel."""
from __future__ import annotations

from hypothesis import settings
from torch.testing._internal.common_optimizers import OptimizerErrorEnum, optim_db

# That import makes torch's hypothesis profile the default; ours is in conftest.py.
settings.load_profile("optcore")

__all__ = ["OptimizerErrorEnum", "optim_db"]
