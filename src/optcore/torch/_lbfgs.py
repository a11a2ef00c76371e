"""torch.optim.LBFGS by the minimizers' kernels: pairs stored as the parameters are, scalars and sums in float64.

Owns how parameters become one vector and back. Parameters are float32 or float64 on the CPU.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from optcore.minimizers.minimizer import Minimizer
from optcore.rules.settings import POSITIVE, Setting, explain, number

COUNTS = ("n_iter", "func_evals")           # torch's keys in the state of the first parameter
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


class LBFGS(torch.optim.LBFGS):
    """L-BFGS with torch.optim.LBFGS's arguments.

    params: CPU tensors, all float32 or all float64, one group. lr: the first length tried along each direction, as a
    multiple of what the curvature known so far proposes. max_iter iterations and max_eval (1.25 max_iter)
    evaluations of the closure a step; tolerance_grad: the largest element of the gradient; tolerance_change: the
    fall of the loss relative to max(|loss|, 1); history_size: pairs kept.

    It always searches along the direction (torch's line_search_fn="strong_wolfe"). The state of the first parameter
    counts iterations and evaluations, `n_iter` and `func_evals`, as torch's does.
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
        explain({"lr": lr}, (LR,))
        if not isinstance(params, torch.Tensor):
            params = list(params)
            if len(params) > 1 and isinstance(params[0], dict):
                raise ValueError("params: L-BFGS does not take parameter groups")
        super().__init__(params, lr, max_iter, max_eval, tolerance_grad, tolerance_change, history_size, line_search_fn)
        self.defaults["damping"] = damping
        self.param_groups[0].setdefault("damping", damping)
        if line_search_fn not in (None, "strong_wolfe"):
            raise ValueError(f"line_search_fn={line_search_fn!r}: 'strong_wolfe' is the only one")
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
        lr = number(LR, group["lr"], 1)
        m = self._minimizer
        if m is None or not np.array_equal(m.x, x):
            m = self._minimizer = Minimizer(x, "lbfgs", maxcor=group["history_size"])
        else:
            m.restart()
        m.options.update(first=lr, damping=group.get("damping", False),     # torch's state has none
                         gtol=group["tolerance_grad"], ftol=group["tolerance_change"], maxiter=group["max_iter"],
                         maxfun=max(1, group["max_eval"]))
        return m

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """At most max_iter iterations. closure computes the loss anew, with its gradients. Returns the first loss.

        If the closure raises, or the step is interrupted, the parameters are those of the last iteration that was made.
        """
        if closure is None:
            raise TypeError("closure: a function that computes the loss and its gradients is needed")
        m = self._begun()
        state = self.state[self._params[0]]         # torch's: how many iterations and evaluations there were, ever
        iterations, evaluations = (state.setdefault(key, 0) for key in COUNTS)
        reached, first, telling = m.x.copy(), None, False
        try:
            while not m.done:
                if m.nfev:
                    self._put(m.ask())
                loss, g = self._evaluate(closure)
                first = loss if first is None else first
                telling = True
                m.tell(float(loss.detach()) if isinstance(loss, torch.Tensor) else loss, g)
                telling = False
                state.update(n_iter=iterations + m.nit, func_evals=evaluations + m.nfev)
                if not np.array_equal(reached, m.x):
                    reached = m.x.copy()
        except BaseException:
            if telling:                             # its vectors may be those of half an iteration
                self._minimizer = None
            self._put(reached)
            raise
        self._put(m.x)
        return first

    def state_dict(self) -> dict[str, Any]:
        """As torch's, and ours beside it. torch.optim.LBFGS that loads it begins anew, with a first step of its own."""
        saved, m = super().state_dict(), self._minimizer
        saved["minimizer"] = None if m is None else _as_torch(m.state_dict())
        if m is not None and 0 in saved["state"]:
            nothing, size = torch.zeros(m.x.size, dtype=self._params[0].dtype), float(np.abs(m._g).sum())
            begun = {"d": nothing, "t": 0.0, "old_dirs": [], "old_stps": [], "ro": [],
                     "prev_flat_grad": nothing.clone(), "H_diag": min(1.0, 1.0 / (size or 1.0)),
                     "prev_loss": m.fun}
            saved["state"] = {**saved["state"], 0: {**saved["state"][0], **begun}}
        return saved

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "minimizer"})
        for entry in self.state.values():           # torch's directions, which nobody here would bring up to date
            for key in entry.keys() - set(COUNTS):
                del entry[key]
        self._remember(state_dict.get("minimizer"))

    def _remember(self, saved: Any) -> None:
        """Go on with the pairs of this state, or without any."""
        self._minimizer = None
        if saved is not None:
            m = Minimizer(self._flat(self._params), "lbfgs", maxcor=self.param_groups[0]["history_size"])
            m.load_state_dict(_as_numpy(saved))
            self._minimizer = m

    def __getstate__(self) -> dict[str, Any]:
        m = self._minimizer
        return {**super().__getstate__(), "minimizer": None if m is None else m.state_dict()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        saved = state.pop("minimizer", None)
        super().__setstate__(state)
        self._params, self._numel_cache = self.param_groups[0]["params"], None
        self._remember(saved)
