"""What may be passed in: a NumPy view of it without a copy, or an error that names it.

The kernels take buffers without holes as they are, if all of a parameter's lie in the same order, and hand everything
else to this file, before anything is changed. Owns every message about an array. A parameter or state array is never
copied; a gradient, which is only read, is copied to its parameter's order if its strides differ (reading it in storage
order would be silently wrong).
"""
from __future__ import annotations

import math
import sys
from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from optcore.formats import FORMATS, form_of, format_of, playing

Array = npt.NDArray[Any]

DLPACK_CPU = (1, 3)             # kDLCPU, kDLCUDAHost: memory that the processor addresses
DLPACK_NAMES = {2: "cuda", 4: "opencl", 7: "vulkan", 8: "metal", 10: "rocm", 14: "oneapi"}


def is_torch(x: Any) -> bool:
    """Whether x is of a class of torch's, which is not imported for this."""
    return type(x).__module__.partition(".")[0] == "torch"


def _on_cpu(x: Any) -> bool:
    return not hasattr(x, "__dlpack_device__") or x.__dlpack_device__()[0] in DLPACK_CPU


def shared(name: str, x: Any, reading: bool = False) -> npt.NDArray[Any]:
    """A NumPy array on the memory of x; reading: what cannot be shared may be copied."""
    if isinstance(x, np.ndarray):
        return x
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor) and x.dtype == torch.bfloat16 and not x.requires_grad:
        x = x.view(torch.uint16)                # its bits: NumPy's DLPack knows no bfloat16
    try:
        if hasattr(x, "__dlpack_device__"):
            kind, number = x.__dlpack_device__()
            if kind not in DLPACK_CPU:
                raise BufferError(f"it is on device {DLPACK_NAMES.get(int(kind), int(kind))}:{number}, "
                                  "memory of the CPU is needed")
        elif hasattr(x, "__cuda_array_interface__"):
            raise BufferError("it is on a CUDA device, memory of the CPU is needed")
        if hasattr(x, "__array_interface__"):
            return np.asarray(x)
        if hasattr(x, "__dlpack__"):
            return np.from_dlpack(x)
        return np.asarray(memoryview(x))
    except (BufferError, RuntimeError, ValueError) as e:
        a = np.asarray(x) if reading and hasattr(x, "__array__") and not is_torch(x) and _on_cpu(x) else None
        if a is not None and format_of(a) is not None:
            return a                            # bfloat16 of JAX, say
        raise ValueError(f"{name}: its memory cannot be shared: {e}") from e
    except TypeError:
        pass
    raise TypeError(f"{name}: an array is needed (NumPy, or anything with the buffer protocol, "
                    f"__array_interface__ or CPU DLPack), got {type(x).__name__}")


# What may be stored in which format. bfloat16 is an array of ml_dtypes.bfloat16, or its 16 bits as uint16; int8 is
# 8-bit codes in blocks (see state_array), in an array of uint8.
PARAMETER, STATE, GRADIENT = playing("parameter"), playing("state"), playing("gradient")
EXTRAS = {role: playing(role) for role in ("compensation", "copy", "average")}


_REAL = {"complex64": np.float32, "complex128": np.float64}


def parts(a: Array) -> Array:
    """a; where it is complex a view of the pairs, along one more dimension: they are stepped as real numbers."""
    real = _REAL.get(a.dtype.name) if isinstance(a, np.ndarray) else None
    return a if real is None else a[..., np.newaxis].view(real)


def memory_order(a: Array) -> tuple[int, ...]:
    """The dimensions of an array, from the one whose neighbours are farthest apart in memory."""
    return tuple(sorted(range(a.ndim), key=lambda k: -a.strides[k]))


def dense(a: Array) -> bool:
    """Whether the elements lie without a hole, in any order of the dimensions."""
    flags = a.flags
    return flags.c_contiguous or flags.f_contiguous or a.transpose(memory_order(a)).flags.c_contiguous


def lies_as(a: Array, like: Array) -> bool:
    """Whether the elements lie in the same order in both. Where the shapes differ, no more than density is asked."""
    if a.strides == like.strides and a.itemsize == like.itemsize and a.shape == like.shape:
        return True
    if a.shape != like.shape:
        return dense(a)
    return a.size == 0 or all(n == 1 or one // a.itemsize == other // like.itemsize
                              for n, one, other in zip(a.shape, a.strides, like.strides, strict=True))


