"""A quick measurement for the command line: Adam beside the roof of this machine, NumPy and torch.

Every contender updates the same arrays. They take turns in an order that is drawn anew each round; a figure is
the median over rounds of a ratio within a round. The whole benchmark, with more rules, peers and sizes, is bench/.
"""
from __future__ import annotations

import os
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from optcore import _kernels
from optcore.optimizers import Adam
from optcore.step import threads as _threads

SIZES = {"4 Ki": 1 << 12, "1 Mi": 1 << 20, "16 Mi": 1 << 24}
BYTES = 7 * 4           # an element of Adam's step: reads p, g, m, v; writes p, m, v
SAMPLE = 1e-3           # s: a sample repeats its step until it lasts this long
ROUNDS = 5              # at least so many


def _contenders(n: int, threads: int) -> dict[str, Callable[[], None]]:
    """Name -> one step, on arrays of n elements."""
    rng = np.random.default_rng(0)
    p, g, m, v = (rng.standard_normal(n, dtype=np.float32) for _ in range(4))
    np.abs(v, out=v)
    ours = Adam([p])
    grads = [g]
    found: dict[str, Callable[[], None]] = {
        "roof": lambda: _kernels.roof(p, g, m, v, num_threads=threads),
        "roof, 1 thread": lambda: _kernels.roof(p, g, m, v, num_threads=1),
        "optcore": lambda: ours.step(grads),
        "numpy": _numpy(p, g, m, v),
    }
    if find_spec("torch") is not None:
        found |= _torch(p, g)
    return found


def _numpy(p: Any, g: Any, m: Any, v: Any) -> Callable[[], None]:
    """Adam as one writes it in NumPy with care: in place, two scratch arrays."""
    a, b = np.empty_like(p), np.empty_like(p)
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        np.subtract(g, m, out=a)
        np.multiply(a, np.float32(0.1), out=a)
        np.add(m, a, out=m)
        np.multiply(v, np.float32(0.999), out=v)
        np.multiply(g, g, out=a)
        np.multiply(a, np.float32(0.001), out=a)
        np.add(v, a, out=v)
        np.sqrt(v, out=a)
        np.divide(a, np.float32((1 - 0.999 ** count) ** 0.5), out=a)
        np.add(a, np.float32(1e-8), out=a)
        np.divide(m, a, out=b)
        np.multiply(b, np.float32(1e-3 / (1 - 0.9 ** count)), out=b)
        np.subtract(p, b, out=p)
    return step


def _torch(p: Any, g: Any) -> dict[str, Callable[[], None]]:
    torch: Any = import_module("torch")

    found: dict[str, Callable[[], None]] = {}
    for name, options in (("torch", {}), ("torch, fused", {"fused": True})):
        weight = torch.nn.Parameter(torch.from_numpy(p.copy()))
        weight.grad = torch.from_numpy(g)
        found[name] = torch.optim.Adam([weight], **options).step
    return found


def measure(seconds: float, progress: Callable[[float, str], None]) -> dict[str, Any]:
    """For each size the medians of all contenders, us a step, and their ratios."""
    threads = _threads.get_num_threads()
    began, load = time.monotonic(), os.getloadavg()[0]
    sizes = {}
    for k, (label, n) in enumerate(SIZES.items()):
        def told(share: float, k: int = k, label: str = label) -> None:
            progress((k + share) / len(SIZES), f"Adam, {label} parameters")
        told(0.0)
        sizes[label] = _size(n, threads, seconds / len(SIZES), told)
    progress(1.0, "")
    return {"threads": threads, "load": round(load, 2), "seconds": round(time.monotonic() - began, 1), "rule": "Adam",
            "sizes": sizes}


def _size(n: int, threads: int, seconds: float, told: Callable[[float], None]) -> dict[str, Any]:
    contenders = _contenders(n, threads)
    repeats = {}
    for name, step in contenders.items():
        step()
        start = time.perf_counter()
        step()
        repeats[name] = max(1, round(SAMPLE / max(time.perf_counter() - start, 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in contenders}
    rng = np.random.default_rng(0)
    names = list(contenders)
    began = time.monotonic()
    rounds = 0
    while rounds < ROUNDS or time.monotonic() - began < seconds:
        for k in rng.permutation(len(names)):
            step, repeat = contenders[names[k]], repeats[names[k]]
            start = time.perf_counter()
            for _ in range(repeat):
                step()
            times[names[k]].append((time.perf_counter() - start) / repeat)
        rounds += 1
        told(min(1.0, (time.monotonic() - began) / seconds))
    # Whichever is faster: a team costs more than it brings on small arrays, and where others use the processors.
    roofs = np.min([t for name, t in times.items() if name.startswith("roof")], axis=0)
    ours = np.array(times["optcore"])
    rows = {}
    for name, found in times.items():
        t = np.array(found)
        typical = float(np.median(t))
        rows[name] = {"us": round(1e6 * typical, 2), "gb_per_s": round(n * BYTES / typical / 1e9, 1),
                      "share_of_roof": round(float(np.median(roofs / t)), 3),
                      "times_ours": round(float(np.median(t / ours)), 2)}
    return {"elements": n, "rounds": rounds, "contenders": rows}


def text(found: dict[str, Any]) -> str:
    """The measurement as a table."""
    lines = [f"A step of Adam, float32, {found['threads']} threads. The roof moves the same memory and hardly "
             "computes."]
    if found["load"] > 0.5:
        lines.append(f"Others were using this machine (load {found['load']:g} before the start): read it with care.")
    for label, size in found["sizes"].items():
        head = f"{label} parameters"
        lines += ["", f"{head:<16} {'us a step':>10} {'GB/s':>7} {'% of roof':>10} {'x ours':>7}"]
        for name, row in size["contenders"].items():
            lines.append(f"{name:<16} {row['us']:>10} {row['gb_per_s']:>7} {100 * row['share_of_roof']:>10.0f} "
                         f"{row['times_ours']:>7}")
    return "\n".join(lines)
