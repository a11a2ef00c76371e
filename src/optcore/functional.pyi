# Written by tools/make_stubs.py from the table in _specs.py; change it there.
from collections.abc import Callable
from typing import Any

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
    p: Any, g: Any, *,
    step: int,
    lr: float | Callable[[int], float] = 0.001,
    weight_decay: float | Callable[[int], float] = 0.0,
    maximize: bool = False,
    num_threads: int | None = None,
    seed: int = 0,
    offset: int = 0,
) -> None: ...

def momentum(
    p: Any, g: Any, v: Any, *,
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
    p: Any, g: Any, v: Any, *,
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
    p: Any, g: Any, v: Any, *,
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
    p: Any, v: Any, saved: Any, *,
    step: int,
    momentum: float | Callable[[int], float] = 0.9,
    num_threads: int | None = None,
    seed: int = 0,
    offset: int = 0,
) -> None: ...

def adagrad(
    p: Any, g: Any, s: Any, *,
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
    p: Any, g: Any, v: Any, *,
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
    p: Any, g: Any, v: Any, b: Any, *,
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
    p: Any, g: Any, v: Any, a: Any, *,
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
    p: Any, g: Any, v: Any, a: Any, b: Any, *,
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
    p: Any, g: Any, m: Any, v: Any, *,
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
    p: Any, g: Any, m: Any, v: Any, vmax: Any, *,
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
    p: Any, g: Any, m: Any, v: Any, *,
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
    p: Any, g: Any, m: Any, v: Any, vmax: Any, *,
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
    p: Any, g: Any, m: Any, *,
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
    p: Any, g: Any, v: Any, u: Any, *,
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
    p: Any, g: Any, m: Any, u: Any, *,
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
    p: Any, g: Any, m: Any, v: Any, *,
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
    p: Any, g: Any, m: Any, v: Any, *,
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
    p: Any, g: Any, m: Any, v: Any, *,
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
    p: Any, g: Any, m: Any, v: Any, *,
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
    p: Any, g: Any, h: Any, s: Any, *,
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
    p: Any, g: Any, a: Any, *,
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
    p: Any, g: Any, m1: Any, m2: Any, v: Any, *,
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
