"""torch's own cases for its optimizers, which ship in its wheel."""
from __future__ import annotations

import torch
from hypothesis import settings
from torch.testing._internal.common_optimizers import OptimizerErrorEnum, optim_db

from tests.support.draws import ELEMENTWISE_CLASSES

# That import makes torch's hypothesis profile the default; ours is in conftest.py.
settings.load_profile("optcore")

__all__ = ["OptimizerErrorEnum", "optim_db"]

GRID = [(info.optim_cls.__name__, case.kwargs) for info in optim_db if info.optim_cls.__name__ in ELEMENTWISE_CLASSES
        for case in info.optim_inputs_func("cpu")]


def settings_of(chosen):
    return {k: float(v) if isinstance(v, torch.Tensor) else v for k, v in chosen.items()}
