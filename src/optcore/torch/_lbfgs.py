"""torch.optim.LBFGS by the minimizers' kernels: pairs stored as the parameters are, scalars and sums in float64.

Owns how parameters become one vector and back. Parameters are float32 or float64 on the CPU.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from optcore.minimizers.minimizer import Minimizer
from optcore.rules.settings import POSITIVE, Setting, explain

LR = Setting("lr", 1.0, POSITIVE, "", scheduled=False)


def _as_torch(x: Any) -> Any:
    """Saved state with tensors and plain numbers: torch.load takes these without weights_only=False."""
    if isinstance(x, dict):
        return {k: _as_torch(v) for k, v in x.items()}
    if isinstance(x, list):
        return [_as_torch(v) for v in x]
    return torch.from_numpy(x) if isinstance(x, np.ndarray) else x.item() if isinstance(x, np.generic) else x


def _as_numpy(x: Any) -> Any:
    if isinstance(x, dict):
        return {k: _as_numpy(v) for k, v in x.items()}
    return x.numpy() if isinstance(x, torch.Tensor) else x


class LBFGS(torch.optim.Optimizer):
    """L-BFGS with torch.optim.LBFGS's arguments.

    params: CPU tensors, all float32 or all float64, one group. lr: the first length tried along each direction, as a
    multiple of what the curvature known so far proposes. max_iter iterations and max_eval (1.25 max_iter)
    evaluations of the closure a step; tolerance_grad: the largest element of the gradient; tolerance_change: the
    fall of the loss relative to max(|loss|, 1); history_size: pairs kept.

    It always searches along the direction (torch's line_search_fn="strong_wolfe").
    A step begins by evaluating the closure, so the loss may be of another batch than before: a pair never mixes two.
    damping=True keeps a pair whose curvature is too small or negative, as a batch on its own may show: by Powell's rule
    it is drawn towards what is known. What torch's absolute thresholds make fail in float32, or at another scale of the
    loss, does not fail here.

    >>> x = torch.tensor([5.0, -3.0], requires_grad=True)
    >>> search = LBFGS([x])
    >>> def closure():
    ...     search.zero_grad()
    ...     loss = ((x - 1) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> _ = search.step(closure)
    >>> bool((x - 1).abs().max() < 1e-6)
    True

    Raises TypeError or ValueError, naming the argument.
    """

    def __init__(self, params: Iterable[Any], lr: float = 1.0, max_iter: int = 20, max_eval: int | None = None,
                 tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9, history_size: int = 100,
                 line_search_fn: str | None = "strong_wolfe", *, damping: bool = False) -> None:
        explain({"lr": float(lr)}, (LR,))
        if line_search_fn not in (None, "strong_wolfe"):
            raise ValueError(f"line_search_fn={line_search_fn!r}: 'strong_wolfe' is the only one")
        most = max_iter * 5 // 4 if max_eval is None else max_eval
        super().__init__(params, {
            "lr": lr, "max_iter": max_iter, "max_eval": most, "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change, "history_size": history_size, "line_search_fn": line_search_fn,
            "damping": damping})
        if len(self.param_groups) != 1:
            raise ValueError("params: L-BFGS does not take parameter groups")
        self._params: list[torch.Tensor] = self.param_groups[0]["params"]
        kinds = {p.dtype for p in self._params}
        if len(kinds) != 1 or not kinds <= {torch.float32, torch.float64}:
            raise TypeError(f"params: all float32 or all float64 is needed, got {', '.join(sorted(map(str, kinds)))}")
        if any(p.device.type != "cpu" for p in self._params):
            raise ValueError("params: memory of the CPU is needed")
        self._minimizer: Minimizer | None = None

    def _flat(self, tensors: list[torch.Tensor]) -> np.ndarray[Any, Any]:
        flat: np.ndarray[Any, Any] = torch.cat([t.detach().reshape(-1) for t in tensors]).numpy()
        return flat

    def _put(self, x: np.ndarray[Any, Any]) -> None:
        """Let the parameters be x."""
        at = 0
        values = torch.from_numpy(np.array(x))
        with torch.no_grad():
            for p in self._params:
                p.copy_(values[at:at + p.numel()].view_as(p))
                at += p.numel()

    def _evaluate(self, closure: Callable[[], Any]) -> tuple[Any, np.ndarray[Any, Any]]:
        with torch.enable_grad():
            loss = closure()
        grads = [torch.zeros_like(p) if p.grad is None else p.grad.to_dense() for p in self._params]
        return loss, self._flat(grads)

    def _begun(self) -> Minimizer:
        """A minimizer that asks for the parameters as they stand; with its pairs, if nobody else has moved them."""
        group, x = self.param_groups[0], self._flat(self._params)
        m = self._minimizer
        if m is None or not np.array_equal(m.x, x):
            m = self._minimizer = Minimizer(x, "lbfgs", maxcor=group["history_size"])
        else:
            m.restart()
        m.options.update(first=float(group["lr"]), damping=group.get("damping", False),     # torch's state has none
                         gtol=group["tolerance_grad"], ftol=group["tolerance_change"], maxiter=group["max_iter"],
                         maxfun=max(1, group["max_eval"]))
        return m

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """At most max_iter iterations. closure computes the loss anew, with its gradients. Returns the first loss."""
        if closure is None:
            raise TypeError("closure: a function that computes the loss and its gradients is needed")
        m = self._begun()
        first = None
        while not m.done:
            if m.nfev:
                self._put(m.ask())
            loss, g = self._evaluate(closure)
            first = loss if first is None else first
            m.tell(float(loss.detach()) if isinstance(loss, torch.Tensor) else loss, g)
        self._put(m.x)
        return first

    def state_dict(self) -> dict[str, Any]:
        saved = super().state_dict()
        saved["minimizer"] = None if self._minimizer is None else _as_torch(self._minimizer.state_dict())
        return saved

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "minimizer"})
        self._minimizer = None
        saved = state_dict.get("minimizer")
        if saved is not None:
            m = Minimizer(self._flat(self._params), "lbfgs", maxcor=self.param_groups[0]["history_size"])
            m.load_state_dict(_as_numpy(saved))
            self._minimizer = m
