"""What is said in docstrings, stubs and pages is true: examples run, stubs agree, a user's program type-checks."""
from __future__ import annotations

import doctest
import inspect
import re
import subprocess
import sys

from tests.support.paths import DOCS, modules_of

optimizer_pages, plain_docstrings = modules_of(DOCS / "_ext", "optimizer_pages", "plain_docstrings")


def examples_run(module):
    """Runs the examples in the docstrings of what a module defines; how many lines there were."""
    finder, runner = doctest.DocTestFinder(exclude_empty=True), doctest.DocTestRunner()
    found = [x for name, made in vars(module).items() if not name.startswith("_")
             and (inspect.isfunction(made) or inspect.isclass(made)) and made.__module__ == module.__name__
             for x in finder.find(made, name, globs={})]
    for example in found:
        runner.run(example)
    assert runner.summarize(verbose=False).failed == 0
    return runner.tries


def stubtest(folder, modules, allowed):
    """mypy.stubtest on these modules, but for what the regular expressions allow."""
    (folder / "allowed").write_text("\n".join(allowed))
    done = subprocess.run([sys.executable, "-m", "mypy.stubtest", *modules, "--allowlist", "allowed"],
                          cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def type_checks(folder, program):
    (folder / "user.py").write_text(program)
    done = subprocess.run([sys.executable, "-m", "mypy", "--strict", "user.py"], cwd=folder, capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def blocks(page):
    """The examples of a page, from top to bottom."""
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


def needs_torch(block):
    return "import torch" in block


def run(texts, where):
    names = {"__name__": "page"}                # what one block makes the next ones use
    for text in texts:
        exec(compile(text, str(where), "exec"), names)


def included(text):
    """A page with what it takes from other files."""
    return text + "".join((DOCS / name).read_text() for name in re.findall(r"```\{include\} (\S+)", text))


TEXTS = {path.name: path.read_text() for path in DOCS.glob("*.md")} | {
    f"optimizers/{name}": text for name, text in optimizer_pages.texts().items()}
WHOLE = {name: included(text) for name, text in TEXTS.items()}


def every_public_name_is_documented(module):
    name = module.__name__
    for public in module.__all__:
        assert inspect.getdoc(getattr(module, public)), f"{name}.{public} has no docstring"
        *_, room = name.split(".")              # what optcore hands on is looked up there
        mention = rf"\boptcore\.{public}\b|\boptcore\.{room}\.{public}\b"
        assert any(re.search(mention, text) for text in WHOLE.values()), f"no page of docs/ mentions {name}.{public}"


def docstrings_lose_no_word(module):
    """On their way to the site."""
    for name in module.__all__:
        lines = inspect.getdoc(getattr(module, name)).split("\n")
        text = "\n".join(plain_docstrings.converted(lines)).replace("\\", "")
        assert re.findall(r"\w+", text) == re.findall(r"\w+", "\n".join(lines)), name
