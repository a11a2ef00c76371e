"""Turns this package's docstrings, which are plain text, into what Sphinx reads.

An indented block is a formula or an example and stays as it is; under "Parameters", or where a paragraph begins with
`name: `, every such line begins an item of a list; `x` is code; nothing else is markup.
"""
from __future__ import annotations

import re
from itertools import groupby, pairwise

ITEM = re.compile(r"([A-Za-z_]\w*(?:, [A-Za-z_]\w*)*|the others): (.*)")


def escaped(text: str) -> str:
    parts = re.split(r"`([^`]+)`", text)
    return "".join(f"``{part}``" if k % 2 else re.sub(r"([\\*|_`])", r"\\\1", part) for k, part in enumerate(parts))


def indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def items(lines: list[str]) -> list[str]:
    """A list, an item from each line that begins with a name at the depth of the first."""
    depth, made = indent(lines[0]), []
    for line in lines:
        found = ITEM.fullmatch(line.strip())
        if found and indent(line) == depth:
            made.append([found[1], found[2]])
        else:
            made[-1][1] += " " + line.strip()
    return [f"- **{escaped(name)}**: {escaped(text)}" for name, text in made]


def block(lines: list[str]) -> list[str]:
    """Lines without a blank one among them, as reStructuredText."""
    if lines[0].lstrip().startswith(">>>"):
        return [line[indent(lines[0]):] for line in lines]
    if lines[0] == "Parameters":
        return ["**Parameters**", "", *items(lines[1:])]
    if indent(lines[0]):
        return ["::", "", *lines]
    if any(indent(a) and not indent(b) for a, b in pairwise(lines)):    # code whose margin autodoc took for the text's
        return ["::", "", *(f"    {line}" for line in lines)]
    cut = next((k for k, line in enumerate(lines) if indent(line)), len(lines))
    head = items(lines[:cut]) if ITEM.fullmatch(lines[0]) else [escaped(line) for line in lines[:cut]]
    if cut == len(lines):
        return head
    if ITEM.fullmatch(lines[0]):
        return items(lines)
    return [*head, "", *block(lines[cut:])]


def converted(lines: list[str]) -> list[str]:
    made: list[str] = []
    for blank, group in groupby(lines, key=lambda line: not line.strip()):
        if not blank:
            made += [*block(list(group)), ""]
    return made


def setup(app):
    app.connect("autodoc-process-docstring",
                lambda app, what, name, obj, options, lines: lines.__setitem__(slice(None), converted(lines)))
    return {"parallel_read_safe": True}
