"""What the commands of the benchmarks have in common: --rounds, --quick and, where it means something, --threads."""

import argparse

import optcore as oc


def parser(doc: str, rounds: int, threads: bool = True) -> argparse.ArgumentParser:
    """doc: the module's, of which the first line is told; rounds: how many there are by default."""
    made = argparse.ArgumentParser(description=doc.splitlines()[0])
    made.add_argument("--rounds", type=int, default=rounds, help="default: %(default)s")
    made.add_argument("--quick", action="store_true", help="few rounds and small sizes: shows that it runs")
    if threads:
        made.add_argument("--threads", type=int, default=oc.get_num_threads(), help="default: optcore's, %(default)s")
    return made


def parsed(made: argparse.ArgumentParser) -> argparse.Namespace:
    options = made.parse_args()
    if options.quick:
        options.rounds = min(options.rounds, 3)
    return options


def use_threads(asked: int) -> None:
    """Sets ours only if another number is asked for: who never set it gets as many threads as are measured to pay."""
    if asked != oc.get_num_threads():
        oc.set_num_threads(asked)
