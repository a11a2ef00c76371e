"""Lists of tensors for optcore.torch, gradients for them, and what counts as the same."""
from __future__ import annotations

import torch

from tests.support.draws import ELEMENTWISE_CLASSES

NAMES = ELEMENTWISE_CLASSES         # of any shape, in any order of memory


def pair(seed=0, shapes=((5,), (3, 4), (), (0, 2), (2, 3, 4, 5))):
    torch.manual_seed(seed)
    return [torch.randn(s).requires_grad_() for s in shapes]


def give(params, seed):
    g = torch.Generator().manual_seed(seed)
    for p in params:
        p.grad = torch.randn(p.shape, generator=g)


def same_bits(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and (       # as float32, which has room for every format
        a.detach().float().contiguous().numpy().tobytes() == b.detach().float().contiguous().numpy().tobytes())
