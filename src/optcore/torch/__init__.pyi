# Written by tools/make_stubs.py from the tables in rules/ and step/options.py; change it there.
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch.optim

from optcore.torch._backward import step_in_backward as step_in_backward
from optcore.torch._lbfgs import LBFGS as LBFGS
from optcore.torch._optimizer import FusedOptimizer as FusedOptimizer
from optcore.torch._tabled import LookaheadOptimizer, TabledOptimizer

_Number: TypeAlias = float | Callable[[int], float]       # a setting as it is, or as a function of the step

__all__ = [
    "LBFGS", "FusedOptimizer", "step_in_backward", "SGD", "NesterovClassical", "Adagrad", "RMSprop", "Adam", "Lion",
    "AdamW", "Adadelta", "Adamax", "NAdam", "RAdam", "Rprop", "ASGD", "AdEMAMix", "RowwiseAdagrad", "SparseAdam",
    "SignSGD", "FTRL",
]

class SGD(FusedOptimizer, torch.optim.SGD):
    def __init__(
        self, params: Any, lr: Any = 0.001, momentum: Any = 0, dampening: Any = 0, weight_decay: Any = 0,
        nesterov: Any = False, *, maximize: Any = False, foreach: Any = None, differentiable: Any = False,
        fused: Any = None, state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096,
        seed: int | None = None, nonfinite: str = 'propagate', max_norm: float | None = None,
        clip_value: float | None = None, rounding: str = 'stochastic', average: _Number | None = None,
        zero_grads: bool = False, undoable: bool = False, num_threads: int | None = None,
    ) -> None: ...

class NesterovClassical(LookaheadOptimizer):
    def __init__(
        self, params: Any, lr: Any = 0.001, momentum: Any = 0.9, weight_decay: Any = 0.0, maximize: Any = False, *,
        foreach: Any = None, capturable: Any = False, differentiable: Any = False, fused: Any = None,
        state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096, seed: int | None = None,
        nonfinite: str = 'propagate', max_norm: float | None = None, clip_value: float | None = None,
        rounding: str = 'stochastic', average: _Number | None = None, zero_grads: bool = False, undoable: bool = False,
        num_threads: int | None = None,
    ) -> None: ...

class Adagrad(FusedOptimizer, torch.optim.Adagrad):
    def __init__(
        self, params: Any, lr: Any = 0.01, lr_decay: Any = 0, weight_decay: Any = 0,
        initial_accumulator_value: Any = 0, eps: Any = 1e-10, foreach: Any = None, *, maximize: Any = False,
        differentiable: Any = False, fused: Any = None, state_dtype: str | Mapping[str, str] = 'float32',
        min_8bit_size: int = 4096, seed: int | None = None, nonfinite: str = 'propagate',
        max_norm: float | None = None, clip_value: float | None = None, rounding: str = 'stochastic',
        average: _Number | None = None, zero_grads: bool = False, undoable: bool = False,
        num_threads: int | None = None,
    ) -> None: ...

class RMSprop(FusedOptimizer, torch.optim.RMSprop):
    def __init__(
        self, params: Any, lr: Any = 0.01, alpha: Any = 0.99, eps: Any = 1e-08, weight_decay: Any = 0,
        momentum: Any = 0, centered: Any = False, capturable: Any = False, foreach: Any = None, maximize: Any = False,
        differentiable: Any = False, *, state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096,
        seed: int | None = None, nonfinite: str = 'propagate', max_norm: float | None = None,
        clip_value: float | None = None, rounding: str = 'stochastic', average: _Number | None = None,
        zero_grads: bool = False, undoable: bool = False, num_threads: int | None = None,
    ) -> None: ...

class Adam(FusedOptimizer, torch.optim.Adam):
    def __init__(
        self, params: Any, lr: Any = 0.001, betas: Any = (0.9, 0.999), eps: Any = 1e-08, weight_decay: Any = 0,
        amsgrad: Any = False, *, foreach: Any = None, maximize: Any = False, capturable: Any = False,
        differentiable: Any = False, fused: Any = None, decoupled_weight_decay: Any = False,
        state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096, seed: int | None = None,
        nonfinite: str = 'propagate', max_norm: float | None = None, clip_value: float | None = None,
        rounding: str = 'stochastic', average: _Number | None = None, zero_grads: bool = False, undoable: bool = False,
        num_threads: int | None = None,
    ) -> None: ...

