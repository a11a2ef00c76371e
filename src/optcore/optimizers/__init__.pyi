# Written by tools/make_stubs.py from the tables in rules/ and step/options.py; change it there.
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar, TypeAlias

from optcore.rules import Family

_Number: TypeAlias = float | Callable[[int], float]       # a setting as it is, or as a function of the step

__all__ = [
    "Optimizer", "SGD", "NesterovClassical", "Adagrad", "RMSprop", "Adam", "Lion", "AdamW", "Adadelta", "Adamax",
    "NAdam", "RAdam", "Rprop", "ASGD", "AdEMAMix", "RowwiseAdagrad", "SparseAdam", "SignSGD", "FTRL",
]

class Optimizer:
    family: ClassVar[Family]
    defaults: dict[str, Any]
    param_groups: list[dict[str, Any]]
    nonfinite: str
    skipped: int
    grad_norm: float | None
    @property
    def state(self) -> tuple[Mapping[str, Any], ...]: ...
    @property
    def averages(self) -> Any: ...
    def add_param_group(self, group: Mapping[str, Any]) -> None: ...
    def step(
        self, grads: Any, *, num_threads: int | None = None, max_norm: float | None = None,
        clip_value: float | None = None, grad_scale: float | None = None, zero_grads: bool = False,
        undoable: bool = False,
    ) -> None: ...
    def catch_up(self, name: Any = None, ids: Any = None, *, num_threads: int | None = None) -> None: ...
    def undo(self) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None: ...
    def save(self, path: str | os.PathLike[str]) -> None: ...
    def load(self, path: str | os.PathLike[str]) -> None: ...

class SGD(Optimizer):
    def __init__(
        self, params: Any, lr: _Number = 0.001, momentum: _Number = 0.0, dampening: _Number = 0.0,
        weight_decay: _Number = 0.0, nesterov: bool = False, maximize: bool = False, *,
        state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096, seed: int = 0, rows: str = 'lazy',
        nonfinite: str = 'propagate', rounding: str = 'stochastic', average: _Number | None = None,
    ) -> None: ...

class NesterovClassical(Optimizer):
    def __init__(
        self, params: Any, lr: _Number = 0.001, momentum: _Number = 0.9, weight_decay: _Number = 0.0,
        maximize: bool = False, *, state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096,
        seed: int = 0, rows: str = 'lazy', nonfinite: str = 'propagate', rounding: str = 'stochastic',
        average: _Number | None = None,
    ) -> None: ...
    def lookahead(self) -> AbstractContextManager[None]: ...

class Adagrad(Optimizer):
    def __init__(
        self, params: Any, lr: _Number = 0.01, lr_decay: _Number = 0.0, weight_decay: _Number = 0.0,
        initial_accumulator_value: float = 0.0, eps: _Number = 1e-10, maximize: bool = False, *,
        state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096, seed: int = 0, rows: str = 'lazy',
        nonfinite: str = 'propagate', rounding: str = 'stochastic', average: _Number | None = None,
    ) -> None: ...

class RMSprop(Optimizer):
    def __init__(
        self, params: Any, lr: _Number = 0.01, alpha: _Number = 0.99, eps: _Number = 1e-08,
        weight_decay: _Number = 0.0, momentum: _Number = 0.0, centered: bool = False, maximize: bool = False, *,
        state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096, seed: int = 0, rows: str = 'lazy',
        nonfinite: str = 'propagate', rounding: str = 'stochastic', average: _Number | None = None,
    ) -> None: ...

class Adam(Optimizer):
    def __init__(
        self, params: Any, lr: _Number = 0.001, betas: tuple[_Number, _Number] = (0.9, 0.999), eps: _Number = 1e-08,
        weight_decay: _Number = 0.0, amsgrad: bool = False, maximize: bool = False, *,
        state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096, seed: int = 0, rows: str = 'lazy',
        nonfinite: str = 'propagate', rounding: str = 'stochastic', average: _Number | None = None,
    ) -> None: ...

class Lion(Optimizer):
    def __init__(
        self, params: Any, lr: _Number = 0.0001, betas: tuple[_Number, _Number] = (0.9, 0.99),
        weight_decay: _Number = 0.0, maximize: bool = False, *, state_dtype: str | Mapping[str, str] = 'float32',
        min_8bit_size: int = 4096, seed: int = 0, rows: str = 'lazy', nonfinite: str = 'propagate',
        rounding: str = 'stochastic', average: _Number | None = None,
    ) -> None: ...

class AdamW(Optimizer):
    def __init__(
        self, params: Any, lr: _Number = 0.001, betas: tuple[_Number, _Number] = (0.9, 0.999), eps: _Number = 1e-08,
        weight_decay: _Number = 0.01, amsgrad: bool = False, maximize: bool = False, *,
        state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096, seed: int = 0, rows: str = 'lazy',
        nonfinite: str = 'propagate', rounding: str = 'stochastic', average: _Number | None = None,
    ) -> None: ...

class Adadelta(Optimizer):
    def __init__(
        self, params: Any, lr: _Number = 1.0, rho: _Number = 0.9, eps: _Number = 1e-06, weight_decay: _Number = 0.0,
        maximize: bool = False, *, state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096,
        seed: int = 0, rows: str = 'lazy', nonfinite: str = 'propagate', rounding: str = 'stochastic',
        average: _Number | None = None,
    ) -> None: ...

