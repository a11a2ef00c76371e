"""What may be passed in: a NumPy view of it without a copy, or an error that names it.

The kernels take a C-contiguous float32 buffer as it is and hand everything else to this file, before anything
is changed. Owns every message about an array. A parameter or state array is never copied; a gradient, which is
only read, is copied to C order if its strides differ (reading it in storage order would be silently wrong).
"""
from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from optcore._formats import decode, to_bfloat16

Array = npt.NDArray[Any]

DLPACK_CPU = (1, 3)             # kDLCPU, kDLCUDAHost: memory that the processor addresses
DLPACK_NAMES = {2: "cuda", 4: "opencl", 7: "vulkan", 8: "metal", 10: "rocm", 14: "oneapi"}


def _as_numpy(name: str, x: Any) -> npt.NDArray[Any]:
    """A NumPy array on the memory of x."""
    if isinstance(x, np.ndarray):
        return x
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
        raise ValueError(f"{name}: its memory cannot be shared: {e}") from e
    except TypeError:
        pass
    raise TypeError(f"{name}: an array is needed (NumPy, or anything with the buffer protocol, "
                    f"__array_interface__ or CPU DLPack), got {type(x).__name__}")


# What may be stored in which format. bfloat16 is an array of ml_dtypes.bfloat16, or its 16 bits as uint16.
PARAMETER, STATE, GRADIENT = ("float32",), ("float32", "bfloat16"), ("float32", "bfloat16", "float16")


def format_of(a: npt.NDArray[Any]) -> str:
    """The storage format of an array by its name."""
    return "bfloat16" if a.dtype == np.uint16 else a.dtype.name


def view(name: str, x: Any, *, writable: bool, formats: Sequence[str] = PARAMETER) -> npt.NDArray[Any]:
    """x as a C-contiguous array of one of these formats (bfloat16 as uint16): its own memory if it is to be
    written, at need a copy if only read."""
    a = _as_numpy(name, x)
    if format_of(a) not in formats or not a.dtype.isnative:
        hint = "" if writable else f"; {name}.astype(numpy.float32) gives one"
        raise TypeError(f"{name} is {a.dtype}, native {' or '.join(formats)} is needed{hint}")
    if a.dtype.name == "bfloat16":
        a = a.view(np.uint16)
    if writable and not a.flags.writeable:
        raise ValueError(f"{name} is read-only, but it is to be updated in place")
    if a.flags.c_contiguous and a.flags.aligned:
        return a
    if writable:
        what = "not contiguous in C order" if a.flags.aligned else f"not aligned to {a.itemsize} bytes"
        raise ValueError(f"{name} is {what} (strides {a.strides}, shape {a.shape}); it is updated in place, so "
                         "pass an array made by numpy.ascontiguousarray")
    return np.array(a, order="C", subok=False)


def bounds(a: npt.NDArray[Any]) -> tuple[int, int]:
    """First byte of a contiguous array, and one past its last."""
    address: int = a.__array_interface__["data"][0]
    return address, address + a.nbytes


def check_shape(name: str, a: Array, other: str, shape: tuple[int, ...]) -> None:
    if a.shape != shape:
        raise ValueError(f"{name} has shape {a.shape}, {other} has {shape}: they must be the same")


Interval = tuple[int, int, str]


def intervals(names: Sequence[str], arrays: Sequence[Array]) -> list[Interval]:
    """(first byte, one past the last, name) of arrays to be written, sorted; refused if two share a byte."""
    taken = sorted((*bounds(a), name) for name, a in zip(names, arrays, strict=True) if a.nbytes)
    for (_, end, first), (begin, _, second) in pairwise(taken):
        if begin < end:
            raise _overlap(second, first)
    return taken


def _overlap(one: str, other: str) -> ValueError:
    return ValueError(f"{one} overlaps {other} in memory; what is updated in place must stand alone")


def checked(names: Sequence[str], arrays: Sequence[Any]) -> tuple[Array, ...]:
    """Usable views of (p, g, state...), or the error that names the first array that cannot be used."""
    views = tuple(view(n, x, writable=k != 1, formats=(PARAMETER, GRADIENT, STATE)[min(k, 2)])
                  for k, (n, x) in enumerate(zip(names, arrays, strict=True)))
    for name, a in zip(names[1:], views[1:], strict=True):
        check_shape(name, a, names[0], views[0].shape)
    intervals(names, views)
    return views


def gradient(name: str, x: Any, of: str, shape: tuple[int, ...], written: Sequence[Interval], *,
             writable: bool = False) -> Array:
    """A usable view of one gradient, given its parameter's name and shape and, sorted, everything that is written.
    writable: it is to be set to zero."""
    g = view(name, x, writable=writable, formats=GRADIENT)
    check_shape(name, g, of, shape)
    low, high = bounds(g)
    nearest = bisect_right(written, low, key=itemgetter(1))         # the first interval that ends after g begins
    if low < high and nearest < len(written) and written[nearest][0] < high:
        raise _overlap(name, written[nearest][2])
    return g


def allocate(p: Array, value: float, form: str) -> Array:
    """A state array for p, filled with value, that meets cache lines at the same elements as p does: the walk
    begins its chunks where p meets one."""
    width = 2 if form == "bfloat16" else 4
    raw = np.zeros(p.size * width + 64, np.uint8)
    head = -bounds(p)[0] % 64 // 4
    first = (-bounds(raw)[0] - width * head) % 64
    a = raw[first:first + p.size * width].view(np.uint16 if width == 2 else np.float32).reshape(p.shape)
    if value:
        # bfloat16 to nearest: this is stored once, and has nothing to follow.
        a[...] = to_bfloat16(np.array([value], np.float32), np.uint32(0x8000)) if width == 2 else value
    return a


def _is_buffer(x: Any) -> bool:
    try:
        memoryview(x)
    except (TypeError, BufferError):
        return False
    return True


def is_array(x: Any) -> bool:
    return not isinstance(x, (Mapping, list, tuple)) and (
        isinstance(x, np.ndarray) or hasattr(x, "__array_interface__") or hasattr(x, "__dlpack__")
        or _is_buffer(x))


def name_nonfinite(names: Sequence[str], arrays: Sequence[Array | None]) -> None:
    """Raise the error that names the first infinity or NaN."""
    for name, a in zip(names, arrays, strict=True):
        if a is None:
            continue
        values = decode(a)
        good = np.isfinite(values)
        if not good.all():
            where = tuple(int(k) for k in np.argwhere(~good)[0])
            raise FloatingPointError(f"{name} is {values[where]} at index {where if a.ndim != 1 else where[0]}; "
                                     "nothing was changed")
