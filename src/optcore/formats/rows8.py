"""8-bit state by rows, as checkpoints hold it: what can be cut between any two rows and put together again.

Owns that layout and the way between it and an array of blocks (block8.py). A block of 256 elements may lie in several
rows and so in several shards. By rows, each row of the parameter's first dimension has the codes of its elements, in
their order, and after them the units of all blocks that have elements in it, as the bytes of float32 numbers; where it
touches fewer blocks than another row does, the last unit is repeated. Blocks are counted over the whole parameter in C
order, so nothing depends on where it is cut.
"""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from optcore.formats.block8 import BLOCK, UNIT, blocks, units

QUARTER = BLOCK // 4


def width_of(shape: tuple[int, ...]) -> int:
    """Elements of a row."""
    return math.prod(shape[1:])


def units_of(width: int) -> int:
    """The most blocks that a row of this width touches."""
    return (BLOCK - math.gcd(width, BLOCK) + width - 1) // BLOCK + 1


def shape_of(shape: tuple[int, ...]) -> tuple[int, int]:
    """Of the state by rows of a parameter of this shape."""
    width = width_of(shape)
    return (shape[0] if shape else 1, width + UNIT * units_of(width))


def place(element: Any) -> Any:
    """Where the code of an element is among those of an array of blocks."""
    return element // BLOCK * BLOCK + 4 * (element % QUARTER) + element % BLOCK // QUARTER


def _which(first: int, rows: int, width: int) -> Any:
    """For each row the blocks whose units it has, counted from the one in which element `first` is."""
    start = first + width * np.arange(rows, dtype=np.int64)[:, None]
    touched = np.minimum(start // BLOCK + np.arange(units_of(width)), (start + width - 1) // BLOCK)
    return touched - first // BLOCK


def to_rows(stored: Any, first: int, rows: int, width: int) -> Any:
    """So many rows, the first of which begins at element `first`. stored: blocks, from the one on in which that is."""
    codes = stored[place(first % BLOCK + np.arange(rows * width, dtype=np.int64))].reshape(rows, width)
    whole = np.ascontiguousarray(units(stored)[_which(first, rows, width)])
    return np.concatenate([codes, whole.view(np.uint8).reshape(rows, UNIT * units_of(width))], axis=1)


def from_rows(by_row: Any, first: int, width: int, n: int) -> Any:
    """Blocks of n elements, from the one on in which element `first` is, with these rows from it on; what is of other
    rows is 0."""
    count, rows = blocks(n), len(by_row)
    stored = np.zeros(count * (BLOCK + UNIT), np.uint8)
    stored[place(first % BLOCK + np.arange(rows * width, dtype=np.int64))] = by_row[:, :width].reshape(-1)
    units(stored)[_which(first, rows, width)] = np.ascontiguousarray(by_row[:, width:]).view(np.float32)
    return stored


def in_blocks(stored: Any, shape: tuple[int, ...]) -> Any:
    """State of a whole parameter of this shape in blocks, however it comes."""
    if stored.ndim != 2 or stored.shape != shape_of(shape):
        return stored
    return from_rows(stored, 0, width_of(shape), math.prod(shape))
