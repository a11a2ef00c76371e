"""Functions made from source text, for signatures that a table gives and for calls that must cost no loop.

Owns templates and how one becomes a function; holds no template itself. What is made is compiled under the file name
and the lines of its template, so a traceback, a profiler or a debugger points at a line that exists.
"""
from __future__ import annotations

import string
import sys
from collections.abc import Callable, Mapping
from typing import Any


class Template:
    """Source of one function: `$name` is the function's name, other `$words` stand for what `made` is given.

    The text begins on the line of the call, so that the lines are known. It is written, at the outermost level, as

        STEP = Template('''
        def $name($arguments):
            return step($arguments)
        ''')
    """

    def __init__(self, text: str) -> None:
        frame = sys._getframe(1)
        self.text = text
        self.filename = frame.f_code.co_filename
        self.line = frame.f_lineno
        self.module = frame.f_globals.get("__name__", "")


def made(template: Template, name: str, scope: Mapping[str, Any], **fields: str) -> Callable[..., Any]:
    """The template as a function of this name, with `scope` as its globals, each field in place of its `$word`.

    Raises ValueError for a field of several lines, which would move the lines below it, and KeyError for a missing one.
    """
    for word, source in fields.items():
        if "\n" in source:
            raise ValueError(f"{word}: a field of a template is one line, got {source!r}")
    source = string.Template(template.text).substitute(fields, name=name)
    within = {"__name__": template.module, **scope}
    exec(compile("\n" * (template.line - 1) + source, template.filename, "exec"), within)
    function: Callable[..., Any] = within[name]
    return function
