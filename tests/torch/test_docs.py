"""What the pages and docstrings say of optcore.torch: examples run, names are documented. tests/docs has the rest."""
from __future__ import annotations

import optcore.torch
from tests.support.paths import DOCS, ROOT
from tests.support.texts import blocks, docstrings_lose_no_word, every_public_name_is_documented, needs_torch, run


def test_examples_with_torch_run():
    found = [(page, texts) for page in (ROOT / "README.md", *sorted(DOCS.glob("*.md")))
             if any(map(needs_torch, texts := blocks(page)))]
    assert ROOT / "README.md" in [page for page, _ in found]
    for page, texts in found:
        run(filter(needs_torch, texts) if page.parent == ROOT else texts, page)


def test_every_public_name_is_documented():
    every_public_name_is_documented(optcore.torch)


def test_docstrings_lose_no_word_on_their_way_to_the_site():
    docstrings_lose_no_word(optcore.torch)