def view(name: str, x: Any, *, writable: bool, formats: Sequence[str] = PARAMETER,
         order: Array | Literal["C", "dense"] = "C") -> npt.NDArray[Any]:
    """x as an array of one of these formats (bfloat16 as uint16, complex numbers as pairs): its own memory if it is to
    be written, at need a copy if only read. order: of its elements in memory: C order, any without a hole, or that of
    another array."""
    if not writable and type(x) is np.ndarray and (known := format_of(x)) is not None and known.name in formats:
        flags = x.flags                                 # the usual case of what is only read, without a question more
        if flags.aligned and x.dtype.isnative and known.block == 1:
            a = x if x.dtype == known.dtype else x.view(known.dtype)
            if flags.c_contiguous and (isinstance(order, str) or order.flags.c_contiguous):
                return a
            if not isinstance(order, str) and a.shape == order.shape and not lies_as(a, order):
                made = np.empty_like(order, dtype=a.dtype, subok=False)
                made[...] = a
                return made
    if writable and isinstance(x, np.generic):          # NumPy would make an array of its own for it
        raise TypeError(f"{name} is a NumPy scalar, which cannot change in place; numpy.array({name}) makes an array")
    a = shared(name, x, not writable)
    a = parts(a)
    found = format_of(a)
    if found is None or found.name not in formats or not a.dtype.isnative:
        hint = f"; {name}.astype(numpy.float32) gives one" if "float32" in formats else ""
        hint += ", to be passed and kept: it is updated in place" if hint and writable else ""
        raise TypeError(f"{name} is {a.dtype}, native {' or '.join(formats)} is needed{hint}")
    if a.dtype != found.dtype:
        a = a.view(found.dtype)
    if writable and not a.flags.writeable:
        raise ValueError(f"{name} is read-only, but it is to be updated in place")
    unit = found.alignment
    aligned = a.flags.aligned and (found.block == 1 or bounds(a)[0] % unit == 0)
    if found.block > 1:
        placed = a.flags.c_contiguous
    elif isinstance(order, str):
        placed = a.flags.c_contiguous or order == "dense" and dense(a)
    else:
        placed = lies_as(a, order)
    if placed and aligned:
        return a
    if writable:
        what = f"is not aligned to {unit} bytes"
        if aligned and dense(a):
            what = "is not contiguous in C order" if isinstance(order, str) or found.block > 1 else (
                "does not lie in memory as its parameter does")
        elif aligned:
            what = "has holes between its elements"
        raise ValueError(f"{name} {what} (strides {a.strides}, shape {a.shape}). It is updated in place, and a copy "
                         "would not be yours: it has to be made so")
    if isinstance(order, str) or order.shape != a.shape:
        return np.array(a, order="C", subok=False)
    made = np.empty_like(order, dtype=a.dtype, subok=False)
    made[...] = a
    return made


def bounds(a: npt.NDArray[Any]) -> tuple[int, int]:
    """First byte of an array without holes, and one past its last."""
    address: int = a.__array_interface__["data"][0]
    return address, address + a.nbytes


def check_shape(name: str, a: Array, other: str, shape: tuple[int, ...]) -> None:
    if a.shape != shape:
        pairs = " (a complex array counts as pairs of real numbers)" if (*a.shape, 2) == shape else ""
        raise ValueError(f"{name} has shape {a.shape}, {other} has {shape}: they must be the same{pairs}")


Interval = tuple[int, int, str]


class Memory:
    """What memory is taken, and by which names; each array that is added is looked up among the others."""

    def __init__(self) -> None:
        self.taken: list[Interval] = []         # sorted
        self.names: set[str] = set()

    def add(self, names: Sequence[str], arrays: Sequence[Array]) -> None:
        """Take these too, or none of them and raise the error that names two that overlap."""
        more = intervals(names, arrays)
        for low, high, name in more:
            k = bisect_right(self.taken, low, key=itemgetter(1))
            if k < len(self.taken) and self.taken[k][0] < high:
                raise overlap(name, self.taken[k][2])
        if len(more) > len(self.taken) // 8:
            self.taken = sorted([*self.taken, *more])
        else:
            for one in more:
                insort(self.taken, one)
        self.names.update(names)


