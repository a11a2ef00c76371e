# Written by tools/make_stubs.py from the tables in rules/ and step/options.py; change it there.
from collections.abc import Callable
from typing import Any, TypeAlias

_Number: TypeAlias = float | Callable[[int], float]       # a setting as it is, or as a function of the step

__all__ = [
    "sgd", "momentum", "nesterov", "nesterov_classical", "lookahead", "accumulate", "adagrad", "rmsprop",
    "rmsprop_momentum", "rmsprop_centered", "rmsprop_centered_momentum", "adam", "adam_amsgrad", "adamw",
    "adamw_amsgrad", "lion", "adadelta", "adamax", "nadam", "nadamw", "radam", "radamw", "rprop", "asgd", "ademamix",
    "rowwise_adagrad", "sparse_adam", "signsgd", "signum", "ftrl",
]

def sgd(
    p: Any, g: Any, *, step: int, lr: _Number = 0.001, weight_decay: _Number = 0.0, maximize: bool = False,
    num_threads: int | None = None, seed: int = 0, offset: int = 0, rounding: str = 'stochastic',
    clip_value: float | None = None, compensation: Any | None = None, copy: Any | None = None,
    average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def momentum(
    p: Any, g: Any, v: Any, *, step: int, lr: _Number = 0.001, momentum: _Number = 0.9, dampening: _Number = 0.0,
    weight_decay: _Number = 0.0, maximize: bool = False, num_threads: int | None = None, seed: int = 0,
    offset: int = 0, rounding: str = 'stochastic', clip_value: float | None = None, compensation: Any | None = None,
    copy: Any | None = None, average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def nesterov(
    p: Any, g: Any, v: Any, *, step: int, lr: _Number = 0.001, momentum: _Number = 0.9, weight_decay: _Number = 0.0,
    maximize: bool = False, num_threads: int | None = None, seed: int = 0, offset: int = 0,
    rounding: str = 'stochastic', clip_value: float | None = None, compensation: Any | None = None,
    copy: Any | None = None, average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def nesterov_classical(
    p: Any, g: Any, v: Any, *, step: int, lr: _Number = 0.001, momentum: _Number = 0.9, weight_decay: _Number = 0.0,
    maximize: bool = False, num_threads: int | None = None, seed: int = 0, offset: int = 0,
    rounding: str = 'stochastic', clip_value: float | None = None, compensation: Any | None = None,
    copy: Any | None = None, average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def lookahead(
    p: Any, v: Any, saved: Any, *, step: int, momentum: _Number = 0.9, num_threads: int | None = None, seed: int = 0,
    offset: int = 0, rounding: str = 'stochastic', clip_value: float | None = None, compensation: Any | None = None,
    copy: Any | None = None, average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def accumulate(
    p: Any, g: Any, *, step: int, weight: _Number = 1.0, num_threads: int | None = None, seed: int = 0,
    offset: int = 0, rounding: str = 'stochastic', clip_value: float | None = None, compensation: Any | None = None,
    copy: Any | None = None, average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def adagrad(
    p: Any, g: Any, s: Any, *, step: int, lr: _Number = 0.01, lr_decay: _Number = 0.0, eps: _Number = 1e-10,
    weight_decay: _Number = 0.0, maximize: bool = False, num_threads: int | None = None, seed: int = 0,
    offset: int = 0, rounding: str = 'stochastic', clip_value: float | None = None, compensation: Any | None = None,
    copy: Any | None = None, average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def rmsprop(
    p: Any, g: Any, v: Any, *, step: int, lr: _Number = 0.01, alpha: _Number = 0.99, eps: _Number = 1e-08,
    weight_decay: _Number = 0.0, maximize: bool = False, num_threads: int | None = None, seed: int = 0,
    offset: int = 0, rounding: str = 'stochastic', clip_value: float | None = None, compensation: Any | None = None,
    copy: Any | None = None, average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def rmsprop_momentum(
    p: Any, g: Any, v: Any, b: Any, *, step: int, lr: _Number = 0.01, alpha: _Number = 0.99, eps: _Number = 1e-08,
    momentum: _Number = 0.9, weight_decay: _Number = 0.0, maximize: bool = False, num_threads: int | None = None,
    seed: int = 0, offset: int = 0, rounding: str = 'stochastic', clip_value: float | None = None,
    compensation: Any | None = None, copy: Any | None = None, average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def rmsprop_centered(
    p: Any, g: Any, v: Any, a: Any, *, step: int, lr: _Number = 0.01, alpha: _Number = 0.99, eps: _Number = 1e-08,
    weight_decay: _Number = 0.0, maximize: bool = False, num_threads: int | None = None, seed: int = 0,
    offset: int = 0, rounding: str = 'stochastic', clip_value: float | None = None, compensation: Any | None = None,
    copy: Any | None = None, average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def rmsprop_centered_momentum(
    p: Any, g: Any, v: Any, a: Any, b: Any, *, step: int, lr: _Number = 0.01, alpha: _Number = 0.99,
    eps: _Number = 1e-08, momentum: _Number = 0.9, weight_decay: _Number = 0.0, maximize: bool = False,
    num_threads: int | None = None, seed: int = 0, offset: int = 0, rounding: str = 'stochastic',
    clip_value: float | None = None, compensation: Any | None = None, copy: Any | None = None,
    average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def adam(
    p: Any, g: Any, m: Any, v: Any, *, step: int, lr: _Number = 0.001, beta1: _Number = 0.9, beta2: _Number = 0.999,
    eps: _Number = 1e-08, weight_decay: _Number = 0.0, maximize: bool = False, num_threads: int | None = None,
    seed: int = 0, offset: int = 0, rounding: str = 'stochastic', clip_value: float | None = None,
    compensation: Any | None = None, copy: Any | None = None, average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def adam_amsgrad(
    p: Any, g: Any, m: Any, v: Any, vmax: Any, *, step: int, lr: _Number = 0.001, beta1: _Number = 0.9,
    beta2: _Number = 0.999, eps: _Number = 1e-08, weight_decay: _Number = 0.0, maximize: bool = False,
    num_threads: int | None = None, seed: int = 0, offset: int = 0, rounding: str = 'stochastic',
    clip_value: float | None = None, compensation: Any | None = None, copy: Any | None = None,
    average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def adamw(
    p: Any, g: Any, m: Any, v: Any, *, step: int, lr: _Number = 0.001, beta1: _Number = 0.9, beta2: _Number = 0.999,
    eps: _Number = 1e-08, weight_decay: _Number = 0.01, maximize: bool = False, num_threads: int | None = None,
    seed: int = 0, offset: int = 0, rounding: str = 'stochastic', clip_value: float | None = None,
    compensation: Any | None = None, copy: Any | None = None, average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def adamw_amsgrad(
    p: Any, g: Any, m: Any, v: Any, vmax: Any, *, step: int, lr: _Number = 0.001, beta1: _Number = 0.9,
    beta2: _Number = 0.999, eps: _Number = 1e-08, weight_decay: _Number = 0.01, maximize: bool = False,
    num_threads: int | None = None, seed: int = 0, offset: int = 0, rounding: str = 'stochastic',
    clip_value: float | None = None, compensation: Any | None = None, copy: Any | None = None,
    average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def lion(
    p: Any, g: Any, m: Any, *, step: int, lr: _Number = 0.0001, beta1: _Number = 0.9, beta2: _Number = 0.99,
    weight_decay: _Number = 0.0, maximize: bool = False, num_threads: int | None = None, seed: int = 0,
    offset: int = 0, rounding: str = 'stochastic', clip_value: float | None = None, compensation: Any | None = None,
    copy: Any | None = None, average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def adadelta(
    p: Any, g: Any, v: Any, u: Any, *, step: int, lr: _Number = 1.0, rho: _Number = 0.9, eps: _Number = 1e-06,
    weight_decay: _Number = 0.0, maximize: bool = False, num_threads: int | None = None, seed: int = 0,
    offset: int = 0, rounding: str = 'stochastic', clip_value: float | None = None, compensation: Any | None = None,
    copy: Any | None = None, average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def adamax(
    p: Any, g: Any, m: Any, u: Any, *, step: int, lr: _Number = 0.002, beta1: _Number = 0.9, beta2: _Number = 0.999,
    eps: _Number = 1e-08, weight_decay: _Number = 0.0, maximize: bool = False, num_threads: int | None = None,
    seed: int = 0, offset: int = 0, rounding: str = 'stochastic', clip_value: float | None = None,
    compensation: Any | None = None, copy: Any | None = None, average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def nadam(
    p: Any, g: Any, m: Any, v: Any, *, step: int, lr: _Number = 0.002, beta1: _Number = 0.9, beta2: _Number = 0.999,
    eps: _Number = 1e-08, momentum_decay: _Number = 0.004, weight_decay: _Number = 0.0, maximize: bool = False,
    num_threads: int | None = None, seed: int = 0, offset: int = 0, rounding: str = 'stochastic',
    clip_value: float | None = None, compensation: Any | None = None, copy: Any | None = None,
    average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def nadamw(
    p: Any, g: Any, m: Any, v: Any, *, step: int, lr: _Number = 0.002, beta1: _Number = 0.9, beta2: _Number = 0.999,
    eps: _Number = 1e-08, momentum_decay: _Number = 0.004, weight_decay: _Number = 0.0, maximize: bool = False,
    num_threads: int | None = None, seed: int = 0, offset: int = 0, rounding: str = 'stochastic',
    clip_value: float | None = None, compensation: Any | None = None, copy: Any | None = None,
    average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def radam(
    p: Any, g: Any, m: Any, v: Any, *, step: int, lr: _Number = 0.001, beta1: _Number = 0.9, beta2: _Number = 0.999,
    eps: _Number = 1e-08, weight_decay: _Number = 0.0, maximize: bool = False, num_threads: int | None = None,
    seed: int = 0, offset: int = 0, rounding: str = 'stochastic', clip_value: float | None = None,
    compensation: Any | None = None, copy: Any | None = None, average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def radamw(
    p: Any, g: Any, m: Any, v: Any, *, step: int, lr: _Number = 0.001, beta1: _Number = 0.9, beta2: _Number = 0.999,
    eps: _Number = 1e-08, weight_decay: _Number = 0.0, maximize: bool = False, num_threads: int | None = None,
    seed: int = 0, offset: int = 0, rounding: str = 'stochastic', clip_value: float | None = None,
    compensation: Any | None = None, copy: Any | None = None, average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def rprop(
    p: Any, g: Any, h: Any, s: Any, *, step: int, etaminus: _Number = 0.5, etaplus: _Number = 1.2,
    step_size_min: _Number = 1e-06, step_size_max: _Number = 50.0, weight_decay: _Number = 0.0, maximize: bool = False,
    num_threads: int | None = None, seed: int = 0, offset: int = 0, rounding: str = 'stochastic',
    clip_value: float | None = None, compensation: Any | None = None, copy: Any | None = None,
    average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def asgd(
    p: Any, g: Any, a: Any, *, step: int, lr: _Number = 0.01, lambd: _Number = 0.0001, alpha: _Number = 0.75,
    t0: _Number = 1000000.0, weight_decay: _Number = 0.0, maximize: bool = False, num_threads: int | None = None,
    seed: int = 0, offset: int = 0, rounding: str = 'stochastic', clip_value: float | None = None,
    compensation: Any | None = None, copy: Any | None = None, average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def ademamix(
    p: Any, g: Any, m1: Any, m2: Any, v: Any, *, step: int, lr: _Number = 0.001, beta1: _Number = 0.9,
    beta2: _Number = 0.999, beta3: _Number = 0.9999, alpha: _Number = 5.0, t_alpha: _Number = 0.0,
    t_beta3: _Number = 0.0, eps: _Number = 1e-08, weight_decay: _Number = 0.01, maximize: bool = False,
    num_threads: int | None = None, seed: int = 0, offset: int = 0, rounding: str = 'stochastic',
    clip_value: float | None = None, compensation: Any | None = None, copy: Any | None = None,
    average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def rowwise_adagrad(
    p: Any, g: Any, s: Any, *, step: int, lr: _Number = 0.01, eps: _Number = 1e-10, weight_decay: _Number = 0.0,
    maximize: bool = False, num_threads: int | None = None, seed: int = 0, offset: int = 0,
    rounding: str = 'stochastic', clip_value: float | None = None, compensation: Any | None = None,
    copy: Any | None = None, average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def sparse_adam(
    p: Any, g: Any, m: Any, v: Any, *, step: int, lr: _Number = 0.001, beta1: _Number = 0.9, beta2: _Number = 0.999,
    eps: _Number = 1e-08, weight_decay: _Number = 0.0, maximize: bool = False, num_threads: int | None = None,
    seed: int = 0, offset: int = 0, rounding: str = 'stochastic', clip_value: float | None = None,
    compensation: Any | None = None, copy: Any | None = None, average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def signsgd(
    p: Any, g: Any, *, step: int, lr: _Number = 0.001, weight_decay: _Number = 0.0, maximize: bool = False,
    num_threads: int | None = None, seed: int = 0, offset: int = 0, rounding: str = 'stochastic',
    clip_value: float | None = None, compensation: Any | None = None, copy: Any | None = None,
    average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def signum(
    p: Any, g: Any, m: Any, *, step: int, lr: _Number = 0.001, momentum: _Number = 0.9, weight_decay: _Number = 0.0,
    maximize: bool = False, num_threads: int | None = None, seed: int = 0, offset: int = 0,
    rounding: str = 'stochastic', clip_value: float | None = None, compensation: Any | None = None,
    copy: Any | None = None, average: Any | None = None, average_weight: float = 0.0,
) -> None: ...

def ftrl(
    p: Any, g: Any, z: Any, n: Any, *, step: int, lr: _Number = 0.001, beta: _Number = 0.0, l1: _Number = 0.0,
    l2: _Number = 0.0, weight_decay: _Number = 0.0, maximize: bool = False, num_threads: int | None = None,
    seed: int = 0, offset: int = 0, rounding: str = 'stochastic', clip_value: float | None = None,
    compensation: Any | None = None, copy: Any | None = None, average: Any | None = None, average_weight: float = 0.0,
) -> None: ...
