"""The site without Sphinx: every page is in the navigation, links lead somewhere, every public name is there, and the
pages of the optimizers can be made. `make docs` builds it all and fails on any warning."""
from __future__ import annotations

import re

import pytest

import optcore
import optcore.check
from optcore.racing import RACERS
from optcore.rules import FAMILIES, RULES
from optcore.surfaces import SURFACES
from tests.support.paths import DOCS, modules_of
from tests.support.texts import TEXTS, WHOLE, docstrings_lose_no_word, every_public_name_is_documented, optimizer_pages

dead_links, = modules_of(DOCS / "_ext", "dead_links")
MODULES = [optcore, optcore.functional, optcore.schedules, optcore.check]
# What _ext/pictures.py draws when the site is built, and is not there before.
DRAWN = {*(f"surfaces/{name}.png" for name in SURFACES), "surfaces/saddle.gif"}


def toctrees(text: str) -> list[str]:
    return [line for block in re.findall(r"```\{toctree\}\n(.*?)```", text, re.DOTALL)
            for line in block.split("\n") if line and not line.startswith(":")]


def slugs(text: str) -> set[str]:
    """The anchors of a page's headings, as code hosts and MyST make them."""
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-")
            for line in re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)}


def test_every_page_is_in_the_navigation_once():
    entries = toctrees(TEXTS["index.md"]) + [f"optimizers/{name}" for name in toctrees(TEXTS["optimizers/index.md"])]
    assert sorted([*entries, "index"]) == sorted(name.removesuffix(".md") for name in TEXTS)


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[name]):
        if "://" in target:
            continue
        page, _, place = target.partition("#")
        path = ((DOCS / name).parent / page).resolve() if page else DOCS / name
        other = path.relative_to(DOCS.resolve()).as_posix() if path.is_relative_to(DOCS.resolve()) else None
        assert other in TEXTS or other in DRAWN or path.is_file(), f"{name}: {target}"
        assert not place or place in slugs(WHOLE[other]), f"{name}: {target}"


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__)
def test_every_public_name_is_documented(module):
    every_public_name_is_documented(module)


def test_every_class_has_a_page_that_says_what_the_table_says():
    assert {f"{name.lower()}.md" for name in FAMILIES} == optimizer_pages.texts().keys() - {"index.md"}
    for name, family in FAMILIES.items():
        text = TEXTS[f"optimizers/{name.lower()}.md"]
        for key, value in family.settings.items():
            assert f"| `{key}` | `{value!r}` | " in text and f"| `{key}` | `{value!r}` |  |" not in text, (name, key)
        for rule in map(RULES.get, family.rules):
            assert optimizer_pages.formula(rule) in text and rule.source in text
        assert family.use and family.fails and set(family.lines) <= set(RACERS) and 1 <= len(family.lines) <= 3


def test_formulas_lose_nothing_but_their_spelling():
    back = {"←": "<-", "√": "sqrt", "²": "^2", "ᵗ": "^t", "β": "beta", "α": "alpha", "ρ": "rho", "μ": "mu", "η": "eta",
            "ε": "eps", "₁": "1", "₂": "2", "₃": "3"}
    for rule in RULES.values():
        text = optimizer_pages.formula(rule)
        for sign, word in back.items():
            text = text.replace(sign, word)
        assert text == "\n".join(rule.formula)


def test_docstrings_lose_no_word_on_their_way_to_the_site():
    for module in MODULES:
        docstrings_lose_no_word(module)


def test_a_dead_link_in_the_built_site_is_found(tmp_path):
    (tmp_path / "a.html").write_text('<p id="here"><a href="b.html#there">b</a> <a href="#here">here</a> '
                                     '<a href="https://example.org/x">out</a></p>')
    (tmp_path / "b.html").write_text('<p id="there"><img src="no.png"><a href="a.html#gone">a</a>'
                                     '<a href="c.html">c</a></p>')
    assert dead_links.dead(tmp_path) == ["b.html: no.png", "b.html: a.html#gone", "b.html: c.html"]
