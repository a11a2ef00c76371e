"""Says what the numbers were measured on: machine, versions, threads, and how busy the machine was."""

import importlib.metadata
import os
import platform
import sys
import time
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


class OtherWork:
    """The share of all CPUs' time that anything but this process took since this was made; 0 to 1.

    Time that a hypervisor gave to other machines counts. None where the system does not tell.
    """

    def __init__(self) -> None:
        self._start = self._now()

    @staticmethod
    def _now() -> tuple[float, float] | None:
        try:
            ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        except OSError:
            return None
        idle = ticks[3] + ticks[4]  # idle, and idle while a disk is waited for
        busy = (sum(ticks) - idle) / os.sysconf("SC_CLK_TCK")
        return busy - time.process_time(), sum(ticks) / os.sysconf("SC_CLK_TCK")

    def share(self) -> float | None:
        now = self._now()
        if now is None or now[1] <= self._start[1]:
            return None
        return max(0.0, (now[0] - self._start[0]) / (now[1] - self._start[1]))


def describe(threads: int) -> dict:
    versions = {"python": platform.python_version()}
    for package in ("optcore", "numpy", "torch", "numba"):
        if package in sys.modules:  # whoever is not imported does not take part
            versions[package] = importlib.metadata.version(package)
    total = _proc("meminfo", "MemTotal")
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _proc("cpuinfo", "model name") or platform.processor() or "unknown",
        "cpus": usable,
        "caches": _caches(),
        "memory_gib": round(int(total.split()[0]) / 2**20, 1) if total else None,
        "threads": threads,
        "numba_threading": sys.modules["numba"].threading_layer() if "numba" in sys.modules else None,
        "load_before": load(),
        "versions": versions,
        "optcore": oc.build_info(),
    }
