"""fun and grad as functions of one flat float64 vector: the structure of x0, the precision, the counts.

Owns what x0 may be, what fun and grad may answer, and every message about either. It never keeps an array of the
caller's and never hands its own away: what fun does to its argument harms nothing.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import inf, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
Dtype = np.dtype[Any]

NOISE_SAMPLES = 4       # values beside x0 whose spread is the noise of fun
SLOPE_SAMPLES = 2       # gradients beside x0 whose spread is the noise of grad
REORDERED = 1024        # units in the last place by which a sum may change with the order of its terms


@dataclass(frozen=True)
class Block:
    """One array of x0: its name, where it lies in the flat vector, and how the caller stores it."""

    name: str
    start: int
    stop: int
    shape: tuple[int, ...]
    dtype: Dtype

    def label(self, flat: int) -> str:
        """The element at this place of the flat vector, as one would write it."""
        index = np.unravel_index(flat - self.start, self.shape)
        return f"{self.name}[{', '.join(str(int(k)) for k in index)}]" if self.shape else self.name


def length(v: Vector) -> float:
    """The Euclidean norm, of which no square overflows or vanishes."""
    most = float(np.abs(v).max(initial=0.0))
    return most * float(np.linalg.norm(v / most)) if 0.0 < most < inf else most


def _is_numbers(tree: Any) -> bool:
    """Whether lists within lists hold numbers alone, which SciPy's convention takes for one array."""
    if isinstance(tree, (list, tuple)):
        return all(map(_is_numbers, tree))
    return isinstance(tree, (bool, int, float, np.number))


def _leaves(tree: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping):
        for key in tree:
            yield from _leaves(tree[key], f"{name}[{key!r}]")
    elif isinstance(tree, (list, tuple)) and not _is_numbers(tree):
        for k, item in enumerate(tree):
            yield from _leaves(item, f"{name}[{k}]")
    else:
        yield name, tree


def _rebuild(tree: Any, arrays: Iterator[npt.NDArray[Any]]) -> Any:
    if isinstance(tree, Mapping):
        return {key: _rebuild(tree[key], arrays) for key in tree}
    if isinstance(tree, (list, tuple)) and not _is_numbers(tree):
        items = [_rebuild(item, arrays) for item in tree]
        if isinstance(tree, list):
            return items
        return type(tree)(*items) if hasattr(tree, "_fields") else tuple(items)
    return next(arrays)


def _real(name: str, leaf: Any) -> npt.NDArray[Any]:
    a = np.asarray(leaf)
    if a.dtype.kind in "biu":
        return a.astype(np.float64)
    if a.dtype.kind != "f":
        raise TypeError(f"{name} is {a.dtype}: real numbers are needed")
    return a.astype(np.float64) if a.dtype.itemsize > 8 else a


