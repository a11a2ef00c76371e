"""Rules of this folder: where torch may be imported, that tests share in tests/support only, and no skips."""
from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
FILES = sorted(path.relative_to(TESTS).as_posix() for path in TESTS.rglob("*.py"))
WITH_TORCH = ("torch/", "support/torch_")


def imported(tree):
    """The full names of all that a file imports, at its head or in a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)


def needs_torch(name):
    parts = name.split(".")
    return (parts[0] in ("torch", "expecttest") or parts[:2] == ["optcore", "torch"]
            or name.startswith(("tests.support.torch_", "tests.torch")))


@pytest.mark.parametrize("name", FILES)
def test_what_a_file_may_import(name):
    found = list(imported(ast.parse((TESTS / name).read_text())))
    if not name.startswith(WITH_TORCH):
        assert not list(filter(needs_torch, found)), "torch is for tests/torch and tests/support/torch_*"
    others = [x for x in found if x.startswith("tests.") and not x.startswith("tests.support.")]
    assert not others, "what tests share belongs into tests/support"


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_skipped(name):
    tree = ast.parse((TESTS / name).read_text())
    words = {x.attr for x in ast.walk(tree) if isinstance(x, ast.Attribute)} | {
        x.id for x in ast.walk(tree) if isinstance(x, ast.Name)}
    assert not words & {"skip", "skipif", "importorskip", "SkipTest", "skipIf", "skipUnless", "xfail",
                        "expectedFailure"}
