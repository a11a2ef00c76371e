"""The site: Sphinx, MyST and Furo. `make docs` builds it; a warning or a dead link fails the build.

Everything here is about looks and about what counts as an error. Pages are docs/*.md; those of the optimizers, with
their pictures, are made by _ext/optimizer_pages.py from the table before Sphinx reads.
"""
import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "optcore"
author = "the optcore authors"
version = release = installed("optcore")
html_title = f"optcore {version}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "optimizer_pages", "plain_docstrings", "dead_links"]
exclude_patterns = ["_build"]
nitpicky = True
highlight_language = "none"         # a block that names no language is no Python
myst_heading_anchors = 3            # [text](page.md#a-heading) as on code hosts
autodoc_typehints = "none"          # docstrings say dtypes and shapes; the stubs are for type checkers
python_use_unqualified_type_names = True

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
