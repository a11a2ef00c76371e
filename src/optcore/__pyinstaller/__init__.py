"""Where PyInstaller finds the hook of this package (entry point pyinstaller40 of pyproject.toml)."""
from __future__ import annotations

from pathlib import Path


def get_hook_dirs() -> list[str]:
    return [str(Path(__file__).parent)]
