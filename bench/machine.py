"""Says what the numbers were measured on: machine, versions, threads, and how busy the machine was."""

import importlib.metadata
import os
import platform
import sys
from pathlib import Path

import optcore as oc

_SYS_CACHE = Path("/sys/devices/system/cpu/cpu0/cache")


def _proc(file: str, key: str) -> str | None:
    try:
        for line in Path("/proc", file).read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    except OSError:
        pass
    return None


def _caches() -> dict[str, str]:
    found = {}
    for index in sorted(_SYS_CACHE.glob("index*")):
        level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        if kind != "Instruction":
            found[f"L{level}"] = size
    return found


def free_bytes() -> int | None:
    """Memory that can be had without swapping, where the system says so."""
    line = _proc("meminfo", "MemAvailable")
    return int(line.split()[0]) * 1024 if line else None


def load() -> float:
    return round(os.getloadavg()[0], 2)


def describe(threads: int) -> dict:
    versions = {"python": platform.python_version()}
    for package in ("optcore", "numpy", "torch", "numba"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    total = _proc("meminfo", "MemTotal")
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _proc("cpuinfo", "model name") or platform.processor() or "unknown",
        "cpus": usable,
        "caches": _caches(),
        "memory_gib": round(int(total.split()[0]) / 2**20, 1) if total else None,
        "threads": threads,
        "numba_threading": numba_threading(),
        "load_before": load(),
        "versions": versions,
        "optcore": oc.build_info(),
    }


def numba_threading() -> str | None:
    """numba's threading layer; known only once something parallel has run."""
    if "numba" not in sys.modules:
        return None
    try:
        return sys.modules["numba"].threading_layer()
    except ValueError:
        return None
