"""torch tensors as memory: what is taken, what is converted, what is refused and why.

Owns every message about a tensor. A parameter is stepped where it lies, whatever the order of its strides, as long as
they leave no hole; one with holes is stepped in a copy and written back. A gradient is read where it lies if its
strides are the parameter's; else it is copied to them, never read in storage order.
"""
from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from optcore.formats import FORMATS, Format, form_of, playing
from optcore.step import arrays as _arrays
from optcore.step.state import check_rounding

R = TypeVar("R")


def dtype_of(form: str) -> torch.dtype:
    """torch's type of the elements of a format."""
    found: torch.dtype = getattr(torch, FORMATS[form].element)
    return found


def dtypes(*roles: str) -> tuple[torch.dtype, ...]:
    """torch's types of the formats that may play one of these roles."""
    return tuple(dict.fromkeys(dtype_of(form) for role in roles for form in playing(role)))


PARAMETER, GRADIENT = dtypes("parameter"), dtypes("gradient")
UNDER_MASTER = dtypes("parameter", "copy")              # what may be a rounded copy of what is stepped
REAL = {torch.complex64: torch.float32, torch.complex128: torch.float64}     # the two parts of a complex number
COMPLEX = {real: both for both, real in REAL.items()}
PLAIN = (Tensor, torch.nn.Parameter)                    # types that are their own memory


def local(t: Any) -> Any:
    """This process's share of a distributed tensor, any other tensor as it is. Wants grad mode off."""
    if type(t) in PLAIN or not hasattr(t, "to_local"):
        return t
    mine = t.to_local()
    return mine.wait() if hasattr(mine, "wait") else mine


def real(t: Tensor) -> Tensor:
    """t; if it is complex its real and imaginary parts as a last dimension, which are stepped as torch.optim does: as
    numbers of their own."""
    return torch.view_as_real(t.resolve_conj()) if t.is_complex() else t


def kept_as(p: Any) -> Format:
    """The format of a parameter, of a complex one that of its parts."""
    return FORMATS[str(REAL.get(p.dtype, p.dtype)).removeprefix("torch.")]


def sharded(p: Any) -> bool:
    """Whether p is a distributed tensor of which each process has a part."""
    return type(p) not in PLAIN and any(not x.is_replicate() for x in getattr(p, "placements", ()))


def spread(p: Any) -> tuple[Any, ...]:
    """The process groups among which p is cut, one for each dimension of its mesh; () if p is here as a whole."""
    if not sharded(p):
        return ()
    return tuple(p.device_mesh.get_group(k) for k, x in enumerate(p.placements) if not x.is_replicate())


def over_all(x: float, groups: tuple[Any, ...]) -> float:
    """The sum of x over the processes of these groups, the same bits in each of them."""
    for group in groups:
        total = torch.tensor(x, dtype=torch.float64, device="cpu")
        torch.distributed.all_reduce(total, group=group)
        x = total.item()
    return x


def first_of(p: Any) -> int:
    """The number of the first element of this process's share of p, in p's order in memory."""
    if not sharded(p):
        return 0
    chunk = p.__create_chunk_list__()[0]
    return sum(at * stride for at, stride in zip(chunk.offsets, p.stride(), strict=True))


def dense(t: Tensor) -> bool:
    """Whether the elements lie without holes and without overlap, in any order: only then are strides preserved."""
    return bool(t.is_contiguous()) or torch.empty_like(t, memory_format=torch.preserve_format).stride() == t.stride()


def alike(t: Tensor, like: Tensor) -> bool:
    """Whether the strides agree, where there is more than one element."""
    return t.stride() == like.stride() or all(
        a == b or n == 1 for a, b, n in zip(t.stride(), like.stride(), t.shape, strict=True))


