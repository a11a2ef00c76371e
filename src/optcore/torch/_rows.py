"""Sparse gradients of torch as gradients by rows: what is taken, and what of a tensor they touch.

Owns every message about one. The values are read where they lie; the indices, of torch's one sparse dimension, are row
numbers as they stand, coalesced or not.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from optcore.formats import FORMATS
from optcore.rules import Family
from optcore.step.rows import Rows
from optcore.step.state import StateFormats
from optcore.torch import _tensors

Touched = tuple[Tensor, Tensor | None]          # a tensor, and which of its rows; None: all


def check_gradient(name_of: Callable[[Any], str], g: Any, p: Any, family: Family, formats: StateFormats) -> None:
    """Refuse a gradient that the kernels cannot read. name_of: what messages call the parameter, asked only for one."""
    taken = _tensors.REAL if p.is_complex() else _tensors.GRADIENT

    def label() -> str:
        return f"the gradient of {name_of(p)}"

    if g.layout == torch.strided and family.only_rows:
        raise RuntimeError(f"{label()} is dense: {family.name} takes sparse ones; use Adam")
    if g.layout == torch.strided:
        _tensors.check_gradient(label, g, p, taken)
        return
    if g.layout != torch.sparse_coo:
        raise RuntimeError(f"{label()} has layout {g.layout}: {family.name} takes strided ones and torch.sparse_coo")
    if g.device.type != "cpu":
        raise ValueError(f"{label()} is on {g.device}: optcore steps memory of the CPU")
    if g.dtype not in taken:
        raise TypeError(f"{label()} is {g.dtype}, {' or '.join(map(str, taken))} is needed")
    if g.shape != p.shape:
        raise ValueError(f"{label()} has shape {tuple(g.shape)}, its parameter has {tuple(p.shape)}")
    if g.sparse_dim() != 1:
        raise ValueError(f"{label()} has {g.sparse_dim()} sparse dimensions: one, which counts rows, is needed")
    if _tensors.sharded(p) or hasattr(g, "placements"):
        raise ValueError(f"{label()} is sparse and its parameter distributed: that is not done")
    if not p.is_contiguous():
        raise ValueError(f"{label()} is sparse, and its parameter is not contiguous (strides {p.stride()})")
    low, high = (int(x) for x in g._indices().aminmax()) if g._nnz() else (0, 0)
    if low < 0 or high >= max(len(p), 1):
        raise ValueError(f"{label()} has index {low if low < 0 else high}: its parameter has {len(p)} rows")
    kept, width = _tensors.kept_as(p), p[:1].numel()
    block = max((FORMATS[formats.of(key, p.numel(), kept)].block for key in formats.wanted), default=1)
    if width % block:
        raise ValueError(f"{label()} is by rows of {width} elements, and 8-bit state is in blocks of {block}: a row "
                         "must be a multiple of that")


def of(g: Tensor) -> Rows:
    """The gradient by rows, after `check`."""
    return Rows(g._indices()[0].contiguous().numpy(), _tensors.real(g._values()).resolve_neg().contiguous())


def values_of(g: Any) -> Any:
    """The tensor that holds a gradient's numbers."""
    return g.values if isinstance(g, Rows) else g._values() if g.layout == torch.sparse_coo else g


def touched(row: tuple[Tensor | None, ...], g: Any) -> list[Touched]:
    """What of a parameter's tensors a step with this gradient writes."""
    if not isinstance(g, Rows):
        return [(t, None) for t in row if t is not None]
    rows = torch.unique(torch.from_numpy(g.ids).to(torch.int64))
    return [(t, None if t.dtype == torch.uint8 else rows) for t in row if t is not None]


def copied(written: list[Touched]) -> list[tuple[Tensor, Tensor | None, Tensor]]:
    return [(t, rows, t.detach().clone() if rows is None else t.detach()[rows]) for t, rows in written]


def restore(copies: list[tuple[Tensor, Tensor | None, Tensor]]) -> None:
    for t, rows, copy in copies:
        if rows is None:
            t.copy_(copy)
        else:
            t[rows] = copy
