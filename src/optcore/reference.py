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
from optcore.step.gradients import by_rows, shape_of
from optcore.step.options import FUNCTION, check
from optcore.step.rows import Rows, by_row, summed
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
        arrays = tuple(Rows(np.asarray(a.ids), parts(a.values)) if isinstance(a, Rows) else parts(a) for a in arrays)
        others = {"compensation": compensation, "copy": copy, "average": average}
        _check(rule, arrays, others, offset)
        check(FUNCTION, {"rounding": rounding, "clip_value": clip_value, "average_weight": average_weight})
        how = {"rounding": rounding, "clip_value": clip_value, "average_weight": average_weight}
        if not isinstance(arrays[1], Rows):
            step_all(arrays, scalars, step, seed, offset, **how, **others)
            return
        # As the dense step does it, of which the rows that are touched are kept.
        p, rows, *state = arrays
        touched, sums = summed(rows, FORMATS[form_of(p)].arithmetic)
        g = np.zeros(p.shape, sums.dtype)
        g[touched] = sums
        made = [p.copy(), *(a.copy() for a in state)]
        aside = {name: None if a is None else a.copy() for name, a in others.items()}
        step_all((made[0], g, *made[1:]), scalars, step, seed, offset, **how, **aside)
        for a, new in zip([p, *state, *others.values()], [*made, *aside.values()], strict=True):
            if a is not None:
                for part, changed in zip(by_row(a, p), by_row(new, p), strict=True):
                    part[touched] = changed[touched]

    def step_all(arrays: Values, scalars: tuple[float, ...], step: int, seed: int, offset: int, *, rounding: str,
                 clip_value: float | None, compensation: Any, copy: Any, average: Any, average_weight: float) -> None:
        axes = memory_order(arrays[0])          # of elements, by which noise and blocks are counted
        p, g, *state = (a.transpose(axes) if a.ndim == len(axes) and FORMATS[form_of(a)].block == 1 else a
                        for a in arrays)
        of_row = [s.shape == "row" for s in rule.state]
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
            lacks = None if compensation is None else FORMATS[form_of(compensation)]
            start = read(p) if lacks is None else lacks.join(p, compensation)
            kept = [a.reshape(a.shape + (1,) * (p.ndim - 1)) if row else read(a, code)
                    for a, code, row in zip(state, rule.codes, of_row, strict=True)]
            new, *new_state = new_values(rule, (start, read(g), *kept),
                                         tuple(kind(x) for x in scalars),
                                         kind(np.inf if clip_value is None else clip_value))
            for slot, (a, values) in enumerate(zip(state, new_state, strict=True)):
                which = rule.decays[slot]
                write(a, values, slot, rule.codes[slot], scalars[2 + which] if which else 1.0)
            if lacks is None:
                write(p, new, OF_PARAMETER, rounded=rounding)
            else:
                bits = noise(seed, step, offset, n, OF_COMPENSATION, lacks.noise_bits)
                parts = lacks.split(np.ascontiguousarray(new).reshape(-1), bits)
                for a, part in zip((p, compensation), parts, strict=True):
                    a.view(part.dtype)[...] = part.reshape(a.shape)
            if average is not None:
                average[...] = average + kind(average_weight) * (new - average)
            if copy is not None:
                write(copy, new, OF_PARAMETER, rounded="nearest")

    return run


def _check(rule: Rule, arrays: Values, others: dict[str, Any], offset: int) -> None:
    p, arithmetic = arrays[0], ""
    shapes = {s.letter: s.shape for s in rule.state}
    roles = ["parameter", "gradient", *["state"] * (len(arrays) - 2), *others]
    for role, (name, a) in zip(roles, [*zip(rule.arrays, arrays, strict=True), *others.items()], strict=True):
        if a is None and name in others:
            continue
        if isinstance(a, Rows):
            block = max((f.block for f in map(format_of, arrays[2:]) if f), default=1)
            by_rows(name, a, rule.arrays[0], p, block=block)
            continue
        kept = format_of(a) if isinstance(a, np.ndarray) else None
        if kept is None or role not in kept.roles:
            raise TypeError(f"{name}: the reference takes NumPy arrays of float32, float64, bfloat16 (its bits as "
                            "uint16), gradients and copies in float16, state as 8-bit codes, a compensation in int8")
        arithmetic = arithmetic or kept.arithmetic
        if role != "gradient" and kept.arithmetic != arithmetic:
            raise TypeError(f"{name} is {kept.name}, {rule.arrays[0]} is {form_of(p)}: with a float64 parameter go "
                            "float64 state and average, no copy and no compensation, and only with it")
        if role == "compensation" and not FORMATS[form_of(p)].narrow:
            raise ValueError(f"{name}: {rule.arrays[0]} is {form_of(p)}, which lacks nothing")
        shape = kept.shape(shape_of(p, shapes.get(name, "")))
        if a.shape != shape:
            raise ValueError(f"{name} has shape {a.shape}, for {rule.arrays[0]} of {p.shape} {shape} is needed")
        if offset % kept.block:
            raise ValueError(f"offset={offset}: with 8-bit state it must be a multiple of {kept.block}")


for _rule in RULES.values():
    globals()[_rule.name] = function(_rule, "reference", CALL, {"run": _runner(_rule)})
del _rule
