"""Turns measured times into statistics, tables, Markdown and JSON. Measures nothing.

A ratio is formed within one round and always reads "how many times as long as ours"; of the rounds'
ratios the median and the quartiles are told. `nan` stands for a round that a contender sat out.
"""

from dataclasses import asdict, dataclass

import numpy as np

RULE_NAMES = {"adam": "Adam", "momentum": "Momentum", "rmsprop": "RMSProp"}


@dataclass(frozen=True)
class Spread:
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


@dataclass
class Result:
    """One workload: the nanoseconds of a call, for each contender one number a round."""

    rule: str  # "adam"
    label: str  # "1 Mi", "GPT-2"
    elements: int
    tensors: int
    bytes_per_element: int
    times: dict[str, list[float]]
    reps: dict[str, int]
    other_work: float | None = None  # the share of the CPUs' time that other processes had meanwhile

    @property
    def busy(self) -> bool:
        """Other work took so much that times with all threads are not those of the machine."""
        return self.other_work is not None and self.other_work > 0.05

    @property
    def name(self) -> str:
        return f"{RULE_NAMES[self.rule]} {self.label}"

    @property
    def rounds(self) -> int:
        return len(self.times["ours"])

    def time(self, who: str) -> Spread:
        return Spread.of(np.array(self.times[who]))

    def ratio(self, who: str, to: str = "ours") -> Spread:
        """Time of `who` over time of `to`, round by round."""
        return Spread.of(np.array(self.times[who]) / np.array(self.times[to]))

    def gbps(self, who: str) -> float:
        return self.elements * self.bytes_per_element / self.time(who).median

    def roof(self) -> str:
        """The roof's name: with one thread where a team of threads takes longer to start than it saves."""
        kinds = [who for who in ("roof", "roof, 1 thread") if who in self.times]
        return min(kinds, key=lambda who: self.time(who).median)

    def to_json(self) -> dict:
        roof = self.roof()
        return {
            "rule": self.rule,
            "workload": self.label,
            "elements": self.elements,
            "tensors": self.tensors,
            "bytes": self.elements * self.bytes_per_element,
            "rounds": self.rounds,
            "other_work": self.other_work,
            "roof": roof,
            "contenders": {
                who: {
                    "ns": asdict(self.time(who)),
                    "gb_per_s": round(self.gbps(who), 3),
                    "fraction_of_roof": asdict(self.ratio(roof, who)),
                    "times_ours": asdict(self.ratio(who)),
                    "calls_per_sample": self.reps[who],
                    "samples_ns": [None if np.isnan(t) else round(t, 1) for t in times],
                }
                for who, times in self.times.items()
            },
        }


def number(x: float) -> str:
    """Three figures or so, without an exponent."""
    for least, digits in ((99.95, 0), (9.995, 1), (0.0995, 2)):
        if abs(x) >= least:
            return f"{x:,.{digits}f}"
    return f"{x:.4f}"


def spread(s: Spread) -> str:
    return f"{number(s.median)} [{number(s.low)}, {number(s.high)}]"


def aligned(rows: list[list[str]]) -> str:
    """Rows as columns of text; the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def workload_table(result: Result) -> str:
    roof = result.roof()
    rows = [["contender", "us a step [quartiles]", "GB/s", "% of roof", "x ours [quartiles]", "rounds"]]
    for who in result.times:
        rows.append(
            [
                who,
                spread(result.time(who).scaled(1e-3)),
                number(result.gbps(who)),
                f"{100 * result.ratio(roof, who).median:.0f}",
                spread(result.ratio(who)),
                str(result.time(who).rounds),
            ]
        )
    size = f"{result.elements:,} parameters in {result.tensors} tensor{'s' * (result.tensors > 1)}"
    noise = f"\nMACHINE BUSY: other work took {result.other_work:.0%} of the CPUs" if result.busy else ""
    return f"{result.name}: {size}, {result.bytes_per_element} bytes a parameter{noise}\n{aligned(rows)}"


_PEERS = ("torch fused", "torch default", "torch foreach", "numba", "careful NumPy", "naive NumPy")


def markdown(results: list[Result], machine: dict, figures: list[list[str]], command: str) -> str:
    """The compact table for a README, the figures, and the sentence that says what it was measured on."""
    head = ["workload", "ours, us", "% of roof", *(f"x {who}" for who in _PEERS)]
    rows = []
    for result in results:
        share = f"{100 * result.ratio(result.roof(), 'ours').median:.0f}"
        row = [result.name + " (busy)" * result.busy, number(result.time("ours").median / 1000), share]
        for who in _PEERS:
            if who not in result.times:
                row.append("-")
            elif who == "torch fused":
                row.append(spread(result.ratio(who)))
            else:
                row.append(number(result.ratio(who).median))
        rows.append(row)
    legend = (
        "Each ratio is the peer's time over ours within one round of one run, the median over the rounds "
        "(torch fused: with quartiles). `-`: no such peer. Single arrays go through `optcore.functional`, "
        "lists through the classes."
    )
    parts = [_pipes([head, *rows]), legend, _pipes(figures), f"{summary(machine)} Made by `{command}`."]
    return "\n\n".join(parts) + "\n"


def _pipes(rows: list[list[str]]) -> str:
    rule = ["---", *["---:"] * (len(rows[0]) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], rule, *rows[1:]])


def summary(machine: dict) -> str:
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
    caches = ", ".join(f"{k} {v}" for k, v in machine["caches"].items())
    return (
        f"{machine['cpu']}, {machine['cpus']} CPUs ({caches}), {machine['memory_gib']} GiB; "
        f"{machine['system']}; threads for every contender: {machine['threads']}; {versions}; "
        f"optcore runs its {machine['optcore'].get('isa')} kernels. "
        f"Load average before the run {machine['load_before']}"
        + (f", after it {machine['load_after']}." if "load_after" in machine else ".")
    )
