"""The same formulas in plain NumPy: what the kernels are held against, bit for bit.

Owns what surrounds a formula; the formulas themselves are in rules/, by the names of the structs in kernels/rules.pxd.
The operations and their order are the same, one rounding each, in the dtype of the arrays: float32 gives the kernels'
bits, float64 (which only the reference takes) an oracle of their error. Imports the table and NumPy, nothing compiled.
"""
from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from optcore import _make
from optcore.formats import (
    BLOCK,
    blocks,
    decode,
    decode8,
    encode8,
    nearest_bfloat16,
    noise,
    parameter_noise,
    split_bfloat16,
    to_bfloat16,
)
from optcore.rules import FORMULAS, RULES, Rule, elementwise

__all__ = list(RULES)

Values = tuple[Any, ...]

# ------------------------------------------------------------------------------------------- one step


def prelude(p: Any, g: Any, scale: Any, couple: Any, keep: Any, clip: Any) -> Values:
    """What happens to p and g before every rule (the kernels' is in _loops.pxd)."""
    g = scale * g
    g = elementwise.pick(g > clip, clip, g)
    g = elementwise.pick(g < -clip, -clip, g)
    if couple != 0:
        g = g + couple * p
    return keep * p, g


def scalar_names(kernel: str) -> tuple[str, ...]:
    """The names of a formula's scalars, in order."""
    parameters = inspect.signature(FORMULAS[kernel]).parameters.values()
    return tuple(x.name for x in parameters if x.kind is x.KEYWORD_ONLY)


def new_values(kernel: str, arrays: Values, scalars: Values, clip: Any = np.inf) -> Values:
    """The arrays that a rule writes, after one step, for scalars of the arrays' own kind."""
    formula = FORMULAS[kernel]
    p, g = prelude(arrays[0], arrays[1], *scalars[:3], clip)
    return formula(p, g, *arrays[2:], **dict(zip(scalar_names(kernel), scalars[3:], strict=True)))


# ------------------------------------------------------------------------------------------- sums


def sum_of_squares(arrays: list[Any]) -> float:
    """Of gradients of any format, in the kernels' fixed shape (see _sums.pxd): blocks of 1024 elements from each
    array's first, 16 lanes a block added in halves, then the blocks of all arrays pairwise."""
    sums: list[Any] = []
    for a in arrays:
        x = decode(a).reshape(-1).astype(np.float64)
        x = np.concatenate([x, np.zeros(-x.size % 1024)]).reshape(-1, 64, 16)    # adding 0.0 changes no sum
        lane = np.zeros((len(x), 16))
        for k in range(64):
            lane = lane + x[:, k] * x[:, k]
        while lane.shape[1] > 1:
            half = lane.shape[1] // 2
            lane = lane[:, :half] + lane[:, half:]
        sums += list(lane[:, 0])
    while len(sums) > 1:
        sums = [sum(sums[k:k + 2]) for k in range(0, len(sums), 2)]
    return float(sums[0]) if sums else 0.0


# ------------------------------------------------------------------------------------------- public functions


def _runner(rule: Rule) -> Callable[..., None]:
    signless = rule.nonnegative or (False,)                 # lookahead's `saved` has no name in torch

    def read(slot: int, a: Any, p: Any) -> Any:
        return decode8(a, p.size, signless[slot]).reshape(p.shape) if a.dtype == np.uint8 else decode(a)

    def write(slot: int, a: Any, values: Any, seed: int, step: int, offset: int) -> None:
        flat = np.ascontiguousarray(values).reshape(-1)
        if a.dtype == np.uint8:
            count = blocks(flat.size) * BLOCK
            a[...] = encode8(flat, noise(seed, step, offset, count, slot, 20), signless[slot])
        elif a.dtype.itemsize == 2:
            a.view(np.uint16)[...] = to_bfloat16(flat, noise(seed, step, offset, flat.size, slot)).reshape(a.shape)
        else:
            a[...] = values

    def run(arrays: Values, scalars: tuple[float, ...], step: int, seed: int, offset: int, rounding: str,
            clip_value: float | None, compensation: Any, copy: Any, average: Any, average_weight: float) -> None:
        _check(rule, arrays, {"compensation": compensation, "copy": copy, "average": average}, offset, rounding)
        p = arrays[0]
        kind = decode(p).dtype.type
        with np.errstate(all="ignore"):         # the kernels do not warn either
            start = decode(p) if compensation is None else decode(p) + decode(compensation)
            state = (read(slot, a, p) for slot, a in enumerate(arrays[2:]))
            new, *new_state = new_values(rule.kernel, (start, decode(arrays[1]), *state),
                                         tuple(kind(x) for x in scalars),
                                         kind(np.inf if clip_value is None else clip_value))
            for slot, (a, values) in enumerate(zip(arrays[2:], new_state, strict=True)):
                write(slot, a, values, seed, step, offset)
            flat = np.ascontiguousarray(new).reshape(-1)
            if p.dtype.itemsize != 2:
                p[...] = new
            elif compensation is not None:
                stored, rest = split_bfloat16(flat, noise(seed, step, offset, p.size, 3))
                p.view(np.uint16)[...] = stored.reshape(p.shape)
                compensation.view(np.uint16)[...] = rest.reshape(p.shape)
            else:
                p.view(np.uint16)[...] = (nearest_bfloat16(flat) if rounding == "nearest" else to_bfloat16(
                    flat, parameter_noise(seed, step, offset, p.size))).reshape(p.shape)
            if average is not None:
                average[...] = average + kind(average_weight) * (new - average)
            if copy is not None and copy.dtype == np.float16:
                copy[...] = new
            elif copy is not None:
                copy.view(np.uint16)[...] = nearest_bfloat16(flat).reshape(p.shape)

    return run


def _check(rule: Rule, arrays: Values, others: dict[str, Any], offset: int, rounding: str) -> None:
    p = arrays[0]
    for k, (name, a) in enumerate([*zip(rule.arrays, arrays, strict=True), *others.items()]):
        if a is None and name in others:
            continue
        if not isinstance(a, np.ndarray) or not (a.dtype in (np.float32, np.float64, np.uint16, np.float16, np.uint8)
                                                 or a.dtype.name == "bfloat16"):
            raise TypeError(f"{name}: the reference takes NumPy arrays, all float32 or all float64, bfloat16 (its bits "
                            "as uint16), gradients and copies in float16, state as 8-bit codes")
        shape = (blocks(p.size) * (BLOCK + 1),) if a.dtype == np.uint8 and 2 <= k < len(arrays) else p.shape
        if a.shape != shape:
            raise ValueError(f"{name} has shape {a.shape}, for {rule.arrays[0]} of {p.shape} {shape} is needed")
        if a.dtype == np.uint8 and offset % BLOCK:
            raise ValueError(f"offset={offset}: with 8-bit state it must be a multiple of {BLOCK}")
    _make.check_rounding(rounding)


_STATEMENT = """\
run({arrays}, {scalars}, step, seed, offset, rounding, clip_value, compensation, copy, average,
        average_weight)"""

for _rule in RULES.values():
    globals()[_rule.name] = _make.function(_rule, "reference", _STATEMENT, {"run": _runner(_rule)})
del _rule