class Points:
    """fun and grad, asked at points given as flat float64 vectors.

    x: x0 as one vector; scale: how far each element may be moved to see something; value, slopes: fun(x) and grad(x);
    noise: how far fun is known; slope_noise: the same of each element of grad; precision: of the arithmetic inside
    fun; shadow: whether float64 copies are passed where x0 is stored in less; spread: how far repeated calls at x0
    differ.
    """

    def __init__(self, fun: Callable[..., Any], grad: Callable[..., Any] | bool, x0: Any, args: tuple[Any, ...],
                 rng: np.random.Generator) -> None:
        for name, what in (("fun", fun), ("grad", grad)):
            if not callable(what) and not (name == "grad" and what is True):
                raise TypeError(f"{name}: a function of x is needed, got {what!r}")
        self._fun, self._grad, self._args, self._tree = fun, grad, args, x0
        self.evaluations = self.gradients = 0
        leaves = [(name, _real(name, leaf)) for name, leaf in _leaves(x0, "x0")]
        self._shapes = {name: (a.shape, a.dtype) for name, a in leaves}
        for name, a in leaves:
            if not np.isfinite(a).all():
                raise ValueError(f"{name} is not finite everywhere")
        ends = np.cumsum([0, *(a.size for _, a in leaves)])
        self.blocks = [Block(name, int(start), int(start) + a.size, a.shape, a.dtype)
                       for (name, a), start in zip(leaves, ends[:-1], strict=True) if a.size]
        if not self.blocks:
            raise ValueError("x0 has no elements")
        self.x: Vector = np.concatenate([a.astype(np.float64).ravel() for _, a in leaves])
        self.scale = self._scales()
        self.shadow = False
        self.precision: Dtype = min((b.dtype for b in self.blocks), key=lambda dtype: dtype.itemsize)
        self.value = self.fun(self.x)
        if not np.isfinite(self.value):
            raise ValueError(f"fun(x0) is {self.value}: a finite value is needed")
        self.slopes = self.grad(self.x)
        self._find_precision(rng)
        self.eps = float(np.finfo(self.precision).eps)
        self.spread = 0.0
        self.noise = 0.0
        self.slope_noise: Vector = np.zeros_like(self.x)
        self.repeat()

    # -------------------------------------------------------------------------------------- asking

    def _argument(self, v: Vector) -> Any:
        start, arrays = 0, []
        for shape, dtype in self._shapes.values():
            size = int(np.prod(shape))
            part = v[start:start + size].reshape(shape)
            arrays.append(part.astype(np.float64 if self.shadow else dtype))
            start += size
        return _rebuild(self._tree, iter(arrays))

    def fun(self, v: Vector) -> float:
        self.evaluations += 1
        with np.errstate(all="ignore"):         # a point beyond the domain of fun is left out, in silence
            answer = self._fun(self._argument(v), *self._args)
        if self._grad is True:
            answer = self._pair(answer)[0]
        value = np.asarray(answer)
        if value.size != 1 or value.dtype.kind not in "biuf":
            raise ValueError(f"fun must give one real number, got {type(answer).__name__} of shape {value.shape}")
        return float(value.reshape(()))

    @staticmethod
    def _pair(answer: Any) -> tuple[Any, Any]:
        try:
            value, slopes = answer
        except (TypeError, ValueError):
            raise TypeError("fun: with grad=True it must give its value and its gradient, got "
                            f"{type(answer).__name__}") from None
        return value, slopes

    def grad(self, v: Vector) -> Vector:
        self.gradients += 1
        with np.errstate(all="ignore"):
            if callable(self._grad):
                answer = self._grad(self._argument(v), *self._args)
            else:
                answer = self._pair(self._fun(self._argument(v), *self._args))[1]
                self.evaluations += 1
        found = dict(_leaves(answer, "x0"))
        missing, extra = sorted(self._shapes.keys() - found), sorted(found.keys() - self._shapes)
        if missing or extra:
            raise ValueError(f"grad(x0) must be built as x0 is: it lacks {missing}, and x0 lacks {extra}")
        parts = []
        for name, (shape, _) in self._shapes.items():
            a = _real("grad" + name.removeprefix("x0"), found[name])
            if a.shape != shape:
                raise ValueError(f"grad(x0): the part of {name} has shape {a.shape}, {name} has {shape}")
            parts.append(a.astype(np.float64).ravel())
        return np.concatenate(parts)

    def place(self, v: Vector) -> Vector:
        """The point that fun really sees when asked at v."""
        return v if self.precision.itemsize == 8 else v.astype(self.precision).astype(np.float64)

    # -------------------------------------------------------------------------------------- what is known of them

    def _scales(self) -> Vector:
        """The root mean square of the array an element is in; of the middle one of the others, if that is 0."""
        rms = np.array([length(self.x[b.start:b.stop]) / sqrt(b.stop - b.start) for b in self.blocks])
        other = float(np.median(rms[rms > 0.0])) if rms.any() else 1.0
        return np.repeat(np.where(rms > 0.0, rms, other), [b.stop - b.start for b in self.blocks])

    def _find_precision(self, rng: np.random.Generator) -> None:
        if self.precision.itemsize < 8:
            self.shadow = True
            try:
                value, slopes = self.fun(self.x), self.grad(self.x)
            except Exception:                   # whatever it raises, it does not take float64
                self.shadow = False
                return
            # Another function in float64 (a branch on the dtype) is no shadow; rounding may take half the digits.
            if not abs(value - self.value) <= 0.1 * max(abs(value), abs(self.value)):
                self.shadow = False
                return
            self.value, self.slopes, self.precision = value, slopes, np.dtype(np.float64)
        # A function that rounds inside gives numbers of fewer bits, though it was asked between them.
        beside = self.fun(self.x + 2.0 ** -30 * self.scale * rng.uniform(-1.0, 1.0, self.x.size))
        with np.errstate(over="ignore"):
            if self.value != 0.0 and all(float(np.float32(v)) == v for v in (beside, self.value)):
                self.precision = np.dtype(np.float32)

    def measure_noise(self, rng: np.random.Generator) -> None:
        """How far fun and grad move when every element of x is rounded another way."""
        floor = self.eps * abs(self.value)
        moved, slopes = [], np.zeros_like(self.x)
        for k in range(NOISE_SAMPLES):
            v = self.place(self.x * (1.0 + self.eps * rng.choice([-1.0, 1.0], self.x.size)))
            moved.append(abs(self.fun(v) - self.value))
            if k < SLOPE_SAMPLES:
                np.maximum(slopes, np.abs(self.grad(v) - self.slopes), out=slopes)
        finite = [m for m in moved if np.isfinite(m)]
        self.noise = max(floor, self.spread, *finite)
        self.slope_noise = np.maximum(slopes, self.eps * np.abs(self.slopes))

    def repeat(self) -> None:
        self.spread = max(self.spread, abs(self.fun(self.x) - self.value))

    def deterministic(self) -> bool:
        """Repeated values agree but for a sum taken in another order, which may cost some bits."""
        return self.spread <= REORDERED * self.eps * abs(self.value)

    def slopes_deterministic(self) -> bool:
        again = self.grad(self.x) - self.slopes
        return not length(again) > REORDERED * self.eps * length(self.slopes)
