"""Distributed parameters whose state is in blocks: which blocks a shard holds, and what it lacks of those it shares.

Owns the bounds of the shards and the exchange between processes. Blocks are counted over the whole tensor in C order,
and a shard may begin or end within one. Such a shard is stepped in copies that are filled up to whole blocks
(_detours.py); before each step the processes send each other the elements at their edges, of all arrays of the step. So
each of them steps the whole block, with the bits of the unsharded step, and keeps the same unit.

Design:
  a) Shards are of whole rows, by torch's rule, in one dimension of the mesh: each process knows the bounds of all, and
     what it will be sent.
  b) One exchange a step for all parameters of a mesh's group, after everything that may be refused.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from optcore.formats import FORMATS, form_of
from optcore.formats.rows8 import place, width_of
from optcore.torch import _tensors


@dataclass(frozen=True)
class Held:
    """The blocks that a process holds of a parameter. group: the processes among which it is cut, None if it is here
    as a whole; rank: this one's number in it; bounds: of each the numbers of its first element and of the one after its
    last."""

    block: int
    size: int                           # of the whole parameter
    width: int                          # of a row
    bounds: tuple[tuple[int, int], ...]
    rank: int = 0
    group: Any = None

    @property
    def first(self) -> int:
        return self.bounds[self.rank][0]

    @property
    def elements(self) -> int:
        """Of this process's own."""
        return self.bounds[self.rank][1] - self.first

    @property
    def low(self) -> int:
        """The first element of the first block; an empty shard has none."""
        return self.first // self.block * self.block if self.elements else self.first

    @property
    def high(self) -> int:
        """The element after the last block's last."""
        end = self.first + self.elements
        return min(-(-end // self.block) * self.block, self.size) if self.elements else end

    @property
    def shares(self) -> bool:
        """Whether one of the blocks has elements of another process."""
        return self.high - self.low != self.elements

    @property
    def cut(self) -> bool:
        """Whether any process shares a block."""
        return any(end % self.block and end < self.size for _, end in self.bounds)

    def edges(self, rank: int) -> list[tuple[int, int]]:
        """What a process has of the blocks that it shares: runs of elements, each within one block."""
        first, end = self.bounds[rank]
        head = min(end, -(-first // self.block) * self.block)
        tail = max(head, end // self.block * self.block) if end < self.size else end
        return [(a, b) for a, b in ((first, head), (tail, end)) if a < b]


def _mesh_dimension(p: Any) -> int:
    """The dimension of the mesh along which p is cut; -1 if it is cut otherwise than in rows along one."""
    from torch.distributed.tensor import Shard
    cut = [k for k, x in enumerate(p.placements) if not x.is_replicate()]
    one = p.placements[cut[0]]
    return cut[0] if len(cut) == 1 and type(one) is Shard and one.dim == 0 and p.dim() else -1


def held(p: Any, block: int) -> Held:
    """What is here of p, whose state is in blocks of so many elements."""
    if not _tensors.sharded(p):
        return Held(block, p.numel(), width_of(p.shape), ((0, p.numel()),))
    along = _mesh_dimension(p)
    ranks, rows, width = p.device_mesh.size(along), p.shape[0], width_of(p.shape)
    chunk = -(-rows // ranks)
    ends = [min(k * chunk, rows) * width for k in range(ranks + 1)]
    return Held(block, p.numel(), width, tuple(zip(ends, ends[1:], strict=False)),
                p.device_mesh.get_local_rank(along), p.device_mesh.get_group(along))


def check(label: str, p: Any, block: int) -> None:
    """Refuse a distributed parameter whose shards are not runs of its elements."""
    if _mesh_dimension(p) < 0:
        raise ValueError(f"{label} is cut as {p.placements}: state in blocks is for shards of whole rows, along one "
                         "dimension of the mesh; state_dtype=\"bfloat16\" takes any")
    with torch.no_grad():
        mine, known = _tensors.local(p).numel(), held(p, block).elements
    if mine != known:
        raise ValueError(f"{label} has {mine} elements here, and by torch's rule {known}: state in blocks is for that")


def filled_up(mine: Tensor, of: Held) -> Tensor:
    """The elements of the blocks that are held, flat: this process's own, and zeros until they are exchanged."""
    whole = mine.new_zeros(of.high - of.low)
    own_part(whole, of).copy_(mine.reshape(-1))
    return whole


def own_part(whole: Tensor, of: Held) -> Tensor:
    return whole[of.first - of.low:of.first - of.low + of.elements]


def exchange(items: Sequence[tuple[Held, Tensor]]) -> None:
    """Let arrays of shards have the elements that other processes have of their blocks. Every process calls this with
    arrays of the same parameters in the same order; an array is flat, of elements or of codes in blocks."""
    by_group: dict[Any, list[tuple[Held, Tensor, bool]]] = {}
    for of, t in items:
        if of.cut:
            coded = t.dtype == torch.uint8 and FORMATS[form_of(t.numpy())].block > 1
            by_group.setdefault(of.group, []).append((of, t, coded))
    for group, some in by_group.items():
        ranks, me = len(some[0][0].bounds), some[0][0].rank
        sizes = [sum((b - a) * t.itemsize for of, t, _ in some for a, b in of.edges(rank)) for rank in range(ranks)]
        sent = torch.zeros(max(sizes), dtype=torch.uint8)
        parts = [_bytes(t)[_places(of, a, b, coded)].reshape(-1) for of, t, coded in some for a, b in of.edges(me)]
        if parts:
            sent[:sizes[me]] = torch.cat(parts)
        got = [torch.empty_like(sent) for _ in range(ranks)]
        torch.distributed.all_gather(got, sent, group=group)
        for rank in (k for k in range(ranks) if k != me):
            at = 0
            for of, t, coded in some:
                for a, b in of.edges(rank):
                    n = (b - a) * t.itemsize
                    if of.low <= a < of.high:
                        _bytes(t)[_places(of, a, b, coded)] = got[rank][at:at + n].reshape(b - a, -1)
                    at += n


def _bytes(t: Tensor) -> Tensor:
    """The bytes of each element of a flat array."""
    return t.view(torch.uint8).view(len(t), t.itemsize)


def _places(of: Held, a: int, b: int, coded: bool) -> Any:
    """Where elements a to b of the whole parameter are."""
    return place(torch.arange(a - of.low, b - of.low)) if coded else slice(a - of.low, b - of.low)
