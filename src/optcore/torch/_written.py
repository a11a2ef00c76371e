"""What others write into the parameters between steps, and what is kept beside them that must follow.

Owns the versions of the parameters that have a master or a compensation, as our last write left them. Only such
parameters are looked at: a float32 run only asks whether a dict is empty.

Design:
  a) torch counts the writes into a tensor (`_version`), and a step of ours counts as one. Another number than the one
     remembered means that somebody else has written: a module's load_state_dict, an average swapped in, weights tied.
  b) Of a master, those elements take the parameter's value whose rounding is no longer the parameter. The others keep
     their bits, so a write of the values that were there changes nothing. A compensation is what the values written
     over lacked, and none of it is known to hold still: it becomes zero. Where the parameter only lies elsewhere, a
     number that is too large for it was not its; of codes any may stand beside any parameter, and they stay.
  c) A master that came with a checkpoint or by hand is used as it is: no write of ours is remembered there, and what
     it was rounded from is not known.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from optcore.step.state import BESIDE
from optcore.torch import _tensors

FOLLOWING = BESIDE[:2]          # a compensation, a master


HALF_UNIT = 2.0 ** -8           # of bfloat16, relative to the number: no compensation that is a number is larger


def version_of(p: Any) -> tuple[Any, int]:
    """How often p was written, and where it is."""
    mine = _tensors.local(p)        # a distributed tensor is written as one or by its part
    count = None if p.is_inference() else p._version if mine is p else (p._version, mine._version)
    return count, mine.data_ptr()


def follow(p: Any, entry: Mapping[str, Any], written: bool) -> None:
    """Let what is kept beside p agree with what p holds now. written: whether it was; else it only lies elsewhere."""
    mine = _tensors.local(p)
    if isinstance(entry.get("master"), torch.Tensor):
        master = _tensors.local(entry["master"])
        if master.shape == mine.shape and mine.dtype != master.dtype:
            other = master.to(mine.dtype) != mine
            if other.any():
                master.copy_(torch.where(other, mine.to(master.dtype), master))
    if isinstance(entry.get("compensation"), torch.Tensor):
        lacking = _tensors.local(entry["compensation"])
        if written:
            lacking.zero_()
        elif lacking.is_floating_point() and lacking.shape == mine.shape:
            lacking.masked_fill_(lacking.float().abs() > mine.float().abs() * HALF_UNIT, 0.0)


class Written:
    def __init__(self, state: Mapping[Any, Mapping[str, Any]]) -> None:
        """state: an optimizer's, as it was loaded or copied: its masters belong to the parameters of now."""
        self.versions: dict[Any, Any] = {}
        self.note(p for p, entry in state.items() if "master" in entry)

    @_tensors.without_grad
    def note(self, params: Iterable[Any]) -> None:
        """Take what is beside these parameters to agree with them."""
        for p in params:
            self.versions[p] = version_of(p)

    def agree(self) -> None:
        """What is beside these parameters agrees with them again: it was written together with them."""
        self.note(list(self.versions))

    @_tensors.without_grad
    def follow(self, state: Mapping[Any, Mapping[str, Any]]) -> None:
        """Let what is beside a parameter agree with it where somebody else has written into it."""
        changed = [(p, now[0] != then[0]) for p, then in self.versions.items() if (now := version_of(p)) != then]
        for p, written in changed:
            follow(p, state.get(p, {}), written)
        self.note(p for p, _ in changed)
