"""What the README shows runs as it stands, and the files it points to exist."""
from __future__ import annotations

import re

import pytest

from tests.support.paths import ROOT
from tests.support.texts import blocks, needs_torch, run

PAGES = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"]


def test_examples_run(capsys):
    found = [block for block in blocks(ROOT / "README.md") if not needs_torch(block)]
    assert found
    for block in found:
        run([block], "README.md")
    # The example fits 21 numbers to 256 values of unit variance that do not depend on x: least squares leaves
    # about 235/256 of the variance, and the mean would leave 1.
    assert 0.7 < float(capsys.readouterr().out) < 1.0


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_examples_in_the_docs_run(page, capsys):
    texts = blocks(page)                        # a page is read from top to bottom
    if not any(map(needs_torch, texts)):        # else tests/torch/test_docs.py runs it
        run(texts, page)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text()):
        assert "://" in target or ((ROOT / page).parent / target).exists(), target
