#!/usr/bin/env python
"""Measures optcore beside the roof, NumPy, torch and numba: `python bench/run.py`, or `--quick`.

This file is the command: which workloads, how much effort for each, and where the answers go. One process,
one run; what is measured and how is in measure.py, who takes part in contenders.py.
"""

import argparse
import json
import sys
import time
from math import prod
from pathlib import Path

import numpy as np

import contenders
import figures
import machine
import report
from data import RULES, STATE, Data, bytes_per_element
from measure import Effort, measure
from shapes import LISTS, SIZES, Shape
from verify import WrongResult, verify

QUICK = ("64", "4 Ki", "1 Mi", "16 Mi", "MLP")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer workloads and rounds, under a minute")
    parser.add_argument("--only", nargs="+", choices=RULES, default=RULES, help="these rules only")
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
        return Effort(seconds=1.2, min_rounds=5, max_rounds=40, sample_ns=1e6)
    if elements > 32 << 20:  # a round with the slow contenders takes seconds
        return Effort(seconds=36, min_rounds=12, max_rounds=60, sample_ns=2e6)
    if elements > 8 << 20:
        return Effort(seconds=16, min_rounds=12, max_rounds=60, sample_ns=2e6)
    return Effort(seconds=8, min_rounds=15, max_rounds=60, sample_ns=2e6)


def bytes_needed(rule: str, elements: int) -> int:
    """The shared arrays, the state that naive NumPy keeps, one scratch, three temporaries."""
    return 4 * elements * (2 + 2 * len(STATE[rule]) + 1 + 3)


def run_workload(rule: str, label: str, shapes: list[Shape], args, threads: int, rng) -> report.Result:
    data = Data(rule, shapes, args.seed)
    line_up = contenders.line_up(data, threads)
    for contender in line_up:
        verify(contender, data)
    meanwhile = machine.OtherWork()
    times, reps = measure(line_up, effort(data.elements, args.quick), rng)
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
    print(report.aligned(table))
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
