"""8-bit state of a parameter: made, converted by value, and as checkpoints hold it.

Owns the way between what a step works on (blocks of codes, of a shard those that it has elements of), numbers, and what
state_dict() gives: codes by rows (formats/rows8.py), distributed as the parameter is. So a checkpoint is cut and put
together by torch.distributed.checkpoint as any tensor is, whoever saved it and whoever reads it.
"""
from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from optcore.formats import FORMATS, form_of, rows8
from optcore.step import arrays as _arrays
from optcore.torch import _shards, _tensors


def state_of(p: Any, value: float, form: str, kind: str) -> Any:
    """A state array for p, filled with value: distributed as p is, or the blocks of codes that are here. kind: its
    shape, see State in rules/row.py."""
    if FORMATS[form].block == 1:
        return _tensors.state_of(p, value, form, kind)
    of = _shards.held(p, FORMATS[form].block)
    stand_in = np.broadcast_to(np.float32(0), (of.high - of.low,))      # only its shape is asked
    return torch.from_numpy(_arrays.allocate(stand_in, value, form))


def recoded(key: str, t: Any, p: Any, form: str, code: int) -> Any:
    """State t of p; if it is in codes and `form` is not, or the other way round, converted by value, to nearest. Of
    shards that share a block every process does it together."""
    kept = FORMATS[form]
    if not isinstance(t, Tensor) or (t.dtype == torch.uint8) == (kept.block > 1):
        return t
    if kept.block > 1:
        _tensors.check_state(key, t, p)
        of = _shards.held(p, kept.block)
        whole = _shards.filled_up(_tensors.local(t).float(), of)
        _shards.exchange([(of, whole)])
        return torch.from_numpy(kept.store(whole.numpy(), code))
    codes = t.numpy()
    given = FORMATS[form_of(codes)]
    of = _shards.held(p, given.block)
    _tensors.check_codes(key, t, (of.high - of.low,), given.name)
    values = torch.from_numpy(given.decode(codes, of.high - of.low, code))
    mine = _tensors.local(p)
    return _tensors.distributed(_tensors.placed_as(_shards.own_part(values, of).reshape(mine.shape), mine,
                                                  values.dtype), p)


def to_save(t: Any, p: Any) -> Any:
    """State as a checkpoint holds it."""
    if not isinstance(t, Tensor) or t.dtype != torch.uint8 or t.dim() != 1:
        return t
    stored = t.numpy()
    of = _shards.held(p, FORMATS[form_of(stored)].block)
    rows = rows8.to_rows(stored, of.first, of.elements // of.width, of.width)
    return _tensors.distributed(torch.from_numpy(rows), p, rows8.shape_of(p.shape))


def loaded(t: Any, p: Any, code: int) -> Any:
    """State from a checkpoint, as it is kept; what does not fit p as it is. Of codes that 0.1 saved, the values."""
    if t.dtype != torch.uint8:
        return t
    if t.dim() != 2:
        codes = t.numpy()
        return torch.from_numpy(FORMATS[form_of(codes)].renewed(codes, p.numel(), code))
    mine: Tensor = _tensors.local(t)
    of = _shards.held(p, FORMATS[form_of(mine.numpy())].block)
    rows = of.elements // of.width
    if tuple(t.shape) != rows8.shape_of(p.shape):
        return t
    if mine is t and _tensors.sharded(p):               # each process has read all of it
        mine = mine[of.first // of.width:][:rows]
    if len(mine) != rows:
        return t
    return torch.from_numpy(rows8.from_rows(mine.numpy(), of.first, of.width, of.high - of.low))
