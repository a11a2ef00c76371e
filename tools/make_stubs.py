"""Writes the type stubs of the modules that are made from the table: python tools/make_stubs.py

functional.pyi, reference.pyi, optimizers.pyi and torch/__init__.pyi say for type checkers and editors what the table
says at run time (for the last, torch's own signatures, so torch must be there). They are committed; a test fails when
they are not what this writes.
"""
from __future__ import annotations

import inspect
from pathlib import Path

from optcore.rules import FAMILIES, RULES, Family
from optcore.rules.settings import FLAG

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "optcore"
NUMBER = "float | Callable[[int], float]"      # a setting as it is, or as a function of the step
NOTE = "# Written by tools/make_stubs.py from the table in _specs.py; change it there.\n"


def kind(family: Family, name: str) -> str:
    value = family.settings[name]
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, tuple):
        members = [NUMBER] * len(value)
        return f"tuple[{', '.join(members)}]" if len(members) < 3 else (
            "tuple[\n" + "".join(f"            {x},\n" for x in members) + "        ]")
    return "float" if name in family.fill.values() else NUMBER


def exported(names: list[str]) -> str:
    return "__all__ = [\n" + "".join(f'    "{n}",\n' for n in names) + "]\n"


def functions(array: str, header: str) -> str:
    lines = [NOTE + header, exported(list(RULES))]
    for rule in RULES.values():
        settings = "".join(f"    {s.name}: {'bool' if s.domain == FLAG else NUMBER} = {s.default!r},\n"
                           for s in rule.all_settings)
        lines.append(f"def {rule.name}(\n    {', '.join(f'{a}: {array}' for a in rule.arrays)}, *,\n"
                     f"    step: int,\n{settings}    num_threads: int | None = None,\n    seed: int = 0,\n"
                     "    offset: int = 0,\n    rounding: str = 'stochastic',\n    clip_value: float | None = None,\n"
                     f"    compensation: {array} | None = None,\n    copy: {array} | None = None,\n"
                     f"    average: {array} | None = None,\n    average_weight: float = 0.0,\n) -> None: ...\n")
    return "\n".join(lines)


def classes() -> str:
    lines = [NOTE + """import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from optcore.rules import Family
""", exported(["Optimizer", *FAMILIES]), """class Optimizer:
    family: ClassVar[Family]
    defaults: dict[str, Any]
    param_groups: list[dict[str, Any]]
    @property
    def state(self) -> tuple[Mapping[str, Any], ...]: ...
    def add_param_group(self, group: Mapping[str, Any]) -> None: ...
    nonfinite: str
    skipped: int
    grad_norm: float | None
    def step(
        self, grads: Any, *, num_threads: int | None = None, max_norm: float | None = None,
        clip_value: float | None = None, grad_scale: float | None = None, zero_grads: bool = False,
        undoable: bool = False,
    ) -> None: ...
    @property
    def averages(self) -> Any: ...
    def undo(self) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None: ...
    def save(self, path: str | os.PathLike[str]) -> None: ...
    def load(self, path: str | os.PathLike[str]) -> None: ...
"""]
    for family in FAMILIES.values():
        settings = "".join(f"        {k}: {kind(family, k)} = {v!r},\n" for k, v in family.settings.items())
        lines.append(f"class {family.name}(Optimizer):\n    def __init__(\n        self,\n        params: Any,\n"
                     f"{settings}        *,\n        state_dtype: str | Mapping[str, str] = 'float32',\n"
                     "        seed: int = 0,\n        nonfinite: str = 'propagate',\n"
                     f"        rounding: str = 'stochastic',\n        average: {NUMBER} | None = None,\n"
                     "    ) -> None: ...")
        if family.ahead:
            lines.append("    def lookahead(self) -> AbstractContextManager[None]: ...")
        lines.append("")
    return "\n".join(lines)


def torch_classes() -> str:
    import optcore.torch

    lines = [NOTE + """from typing import Any

import torch.optim

from optcore.torch._backward import step_in_backward as step_in_backward
from optcore.torch._lbfgs import LBFGS as LBFGS
from optcore.torch._optimizer import FusedOptimizer as FusedOptimizer
from optcore.torch._optimizer import LookaheadOptimizer, TabledOptimizer
""", exported(optcore.torch.__all__)]
    for family in FAMILIES.values():
        made = getattr(optcore.torch, family.name)
        arguments, starred = ["self", "params: Any"], False
        for x in list(inspect.signature(made).parameters.values())[1:]:
            if x.kind is x.KEYWORD_ONLY and not starred:
                arguments.append("*")
                starred = True
            arguments.append(f"{x.name}: Any = {x.default!r}")
        bases = ", ".join(base.__name__ if base.__module__ == "optcore.torch._optimizer" else made.rival
                          for base in made.__bases__)
        lines.append(f"class {family.name}({bases}):\n    def __init__(\n"
                     + "".join(f"        {a},\n" for a in arguments) + "    ) -> None: ...\n")
    return "\n".join(lines)


def texts() -> dict[str, str]:
    """The stubs by file name."""
    return {
        "functional.pyi": functions("Any", "from collections.abc import Callable\nfrom typing import Any\n"),
        "reference.pyi": functions("NDArray[Any]", "from collections.abc import Callable\nfrom typing import Any\n\n"
                                   "from numpy.typing import NDArray\n"),
        "optimizers.pyi": classes(),
        "torch/__init__.pyi": torch_classes(),
    }


if __name__ == "__main__":
    for name, text in texts().items():
        (PACKAGE / name).write_text(text)
        print(PACKAGE / name)