class Adamax(Optimizer):
    def __init__(
        self, params: Any, lr: _Number = 0.002, betas: tuple[_Number, _Number] = (0.9, 0.999), eps: _Number = 1e-08,
        weight_decay: _Number = 0.0, maximize: bool = False, *, state_dtype: str | Mapping[str, str] = 'float32',
        min_8bit_size: int = 4096, seed: int = 0, rows: str = 'lazy', nonfinite: str = 'propagate',
        rounding: str = 'stochastic', average: _Number | None = None,
    ) -> None: ...

class NAdam(Optimizer):
    def __init__(
        self, params: Any, lr: _Number = 0.002, betas: tuple[_Number, _Number] = (0.9, 0.999), eps: _Number = 1e-08,
        weight_decay: _Number = 0.0, momentum_decay: _Number = 0.004, decoupled_weight_decay: bool = False,
        maximize: bool = False, *, state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096,
        seed: int = 0, rows: str = 'lazy', nonfinite: str = 'propagate', rounding: str = 'stochastic',
        average: _Number | None = None,
    ) -> None: ...

class RAdam(Optimizer):
    def __init__(
        self, params: Any, lr: _Number = 0.001, betas: tuple[_Number, _Number] = (0.9, 0.999), eps: _Number = 1e-08,
        weight_decay: _Number = 0.0, decoupled_weight_decay: bool = False, maximize: bool = False, *,
        state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096, seed: int = 0, rows: str = 'lazy',
        nonfinite: str = 'propagate', rounding: str = 'stochastic', average: _Number | None = None,
    ) -> None: ...

class Rprop(Optimizer):
    def __init__(
        self, params: Any, lr: float = 0.01, etas: tuple[_Number, _Number] = (0.5, 1.2),
        step_sizes: tuple[_Number, _Number] = (1e-06, 50.0), maximize: bool = False, *,
        state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096, seed: int = 0, rows: str = 'lazy',
        nonfinite: str = 'propagate', rounding: str = 'stochastic', average: _Number | None = None,
    ) -> None: ...

class ASGD(Optimizer):
    def __init__(
        self, params: Any, lr: _Number = 0.01, lambd: _Number = 0.0001, alpha: _Number = 0.75, t0: _Number = 1000000.0,
        weight_decay: _Number = 0.0, maximize: bool = False, *, state_dtype: str | Mapping[str, str] = 'float32',
        min_8bit_size: int = 4096, seed: int = 0, rows: str = 'lazy', nonfinite: str = 'propagate',
        rounding: str = 'stochastic', average: _Number | None = None,
    ) -> None: ...

class AdEMAMix(Optimizer):
    def __init__(
        self, params: Any, lr: _Number = 0.001, betas: tuple[_Number, _Number, _Number] = (0.9, 0.999, 0.9999),
        alpha: _Number = 5.0, t_alpha: _Number = 0.0, t_beta3: _Number = 0.0, eps: _Number = 1e-08,
        weight_decay: _Number = 0.01, maximize: bool = False, *, state_dtype: str | Mapping[str, str] = 'float32',
        min_8bit_size: int = 4096, seed: int = 0, rows: str = 'lazy', nonfinite: str = 'propagate',
        rounding: str = 'stochastic', average: _Number | None = None,
    ) -> None: ...

class RowwiseAdagrad(Optimizer):
    def __init__(
        self, params: Any, lr: _Number = 0.01, weight_decay: _Number = 0.0, initial_accumulator_value: float = 0.0,
        eps: _Number = 1e-10, maximize: bool = False, *, state_dtype: str | Mapping[str, str] = 'float32',
        min_8bit_size: int = 4096, seed: int = 0, rows: str = 'lazy', nonfinite: str = 'propagate',
        rounding: str = 'stochastic', average: _Number | None = None,
    ) -> None: ...

class SparseAdam(Optimizer):
    def __init__(
        self, params: Any, lr: _Number = 0.001, betas: tuple[_Number, _Number] = (0.9, 0.999), eps: _Number = 1e-08,
        maximize: bool = False, *, state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096,
        seed: int = 0, rows: str = 'lazy', nonfinite: str = 'propagate', rounding: str = 'stochastic',
        average: _Number | None = None,
    ) -> None: ...

class SignSGD(Optimizer):
    def __init__(
        self, params: Any, lr: _Number = 0.001, momentum: _Number = 0.0, weight_decay: _Number = 0.0,
        maximize: bool = False, *, state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096,
        seed: int = 0, rows: str = 'lazy', nonfinite: str = 'propagate', rounding: str = 'stochastic',
        average: _Number | None = None,
    ) -> None: ...

class FTRL(Optimizer):
    def __init__(
        self, params: Any, lr: _Number = 0.001, beta: _Number = 0.0, l1: _Number = 0.0, l2: _Number = 0.0,
        initial_accumulator_value: float = 0.1, weight_decay: _Number = 0.0, maximize: bool = False, *,
        state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096, seed: int = 0, rows: str = 'lazy',
        nonfinite: str = 'propagate', rounding: str = 'stochastic', average: _Number | None = None,
    ) -> None: ...