class Lion(TabledOptimizer):
    def __init__(
        self, params: Any, lr: Any = 0.0001, betas: Any = (0.9, 0.99), weight_decay: Any = 0.0, maximize: Any = False,
        *, foreach: Any = None, capturable: Any = False, differentiable: Any = False, fused: Any = None,
        state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096, seed: int | None = None,
        nonfinite: str = 'propagate', max_norm: float | None = None, clip_value: float | None = None,
        rounding: str = 'stochastic', average: _Number | None = None, zero_grads: bool = False, undoable: bool = False,
        num_threads: int | None = None,
    ) -> None: ...

class AdamW(FusedOptimizer, torch.optim.AdamW):
    def __init__(
        self, params: Any, lr: Any = 0.001, betas: Any = (0.9, 0.999), eps: Any = 1e-08, weight_decay: Any = 0.01,
        amsgrad: Any = False, *, maximize: Any = False, foreach: Any = None, capturable: Any = False,
        differentiable: Any = False, fused: Any = None, state_dtype: str | Mapping[str, str] = 'float32',
        min_8bit_size: int = 4096, seed: int | None = None, nonfinite: str = 'propagate',
        max_norm: float | None = None, clip_value: float | None = None, rounding: str = 'stochastic',
        average: _Number | None = None, zero_grads: bool = False, undoable: bool = False,
        num_threads: int | None = None,
    ) -> None: ...

class Adadelta(FusedOptimizer, torch.optim.Adadelta):
    def __init__(
        self, params: Any, lr: Any = 1.0, rho: Any = 0.9, eps: Any = 1e-06, weight_decay: Any = 0, foreach: Any = None,
        *, capturable: Any = False, maximize: Any = False, differentiable: Any = False,
        state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096, seed: int | None = None,
        nonfinite: str = 'propagate', max_norm: float | None = None, clip_value: float | None = None,
        rounding: str = 'stochastic', average: _Number | None = None, zero_grads: bool = False, undoable: bool = False,
        num_threads: int | None = None,
    ) -> None: ...

class Adamax(FusedOptimizer, torch.optim.Adamax):
    def __init__(
        self, params: Any, lr: Any = 0.002, betas: Any = (0.9, 0.999), eps: Any = 1e-08, weight_decay: Any = 0,
        foreach: Any = None, *, maximize: Any = False, differentiable: Any = False, capturable: Any = False,
        state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096, seed: int | None = None,
        nonfinite: str = 'propagate', max_norm: float | None = None, clip_value: float | None = None,
        rounding: str = 'stochastic', average: _Number | None = None, zero_grads: bool = False, undoable: bool = False,
        num_threads: int | None = None,
    ) -> None: ...

class NAdam(FusedOptimizer, torch.optim.NAdam):
    def __init__(
        self, params: Any, lr: Any = 0.002, betas: Any = (0.9, 0.999), eps: Any = 1e-08, weight_decay: Any = 0,
        momentum_decay: Any = 0.004, decoupled_weight_decay: Any = False, *, foreach: Any = None,
        maximize: Any = False, capturable: Any = False, differentiable: Any = False,
        state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096, seed: int | None = None,
        nonfinite: str = 'propagate', max_norm: float | None = None, clip_value: float | None = None,
        rounding: str = 'stochastic', average: _Number | None = None, zero_grads: bool = False, undoable: bool = False,
        num_threads: int | None = None,
    ) -> None: ...

class RAdam(FusedOptimizer, torch.optim.RAdam):
    def __init__(
        self, params: Any, lr: Any = 0.001, betas: Any = (0.9, 0.999), eps: Any = 1e-08, weight_decay: Any = 0,
        decoupled_weight_decay: Any = False, *, foreach: Any = None, maximize: Any = False, capturable: Any = False,
        differentiable: Any = False, state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096,
        seed: int | None = None, nonfinite: str = 'propagate', max_norm: float | None = None,
        clip_value: float | None = None, rounding: str = 'stochastic', average: _Number | None = None,
        zero_grads: bool = False, undoable: bool = False, num_threads: int | None = None,
    ) -> None: ...

class Rprop(FusedOptimizer, torch.optim.Rprop):
    def __init__(
        self, params: Any, lr: Any = 0.01, etas: Any = (0.5, 1.2), step_sizes: Any = (1e-06, 50), *,
        capturable: Any = False, foreach: Any = None, maximize: Any = False, differentiable: Any = False,
        state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096, seed: int | None = None,
        nonfinite: str = 'propagate', max_norm: float | None = None, clip_value: float | None = None,
        rounding: str = 'stochastic', average: _Number | None = None, zero_grads: bool = False, undoable: bool = False,
        num_threads: int | None = None,
    ) -> None: ...

