# Written by tools/make_stubs.py from the table in _specs.py; change it there.
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

__all__ = [
    "sgd",
    "momentum",
    "nesterov",
    "nesterov_classical",
    "lookahead",
    "adagrad",
    "rmsprop",
    "rmsprop_momentum",
    "rmsprop_centered",
    "rmsprop_centered_momentum",
    "adam",
    "adam_amsgrad",
    "adamw",
    "adamw_amsgrad",
    "lion",
]

def sgd(
    p: NDArray[Any], g: NDArray[Any], *,
    step: int,
    lr: float | Callable[[int], float] = 0.001,
    weight_decay: float | Callable[[int], float] = 0.0,
    maximize: bool = False,
    num_threads: int | None = None,
    seed: int = 0,
    offset: int = 0,
) -> None: ...

def momentum(
    p: NDArray[Any], g: NDArray[Any], v: NDArray[Any], *,
    step: int,
    lr: float | Callable[[int], float] = 0.001,
    momentum: float | Callable[[int], float] = 0.9,
    dampening: float | Callable[[int], float] = 0.0,
    weight_decay: float | Callable[[int], float] = 0.0,
    maximize: bool = False,
    num_threads: int | None = None,
    seed: int = 0,
    offset: int = 0,
) -> None: ...

def nesterov(
    p: NDArray[Any], g: NDArray[Any], v: NDArray[Any], *,
    step: int,
    lr: float | Callable[[int], float] = 0.001,
    momentum: float | Callable[[int], float] = 0.9,
    weight_decay: float | Callable[[int], float] = 0.0,
    maximize: bool = False,
    num_threads: int | None = None,
    seed: int = 0,
    offset: int = 0,
) -> None: ...

def nesterov_classical(
    p: NDArray[Any], g: NDArray[Any], v: NDArray[Any], *,
    step: int,
    lr: float | Callable[[int], float] = 0.001,
    momentum: float | Callable[[int], float] = 0.9,
    weight_decay: float | Callable[[int], float] = 0.0,
    maximize: bool = False,
    num_threads: int | None = None,
    seed: int = 0,
    offset: int = 0,
) -> None: ...

def lookahead(
    p: NDArray[Any], v: NDArray[Any], saved: NDArray[Any], *,
    step: int,
    momentum: float | Callable[[int], float] = 0.9,
    num_threads: int | None = None,
    seed: int = 0,
    offset: int = 0,
) -> None: ...

def adagrad(
    p: NDArray[Any], g: NDArray[Any], s: NDArray[Any], *,
    step: int,
    lr: float | Callable[[int], float] = 0.01,
    lr_decay: float | Callable[[int], float] = 0.0,
    eps: float | Callable[[int], float] = 1e-10,
    weight_decay: float | Callable[[int], float] = 0.0,
    maximize: bool = False,
    num_threads: int | None = None,
    seed: int = 0,
    offset: int = 0,
) -> None: ...

def rmsprop(
    p: NDArray[Any], g: NDArray[Any], v: NDArray[Any], *,
    step: int,
    lr: float | Callable[[int], float] = 0.01,
    alpha: float | Callable[[int], float] = 0.99,
    eps: float | Callable[[int], float] = 1e-08,
    weight_decay: float | Callable[[int], float] = 0.0,
    maximize: bool = False,
    num_threads: int | None = None,
    seed: int = 0,
    offset: int = 0,
) -> None: ...

def rmsprop_momentum(
    p: NDArray[Any], g: NDArray[Any], v: NDArray[Any], b: NDArray[Any], *,
    step: int,
    lr: float | Callable[[int], float] = 0.01,
    alpha: float | Callable[[int], float] = 0.99,
    eps: float | Callable[[int], float] = 1e-08,
    momentum: float | Callable[[int], float] = 0.9,
    weight_decay: float | Callable[[int], float] = 0.0,
    maximize: bool = False,
    num_threads: int | None = None,
    seed: int = 0,
    offset: int = 0,
) -> None: ...

