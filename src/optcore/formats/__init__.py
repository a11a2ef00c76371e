"""THE TABLE of storage formats: what a stored number is, a row each, in plain NumPy.

Owns which formats there are, in which roles, and how NumPy holds them. kernels/formats.pxd has the same rows; a test
holds the two against each other. Nothing else in the package tells formats apart by their size, or lists them.
Imports NumPy, nothing of the package, nothing compiled.

To add a format: its row here and in kernels/formats.pxd.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from optcore.formats.bits16 import from_bfloat16, nearest_bfloat16, to_bfloat16, to_float16
from optcore.formats.block8 import BITS, BLOCK, UNIT, decode8, decode_0_1, encode8, units
from optcore.formats.compensation import BITS as RESIDUAL_BITS
from optcore.formats.compensation import join_kahan, join_residual, split_kahan, split_residual

ROLES = ("parameter", "gradient", "state", "compensation", "copy", "average")


@dataclass(frozen=True)
class Format:
    """One storage format.

    decode(stored, n, code) gives n float32 numbers; quantize(values, noise, code, before, decay) stores float32
    numbers, rounded stochastically by `noise_bits` random bits an element (none: the format keeps float32 as it is, or
    is never written by a step); nearest(values) rounds to nearest. Formats in blocks alone look at the rest. code: what
    numbers they are, see State in rules/row.py; before: units(stored) of what is written over; decay: what the numbers
    were multiplied by since. A compensation is read and stored together with its parameter: split(values, noise) gives
    the parameter and itself, join(parameter, itself) the values.
    """

    name: str
    dtype: Any                              # NumPy's, of an array of it
    roles: tuple[str, ...]
    decode: Callable[[Any, int, int], Any]
    quantize: Callable[[Any, Any, int, Any, float], Any] | None = None
    noise_bits: int = 0
    nearest: Callable[[Any], Any] | None = None
    split: Callable[[Any, Any], tuple[Any, Any]] | None = None
    join: Callable[[Any, Any], Any] | None = None
    block: int = 1                          # elements that share a unit
    unit: int = 0                           # bytes of it
    units: Callable[[Any], Any] = lambda stored: None
    older: Callable[[Any, int, int], Any] | None = None     # of what an earlier version saved the numbers, else None
    also: tuple[str, ...] = ()              # other dtypes of the same bits, by name
    arithmetic: str = "float32"             # the format that parameters of it are computed in, and their state

    @property
    def narrow(self) -> bool:
        """Whether parameters of it are rounded after each step."""
        return self.name != self.arithmetic

    @property
    def by_itself(self) -> bool:
        """Whether an array of it says something without a parameter beside it."""
        return self.roles != ("compensation",)

    @property
    def element(self) -> str:
        """The name of what an array of it holds, where there is a dtype for that: torch's, ml_dtypes'."""
        return self.also[0] if self.also else np.dtype(self.dtype).name

    @cached_property
    def bytes(self) -> int:
        """Of an element, units not counted."""
        return int(np.dtype(self.dtype).itemsize)

    @cached_property
    def alignment(self) -> int:
        """Bytes that an array's address is a multiple of: codes in blocks are read four at a time."""
        return self.bytes if self.block == 1 else 4

    def padded(self, n: int) -> int:
        """Elements of the blocks that n elements take."""
        return -(-n // self.block) * self.block

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of an array of this format that holds `shape` elements."""
        return shape if self.block == 1 else (
            self.padded(math.prod(shape)) // self.block * (self.block + self.unit),)

    def renewed(self, stored: Any, n: int, code: int) -> Any:
        """A loaded array of n numbers: what an earlier version saved is converted by value."""
        values = None if self.older is None else self.older(stored, n, code)
        return stored if values is None else self.store(values, code)

    def store(self, values: Any, code: int = 0) -> Any:
        """float32 numbers in this format, rounded to nearest."""
        if self.quantize is None or self.nearest is not None:
            return values if self.nearest is None else self.nearest(values)
        half = np.full(self.padded(values.size), 1 << self.noise_bits - 1, np.uint32)
        return self.quantize(values, half, code, None, 1.0)


def _plain(stored: Any, n: int, code: int) -> Any:
    """Each number by NumPy's own conversion, which rounds once, to nearest."""
    with np.errstate(over="ignore"):            # beyond float32's range it is an infinity, as in the kernels
        return stored.reshape(-1).astype(np.float32, copy=False)


FORMATS: dict[str, Format] = {f.name: f for f in (
    Format("float32", np.float32, ("parameter", "gradient", "state", "average"), _plain),
    Format("bfloat16", np.uint16, ("parameter", "gradient", "state", "compensation", "copy"),
           lambda stored, n, code: from_bfloat16(stored).reshape(-1),
           lambda values, noise, *_: to_bfloat16(values, noise), 16, nearest_bfloat16,
           split_kahan, join_kahan, also=("bfloat16",)),
    Format("float16", np.float16, ("gradient", "copy"), _plain, nearest=to_float16),
    Format("int8", np.uint8, ("state",), decode8, encode8, BITS, block=BLOCK, unit=UNIT, units=units,
           older=decode_0_1),
    Format("float64", np.float64, ("parameter", "gradient", "state", "average"), _plain, arithmetic="float64"),
    Format("residual", np.int8, ("compensation",), _plain, noise_bits=RESIDUAL_BITS, split=split_residual,
           join=join_residual),
)}
_BY_DTYPE = {name: f for f in FORMATS.values() for name in (np.dtype(f.dtype).name, *f.also)}
_KNOWN: dict[Any, Format | None] = {}       # by dtype: making its name takes longer than all else


def playing(role: str) -> tuple[str, ...]:
    """The names of the formats that may play a role."""
    return tuple(name for name, f in FORMATS.items() if role in f.roles)


def format_of(a: Any) -> Format | None:
    """The format of a NumPy array; None if it has none."""
    dtype = a.dtype
    if dtype not in _KNOWN:
        _KNOWN[dtype] = _BY_DTYPE.get(dtype.name)
    return _KNOWN[dtype]


def form_of(a: Any) -> str:
    """The name of the format of an array that has one."""
    found = format_of(a)
    assert found is not None
    return found.name


def numbers(a: Any, n: int, code: int = 0, arithmetic: str = "float32") -> Any:
    """The n numbers of an array, flat, in float32 or float64. To float64 every format is exact."""
    kept = FORMATS[form_of(a)]
    if kept.name == arithmetic:
        return a.reshape(-1)
    return kept.decode(a, n, code).astype(FORMATS[arithmetic].dtype, copy=False)


def decode(a: Any, arithmetic: str = "float32") -> Any:
    """The numbers of an array of a format without blocks, in its shape."""
    return numbers(a, a.size, 0, arithmetic).reshape(a.shape)
