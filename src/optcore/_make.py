"""Turns a row of the table into a Python function: true signature, docstring, one statement.

functional.py and reference.py are made by this from the same rows, so their signatures cannot differ.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optcore._specs import Rule

ABOUT = {
    "p": "parameters, float32, any shape, C-contiguous; updated in place",
    "g": "gradient at p, float32, bfloat16 or float16, shape of p; only read",
}


def signature(rule: Rule) -> str:
    """The parameters of the rule's function, as source."""
    settings = ", ".join(f"{s.name}={s.default!r}" for s in rule.all_settings)
    return f"{', '.join(rule.arrays)}, *, step, {settings}, num_threads=None, seed=0, offset=0"


def docstring(rule: Rule, module: str) -> str:
    """One line, formula, parameters, effect, errors, example, source."""
    state = {a: f"state ({k}), float32 or bfloat16, shape of p, {rule.starts.get(k, 'zeros')} before step 1; "
                "updated in place" for a, k in zip(rule.arrays[2:], rule.keys, strict=False)}
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
        "    seed, offset: fix, with step, the noise by which bfloat16 state is rounded; offset is the number of p's",
        "        first element where p is a shard of a larger array (default 0)", "",
        "bfloat16 is an array of ml_dtypes.bfloat16, or its 16 bits as uint16.",
        "Returns None. Raises TypeError or ValueError, naming the argument, before anything is changed, for a",
        "wrong dtype, shape, layout, device or range, a read-only target, or arrays that overlap.", "",
        "    >>> import numpy as np, optcore as oc",
        f"    >>> {made} = (np.full(3, x, np.float32) for x in {(1.0, 0.5, 0.0, 0.0, 0.0)[:len(rule.arrays)]})",
        f"    >>> oc.{module}.{rule.name}({made}, step=1)",
        "    >>> bool((p != 1).all())",
        "    True", "",
        f"Source: {rule.source}.",
    ]
    return "\n".join(lines)


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
