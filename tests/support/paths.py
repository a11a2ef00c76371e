"""Where things are in the repository, and modules that stand outside of the package."""
from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
FILES_0_1 = ROOT / "tests" / "saving" / "files_0_1"          # saved by optcore 0.1.0


def modules_of(folder, *names):
    """Modules of a folder of programs, imported as those programs do."""
    sys.path.insert(0, str(folder))
    try:
        return [import_module(name) for name in names]
    finally:
        sys.path.pop(0)
