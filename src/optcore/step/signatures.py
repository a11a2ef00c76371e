"""What Python shows of the rows: signatures, docstrings and the types that stubs give, for functions and classes.

Owns how a row of rules/ and the options of options.py become the text of a signature and of a docstring. functional.py,
reference.py, optimizers/, torch/ and tools/make_stubs.py take theirs from here, so they cannot differ. Imports nothing
compiled.
"""
from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable
from typing import Any

from optcore.formats import playing
from optcore.rules import Family, Rule
from optcore.rules.made import Template, made
from optcore.step.options import CLASS, FUNCTION, Option, options

WIDTH = 116


def either(names: Iterable[str]) -> str:
    """Names in words: a, b or c."""
    *some, last = names
    return f"{', '.join(some)} or {last}" if some else last


ABOUT = {
    "p": f"parameters, {either(playing('parameter'))}, any shape, in any order without holes; updated in place",
    "g": f"gradient at p, {either(playing('gradient'))}, shape of p; only read",
}

# What each module says of its arrays and errors: the reference looks at no memory.
ENDS = {
    "functional": (
        "Returns None. Raises TypeError or ValueError, naming the argument, before anything is changed, for a",
        "wrong dtype, shape, layout, device or range, a read-only target, or arrays that overlap."),
    "reference": (
        "Plain NumPy, on one thread. Arrays may have any layout; they must be writable and not overlap. Returns None.",
        "Raises TypeError or ValueError, naming the argument, before anything is changed, for what is no array, a",
        "wrong dtype or shape, or a setting out of its range."),
}


def paragraph(name: str, text: str) -> str:
    """An entry of a docstring's list of parameters."""
    return textwrap.fill(f"{name}: {text}", WIDTH, initial_indent="    ", subsequent_indent="        ",
                         break_long_words=False, break_on_hyphens=False)


def paragraphs(place: str, key: str = "") -> str:
    """The options of a place, as entries of a docstring."""
    return "\n".join(paragraph(name, o.text(place, key)) for name, o in options(place).items())


# ------------------------------------------------------------------------------------------- functions


SELDOM: dict[str, Option] = {name: o for name, o in options(FUNCTION).items()
                             if name not in ("num_threads", "seed", "offset")}


def _usual() -> str:
    """A condition, as source, that no seldom option is given."""
    nothing = [name for name, o in SELDOM.items() if o.default is None]
    return " and ".join([" is ".join([*nothing, "None"]),
                         *(f"{name} == {o.default!r}" for name, o in SELDOM.items() if o.default is not None)])


USUAL = _usual()


def arguments(rule: Rule) -> str:
    """The parameters of the rule's function, as source."""
    settings = [f"{s.name}={s.default!r}" for s in rule.all_settings]
    return ", ".join([*rule.arrays, "*", "step", *settings,
                      *(f"{name}={o.default!r}" for name, o in options(FUNCTION).items())])


def function(rule: Rule, module: str, template: Template, scope: dict[str, Any]) -> Callable[..., None]:
    """The rule as a function of a module, by its template. The template's fields: the signature; the tuple of arrays;
    the call of the rule's scalars; the condition that no seldom option is given, and these options as keywords."""
    function = made(template, rule.name, {**scope, "scalars": rule.scalars, "__name__": f"optcore.{module}"},
                    signature=arguments(rule), arrays=f"({', '.join(rule.arrays)})",
                    scalars=f"scalars(step, {', '.join(s.name for s in rule.all_settings)})",
                    usual=USUAL, seldom=", ".join(f"{name}={name}" for name in SELDOM))
    function.__doc__ = docstring(rule, module)
    return function


def docstring(rule: Rule, module: str) -> str:
    """One line, formula, parameters, effect, errors, example, source."""
    state = {a: f"state ({k}), float32, bfloat16 or 8-bit codes (of float64 p float64), shape of p, "
                f"{rule.starts.get(k, 'zeros')} before step 1; updated in place"
             for a, k in zip(rule.arrays[2:], rule.keys, strict=False)}
    if rule.decay is None:
        state = {"v": "velocity, float32 (of float64 p float64), shape of p; only read",
                 "saved": "float32 (of float64 p float64), shape of p; receives p as it was"}
    names = ", ".join(rule.arrays)
    lines = [
        rule.title + ".", "",
        *(f"    {line}" for line in rule.formula), "",
        "Parameters", *(paragraph(a, (ABOUT | state)[a]) for a in rule.arrays),
        "    step: t in the formulas, counted from 1",
        *(paragraph(s.name, f"{s.about} (default {s.default!r})") for s in rule.all_settings),
        paragraphs(FUNCTION), "",
        "bfloat16 is an array of ml_dtypes.bfloat16, or its 16 bits as uint16. 8-bit codes are a one-dimensional array",
        "of uint8, optcore.state_array(p, 'int8'): 260 bytes for 256 elements.",
        *ENDS[module], "",
        "    >>> import numpy as np, optcore as oc",
        f"    >>> {names} = (np.full(3, x, np.float32) for x in {(1.0, 0.5, 0.0, 0.0, 0.0)[:len(rule.arrays)]})",
        f"    >>> oc.{module}.{rule.name}({names}, step=1)",
        "    >>> bool((p != 1).all())",
        "    True", "",
        f"Source: {rule.source}.",
    ]
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------- classes


CONSTRUCTOR = Template("""
def $name($signature):
    self._set_up(params, $settings, $options)
""")


def constructor(family: Family, module: str) -> Callable[..., None]:
    """The `__init__` of a family's class, which calls _set_up(params, settings, options)."""
    given = [f"{k}={v!r}" for k, v in family.settings.items()]
    extra = [f"{name}={o.default!r}" for name, o in options(CLASS).items()]
    function = made(CONSTRUCTOR, "__init__", {"__name__": module}, signature=", ".join(["self", "params", *given, "*",
                                                                                       *extra]),
                    settings=_dict_of(family.settings), options=_dict_of(options(CLASS)))
    function.__qualname__ = f"{family.name}.__init__"
    return function


def _dict_of(names: Iterable[str]) -> str:
    return "dict(" + ", ".join(f"{k}={k}" for k in names) + ")"


def first_key(family: Family) -> str:
    """A state array of the class, for an example."""
    return next(iter(family.keys()), "momentum_buffer")
