"""Parameters that cannot be stepped where they lie: with holes between the elements, a negative bit, an odd address, or
as a shard that shares blocks of state with others.

Owns the copies that are stepped in their place. Each is brought up to date before a step and written back after it.
"""
from __future__ import annotations

from torch import Tensor
from torch import contiguous_format as C_ORDER

from optcore.torch import _shards, _tensors


class Detours:
    def __init__(self) -> None:
        self.pairs: list[tuple[Tensor, Tensor]] = []    # what is kept, and what is stepped for it

    def stepped(self, p: Tensor, in_blocks: bool) -> Tensor:
        """What is to be stepped for p: itself, or a copy. in_blocks: state of it is in blocks, which are of elements in
        C order: in the order of some strides they would mean something else where the strides are others."""
        if self.stands(p) and (p.is_contiguous() or not in_blocks):
            return p
        self.pairs.append((p, p.clone(memory_format=C_ORDER)))
        return self.pairs[-1][1]

    def filled_up(self, t: Tensor, of: _shards.Held) -> Tensor:
        """A copy of what is here of a parameter, or of its state, filled up to the blocks that are held."""
        whole = _shards.filled_up(t, of)
        self.pairs.append((t, _shards.own_part(whole, of).view(t.shape)))
        return whole

    @staticmethod
    def stands(p: Tensor) -> bool:
        """Whether p can be stepped where it lies, unless its state is in blocks."""
        return _tensors.dense(p) and not p.is_neg() and p.data_ptr() % p.itemsize == 0

    def has(self, p: Tensor) -> bool:
        return any(q is p and q.shape == stepped.shape for q, stepped in self.pairs)

    def gather(self) -> None:
        for p, stepped in self.pairs:
            stepped.copy_(p)

    def scatter(self) -> None:
        for p, stepped in self.pairs:
            p.copy_(stepped)
