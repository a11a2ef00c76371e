"""The same formulas in plain NumPy: what the kernels are held against, bit for bit.

Owns what surrounds a formula; the formulas themselves are in rules/, by the names of the structs in kernels/rules.pxi.
The operations and their order are the same, one rounding each, in float32 or, for float64 parameters, in float64.
Imports the tables and NumPy, nothing compiled.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from optcore.formats import FORMATS, decode, form_of, format_of, numbers
from optcore.formats.rounding import OF_COMPENSATION, OF_PARAMETER, noise
from optcore.rules import RULES, Rule, elementwise
from optcore.rules.made import Template
from optcore.step.arrays import memory_order, parts
from optcore.step.options import FUNCTION, check
from optcore.step.signatures import function

__all__ = list(RULES)

Values = tuple[Any, ...]

# ------------------------------------------------------------------------------------------- one step


def prelude(p: Any, g: Any, scale: Any, couple: Any, keep: Any, clip: Any) -> Values:
    """What happens to p and g before every rule (the kernels' is in kernels/loops.pxd)."""
    g = scale * g
    g = elementwise.pick(g > clip, clip, g)
    g = elementwise.pick(g < -clip, -clip, g)
    if couple != 0:
        g = g + couple * p
    return keep * p, g


def new_values(rule: Rule, arrays: Values, scalars: Values, clip: Any = np.inf) -> Values:
    """The arrays that a rule writes, after one step, for scalars of the arrays' own kind."""
    p, g = prelude(arrays[0], arrays[1], *scalars[:3], clip)
    return rule.update(p, g, *arrays[2:], **dict(zip(rule.fields, scalars[3:], strict=True)))


# ------------------------------------------------------------------------------------------- sums


def sum_of_squares(arrays: list[Any], arithmetic: str = "float32") -> float:
    """Of gradients of any format, of parameters of this arithmetic, in the kernels' fixed shape (see kernels/sums.pxd):
    blocks of 1024 elements from each array's first, 16 lanes a block added in halves, then the blocks of all arrays
    pairwise."""
    sums: list[Any] = []
    for a in arrays:
        x = decode(a, arithmetic).reshape(-1).astype(np.float64)
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


CALL = Template("""
def $name($signature):
    run($arrays, $scalars, step, seed, offset, $seldom)
""")


def _runner(rule: Rule) -> Callable[..., None]:

    def run(arrays: Values, scalars: tuple[float, ...], step: int, seed: int, offset: int, *, rounding: str,
            clip_value: float | None, compensation: Any, copy: Any, average: Any, average_weight: float) -> None:
        arrays = tuple(map(parts, arrays))
        _check(rule, arrays, {"compensation": compensation, "copy": copy, "average": average}, offset)
        check(FUNCTION, {"rounding": rounding, "clip_value": clip_value, "average_weight": average_weight})
        axes = memory_order(arrays[0])          # of elements, by which noise and blocks are counted
        p, g, *state = (a.transpose(axes) if FORMATS[form_of(a)].block == 1 else a for a in arrays)
        compensation, copy, average = (None if a is None else a.transpose(axes) for a in (compensation, copy, average))
        n, arithmetic = p.size, FORMATS[form_of(p)].arithmetic
        kind: Any = FORMATS[arithmetic].dtype

        def read(a: Any, code: int = 0) -> Any:
            return numbers(a, n, code, arithmetic).reshape(p.shape)

        def write(a: Any, values: Any, slot: int, code: int = 0, decay: Any = 1.0,
                  rounded: str = "stochastic") -> None:
            kept = FORMATS[form_of(a)]
            flat = np.ascontiguousarray(values).reshape(-1)
            if rounded == "nearest":
                flat = kept.store(flat)
            elif kept.quantize is not None:
                bits = noise(seed, step, offset, kept.padded(n), slot, kept.noise_bits)
                flat = kept.quantize(flat, bits, code, kept.units(a), decay)
            a.view(kept.dtype)[...] = flat.reshape(a.shape)

        with np.errstate(all="ignore"):         # the kernels do not warn either
            start = read(p)
            if compensation is not None:        # what others have written to lacks nothing
                lack = read(compensation)
                own = read(FORMATS[form_of(p)].store(start + kind(0.5) * lack)) == start
                start = np.where(own, start + lack, start)
            new, *new_state = new_values(rule, (start, read(g), *map(read, state, rule.codes)),
                                         tuple(kind(x) for x in scalars),
                                         kind(np.inf if clip_value is None else clip_value))
            for slot, (a, values) in enumerate(zip(state, new_state, strict=True)):
                which = rule.decays[slot]
                write(a, values, slot, rule.codes[slot], scalars[2 + which] if which else 1.0)
            if compensation is None:
                write(p, new, OF_PARAMETER, rounded=rounding)
            else:
                write(p, new, OF_PARAMETER, rounded="nearest")
                lacking = new - read(p)         # beside an infinity or NaN there is none
                write(compensation, np.where(np.isfinite(lacking), lacking, kind(0)), OF_COMPENSATION)
            if average is not None:
                average[...] = average + kind(average_weight) * (new - average)
            if copy is not None:
                write(copy, new, OF_PARAMETER, rounded="nearest")

    return run


def _check(rule: Rule, arrays: Values, others: dict[str, Any], offset: int) -> None:
    p, arithmetic = arrays[0], ""
    roles = ["parameter", "gradient", *["state"] * (len(arrays) - 2), *others]
    for role, (name, a) in zip(roles, [*zip(rule.arrays, arrays, strict=True), *others.items()], strict=True):
        if a is None and name in others:
            continue
        kept = format_of(a) if isinstance(a, np.ndarray) else None
        if kept is None or role not in kept.roles:
            raise TypeError(f"{name}: the reference takes NumPy arrays of float32, float64, bfloat16 (its bits as "
                            "uint16), gradients and copies in float16, state as 8-bit codes")
        arithmetic = arithmetic or kept.arithmetic
        if role != "gradient" and kept.arithmetic != arithmetic:
            raise TypeError(f"{name} is {kept.name}, {rule.arrays[0]} is {form_of(p)}: with a float64 parameter go "
                            "float64 state and average, no copy and no compensation, and only with it")
        shape = kept.shape(p.shape)
        if a.shape != shape:
            raise ValueError(f"{name} has shape {a.shape}, for {rule.arrays[0]} of {p.shape} {shape} is needed")
        if offset % kept.block:
            raise ValueError(f"offset={offset}: with 8-bit state it must be a multiple of {kept.block}")


for _rule in RULES.values():
    globals()[_rule.name] = function(_rule, "reference", CALL, {"run": _runner(_rule)})
del _rule
