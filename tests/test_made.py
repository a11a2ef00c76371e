"""Functions made from templates: they do what their text says, and a traceback through one points into this file."""
from __future__ import annotations

import inspect
import traceback
from pathlib import Path

import pytest

from optcore.rules.made import Template, made

RATIO = Template("""
def $name($arguments, *, scale=1.0):
    found = {"ratio": $above / $below}      # braces are Python's own here
    return scale * found["ratio"]
""")
ONE_LINE = Template("def $name(x): return outside(x)")
HERE = Path(__file__)


def line_of(text: str) -> int:
    return 1 + [line.strip() for line in HERE.read_text().splitlines()].index(text)


def test_a_template_becomes_a_function_with_the_signature_and_scope_it_was_given():
    quotient = made(RATIO, "quotient", {}, arguments="a, b", above="a", below="b")
    assert quotient(6.0, 3.0, scale=2.0) == 4.0
    assert str(inspect.signature(quotient)) == "(a, b, *, scale=1.0)"
    assert (quotient.__name__, quotient.__module__) == ("quotient", __name__)
    inverse = made(RATIO, "inverse", {"__name__": "elsewhere"}, arguments="a, b", above="b", below="a")
    assert inverse(6.0, 3.0) == 0.5 and inverse.__module__ == "elsewhere"
    assert made(ONE_LINE, "twice", {"outside": lambda x: 2 * x})(3) == 6


def test_a_traceback_shows_the_templates_own_file_and_line():
    quotient = made(RATIO, "quotient", {}, arguments="a, b", above="a", below="b")
    with pytest.raises(ZeroDivisionError) as caught:
        quotient(1.0, 0.0)
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    text = 'found = {"ratio": $above / $below}      # braces are Python\'s own here'
    assert (last.filename, last.name, last.lineno, last.line) == (__file__, "quotient", line_of(text), text)
    assert inspect.getsource(quotient).startswith("def $name($arguments")

    with pytest.raises(KeyError) as caught:
        made(ONE_LINE, "lookup", {"outside": {}.__getitem__})("missing")
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (last.filename, last.lineno) == (__file__, line_of('ONE_LINE = Template("def $name(x): return outside(x)")'))


def test_a_syntax_error_names_the_templates_file_and_line():
    with pytest.raises(SyntaxError) as caught:
        made(RATIO, "quotient", {}, arguments="a, b", above="a /", below="b")
    line = line_of("def $name($arguments, *, scale=1.0):") + 1
    assert (caught.value.filename, caught.value.lineno) == (__file__, line)


def test_fields_are_one_line_each_and_none_may_be_missing():
    with pytest.raises(ValueError, match="above: a field of a template is one line"):
        made(RATIO, "quotient", {}, arguments="a, b", above="a\n", below="b")
    with pytest.raises(KeyError, match="below"):
        made(RATIO, "quotient", {}, arguments="a, b", above="a")