def intervals(names: Sequence[str], arrays: Sequence[Array]) -> list[Interval]:
    """(first byte, one past the last, name) of arrays to be written, sorted; refused if two share a byte."""
    taken = sorted((*bounds(a), name) for name, a in zip(names, arrays, strict=True) if a.nbytes)
    for (_, end, first), (begin, _, second) in pairwise(taken):
        if begin < end:
            raise overlap(second, first)
    return taken


def overlap(one: str, other: str) -> ValueError:
    return ValueError(f"{one} overlaps {other} in memory; what is updated in place must stand alone")


def allocate(p: Array, value: float, form: str, shape: tuple[int, ...] | None = None) -> Array:
    """A state array for p, filled with value, that lies in memory as p does and meets cache lines at the same elements:
    the walk begins its chunks where p meets one. shape: another than p's; the array is then in C order."""
    kept = FORMATS[form]
    alike = shape is None or shape == p.shape
    n, shape = p.size if shape is None else math.prod(shape), kept.shape(p.shape if shape is None else shape)
    size = math.prod(shape) * kept.bytes
    raw = np.zeros(size + 64, np.uint8)
    head = -bounds(p)[0] % 64 // p.itemsize if kept.block == 1 else 0
    first = (-bounds(raw)[0] - kept.bytes * head) % 64
    a: Array = raw[first:first + size].view(kept.dtype)
    if kept.block == 1 and alike and not p.flags.c_contiguous:
        axes = memory_order(p)
        a = a.reshape([p.shape[k] for k in axes]).transpose(np.argsort(axes))
    a = a.reshape(shape)
    if value:
        # To nearest: this is stored once, and has nothing to follow. What starts at a value is never negative.
        values = np.full(n, value, FORMATS[kept.arithmetic].dtype)
        a[...] = kept.store(values, code=1).reshape(shape)
    return a


def state_array(p: Any, dtype: str | None = None) -> Array:
    """An array of zeros that holds the state of a rule for parameters p, before its first step.

    dtype: "float32" (default), "bfloat16" (as its bits, uint16), both of the shape of p, or "int8": 8-bit codes in an
    array of uint8 with one dimension, 260 bytes for every 256 elements begun. For a p in float64: "float64" alone.
    Raises TypeError or ValueError for another dtype, or for a p that cannot be updated in place.

    >>> import numpy as np, optcore as oc
    >>> p, g = np.ones(1000, np.float32), np.ones(1000, np.float32)
    >>> m, v = oc.state_array(p, "int8"), oc.state_array(p, "int8")
    >>> m.nbytes
    1040
    >>> oc.functional.adam(p, g, m, v, step=1)
    """
    if dtype is not None and dtype not in STATE:
        raise ValueError(f"dtype={dtype!r}: it must be {' or '.join(STATE)}")
    a = view("p", p, writable=True, formats=PARAMETER, order="dense")
    arithmetic = FORMATS[form_of(a)].arithmetic
    if dtype is not None and FORMATS[dtype].arithmetic != arithmetic:
        raise TypeError(f"dtype={dtype!r}: p is {form_of(a)}, its state is computed in {arithmetic}")
    return allocate(a, 0.0, dtype or arithmetic)


def _is_buffer(x: Any) -> bool:
    try:
        memoryview(x)
    except (TypeError, BufferError):
        return False
    return True


def sums_for(x: Any) -> Array:
    """Zeros of the shape, memory order and arithmetic of a parameter like x; of what is no parameter, float32."""
    try:
        p = view("params", x, writable=False, formats=PARAMETER, order="dense")
    except (TypeError, ValueError):
        p = np.zeros(np.shape(x), np.float32)
    return allocate(p, 0.0, FORMATS[form_of(p)].arithmetic)


def is_array(x: Any) -> bool:
    return not isinstance(x, (Mapping, list, tuple)) and (
        isinstance(x, np.ndarray) or hasattr(x, "__array_interface__") or hasattr(x, "__dlpack__")
        or _is_buffer(x))


def members(params: Mapping[Any, Any]) -> list[Any]:
    """The arrays of a mapping. One that makes them anew at each look-up, as an open .npz file does, is refused: nobody
    would see them change."""
    arrays = [params[key] for key in params]
    for key, a in zip(params, arrays, strict=True):
        if (again := params[key]) is not a:
            label = f"params[{key!r}]"
            one, other = shared(label, a), shared(label, again)
            if one.size and not np.may_share_memory(one, other):
                raise TypeError(f"params: {type(params).__name__} makes {label} anew at each look-up, so a change "
                                "would be lost; dict(params) holds the arrays")
    return arrays
