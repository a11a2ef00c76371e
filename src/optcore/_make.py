"""Turns a row of the table into a Python function: true signature, docstring, one statement.

functional.py and reference.py are made by this from the same rows, so their signatures cannot differ.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optcore.rules import Rule

EXTRAS = ("rounding='stochastic', clip_value=None, compensation=None, copy=None, average=None, average_weight=0.0")

ROUNDING = ("stochastic", "nearest")

ABOUT = {
    "p": "parameters, float32 or bfloat16, any shape, C-contiguous; updated in place",
    "g": "gradient at p, float32, bfloat16 or float16, shape of p; only read",
}

# What each module says of its arrays and errors: the reference looks at no memory.
ENDS = {
    "functional": (
        "Returns None. Raises TypeError or ValueError, naming the argument, before anything is changed, for a",
        "wrong dtype, shape, layout, device or range, a read-only target, or arrays that overlap."),
    "reference": (
        "Plain NumPy, on one thread. Arrays may have any layout, and be float64, all of them, where float32 is said;",
        "they must be writable and not overlap. Returns None. Raises TypeError or ValueError, naming the argument,",
        "before anything is changed, for what is no array, a wrong dtype or shape, or a setting out of its range."),
}


def signature(rule: Rule) -> str:
    """The parameters of the rule's function, as source."""
    settings = ", ".join(f"{s.name}={s.default!r}" for s in rule.all_settings)
    return f"{', '.join(rule.arrays)}, *, step, {settings}, num_threads=None, seed=0, offset=0, {EXTRAS}"


def docstring(rule: Rule, module: str) -> str:
    """One line, formula, parameters, effect, errors, example, source."""
    state = {a: f"state ({k}), float32, bfloat16 or 8-bit codes, shape of p, {rule.starts.get(k, 'zeros')} before "
                "step 1; updated in place" for a, k in zip(rule.arrays[2:], rule.keys, strict=False)}
    if rule.decay is None:
        state = {"v": "velocity, float32, shape of p; only read",
                 "saved": "float32, shape of p; receives p as it was"}
    arrays = [f"    {a}: {(state | ABOUT)[a] if a not in state else state[a]}" for a in rule.arrays]
    settings = [f"    {s.name}: {s.about} (default {s.default!r})" for s in rule.all_settings]
    made = ", ".join(rule.arrays)
    lines = [
        rule.title + ".", "",
        *(f"    {line}" for line in rule.formula), "",
        "Parameters", *arrays,
        "    step: t in the formulas, counted from 1",
        *settings,
        "    num_threads: threads for this call (default: see optcore.get_num_threads)",
        "    seed, offset: fix, with step, the noise by which what is narrow is rounded; offset is the number of p's",
        "        first element where p is a shard of a larger array (default 0; with 8-bit state a multiple of 256)",
        "    rounding: of bfloat16 parameters, 'stochastic' (by Philox) or 'nearest'",
        "    clip_value: the gradient's elements are first brought into -clip_value..clip_value (default: not)",
        "    compensation: bfloat16, shape of p, for p in bfloat16: what p lacks of the parameter (Kahan), which is",
        "        then kept to 16 bits; zeros before step 1; updated in place",
        "    copy: bfloat16 or float16, shape of p; receives the new parameters, rounded to nearest",
        "    average, average_weight: float32, shape of p; average <- average + average_weight (p - average), with the",
        "        new p before it is rounded; updated in place", "",
        "bfloat16 is an array of ml_dtypes.bfloat16, or its 16 bits as uint16. 8-bit codes are a one-dimensional array",
        "of uint8, optcore.state_array(p, 'int8'): 257 bytes for 256 elements.",
        *ENDS[module], "",
        "    >>> import numpy as np, optcore as oc",
        f"    >>> {made} = (np.full(3, x, np.float32) for x in {(1.0, 0.5, 0.0, 0.0, 0.0)[:len(rule.arrays)]})",
        f"    >>> oc.{module}.{rule.name}({made}, step=1)",
        "    >>> bool((p != 1).all())",
        "    True", "",
        f"Source: {rule.source}.",
    ]
    return "\n".join(lines)


def check_rounding(rounding: Any) -> None:
    if rounding not in ROUNDING:
        raise ValueError(f"rounding={rounding!r}: it must be {' or '.join(map(repr, ROUNDING))}")


def function(rule: Rule, module: str, statement: str, scope: dict[str, Any]) -> Callable[..., None]:
    """The rule as a function of one statement, in which {arrays} and {scalars} stand for the tuples of them.

    Source, so that the signature is real and a call pays for nothing but the statement.
    """
    arrays = f"({', '.join(rule.arrays)})"
    scalars = f"scalars(step, {', '.join(s.name for s in rule.all_settings)})"
    source = f"def {rule.name}({signature(rule)}):\n    {statement.format(arrays=arrays, scalars=scalars)}\n"
    scope = {**scope, "scalars": rule.scalars, "__name__": f"optcore.{module}"}
    exec(source, scope)
    made: Callable[..., None] = scope[rule.name]
    made.__doc__ = docstring(rule, module)
    return made
