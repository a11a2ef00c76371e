"""Writes the type stubs of the modules that are made from the tables: python tools/make_stubs.py

functional.pyi, reference.pyi, optimizers/__init__.pyi and torch/__init__.pyi say for type checkers and editors what
rules/ and step/options.py say at run time (for the last, torch's own signatures, so torch must be there). They are
committed; a test fails when they are not what this writes.
"""
from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterable
from pathlib import Path

from optcore.rules import FAMILIES, RULES, Family
from optcore.rules.settings import FLAG
from optcore.step.options import CLASS, FUNCTION, NUMBER, STEP, TORCH, options

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "optcore"
NOTE = "# Written by tools/make_stubs.py from the tables in rules/ and step/options.py; change it there.\n"
ALIAS = f"_Number: TypeAlias = {NUMBER}       # a setting as it is, or as a function of the step\n"


def filled(words: Iterable[str], indent: str) -> str:
    """Words with commas between them, in lines of at most 120 characters; no word is broken."""
    text = ", ".join(w.replace(" ", "\0") for w in words)
    lines = textwrap.wrap(text, 119, initial_indent=indent, subsequent_indent=indent, break_long_words=False,
                          break_on_hyphens=False)
    return "\n".join(lines).replace("\0", " ")


def define(name: str, arguments: Iterable[str], result: str = "None", indent: str = "") -> str:
    return f"{indent}def {name}(\n{filled(arguments, indent + '    ')},\n{indent}) -> {result}: ...\n"


def given(place: str, array: str = "Any") -> list[str]:
    """The options of a place, as arguments."""
    return [f"{name}: {o.kind.replace('Array', array).replace(NUMBER, '_Number')} = {o.default!r}"
            for name, o in options(place).items()]


def exported(names: Iterable[str]) -> str:
    return "__all__ = [\n" + filled((f'"{n}"' for n in names), "    ") + ",\n]\n"


def kind(family: Family, name: str) -> str:
    value = family.settings[name]
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, tuple):
        return f"tuple[{', '.join(['_Number'] * len(value))}]"
    return "float" if name in family.fill.values() else "_Number"


def functions(array: str, imports: str) -> str:
    lines = [NOTE + "from collections.abc import Callable\n" + imports, ALIAS, exported(RULES)]
    for rule in RULES.values():
        settings = [f"{s.name}: {'bool' if s.domain == FLAG else '_Number'} = {s.default!r}" for s in rule.all_settings]
        arrays = [f"{a}: {array}" for a in rule.arrays]
        lines.append(define(rule.name, [*arrays, "*", "step: int", *settings, *given(FUNCTION, array)]))
    return "\n".join(lines)


def classes() -> str:
    lines = [NOTE + """import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar, TypeAlias

from optcore.rules import Family
""", ALIAS, exported(["Optimizer", *FAMILIES]), """class Optimizer:
    family: ClassVar[Family]
    defaults: dict[str, Any]
    param_groups: list[dict[str, Any]]
    nonfinite: str
    skipped: int
    grad_norm: float | None
    @property
    def state(self) -> tuple[Mapping[str, Any], ...]: ...
    @property
    def averages(self) -> Any: ...
    def add_param_group(self, group: Mapping[str, Any]) -> None: ...
""" + define("step", ["self", "grads: Any", "*", *given(STEP)], indent="    ") + """\
    def catch_up(self, name: Any = None, ids: Any = None, *, num_threads: int | None = None) -> None: ...
    def undo(self) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None: ...
    def save(self, path: str | os.PathLike[str]) -> None: ...
    def load(self, path: str | os.PathLike[str]) -> None: ...
"""]
    for family in FAMILIES.values():
        settings = [f"{k}: {kind(family, k)} = {v!r}" for k, v in family.settings.items()]
        text = f"class {family.name}(Optimizer):\n" + define(
            "__init__", ["self", "params: Any", *settings, "*", *given(CLASS)], indent="    ")
        lines.append(text + ("    def lookahead(self) -> AbstractContextManager[None]: ...\n" if family.ahead else ""))
    return "\n".join(lines)


def torch_classes() -> str:
    import optcore.torch

    lines = [NOTE + """from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch.optim

from optcore.torch._backward import step_in_backward as step_in_backward
from optcore.torch._lbfgs import LBFGS as LBFGS
from optcore.torch._optimizer import FusedOptimizer as FusedOptimizer
from optcore.torch._tabled import LookaheadOptimizer, TabledOptimizer
""", ALIAS, exported(optcore.torch.__all__)]
    ours = options(TORCH)
    for family in FAMILIES.values():
        made = getattr(optcore.torch, family.name)
        arguments, starred = ["self", "params: Any"], False
        for x in list(inspect.signature(made).parameters.values())[1:]:
            if x.name in ours:
                continue
            if x.kind is x.KEYWORD_ONLY and not starred:
                arguments.append("*")
                starred = True
            arguments.append(f"{x.name}: Any = {x.default!r}")
        bases = ", ".join(base.__name__ if base.__module__.startswith("optcore.torch.") else made.rival
                          for base in made.__bases__)
        lines.append(f"class {family.name}({bases}):\n" + define(
            "__init__", [*arguments, *([] if starred else ["*"]), *given(TORCH)], indent="    "))
    return "\n".join(lines)


def texts() -> dict[str, str]:
    """The stubs by file name."""
    return {
        "functional.pyi": functions("Any", "from typing import Any, TypeAlias\n"),
        "reference.pyi": functions("NDArray[Any]", "from typing import Any, TypeAlias\n\n"
                                   "from numpy.typing import NDArray\n"),
        "optimizers/__init__.pyi": classes(),
        "torch/__init__.pyi": torch_classes(),
    }


if __name__ == "__main__":
    for name, text in texts().items():
        (PACKAGE / name).write_text(text)
        print(PACKAGE / name)
