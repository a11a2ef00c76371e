"""What the NumPy formulas are written with beside + - * / and the square root.

Owns the comparisons, which pick as the kernels do. Formulas look them up here at each call, so that a test can put
numbers that carry error bounds in place of arrays. Imports nothing of the package.
"""
from __future__ import annotations

from typing import Any

import numpy as np


def pick(condition: Any, yes: Any, no: Any) -> Any:
    """Stands where the kernels compare, so that a NaN goes the same way."""
    return np.where(condition, yes, no)


def sign(x: Any) -> Any:
    """Of 0 it is 0, of NaN NaN."""
    return pick(x > 0, 1.0, pick(x < 0, -1.0, x))
