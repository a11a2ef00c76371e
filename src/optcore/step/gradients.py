"""Gradients, whole or by rows, and the arrays of a function's call: usable views of them, or an error that names them.

Owns every message about a gradient, and what goes with what. What may be passed in as an array at all is arrays.py's.
"""
from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from optcore.formats import FORMATS, decode, form_of
from optcore.rules import Rule
from optcore.step import arrays as _arrays
from optcore.step.arrays import Array, Interval
from optcore.step.rows import Rows


def whole(name: str, x: Any, of: str, p: Array, *, writable: bool = False) -> Array:
    """A usable view of a gradient that has all elements of parameter p, of the name `of`."""
    g = _arrays.view(name, x, writable=writable, formats=_arrays.GRADIENT, order=p)
    _arrays.check_shape(name, g, of, p.shape)
    return g


def by_rows(name: str, x: Rows, of: str, p: Array, *, writable: bool = False, block: int = 1) -> Rows:
    """Usable views of a gradient by rows, for parameter p of the name `of`. block: the largest of p's state."""
    if p.ndim == 0:
        raise ValueError(f"{name} is by rows, and {of} has no dimension")
    if not p.flags.c_contiguous:
        raise ValueError(f"{name} is by rows, and {of} is not in C order (strides {p.strides})")
    ids = _whole_numbers(f"{name}.ids", x.ids)
    values = _arrays.view(f"{name}.values", x.values, writable=writable, formats=_arrays.GRADIENT)
    if values.shape != (ids.size, *p.shape[1:]):
        raise ValueError(f"{name}.values has shape {values.shape}: for {ids.size} rows of {of}, which has shape "
                         f"{p.shape}, {(ids.size, *p.shape[1:])} is needed")
    _inside(f"{name}.ids", ids, of, p)
    if (width := p.size // max(len(p), 1)) % block:
        raise ValueError(f"{name} is by rows of {width} elements, and the 8-bit state of {of} is in blocks of {block}: "
                         'a row must be a multiple of that (state_dtype="bfloat16" has no blocks)')
    return Rows(ids, values)


def row_numbers(name: str, x: Any, of: str, p: Array) -> Array:
    """Numbers of rows of p, as an array of int32 or int64."""
    if p.ndim == 0:
        raise ValueError(f"{name}: {of} has no dimension, and so no rows")
    ids = _whole_numbers(name, x)
    _inside(name, ids, of, p)
    return ids


def _inside(name: str, ids: Array, of: str, p: Array) -> None:
    outside = (ids < 0) | (ids >= len(p))
    if outside.any():
        k = int(outside.argmax())
        raise ValueError(f"{name}[{k}] is {ids[k]}: {of} has {len(p)} rows, numbered from 0")


def _whole_numbers(name: str, x: Any) -> Array:
    a = _arrays.shared(name, x, reading=True)
    if a.dtype.kind not in "iu":
        raise TypeError(f"{name} is {a.dtype}, an array of whole numbers is needed")
    if a.ndim != 1:
        raise ValueError(f"{name} has shape {a.shape}, one dimension is needed")
    if a.dtype.kind == "u" and a.size and int(a.max()) > np.iinfo(np.int64).max:
        raise ValueError(f"{name} has numbers of 2^63 and above")
    kept = a.dtype if a.dtype.kind == "i" and a.itemsize in (4, 8) and a.dtype.isnative else np.int64
    return np.require(a.astype(kept, copy=False), requirements=("C", "A"))


def seen(name: str, x: Any, of: str, p: Array, *, writable: bool = False, block: int = 1) -> Any:
    """A usable view of a gradient of either kind."""
    if isinstance(x, Rows):
        return by_rows(name, x, of, p, writable=writable, block=block)
    return whole(name, x, of, p, writable=writable)


def arrays_of(name: str, g: Any) -> list[tuple[str, Array]]:
    """The arrays of a usable gradient, with their names; first the one that a step may set to zero."""
    return [(f"{name}.values", g.values), (f"{name}.ids", g.ids)] if isinstance(g, Rows) else [(name, g)]


def gradient(name: str, x: Any, of: str, p: Array, written: Sequence[Interval], *, writable: bool = False,
             block: int = 1) -> Any:
    """The same, after a look whether it is among what is written (sorted). writable: it is to be set to zero."""
    g = seen(name, x, of, p, writable=writable, block=block)
    for part, a in arrays_of(name, g):
        low, high = _arrays.bounds(a)
        nearest = bisect_right(written, low, key=itemgetter(1))     # the first interval that ends after it begins
        if low < high and nearest < len(written) and written[nearest][0] < high:
            raise _arrays.overlap(part, written[nearest][2])
    return g


def zeroed(names: Iterable[str], grads: Iterable[Any]) -> None:
    """Raise the error that names two gradients that share memory, if any do: they are to be set to zero."""
    found = list(chain.from_iterable(arrays_of(n, g)[:1] for n, g in zip(names, grads, strict=True) if g is not None))
    _arrays.intervals([name for name, _ in found], [a for _, a in found])


def checked(rule: Rule, arrays: Sequence[Any], offset: int) -> tuple[Any, ...]:
    """Usable views of (p, g, state..., and perhaps EXTRAS) of a rule's function, or the error that names the first
    array that cannot be used."""
    names = rule.arrays
    formats = [_arrays.PARAMETER, _arrays.GRADIENT, *[_arrays.STATE] * len(rule.state), *_arrays.EXTRAS.values()]
    found: dict[str, Any] = {}
    for k, (name, x) in enumerate(zip([*names, *_arrays.EXTRAS], arrays, strict=False)):
        if x is None and k >= len(names):
            continue
        order: Any = found[names[0]] if k else "dense"
        found[name] = x if k == 1 and isinstance(x, Rows) else _arrays.view(
            name, x, writable=k != 1, formats=formats[k], order=order)
    p = found[names[0]]
    shapes = {s.letter: s.shape for s in rule.state}
    if "row" in shapes.values():
        in_c_order(names[0], p)
    kept_as = FORMATS[form_of(p)]
    if isinstance(found[names[1]], Rows):
        block = max([FORMATS[form_of(found[name])].block for name in names[2:]], default=1)
        found[names[1]] = by_rows(names[1], found[names[1]], names[0], p, block=block)
    for name, a in found.items():
        if name == names[0] or isinstance(a, Rows):
            continue
        kept, shape = FORMATS[form_of(a)], shape_of(p, shapes.get(name, ""))
        if kept.block > 1 and a.shape != kept.shape(shape):
            raise ValueError(f"{name} has shape {a.shape}: 8-bit codes for {names[0]}, which has shape {shape}, are an "
                             f"array of shape {kept.shape(shape)}; optcore.state_array makes one")
        _arrays.check_shape(name, a, names[0] if shape == p.shape else f"what is kept of each row of {names[0]}",
                            kept.shape(shape))
        if name != names[1] and kept.arithmetic != kept_as.arithmetic:
            raise TypeError(f"{name} is {kept.name}, {names[0]} is {kept_as.name}: with a float64 parameter "
                            "go float64 state and average, no copy and no compensation, and only with it")
        if shape != p.shape and kept.name != kept_as.arithmetic:
            raise TypeError(f"{name} is {kept.name}: one number a row is kept in {kept_as.arithmetic}")
        if offset % kept.block:
            raise ValueError(f"offset={offset}: with 8-bit state it must be a multiple of {kept.block}")
        if name == "compensation" and not kept_as.narrow:
            raise ValueError(f"compensation: {names[0]} is {kept_as.name}, which lacks nothing")
    parts = list(chain.from_iterable(arrays_of(name, a) for name, a in found.items()))
    _arrays.intervals([name for name, _ in parts], [a for _, a in parts])
    return tuple(found.get(name) for name, _ in zip([*names, *_arrays.EXTRAS], arrays, strict=False))


def shape_of(p: Array, kind: str) -> tuple[int, ...]:
    """The shape of a state array of p, by the row that says it (State.shape)."""
    return p.shape[:1] if kind == "row" else p.shape


def in_c_order(name: str, p: Array) -> None:
    """Refuse a parameter that has no rows lying one after another: its rule keeps a number of each."""
    if p.ndim == 0 or not p.flags.c_contiguous:
        raise ValueError(f"{name} has shape {p.shape} and strides {p.strides}: one number is kept of each of its rows, "
                         "which must lie in C order")


def name_nonfinite(names: Sequence[str], grads: Sequence[Any], params: Sequence[Array]) -> None:
    """Raise the error that names the first infinity or NaN, as the parameters' arithmetic has the gradients."""
    for name, g, p in zip(names, grads, params, strict=True):
        if g is None:
            continue
        name, a = arrays_of(name, g)[0]
        values = decode(a, FORMATS[form_of(p)].arithmetic)
        good = np.isfinite(values)
        if not good.all():
            where = tuple(int(k) for k in np.argwhere(~good)[0])
            raise FloatingPointError(f"{name} is {values[where]} at index {where if a.ndim != 1 else where[0]}; "
                                     "nothing was changed")
    raise FloatingPointError("grads: the squares of their elements add up to infinity; nothing was changed")
