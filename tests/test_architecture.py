"""The map of ARCHITECTURE.md, held: arrows run downward only, what must not be imported is not, and every file has its
line on the map."""
from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "optcore"

# From the lowest floor up. A module may import what stands on lower floors, and of its own room. The longest name
# counts; up to the reference nothing is compiled.
FLOORS = (
    ("formats",), ("rules",),
    ("step.options", "step.signatures", "step.state", "step.arrays", "step.gradients", "step.rows", "step.behind",
     "step.surroundings"), ("reference",),
    ("_kernels",), ("_dispatch",), ("step.threads", "step.share", "step.policy"), ("_info",),
    ("functional", "accumulate"), ("schedules",), ("_files",), ("optimizers",), ("search",),
    ("check", "minimizers", "surfaces"),
    ("racing",), ("torch",), ("cli",), ("__main__", "__init__"), ("__pyinstaller",),
)
# What other packages may be imported where; NumPy and the standard library everywhere but in none.
OUTSIDE = {"torch": ("torch",), "scipy": ("minimizers",), "matplotlib": ("racing",),
           "PIL": ("racing",)}


def name_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {name_of(path): path for path in SOURCE.rglob("*.py")}


def imports(path: Path) -> set[str]:
    """Full names of the modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                known = inner.removeprefix("optcore.") in [*MODULES, "_kernels"]
                found.add(inner if known else node.module)
    return found


ARROWS = {name: {x.removeprefix("optcore.") if x != "optcore" else "__init__" for x in imports(path)
                 if x.split(".")[0] == "optcore"} for name, path in MODULES.items()}


def floor(module: str) -> int:
    found = [(len(name), k) for k, names in enumerate(FLOORS) for name in names
             if module == name or module.startswith(name + ".")]
    assert found, f"{module} stands on no floor"
    return max(found)[1]


def room(module: str) -> str:
    return module.split(".")[0]


@pytest.mark.parametrize("module", MODULES)
def test_arrows_run_downward(module):
    for other in ARROWS[module]:
        lower = floor(other) < floor(module)
        assert lower or room(other) == room(module) and floor(other) == floor(module), f"{module} imports {other}"


def test_no_arrow_runs_in_a_circle():
    list(TopologicalSorter(ARROWS).static_order())


def below(module: str) -> set[str]:
    found, todo = set(), [module]
    while todo:
        for other in ARROWS.get(todo.pop(), ()):
            if other not in found:
                found.add(other)
                todo.append(other)
    return found


@pytest.mark.parametrize("module", ["reference", "rules", "formats", "step.options", "step.signatures",
                                    "step.surroundings", "check"])
def test_what_the_kernels_are_held_against_imports_nothing_compiled(module):
    assert "_kernels" not in below(module) and "_dispatch" not in below(module)


def test_the_tables_import_nothing_above_them():
    assert all(x.startswith("formats") for x in below("formats"))
    assert all(x.startswith("rules") for m in MODULES if m.startswith("rules") for x in below(m))


def test_front_ends_do_not_know_each_other():
    assert not any(x.startswith("torch") for m in MODULES if not m.startswith(("torch", "__main__")) for x in ARROWS[m])
    assert not any(x.startswith("optimizers") for m in MODULES if m.startswith("torch") for x in ARROWS[m])


@pytest.mark.parametrize("module", MODULES)
def test_other_packages_are_imported_where_the_map_says(module):
    for package in {x.split(".")[0] for x in imports(MODULES[module])} & OUTSIDE.keys():
        assert module.startswith(OUTSIDE[package]), f"{module} imports {package}"


# ------------------------------------------------------------------------------------------- the kernels


PARTS = {path.stem: path for path in (SOURCE / "kernels").glob("*.pxd") if path.stem != "__init__"}


def test_the_parts_of_the_kernels_do_not_run_in_a_circle():
    text = {name: path.read_text() for name, path in PARTS.items()}
    # Where the formulas have been included, the registry above them is asked to take the rules that they list.
    for bits in ("", "64"):
        text["rules" + bits], _ = text["rules" + bits].split(f"from optcore.kernels.registry{bits} cimport")
        assert 'include "rules.pxi"' in text["rules" + bits]
    formulas = (SOURCE / "kernels" / "rules.pxi").read_text()
    assert re.findall(r"from optcore\.kernels\.(\w+) cimport", formulas) == ["table"] and "enlist_rules" in formulas
    arrows = {name: set(re.findall(r"from optcore\.kernels\.(\w+) cimport", t)) for name, t in text.items()}
    assert all(x in PARTS for some in arrows.values() for x in some)
    list(TopologicalSorter(arrows).static_order())
    assert not arrows["rules"], "a formula knows no format, no memory and no thread"


# ------------------------------------------------------------------------------------------- the files


def on_the_map() -> set[str]:
    """The files that the map of ARCHITECTURE.md names: a line that begins with a folder, or with a file of the top one,
    says where its files and those of the indented lines below it are."""
    found, folder = set(), ""
    for line in (ROOT / "ARCHITECTURE.md").read_text().split("```")[1].splitlines():
        if line[:1].strip():
            folder = line.split()[0] if line.split()[0].endswith("/") else ""
        found |= {folder + name for name in re.findall(r"(?<![\w/-])[\w-]+\.(?:pyx|pxd|pxi|py|h)\b", line)}
    return found


def test_every_file_stands_on_the_map_and_the_map_names_no_other():
    files = {str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*")
             if path.suffix in (".py", ".pyx", ".pxd", ".pxi", ".h")}
    assert on_the_map() == files - {"__init__.py", "__main__.py", "step/__init__.py", "kernels/__init__.pxd"}


@pytest.mark.parametrize("path", [path for folder in ("src", "tests", "bench", "tools", "docs", "examples")
                                  for path in (ROOT / folder).rglob("*")
                                  if path.suffix in (".py", ".pyi", ".pyx", ".pxd", ".pxi", ".h")],
                         ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_is_longer_than_450_lines(path):
    assert len(path.read_text().splitlines()) <= 450
