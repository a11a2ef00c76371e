"""Medians with their quartiles, and tables. Measures nothing."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spread:
    """The median of some rounds' numbers, and their quartiles. NaN stands for a round that was sat out."""

    median: float
    low: float  # first quartile
    high: float  # third quartile
    rounds: int

    @classmethod
    def of(cls, values: np.ndarray) -> "Spread":
        values = values[~np.isnan(values)]
        low, median, high = (float(q) for q in np.percentile(values, (25, 50, 75)))
        return cls(median, low, high, len(values))

    def scaled(self, by: float) -> "Spread":
        return Spread(self.median * by, self.low * by, self.high * by, self.rounds)

    def __str__(self) -> str:
        return f"{number(self.median)} [{number(self.low)}, {number(self.high)}]"


def number(x: float) -> str:
    """Three figures or so, without an exponent."""
    for least, digits in ((99.95, 0), (9.995, 1), (0.0995, 2)):
        if abs(x) >= least:
            return f"{x:,.{digits}f}"
    return f"{x:.4f}"


def aligned(rows: list[list[str]]) -> str:
    """Rows as columns of text; the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def pipes(rows: list[list[str]]) -> str:
    """Rows as a Markdown table; the first is its head."""
    rule = ["---", *["---:"] * (len(rows[0]) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], rule, *rows[1:]])
