# Written by tools/make_stubs.py from the table in _specs.py; change it there.
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from optcore.rules import Family

__all__ = [
    "Optimizer",
    "SGD",
    "NesterovClassical",
    "Adagrad",
    "RMSprop",
    "Adam",
    "Lion",
    "AdamW",
    "Adadelta",
    "Adamax",
    "NAdam",
    "RAdam",
    "Rprop",
    "ASGD",
    "AdEMAMix",
]

class Optimizer:
    family: ClassVar[Family]
    defaults: dict[str, Any]
    param_groups: list[dict[str, Any]]
    @property
    def state(self) -> tuple[Mapping[str, Any], ...]: ...
    def add_param_group(self, group: Mapping[str, Any]) -> None: ...
    nonfinite: str
    skipped: int
    grad_norm: float | None
    def step(
        self, grads: Any, *, num_threads: int | None = None, max_norm: float | None = None,
        clip_value: float | None = None, grad_scale: float | None = None, zero_grads: bool = False,
        undoable: bool = False,
    ) -> None: ...
    @property
    def averages(self) -> Any: ...
    def undo(self) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None: ...
    def save(self, path: str | os.PathLike[str]) -> None: ...
    def load(self, path: str | os.PathLike[str]) -> None: ...

class SGD(Optimizer):
    def __init__(
        self,
        params: Any,
        lr: float | Callable[[int], float] = 0.001,
        momentum: float | Callable[[int], float] = 0.0,
        dampening: float | Callable[[int], float] = 0.0,
        weight_decay: float | Callable[[int], float] = 0.0,
        nesterov: bool = False,
        maximize: bool = False,
        *,
        state_dtype: str | Mapping[str, str] = 'float32',
        seed: int = 0,
        nonfinite: str = 'propagate',
        rounding: str = 'stochastic',
        average: float | Callable[[int], float] | None = None,
    ) -> None: ...

class NesterovClassical(Optimizer):
    def __init__(
        self,
        params: Any,
        lr: float | Callable[[int], float] = 0.001,
        momentum: float | Callable[[int], float] = 0.9,
        weight_decay: float | Callable[[int], float] = 0.0,
        maximize: bool = False,
        *,
        state_dtype: str | Mapping[str, str] = 'float32',
        seed: int = 0,
        nonfinite: str = 'propagate',
        rounding: str = 'stochastic',
        average: float | Callable[[int], float] | None = None,
    ) -> None: ...
    def lookahead(self) -> AbstractContextManager[None]: ...

class Adagrad(Optimizer):
    def __init__(
        self,
        params: Any,
        lr: float | Callable[[int], float] = 0.01,
        lr_decay: float | Callable[[int], float] = 0.0,
        weight_decay: float | Callable[[int], float] = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float | Callable[[int], float] = 1e-10,
        maximize: bool = False,
        *,
        state_dtype: str | Mapping[str, str] = 'float32',
        seed: int = 0,
        nonfinite: str = 'propagate',
        rounding: str = 'stochastic',
        average: float | Callable[[int], float] | None = None,
    ) -> None: ...

class RMSprop(Optimizer):
    def __init__(
        self,
        params: Any,
        lr: float | Callable[[int], float] = 0.01,
        alpha: float | Callable[[int], float] = 0.99,
        eps: float | Callable[[int], float] = 1e-08,
        weight_decay: float | Callable[[int], float] = 0.0,
        momentum: float | Callable[[int], float] = 0.0,
        centered: bool = False,
        maximize: bool = False,
        *,
        state_dtype: str | Mapping[str, str] = 'float32',
        seed: int = 0,
        nonfinite: str = 'propagate',
        rounding: str = 'stochastic',
        average: float | Callable[[int], float] | None = None,
    ) -> None: ...

class Adam(Optimizer):
    def __init__(
        self,
        params: Any,
        lr: float | Callable[[int], float] = 0.001,
        betas: tuple[float | Callable[[int], float], float | Callable[[int], float]] = (0.9, 0.999),
        eps: float | Callable[[int], float] = 1e-08,
        weight_decay: float | Callable[[int], float] = 0.0,
        amsgrad: bool = False,
        maximize: bool = False,
        *,
        state_dtype: str | Mapping[str, str] = 'float32',
        seed: int = 0,
        nonfinite: str = 'propagate',
        rounding: str = 'stochastic',
        average: float | Callable[[int], float] | None = None,
    ) -> None: ...

class Lion(Optimizer):
    def __init__(
        self,
        params: Any,
        lr: float | Callable[[int], float] = 0.0001,
        betas: tuple[float | Callable[[int], float], float | Callable[[int], float]] = (0.9, 0.99),
        weight_decay: float | Callable[[int], float] = 0.0,
        maximize: bool = False,
        *,
        state_dtype: str | Mapping[str, str] = 'float32',
        seed: int = 0,
        nonfinite: str = 'propagate',
        rounding: str = 'stochastic',
        average: float | Callable[[int], float] | None = None,
    ) -> None: ...

