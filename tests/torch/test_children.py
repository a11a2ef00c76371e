"""tests/step/test_processes.py where torch has had a parallel region in the parent, so that its threads exist too."""
from __future__ import annotations

import torch

from tests.support.forking import Forking


class TestAfterTorchsThreads(Forking):
    @staticmethod
    def use_threads():
        torch.ones(1 << 20).mul_(2.0).sum()
