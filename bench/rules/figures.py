"""The figures this library holds itself to, and whether a run met them.

A figure is met when its median reaches the target; "within spread" says that a quartile does. A figure whose
workload or peer was not in the run says so: it is never counted as met. "machine busy" says that other
processes ran meanwhile, so that neither yes nor no would be worth anything.
"""

from dataclasses import dataclass

from bench.harness.spread import Spread, number
from bench.rules.report import Result


@dataclass(frozen=True)
class Figure:
    what: str
    workload: str
    target: float | None  # None: told for comparison
    time: str | None = None  # at most `target` microseconds for this contender's call
    ratio: tuple[str, str] | None = None  # at least `target`: time of the first over time of the second

    def measure(self, result: Result) -> Spread:
        if self.time:
            return result.times.of(self.time).scaled(1e6)
        first, second = self.ratio
        return result.times.ratio(result.roof() if first == "roof" else first, second)

    def verdict(self, s: Spread) -> str:
        if self.target is None:
            return ""
        if self.time:
            met, nearly = s.median <= self.target, s.low <= self.target
        else:
            met, nearly = s.median >= self.target, s.high >= self.target
        return "yes" if met else "no, within spread" if nearly else "no"


def _ours(what: str, workload: str, peer: str, target: float) -> Figure:
    return Figure(what, workload, target, ratio=(peer, "ours"))


FIGURES = [
    _ours("Adam 64 Mi, share of the roof", "adam 64 Mi", "roof", 0.95),
    _ours("Adam 64 Mi, torch fused / ours", "adam 64 Mi", "torch fused", 1.0),
    _ours("Adam 1 Mi, torch fused / ours", "adam 1 Mi", "torch fused", 1.5),
    _ours("Adam 1 Mi, careful NumPy / ours", "adam 1 Mi", "careful NumPy", 8.0),
    _ours("Adam 1 Mi, naive NumPy / ours", "adam 1 Mi", "naive NumPy", 30.0),
    _ours("Adam 4 Ki functional, torch fused / ours", "adam 4 Ki", "torch fused", 8.0),
    _ours("Adam 4 Ki functional, numba / ours", "adam 4 Ki", "numba", 2.0),
    Figure("Adam 64 functional call, us", "adam 64", 2.0, time="ours"),
    Figure("Adam 64 opt.step, us", "adam 64", 2.5, time="ours, opt.step"),
    _ours("Adam MLP, torch fused / ours", "adam MLP", "torch fused", 3.0),
    _ours("Adam ResNet-50, torch fused / ours", "adam ResNet-50", "torch fused", 1.05),
    _ours("Adam GPT-2, torch fused / ours", "adam GPT-2", "torch fused", 1.0),
    Figure("Adam 1 Mi, 1 thread / 2 threads", "adam 1 Mi", 1.8, ratio=("ours, 1 thread", "ours, 2 threads")),
    Figure("the roof's own: 1 thread / 2", "adam 1 Mi", None, ratio=("roof, 1 thread", "roof, 2 threads")),
]

HEAD = ["figure", "target", "measured", "quartiles", "met?"]


def rows(results: list[Result]) -> list[list[str]]:
    by_name = {result.name: result for result in results}
    table = [HEAD]
    for figure in FIGURES:
        target = "-" if figure.target is None else f"{'<=' if figure.time else '>='} {figure.target:g}"
        result = by_name.get(figure.workload)
        needed = [figure.time] if figure.time else [who for who in figure.ratio if who != "roof"]
        if result is None or any(who not in result.times for who in needed):
            table.append([figure.what, target, "-", "-", "not run"])
            continue
        s = figure.measure(result)
        quartiles = f"{number(s.low)} - {number(s.high)}"
        verdict = "machine busy" if result.busy and figure.target is not None else figure.verdict(s)
        table.append([figure.what, target, number(s.median), quartiles, verdict])
    return table
