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
    "adadelta",
    "adamax",
    "nadam",
    "nadamw",
    "radam",
    "radamw",
    "rprop",
    "asgd",
    "ademamix",
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

def adadelta(
    p: NDArray[Any], g: NDArray[Any], v: NDArray[Any], u: NDArray[Any], *,
    step: int,
    lr: float | Callable[[int], float] = 1.0,
    rho: float | Callable[[int], float] = 0.9,
    eps: float | Callable[[int], float] = 1e-06,
    weight_decay: float | Callable[[int], float] = 0.0,
    maximize: bool = False,
    num_threads: int | None = None,
    seed: int = 0,
    offset: int = 0,
) -> None: ...

def adamax(
    p: NDArray[Any], g: NDArray[Any], m: NDArray[Any], u: NDArray[Any], *,
    step: int,
    lr: float | Callable[[int], float] = 0.002,
    beta1: float | Callable[[int], float] = 0.9,
    beta2: float | Callable[[int], float] = 0.999,
    eps: float | Callable[[int], float] = 1e-08,
    weight_decay: float | Callable[[int], float] = 0.0,
    maximize: bool = False,
    num_threads: int | None = None,
    seed: int = 0,
    offset: int = 0,
) -> None: ...

def nadam(
    p: NDArray[Any], g: NDArray[Any], m: NDArray[Any], v: NDArray[Any], *,
    step: int,
    lr: float | Callable[[int], float] = 0.002,
    beta1: float | Callable[[int], float] = 0.9,
    beta2: float | Callable[[int], float] = 0.999,
    eps: float | Callable[[int], float] = 1e-08,
    momentum_decay: float | Callable[[int], float] = 0.004,
    weight_decay: float | Callable[[int], float] = 0.0,
    maximize: bool = False,
    num_threads: int | None = None,
    seed: int = 0,
    offset: int = 0,
) -> None: ...

def nadamw(
    p: NDArray[Any], g: NDArray[Any], m: NDArray[Any], v: NDArray[Any], *,
    step: int,
    lr: float | Callable[[int], float] = 0.002,
    beta1: float | Callable[[int], float] = 0.9,
    beta2: float | Callable[[int], float] = 0.999,
    eps: float | Callable[[int], float] = 1e-08,
    momentum_decay: float | Callable[[int], float] = 0.004,
    weight_decay: float | Callable[[int], float] = 0.0,
    maximize: bool = False,
    num_threads: int | None = None,
    seed: int = 0,
    offset: int = 0,
) -> None: ...

def radam(
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

def radamw(
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

def rprop(
    p: NDArray[Any], g: NDArray[Any], h: NDArray[Any], s: NDArray[Any], *,
    step: int,
    etaminus: float | Callable[[int], float] = 0.5,
    etaplus: float | Callable[[int], float] = 1.2,
    step_size_min: float | Callable[[int], float] = 1e-06,
    step_size_max: float | Callable[[int], float] = 50.0,
    weight_decay: float | Callable[[int], float] = 0.0,
    maximize: bool = False,
    num_threads: int | None = None,
    seed: int = 0,
    offset: int = 0,
) -> None: ...

def asgd(
    p: NDArray[Any], g: NDArray[Any], a: NDArray[Any], *,
    step: int,
    lr: float | Callable[[int], float] = 0.01,
    lambd: float | Callable[[int], float] = 0.0001,
    alpha: float | Callable[[int], float] = 0.75,
    t0: float | Callable[[int], float] = 1000000.0,
    weight_decay: float | Callable[[int], float] = 0.0,
    maximize: bool = False,
    num_threads: int | None = None,
    seed: int = 0,
    offset: int = 0,
) -> None: ...

def ademamix(
    p: NDArray[Any], g: NDArray[Any], m1: NDArray[Any], m2: NDArray[Any], v: NDArray[Any], *,
    step: int,
    lr: float | Callable[[int], float] = 0.001,
    beta1: float | Callable[[int], float] = 0.9,
    beta2: float | Callable[[int], float] = 0.999,
    beta3: float | Callable[[int], float] = 0.9999,
    alpha: float | Callable[[int], float] = 5.0,
    t_alpha: float | Callable[[int], float] = 0.0,
    t_beta3: float | Callable[[int], float] = 0.0,
    eps: float | Callable[[int], float] = 1e-08,
    weight_decay: float | Callable[[int], float] = 0.01,
    maximize: bool = False,
    num_threads: int | None = None,
    seed: int = 0,
    offset: int = 0,
) -> None: ...
