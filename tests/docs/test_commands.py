"""Commands of the benchmarks that pages name are there."""
from __future__ import annotations

import re

import pytest

from tests.support.paths import DOCS, ROOT

PAGES = [ROOT / "README.md", ROOT / "bench" / "README.md", *sorted(DOCS.glob("*.md"))]


def commands(text):
    """The files that they run, from the root."""
    return re.findall(r"python (bench/[\w/]+\.py)", text) + [
        name.replace(".", "/") + ".py" for name in re.findall(r"python -m (bench[\w.]*\w)", text)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_benchmarks_that_are_named_are_there(page):
    for path in commands(page.read_text()):
        assert (ROOT / path).is_file(), path


def test_every_benchmark_is_in_the_table():
    """A benchmark is a file of bench/ that is run: it has a main() or reads its arguments."""
    found = {path.relative_to(ROOT).as_posix() for path in (ROOT / "bench").rglob("*.py")
             if '__name__ == "__main__"' in path.read_text()}
    assert found == set(commands((ROOT / "bench" / "README.md").read_text()))
