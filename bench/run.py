#!/usr/bin/env python
"""Measures optcore beside the roof, NumPy, torch and numba: `python bench/run.py`, or `--quick`.

This file is the command: which workloads, how much effort for each, and where the answers go. One process,
one run; how is measured is in harness/timing.py, who takes part in rules/contenders.py.
"""

import argparse
import json
import sys
import time
from math import prod
from pathlib import Path

import numpy as np

# The root, not this folder: bench/torch found there would pass for the package torch where that is not installed.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.harness import machine  # noqa: E402
from bench.harness.shapes import LISTS, SIZES, Shape  # noqa: E402
from bench.harness.spread import aligned  # noqa: E402
from bench.harness.timing import Effort, Times, Turn, interleaved  # noqa: E402
from bench.rules import contenders, figures, report  # noqa: E402
from bench.rules.data import RULES, TABLE, USUAL, Data, bytes_per_element  # noqa: E402
from bench.rules.verify import WrongResult, verify  # noqa: E402

QUICK = ("64", "4 Ki", "1 Mi", "16 Mi", "MLP")
# A contender so slow for a workload joins every fourth round only.
SLOW, SLOW_RATIO, SLOW_EVERY = 0.02, 3.0, 4  # s of a call, and times the fastest


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer workloads and rounds, under a minute")
    parser.add_argument("--only", nargs="+", choices=RULES, default=USUAL, metavar="RULE",
                        help=f"these rules (default: {' '.join(USUAL)}) of {', '.join(RULES)}")
    known = [*SIZES, *LISTS]
    names = ", ".join(known)
    parser.add_argument("--workload", nargs="+", choices=known, metavar="NAME", help=f"only these of {names}")
    parser.add_argument("--threads", type=int, help="threads of every contender (default: optcore's)")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), help="default: %(default)s")
    parser.add_argument("--markdown", type=Path, help="default: the JSON file's name with .md")
    parser.add_argument("--seed", type=int, default=0, help="of the data and of the order of turns")
    return parser.parse_args()


def effort(elements: int, quick: bool) -> Effort:
    if quick:
        return Effort(least=5, most=40, seconds=1.2)
    if elements > 32 << 20:  # a round with the slow contenders takes seconds
        return Effort(least=12, most=60, seconds=36)
    if elements > 8 << 20:
        return Effort(least=12, most=60, seconds=16)
    return Effort(least=15, most=60, seconds=8)


def measure(line_up: list[contenders.Contender], effort: Effort, sample: float, rng) -> tuple[Times, dict[str, int]]:
    """The times of all, and the calls in their samples. The verification has called everyone already."""
    turns = {c.name: Turn(c.call, sample=sample, warm=0) for c in line_up}
    fastest = min(turn.cost for turn in turns.values())
    every = {c.name: SLOW_EVERY for c in line_up
             if not c.every_round and turns[c.name].cost > max(SLOW, SLOW_RATIO * fastest)}
    times = interleaved(turns, effort, rng, every)
    return Times({c.name: c.times * times[c.name] for c in line_up}), {n: turn.repeats for n, turn in turns.items()}


def bytes_needed(rule: str, elements: int) -> int:
    """The shared arrays, the state that naive NumPy keeps, one scratch, three temporaries."""
    return 4 * elements * (2 + 2 * len(TABLE[rule].keys) + 1 + 3)


def run_workload(rule: str, label: str, shapes: list[Shape], args, threads: int, rng) -> report.Result:
    data = Data(rule, shapes, args.seed)
    line_up = contenders.line_up(data, threads)
    for contender in line_up:
        verify(contender, data)
    meanwhile = machine.OtherWork()
    times, reps = measure(line_up, effort(data.elements, args.quick), 1e-3 if args.quick else 2e-3, rng)
    return report.Result(
        rule, label, data.elements, len(shapes), bytes_per_element(rule), times, reps, meanwhile.share()
    )


def main() -> int:
    args = arguments()
    began = time.monotonic()
    threads = contenders.use_threads(args.threads)
    about = machine.describe(threads)
    print(report.summary(about))
    print(f"optcore.build_info(): {about['optcore']}\n", flush=True)

    workloads = {**{name: [(n,)] for name, n in SIZES.items()}, **LISTS}
    chosen = args.workload or (QUICK if args.quick else tuple(workloads))
    rng = np.random.default_rng(args.seed)
    results: list[report.Result] = []
    for rule in args.only:
        for label in chosen:
            needed, free = bytes_needed(rule, sum(map(prod, workloads[label]))), machine.free_bytes()
            if free is not None and needed > 0.9 * free:
                print(f"{rule} {label}: skipped, it needs {needed / 2**30:.1f} GiB of memory\n")
                continue
            try:
                results.append(run_workload(rule, label, workloads[label], args, threads, rng))
            except WrongResult as error:
                print(f"{rule} {label}: not timed, for a contender is wrong: {error}", file=sys.stderr)
                return 1
            print(report.workload_table(results[-1]) + "\n", flush=True)

    about |= {"load_after": machine.load(), "seconds": round(time.monotonic() - began)}
    table = figures.rows(results)
    print(aligned(table))
    command = "python bench/run.py" + "".join(f" {word}" for word in sys.argv[1:])
    args.json.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "command": command,
        "machine": about,
        "figures": [dict(zip(figures.HEAD, row, strict=True)) for row in table[1:]],
        "workloads": [result.to_json() for result in results],
    }
    args.json.write_text(json.dumps(document, indent=1) + "\n")
    markdown = args.markdown or args.json.with_suffix(".md")
    markdown.write_text(report.markdown(results, about, table, command))
    print(f"\n{about['seconds']} s; written: {args.json}, {markdown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
