"""build_info(): what runs here, how it was built, and why it was chosen."""
from __future__ import annotations

from importlib.metadata import version
from typing import Any

from optcore import _dispatch, _kernels
from optcore.step import threads as _threads


def build_info() -> dict[str, Any]:
    """What runs here and why, as a dict of plain values.

    version; isa: the build of the kernels in use, isa_available: those this processor can run, best first,
    isa_built: those that are installed; compiler and flags of the build in use; openmp: date of the OpenMP
    standard it was built for (yyyymm), None for a serial build; openmp_runtime: the library that serves it in
    this process; threads: how many a step may use; threads_from: where that number comes from.

    >>> import optcore
    >>> sorted(optcore.build_info())[:4]
    ['compiler', 'flags', 'isa', 'isa_available']
    """
    built = _kernels.info()
    return {
        "version": version("optcore"),
        "isa": built["isa"],
        "isa_available": _dispatch.available(),
        "isa_built": _dispatch.built(),
        "compiler": built["compiler"],
        "flags": built["flags"],
        "openmp": built["openmp"] or None,
        "openmp_runtime": built["openmp_runtime"],
        "threads": _threads.get_num_threads(),
        "threads_from": _threads.source(),
    }