def placed_as(t: Tensor, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """t with the strides of `like`, which is dense, and this dtype; t itself if it has them."""
    dtype = dtype or t.dtype
    if t.dtype == dtype and alike(t, like) and not t.is_neg():
        return t
    return torch.empty_like(like, dtype=dtype, requires_grad=False).copy_(t)


def nonfinite(t: Tensor) -> str:
    """The first infinity or NaN and where it is, in words; '' if there is none."""
    bad = (~torch.isfinite(t)).nonzero()
    return f"{t[tuple(bad[0])].item()} at index {tuple(bad[0].tolist())}" if len(bad) else ""


def without_grad(function: Callable[..., R]) -> Callable[..., R]:
    """The function with grad mode off. torch.no_grad leaves by Python code, where an interrupt could leave it off."""

    @wraps(function)
    def quietly(*args: Any, **kwargs: Any) -> R:
        enabled = torch.is_grad_enabled()
        try:
            torch._C._set_grad_enabled(False)
            return function(*args, **kwargs)
        finally:
            torch._C._set_grad_enabled(enabled)

    return quietly


@without_grad
def clear(grads: list[Any]) -> None:
    """Set the gradients to zero."""
    for g in grads:
        if g is not None:
            g.zero_()


def state_of(p: Any, value: float, form: str, kind: str = "parameter") -> Tensor:
    """A state array for p in a format without blocks, filled with value, distributed as p is. kind: its shape, see
    State in rules/row.py."""
    if kind == "row":
        mine = torch.full(local(p).shape[:1], value, dtype=dtype_of(form), device="cpu")
        rows: Tensor = distributed(mine, p, tuple(p.shape[:1]))
        return rows
    dtype = dtype_of(form)
    return torch.full_like(p, complex(value, value) if p.is_complex() else value,
                           dtype=COMPLEX[dtype] if p.is_complex() else dtype, requires_grad=False,
                           memory_format=torch.preserve_format)


def distributed(mine: Tensor, p: Any, shape: tuple[int, ...] | None = None) -> Any:
    """What is here of a tensor as one that is distributed as p is, of p's shape or of one with as many rows; mine
    itself if p is here as a whole."""
    if not sharded(p):
        return mine
    from torch.distributed.tensor import DTensor
    stride = p.stride() if shape is None else torch.empty(shape, device="meta").stride()
    return DTensor.from_local(mine, p.device_mesh, p.placements, run_check=False,
                              shape=torch.Size(p.shape if shape is None else shape), stride=stride)


def joined(p: Any, compensation: Any) -> Tensor:
    """A parameter with what it lacks, in float32."""
    mine, lack = (_arrays.shared("p", local(t.detach())) for t in (p, compensation))
    join = FORMATS[form_of(lack)].join
    assert join is not None
    whole: Tensor = distributed(torch.from_numpy(np.asarray(join(mine, lack))), p)
    return whole


def check_rows(label: str, p: Any) -> None:
    """Refuse a parameter of which no number can be kept for each row."""
    if p.dim() == 0 or not p.is_contiguous():
        raise ValueError(f"{label} has shape {tuple(p.shape)} and strides {p.stride()}: one number is kept of each of "
                         "its rows, which must be contiguous")
    if sharded(p) and not all(x.is_replicate() or x.is_shard(0) for x in p.placements):
        raise ValueError(f"{label} is cut within its rows ({p.placements}), and one number is kept of each of them")


def check_codes(key: str, codes: Tensor, shape: tuple[int, ...], form: str) -> Tensor:
    """State in blocks of codes that fits so many elements, or the error that says what does."""
    needed = FORMATS[form].shape(shape)
    if codes.dtype != torch.uint8 or tuple(codes.shape) != needed:
        raise TypeError(f"state {key!r} is {codes.dtype} of shape {tuple(codes.shape)}; in {form!r} "
                        f"torch.uint8 of shape {needed} is needed")
    return codes


def check_state(key: str, t: Any, p: Tensor, kind: str = "parameter") -> None:
    """Refuse what cannot be, or become, p's state."""
    shape = p.shape[:1] if kind == "row" else p.shape
    if not isinstance(t, Tensor) or t.layout != torch.strided or t.device.type != "cpu":
        kind = f"a {t.layout} tensor on {t.device}" if isinstance(t, Tensor) else f"a {type(t).__name__}"
        raise TypeError(f"state {key!r} is {kind}; a strided tensor on the CPU is needed")
    if t.shape != shape:
        raise ValueError(f"state {key!r} has shape {tuple(t.shape)}, its parameter has {tuple(p.shape)}"
                         + (f": {tuple(shape)} is needed" if kind == "row" else ""))


def check_parameter(label: str, p: Any, rival: str, rounding: str) -> None:
    """Refuse a parameter that the kernels cannot step. rival: the class of torch.optim that can, or ''."""
    instead = f", or use {rival}" if rival else ""
    if p.device.type != "cpu":
        raise ValueError(f"{label} is on {p.device}: optcore steps memory of the CPU; move it there{instead}")
    if p.layout != torch.strided:
        raise ValueError(f"{label} has layout {p.layout}, torch.strided is needed")
    if p.is_conj():
        raise TypeError(f"{label} is a conjugated view, which is not written in place; resolve_conj() makes a tensor")
    if REAL.get(p.dtype, p.dtype) not in (UNDER_MASTER if rounding == "master" else PARAMETER):
        known = " or ".join(map(str, PARAMETER))
        way = 'rounding="master" takes it, ' if p.dtype in UNDER_MASTER else ""
        raise TypeError(f"{label} is {p.dtype}, {known} is needed: {way}module.float() converts a module{instead}")
    check_rounding(label, kept_as(p), rounding)


def check_apart(named: list[tuple[str, Tensor]]) -> None:
    """Refuse parameters of which an element lies where another one does, if they are stepped in copies. (Of others the
    kernels see it.)"""
    together: dict[int, list[tuple[str, Tensor]]] = {}
    for label, p in named:
        if any(step == 0 and n > 1 for step, n in zip(p.stride(), p.shape, strict=True)):
            raise ValueError(f"{label} is expanded: several of its elements lie in the same memory; clone() it")
        together.setdefault(p.untyped_storage().data_ptr(), []).append((label, p))
    for some in together.values():
        if len(some) > 1 and not all(p.is_contiguous() for _, p in some):
            free = torch.ones(some[0][1].untyped_storage().nbytes(), dtype=torch.bool, device="cpu")
            for label, p in some:
                n = p.itemsize
                mine = free.as_strided((*p.shape, n), (*(n * x for x in p.stride()), 1), n * p.storage_offset())
                if not mine.all():
                    raise ValueError(f"{label} overlaps another parameter in memory; what is updated in place must "
                                     "stand alone")
                mine.fill_(False)


def check_gradient(label: Callable[[], str], g: Any, p: Any, taken: Any) -> None:
    """Refuse a strided gradient that the kernels cannot read. label: what messages call it, asked only for one. taken:
    dtypes."""
    if g.device.type == "cpu" and g.dtype in taken and g.shape == p.shape:
        return
    if g.device.type != "cpu":
        raise ValueError(f"{label()} is on {g.device}: optcore steps memory of the CPU")
    if g.dtype not in taken:
        raise TypeError(f"{label()} is {g.dtype}, {' or '.join(map(str, taken))} is needed")
    raise ValueError(f"{label()} has shape {tuple(g.shape)}, its parameter has {tuple(p.shape)}")
