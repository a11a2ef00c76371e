"""How many threads a step may use, and the guard for forked children.

Owns OPTCORE_NUM_THREADS and the default number. Sets no environment variable and calls no
omp_set_num_threads: those would reach other libraries. The order: a call's num_threads, set_num_threads,
OPTCORE_NUM_THREADS, what the surroundings mean: joblib's number in its workers, else the processors that OpenMP may use
and the cgroup grants, shared with the other ranks on this machine; less where OpenMP's own number has been lowered for
the calling thread (threadpoolctl). Only the last is a guess of ours, so only there may the engine use fewer threads
where it measures that fewer are faster (kernels/team.pxd).
"""
from __future__ import annotations

import math
import os

from optcore import _kernels
from optcore.rules.settings import whole
from optcore.step import surroundings

# More threads than this gain nothing on any machine and could exhaust what the system grants a process,
# which OpenMP answers by ending the process.
LIMIT = max(64, 4 * (os.cpu_count() or 1))

ASKED = ("set_num_threads", "OPTCORE_NUM_THREADS")          # what somebody asked of us, to be taken as it is


def _number(n: object) -> int:
    count = whole("num_threads", n)
    if count > LIMIT:
        raise ValueError(f"num_threads={count}: at most {LIMIT} here, four for each processor")
    return count


def checked(n: object) -> int:
    """num_threads as an int, or an error that names it."""
    count = _number(n)
    if count > 1 and not _kernels.can_start_threads(count):
        # OpenMP would end the process where it cannot start them.
        raise RuntimeError(f"num_threads={count}: so many threads cannot be started here; the system's limit of "
                           "processes (ulimit -u, a cgroup's pids.max) or memory is reached, or a thread's stack "
                           "(OMP_STACKSIZE, ulimit -s) is below 128 KiB")
    return count


def _initial() -> tuple[int, str]:
    wanted = os.environ.get("OPTCORE_NUM_THREADS", "").strip()
    if wanted:
        try:
            return _number(int(wanted)), "OPTCORE_NUM_THREADS"
        except ValueError:
            raise ValueError(f"OPTCORE_NUM_THREADS={wanted!r}: a whole number from 1 to {LIMIT} is needed") from None
    processors, quota = _kernels.info()["processors"] or surroundings.affinity(), surroundings.cgroup_cpus()
    count, source = (max(1, math.ceil(quota)), "cgroup") if quota < processors else (processors, "affinity")
    joblibs = surroundings.joblibs_number()
    if joblibs is not None:
        return min(joblibs, count, LIMIT), "joblib's OMP_NUM_THREADS"
    ranks, told_by = surroundings.ranks_here(processors)
    if ranks > 1:
        count = max(1, count // ranks)
        source = "torchrun's ranks" if told_by == "LOCAL_WORLD_SIZE" else f"ranks of {told_by}"
    return min(count, LIMIT), source


_count, _source = _initial()
# Of a thread that nobody has told a number: OMP_NUM_THREADS as OpenMP was loaded with it, or the processors.
_usual = surroundings.in_fresh_thread(_kernels.max_threads)


def _tell() -> None:
    _kernels.set_default_threads(_count, _source not in ASKED, _usual, surroundings.stack_of_a_thread())


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

    Raises TypeError or ValueError, naming num_threads, if n is not a whole number from 1 to a generous limit;
    RuntimeError if the system does not let so many threads be started.
    """
    global _count, _source
    _count, _source = checked(n), "set_num_threads"
    _tell()


def get_num_threads() -> int:
    """How many threads a step may use in this thread when its call does not say; 1 in a forked child, in a serial
    build and where no threads can be started."""
    return _kernels.get_default_threads() if _kernels.info()["openmp"] else 1


def source() -> str:
    """Where that number comes from, in a word."""
    if _kernels.is_forked():
        return "forked child"
    if not _kernels.info()["openmp"]:
        return "built without OpenMP"
    if _kernels.threads_refused():
        return "threads cannot be started"
    return _source if get_num_threads() == _count else "omp_set_num_threads in this thread"