class ASGD(FusedOptimizer, torch.optim.ASGD):
    def __init__(
        self, params: Any, lr: Any = 0.01, lambd: Any = 0.0001, alpha: Any = 0.75, t0: Any = 1000000.0,
        weight_decay: Any = 0, foreach: Any = None, maximize: Any = False, differentiable: Any = False,
        capturable: Any = False, *, state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096,
        seed: int | None = None, nonfinite: str = 'propagate', max_norm: float | None = None,
        clip_value: float | None = None, rounding: str = 'stochastic', average: _Number | None = None,
        zero_grads: bool = False, undoable: bool = False, num_threads: int | None = None,
    ) -> None: ...

class AdEMAMix(TabledOptimizer):
    def __init__(
        self, params: Any, lr: Any = 0.001, betas: Any = (0.9, 0.999, 0.9999), alpha: Any = 5.0, t_alpha: Any = 0.0,
        t_beta3: Any = 0.0, eps: Any = 1e-08, weight_decay: Any = 0.01, maximize: Any = False, *, foreach: Any = None,
        capturable: Any = False, differentiable: Any = False, fused: Any = None,
        state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096, seed: int | None = None,
        nonfinite: str = 'propagate', max_norm: float | None = None, clip_value: float | None = None,
        rounding: str = 'stochastic', average: _Number | None = None, zero_grads: bool = False, undoable: bool = False,
        num_threads: int | None = None,
    ) -> None: ...

class RowwiseAdagrad(TabledOptimizer):
    def __init__(
        self, params: Any, lr: Any = 0.01, weight_decay: Any = 0.0, initial_accumulator_value: Any = 0.0,
        eps: Any = 1e-10, maximize: Any = False, *, foreach: Any = None, capturable: Any = False,
        differentiable: Any = False, fused: Any = None, state_dtype: str | Mapping[str, str] = 'float32',
        min_8bit_size: int = 4096, seed: int | None = None, nonfinite: str = 'propagate',
        max_norm: float | None = None, clip_value: float | None = None, rounding: str = 'stochastic',
        average: _Number | None = None, zero_grads: bool = False, undoable: bool = False,
        num_threads: int | None = None,
    ) -> None: ...

class SparseAdam(FusedOptimizer, torch.optim.SparseAdam):
    def __init__(
        self, params: Any, lr: Any = 0.001, betas: Any = (0.9, 0.999), eps: Any = 1e-08, maximize: Any = False, *,
        state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096, seed: int | None = None,
        nonfinite: str = 'propagate', max_norm: float | None = None, clip_value: float | None = None,
        rounding: str = 'stochastic', average: _Number | None = None, zero_grads: bool = False, undoable: bool = False,
        num_threads: int | None = None,
    ) -> None: ...

class SignSGD(TabledOptimizer):
    def __init__(
        self, params: Any, lr: Any = 0.001, momentum: Any = 0.0, weight_decay: Any = 0.0, maximize: Any = False, *,
        foreach: Any = None, capturable: Any = False, differentiable: Any = False, fused: Any = None,
        state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096, seed: int | None = None,
        nonfinite: str = 'propagate', max_norm: float | None = None, clip_value: float | None = None,
        rounding: str = 'stochastic', average: _Number | None = None, zero_grads: bool = False, undoable: bool = False,
        num_threads: int | None = None,
    ) -> None: ...

class FTRL(TabledOptimizer):
    def __init__(
        self, params: Any, lr: Any = 0.001, beta: Any = 0.0, l1: Any = 0.0, l2: Any = 0.0,
        initial_accumulator_value: Any = 0.1, weight_decay: Any = 0.0, maximize: Any = False, *, foreach: Any = None,
        capturable: Any = False, differentiable: Any = False, fused: Any = None,
        state_dtype: str | Mapping[str, str] = 'float32', min_8bit_size: int = 4096, seed: int | None = None,
        nonfinite: str = 'propagate', max_norm: float | None = None, clip_value: float | None = None,
        rounding: str = 'stochastic', average: _Number | None = None, zero_grads: bool = False, undoable: bool = False,
        num_threads: int | None = None,
    ) -> None: ...