def rmsprop_centered(
    p: NDArray[Any], g: NDArray[Any], v: NDArray[Any], a: NDArray[Any], *,
    step: int,
    lr: float | Callable[[int], float] = 0.01,
    alpha: float | Callable[[int], float] = 0.99,
    eps: float | Callable[[int], float] = 1e-08,
    weight_decay: float | Callable[[int], float] = 0.0,
    maximize: bool = False,
    num_threads: int | None = None,
    seed: int = 0,
    offset: int = 0,
) -> None: ...

def rmsprop_centered_momentum(
    p: NDArray[Any], g: NDArray[Any], v: NDArray[Any], a: NDArray[Any], b: NDArray[Any], *,
    step: int,
    lr: float | Callable[[int], float] = 0.01,
    alpha: float | Callable[[int], float] = 0.99,
    eps: float | Callable[[int], float] = 1e-08,
    momentum: float | Callable[[int], float] = 0.9,
    weight_decay: float | Callable[[int], float] = 0.0,
    maximize: bool = False,
    num_threads: int | None = None,
    seed: int = 0,
    offset: int = 0,
) -> None: ...

def adam(
    p: NDArray[Any], g: NDArray[Any], m: NDArray[Any], v: NDArray[Any], *,
    step: int,
    lr: float | Callable[[int], float] = 0.001,
    beta1: float | Callable[[int], float] = 0.9,
    beta2: float | Callable[[int], float] = 0.999,
    eps: float | Callable[[int], float] = 1e-08,
    weight_decay: float | Callable[[int], float] = 0.0,
    maximize: bool = False,
    num_threads: int | None = None,
    seed: int = 0,
    offset: int = 0,
) -> None: ...

def adam_amsgrad(
    p: NDArray[Any], g: NDArray[Any], m: NDArray[Any], v: NDArray[Any], vmax: NDArray[Any], *,
    step: int,
    lr: float | Callable[[int], float] = 0.001,
    beta1: float | Callable[[int], float] = 0.9,
    beta2: float | Callable[[int], float] = 0.999,
    eps: float | Callable[[int], float] = 1e-08,
    weight_decay: float | Callable[[int], float] = 0.0,
    maximize: bool = False,
    num_threads: int | None = None,
    seed: int = 0,
    offset: int = 0,
) -> None: ...

def adamw(
    p: NDArray[Any], g: NDArray[Any], m: NDArray[Any], v: NDArray[Any], *,
    step: int,
    lr: float | Callable[[int], float] = 0.001,
    beta1: float | Callable[[int], float] = 0.9,
    beta2: float | Callable[[int], float] = 0.999,
    eps: float | Callable[[int], float] = 1e-08,
    weight_decay: float | Callable[[int], float] = 0.01,
    maximize: bool = False,
    num_threads: int | None = None,
    seed: int = 0,
    offset: int = 0,
) -> None: ...

def adamw_amsgrad(
    p: NDArray[Any], g: NDArray[Any], m: NDArray[Any], v: NDArray[Any], vmax: NDArray[Any], *,
    step: int,
    lr: float | Callable[[int], float] = 0.001,
    beta1: float | Callable[[int], float] = 0.9,
    beta2: float | Callable[[int], float] = 0.999,
    eps: float | Callable[[int], float] = 1e-08,
    weight_decay: float | Callable[[int], float] = 0.01,
    maximize: bool = False,
    num_threads: int | None = None,
    seed: int = 0,
    offset: int = 0,
) -> None: ...

def lion(
    p: NDArray[Any], g: NDArray[Any], m: NDArray[Any], *,
    step: int,
    lr: float | Callable[[int], float] = 0.0001,
    beta1: float | Callable[[int], float] = 0.9,
    beta2: float | Callable[[int], float] = 0.99,
    weight_decay: float | Callable[[int], float] = 0.0,
    maximize: bool = False,
    num_threads: int | None = None,
    seed: int = 0,
    offset: int = 0,
) -> None: ...