class AdamW(Optimizer):
    def __init__(
        self,
        params: Any,
        lr: float | Callable[[int], float] = 0.001,
        betas: tuple[float | Callable[[int], float], float | Callable[[int], float]] = (0.9, 0.999),
        eps: float | Callable[[int], float] = 1e-08,
        weight_decay: float | Callable[[int], float] = 0.01,
        amsgrad: bool = False,
        maximize: bool = False,
        *,
        state_dtype: str | Mapping[str, str] = 'float32',
        seed: int = 0,
        nonfinite: str = 'propagate',
        rounding: str = 'stochastic',
        average: float | Callable[[int], float] | None = None,
    ) -> None: ...

class Adadelta(Optimizer):
    def __init__(
        self,
        params: Any,
        lr: float | Callable[[int], float] = 1.0,
        rho: float | Callable[[int], float] = 0.9,
        eps: float | Callable[[int], float] = 1e-06,
        weight_decay: float | Callable[[int], float] = 0.0,
        maximize: bool = False,
        *,
        state_dtype: str | Mapping[str, str] = 'float32',
        seed: int = 0,
        nonfinite: str = 'propagate',
        rounding: str = 'stochastic',
        average: float | Callable[[int], float] | None = None,
    ) -> None: ...

class Adamax(Optimizer):
    def __init__(
        self,
        params: Any,
        lr: float | Callable[[int], float] = 0.002,
        betas: tuple[float | Callable[[int], float], float | Callable[[int], float]] = (0.9, 0.999),
        eps: float | Callable[[int], float] = 1e-08,
        weight_decay: float | Callable[[int], float] = 0.0,
        maximize: bool = False,
        *,
        state_dtype: str | Mapping[str, str] = 'float32',
        seed: int = 0,
        nonfinite: str = 'propagate',
        rounding: str = 'stochastic',
        average: float | Callable[[int], float] | None = None,
    ) -> None: ...

class NAdam(Optimizer):
    def __init__(
        self,
        params: Any,
        lr: float | Callable[[int], float] = 0.002,
        betas: tuple[float | Callable[[int], float], float | Callable[[int], float]] = (0.9, 0.999),
        eps: float | Callable[[int], float] = 1e-08,
        weight_decay: float | Callable[[int], float] = 0.0,
        momentum_decay: float | Callable[[int], float] = 0.004,
        decoupled_weight_decay: bool = False,
        maximize: bool = False,
        *,
        state_dtype: str | Mapping[str, str] = 'float32',
        seed: int = 0,
        nonfinite: str = 'propagate',
        rounding: str = 'stochastic',
        average: float | Callable[[int], float] | None = None,
    ) -> None: ...

class RAdam(Optimizer):
    def __init__(
        self,
        params: Any,
        lr: float | Callable[[int], float] = 0.001,
        betas: tuple[float | Callable[[int], float], float | Callable[[int], float]] = (0.9, 0.999),
        eps: float | Callable[[int], float] = 1e-08,
        weight_decay: float | Callable[[int], float] = 0.0,
        decoupled_weight_decay: bool = False,
        maximize: bool = False,
        *,
        state_dtype: str | Mapping[str, str] = 'float32',
        seed: int = 0,
        nonfinite: str = 'propagate',
        rounding: str = 'stochastic',
        average: float | Callable[[int], float] | None = None,
    ) -> None: ...

class Rprop(Optimizer):
    def __init__(
        self,
        params: Any,
        lr: float = 0.01,
        etas: tuple[float | Callable[[int], float], float | Callable[[int], float]] = (0.5, 1.2),
        step_sizes: tuple[float | Callable[[int], float], float | Callable[[int], float]] = (1e-06, 50.0),
        maximize: bool = False,
        *,
        state_dtype: str | Mapping[str, str] = 'float32',
        seed: int = 0,
        nonfinite: str = 'propagate',
        rounding: str = 'stochastic',
        average: float | Callable[[int], float] | None = None,
    ) -> None: ...

class ASGD(Optimizer):
    def __init__(
        self,
        params: Any,
        lr: float | Callable[[int], float] = 0.01,
        lambd: float | Callable[[int], float] = 0.0001,
        alpha: float | Callable[[int], float] = 0.75,
        t0: float | Callable[[int], float] = 1000000.0,
        weight_decay: float | Callable[[int], float] = 0.0,
        maximize: bool = False,
        *,
        state_dtype: str | Mapping[str, str] = 'float32',
        seed: int = 0,
        nonfinite: str = 'propagate',
        rounding: str = 'stochastic',
        average: float | Callable[[int], float] | None = None,
    ) -> None: ...

class AdEMAMix(Optimizer):
    def __init__(
        self,
        params: Any,
        lr: float | Callable[[int], float] = 0.001,
        betas: tuple[
            float | Callable[[int], float],
            float | Callable[[int], float],
            float | Callable[[int], float],
        ] = (0.9, 0.999, 0.9999),
        alpha: float | Callable[[int], float] = 5.0,
        t_alpha: float | Callable[[int], float] = 0.0,
        t_beta3: float | Callable[[int], float] = 0.0,
        eps: float | Callable[[int], float] = 1e-08,
        weight_decay: float | Callable[[int], float] = 0.01,
        maximize: bool = False,
        *,
        state_dtype: str | Mapping[str, str] = 'float32',
        seed: int = 0,
        nonfinite: str = 'propagate',
        rounding: str = 'stochastic',
        average: float | Callable[[int], float] | None = None,
    ) -> None: ...
