"""Turns measured times into tables, Markdown and JSON. Measures nothing.

A ratio is formed within one round and always reads "how many times as long as ours"; of the rounds'
ratios the median and the quartiles are told. `nan` stands for a round that a contender sat out.
"""

from dataclasses import asdict, dataclass

import numpy as np

from bench.harness.spread import aligned, number, pipes
from bench.harness.timing import Times


@dataclass
class Result:
    """One workload: the seconds of a call, for each contender one number a round."""

    rule: str  # "adam"
    label: str  # "1 Mi", "GPT-2"
    elements: int
    tensors: int
    bytes_per_element: int
    times: Times
    reps: dict[str, int]
    other_work: float | None = None  # the share of the CPUs' time that other processes had meanwhile

    @property
    def busy(self) -> bool:
        """Other work took so much that times with all threads are not those of the machine."""
        return self.other_work is not None and self.other_work > 0.05

    @property
    def name(self) -> str:
        return f"{self.rule} {self.label}"

    @property
    def rounds(self) -> int:
        return len(self.times["ours"])

    def gbps(self, who: str) -> float:
        return self.elements * self.bytes_per_element / self.times.of(who).median / 1e9

    def roof(self) -> str:
        """The roof's name: with one thread where a team of threads takes longer to start than it saves."""
        kinds = [who for who in ("roof", "roof, 1 thread") if who in self.times]
        return min(kinds, key=lambda who: self.times.of(who).median)

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
                    "ns": asdict(self.times.of(who).scaled(1e9)),
                    "gb_per_s": round(self.gbps(who), 3),
                    "fraction_of_roof": asdict(self.times.ratio(roof, who)),
                    "times_ours": asdict(self.times.ratio(who, "ours")),
                    "calls_per_sample": self.reps[who],
                    "samples_ns": [None if np.isnan(t) else round(t * 1e9, 1) for t in times],
                }
                for who, times in self.times.items()
            },
        }


def workload_table(result: Result) -> str:
    roof = result.roof()
    rows = [["contender", "us a step [quartiles]", "GB/s", "% of roof", "x ours [quartiles]", "rounds"]]
    for who in result.times:
        rows.append(
            [
                who,
                str(result.times.of(who).scaled(1e6)),
                number(result.gbps(who)),
                f"{100 * result.times.ratio(roof, who).median:.0f}",
                str(result.times.ratio(who, "ours")),
                str(result.times.of(who).rounds),
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
        share = f"{100 * result.times.ratio(result.roof(), 'ours').median:.0f}"
        row = [result.name + " (busy)" * result.busy, number(result.times.us("ours")), share]
        for who in _PEERS:
            if who not in result.times:
                row.append("-")
            elif who == "torch fused":
                row.append(str(result.times.ratio(who, "ours")))
            else:
                row.append(number(result.times.ratio(who, "ours").median))
        rows.append(row)
    legend = (
        "Each ratio is the peer's time over ours within one round of one run, the median over the rounds "
        "(torch fused: with quartiles). `-`: no such peer. Single arrays go through `optcore.functional`, "
        "lists through the classes."
    )
    parts = [pipes([head, *rows]), legend, pipes(figures), f"{summary(machine)} Made by `{command}`."]
    return "\n\n".join(parts) + "\n"


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
