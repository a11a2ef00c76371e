"""The command line, `python -m optcore`: info, race, bench.

Owns arguments, exit codes and what is printed: 0 done, 1 it could not be done, 2 it was asked for wrongly; an error is
one line on stderr. With --json, stdout is one JSON document and nothing else.
"""
from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn

from optcore import surfaces
from optcore._info import build_info

SEEN = ("torch", "scipy", "matplotlib", "safetensors", "ml_dtypes", "numba")

EXAMPLES = """examples:
  python -m optcore info                         what runs on this machine, and why
  python -m optcore race taco -o taco.png        seven optimizers in a steep valley
  python -m optcore race saddle -o saddle.gif    the same at a saddle point, as it happens
  python -m optcore bench                        how near to the speed of memory a step of Adam is here

exit status: 0 done, 1 it could not be done, 2 wrong arguments"""

RACE_EXAMPLES = """examples:
  python -m optcore race taco -o taco.png
  python -m optcore race rosenbrock -o newton.svg --optimizers Newton,BFGS,L-BFGS,Adam --steps 60
  python -m optcore race sharp -o all.gif --optimizers all
  python -m optcore race taco --start=-5,1 -o own.png --json     with all points, for other programs

surfaces:
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _pair(text: str) -> list[float]:
    try:
        x, y = text.split(",")
        return [float(x), float(y)]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: two numbers are needed, such as -1.5,2") from None


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog="python -m optcore", description="Optimizers: what runs here, how they travel, how fast.",
                     epilog=EXAMPLES, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    info = commands.add_parser("info", help="which build runs here and why, threads, versions",
                               description="Which build of the kernels runs here and why, how many threads, and which "
                                           "other packages are seen. Nothing is imported or changed for it.")
    race = commands.add_parser(
        "race", help="a picture of optimizers on a surface", formatter_class=raw,
        description="Lets optimizers run on one surface from one start, a step an evaluation, and draws their paths "
                    "and losses.",
        epilog=RACE_EXAMPLES + "\n".join(f"  {s.name:<11} {s.title}" for s in surfaces.SURFACES.values()))
    race.add_argument("surface", metavar="SURFACE", help="one of " + ", ".join(surfaces.SURFACES))
    race.add_argument("-o", "--output", metavar="FILE", type=Path, required=True,
                      help="the picture: .png, .svg or .pdf; .gif is an animation")
    race.add_argument("--optimizers", metavar="A,B,...", help="names, or 'all'; by default seven that tell most")
    race.add_argument("--steps", type=int, metavar="N", help="evaluations; by default what the surface's story takes")
    race.add_argument("--start", type=_pair, metavar="X,Y", help="another start (--start=-1,2 if X is negative)")
    race.add_argument("--seed", type=int, default=0, metavar="N", help="of mini-batches, from 0 (default %(default)s)")
    bench = commands.add_parser(
        "bench", help="a step of Adam beside the roof of this machine, NumPy and torch",
        description="Times a step of Adam, interleaved with a loop that only moves the same memory (the roof, by all "
                    "threads or by one, whichever is faster), plain NumPy and, where installed, torch. At 100 % of the "
                    "roof a step is as fast as memory. Takes about a minute, and up to 700 MB of memory.")
    bench.add_argument("--seconds", type=float, default=45.0, metavar="S", help="of measuring (default %(default)g)")
    for command in (info, race, bench):
        command.add_argument("--json", action="store_true", help="one JSON document on stdout instead of text")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    args = _parser().parse_args(arguments)
    try:
        found, text = {"info": _info, "race": _race, "bench": _bench}[args.command](args)
        print(json.dumps(found) if args.json else text, flush=True)
    except BrokenPipeError:                             # the reader, such as head, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return _failed(args, "interrupted", 1)
    except (ValueError, TypeError) as e:
        return _failed(args, e, 2)
    except (OSError, ImportError, MemoryError, RuntimeError) as e:
        return _failed(args, e, 1)
    return 0


def _failed(args: argparse.Namespace, what: object, status: int) -> int:
    line = " ".join((str(what) or type(what).__name__).split())
    print(f"python -m optcore {args.command}: {line}", file=sys.stderr)
    return status


# ------------------------------------------------------------------------------------------------ info


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _info(args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    found = build_info() | {
        "python": platform.python_version(), "machine": platform.machine(), "system": platform.platform(),
        "processors": os.cpu_count(), "packages": {name: _installed(name) for name in ("numpy", *SEEN)},
        "variables": {name: os.environ.get(name) for name in ("OPTCORE_ISA", "OPTCORE_NUM_THREADS")}}
    return found, _info_text(found)


def _info_text(found: dict[str, Any]) -> str:
    isa, threads, date = found["isa"], found["threads"], found["openmp"]
    variables = found["variables"]
    if variables["OPTCORE_ISA"]:
        why = "asked for by OPTCORE_ISA"
    else:
        why = "the best that this processor runs"
        if len(found["isa_available"]) > 1:
            why += f"; OPTCORE_ISA={found['isa_available'][1]} would choose another"
    rows = {
        "optcore": f"{found['version']}, Python {found['python']}, {found['system']}",
        "kernels": f"{isa}: {why}",
        "": f"built: {', '.join(found['isa_built'])}; {found['compiler']}",
        "threads": f"{threads} of {found['processors']} processors, from {found['threads_from']}; "
                   "set_num_threads or OPTCORE_NUM_THREADS sets it",
        "OpenMP": f"{date // 100}-{date % 100:02}, {found['openmp_runtime']}" if date else "none: a serial build",
        "packages": ", ".join(f"{k} {v}" for k, v in found["packages"].items() if v),
        "not seen": ", ".join(k for k, v in found["packages"].items() if not v) or "-",
    }
    return "\n".join(f"{name:<10}{text}" for name, text in rows.items())


# ------------------------------------------------------------------------------------------------ race


def _race(args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from optcore import racing

    chosen: Any = racing.DEFAULT
    if args.optimizers:
        names = [name.strip() for name in args.optimizers.split(",")]
        chosen = "all" if names == ["all"] else names
    racing.picture_format(args.output)                  # before the race, which may be long
    result = racing.race(args.surface, chosen, steps=args.steps, start=args.start, seed=args.seed)
    result.save(args.output)
    surface = result.surface
    found = {"surface": surface.name, "start": surface.start, "minima": surface.minima, "output": str(args.output),
             "tracks": {label: {"settings": t.settings, "ended": t.ended, "why": t.why, "points": t.points.tolist(),
                                "losses": t.losses.tolist()} for label, t in result.tracks.items()}}
    wide = max(map(len, result.tracks))
    lines = [f"{surface.title}: {args.output}", "", f"{'':{wide}}  {'steps':>5}  {'loss':>9}  end"]
    for label, t in sorted(result.tracks.items(), key=lambda item: float(item[1].losses[-1])):
        x, y = t.points[-1]
        line = f"{label:{wide}}  {len(t.points) - 1:>5}  {t.losses[-1]:9.3g}  ({x:.4g}, {y:.4g}) {t.ended}"
        lines.append(line.rstrip())
    return found, "\n".join(lines)


# ------------------------------------------------------------------------------------------------ bench


def _bar(done: float, what: str) -> None:
    """A progress bar on stderr, where a person sees it."""
    if sys.stderr.isatty():
        filled = round(30 * done)
        end = "\r\033[K" if done >= 1 else ""
        bar = "#" * filled + "." * (30 - filled)
        print(f"\r\033[K[{bar}] {100 * done:3.0f} %  {what}{end}", end="", file=sys.stderr, flush=True)


def _bench(args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from optcore.cli import bench as _bench

    if not 0 < args.seconds < float("inf"):
        raise ValueError(f"--seconds {args.seconds:g}: it must be above 0")
    found = _bench.measure(args.seconds, _bar)
    return found, _bench.text(found)
