"""How many threads a step may use, and the guard for forked children.

Owns OPTCORE_NUM_THREADS and the default number. Sets no environment variable and calls no
omp_set_num_threads: those would reach other libraries. The order: a call's num_threads, set_num_threads,
OPTCORE_NUM_THREADS, what the affinity mask and the cgroup leave to this process, shared with the other ranks that
torchrun started on this machine. Only the last is a guess of ours, so only there may the engine use fewer threads
where it measures that fewer are faster (kernels/team.pxd).
"""
from __future__ import annotations

import math
import os
from pathlib import Path

from optcore import _kernels
from optcore.rules.settings import whole

# More threads than this gain nothing on any machine and could exhaust what the system grants a process,
# which OpenMP answers by ending the process.
LIMIT = max(64, 4 * (os.cpu_count() or 1))


def _cgroup_cpus(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float:
    """Processors that the cgroup's quota is worth; inf without one."""
    best = math.inf
    try:
        lines = own.read_text(errors="replace").splitlines()
    except OSError:
        return best
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":                                       # version 2: one tree; a parent's quota binds too
            inner = root / path.lstrip("/")
            for folder in (inner, *inner.parents):
                best = min(best, _ratio(folder / "cpu.max"))
                if folder == root:
                    break
        elif "cpu" in controllers.split(","):                       # version 1
            inner = root / "cpu" / path.lstrip("/")
            for folder in (inner, *inner.parents):
                best = min(best, _ratio(folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us"))
                if folder == root / "cpu":
                    break
    return best


def _ratio(*files: Path) -> float:
    try:
        quota, period = " ".join(f.read_text() for f in files).split()
        return int(quota) / int(period) if int(quota) > 0 and int(period) > 0 else math.inf
    except (OSError, ValueError):                                   # no such file, or "max"
        return math.inf


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def checked(n: object) -> int:
    """num_threads as an int, or an error that names it."""
    count = whole("num_threads", n)
    if count > LIMIT:
        raise ValueError(f"num_threads={count}: at most {LIMIT} here, four for each processor")
    return count


def _initial() -> tuple[int, str]:
    wanted = os.environ.get("OPTCORE_NUM_THREADS", "").strip()
    if wanted:
        try:
            return checked(int(wanted)), "OPTCORE_NUM_THREADS"
        except ValueError:
            raise ValueError(f"OPTCORE_NUM_THREADS={wanted!r}: a whole number from 1 to {LIMIT} is needed") from None
    affinity, quota = _affinity(), _cgroup_cpus()
    count, source = (max(1, math.ceil(quota)), "cgroup") if quota < affinity else (min(affinity, LIMIT), "affinity")
    ranks = _ranks_here()
    return (max(1, count // ranks), "torchrun's ranks") if ranks > 1 else (count, source)


def _ranks_here() -> int:
    """How many processes share this one's processors: torchrun's on this machine, unless each was given its own.

    Its OMP_NUM_THREADS=1 is not heeded: it is meant for libraries that would otherwise take all processors each.
    """
    ranks = os.environ.get("LOCAL_WORLD_SIZE", "")
    try:
        bound = os.sched_getaffinity(0) != os.sched_getaffinity(os.getppid())
    except (AttributeError, OSError):
        bound = False
    return int(ranks) if ranks.isdecimal() and not bound else 1


_count, _source = _initial()


def _tell() -> None:
    _kernels.set_default_threads(_count, _source in ("affinity", "cgroup", "torchrun's ranks"))


def _in_child() -> None:
    # The child has none of OpenMP's threads; a parallel region would wait for them for ever.
    _kernels.set_forked()


_tell()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


def set_num_threads(n: int) -> None:
    """Set how many threads a step uses when its call does not say.

    The number is used as it is; without this call (and without OPTCORE_NUM_THREADS) the engine may use one
    thread where it measures that one is faster than all.

    Raises TypeError or ValueError, naming num_threads, if n is not a whole number from 1 to a generous limit.
    """
    global _count, _source
    _count, _source = checked(n), "set_num_threads"
    _tell()


def get_num_threads() -> int:
    """How many threads a step may use when its call does not say; 1 in a forked child and in a serial build."""
    return 1 if _kernels.is_forked() or not _kernels.info()["openmp"] else _count


def source() -> str:
    """Where that number comes from, in a word."""
    if _kernels.is_forked():
        return "forked child"
    return _source if _kernels.info()["openmp"] else "built without OpenMP"
