"""Search without gradients: random search, evolution strategies, simultaneous perturbation.

Owns the trials of a step and what their values mean. The noise and the one formula that moves parameters by it are
the kernels' (kernels/search_noise.pxd); a sample's noise follows from (seed, sample, element), so nothing of it is
stored, and processes that hold equal parameters exchange only the values of their trials.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import index
from typing import Any, ClassVar

import numpy as np

from optcore import _kernels
from optcore.rules.settings import FLOAT32_MAX, LR, POSITIVE, Setting, flag, number, whole
from optcore.search.noise import KINDS
from optcore.step import arrays as _arrays
from optcore.step import threads as _threads
from optcore.step.arrays import Array

__all__ = ["ES", "SPSA", "RandomSearch"]

SIGMA = Setting("sigma", 0.1, POSITIVE, "size of the perturbations")
NONFINITE = ("skip", "raise")


def _word(name: str, value: Any, words: Iterable[str]) -> str:
    if not isinstance(value, str) or value not in words:
        raise ValueError(f"{name}={value!r}: it must be {' or '.join(words)}")
    return value


def _value(name: str, v: Any) -> float:
    """One value of f: a number, or an array of one."""
    try:
        if isinstance(v, (str, bytes, bytearray, complex, np.complexfloating)):
            raise TypeError
        return float(v.item() if isinstance(v, np.ndarray) and v.dtype.kind in "fiub" else v)
    except OverflowError:                       # a whole number beyond float64
        return math.inf if v > 0 else -math.inf
    except (TypeError, ValueError):
        raise TypeError(f"{name}: a number is needed, got {v!r}") from None


def _costs(values: Any, trials: range) -> Any:
    """The values of these trials, float64, in their order."""
    if isinstance(values, Mapping):
        try:
            told = {index(k): v for k, v in values.items()}
        except TypeError:
            raise TypeError(f"values: its keys are to be trials, whole numbers, got {list(values)!r}") from None
        missing, odd = [k for k in trials if k not in told], [k for k in told if k not in trials]
        if missing or odd or len(told) != len(values):
            raise ValueError(f"values: trials {missing} are missing, and {odd} are none of ask()" if odd else
                             f"values: trials {missing} are missing")
        return np.array([_value(f"values[{k}]", told[k]) for k in trials])
    # A set has no order, and what can be read only once may have been read.
    listed = isinstance(values, Sequence) or hasattr(values, "__array__")
    if isinstance(values, (str, bytes, bytearray)) or not listed:
        raise TypeError("values: a number for each trial is needed, a list or an array in the order of ask() or a dict "
                        f"trial -> value, got {values!r}")
    try:
        found = list(values)
    except TypeError:                           # an array without an axis
        raise TypeError(f"values: a number for each trial is needed, got {values!r}") from None
    if len(found) != len(trials):
        raise ValueError(f"values: {len(trials)} are needed, one for each trial, got {len(found)}")
    return np.array([_value(f"values[{k}]", v) for k, v in enumerate(found)])


class Search:
    """What the searches share. Not used by itself; see RandomSearch, ES and SPSA."""

    _domains: ClassVar[tuple[Setting, ...]]
    _mean_value: ClassVar[bool] = True          # value is a mean of trials, of which there may be none

    def _set_up(self, params: Any, settings: dict[str, Any], samples: int, noise: str, maximize: bool, seed: int,
                offset: int | Sequence[int], nonfinite: str) -> None:
        noise, nonfinite = _word("noise", noise, KINDS), _word("nonfinite", nonfinite, NONFINITE)
        self.settings = settings                # may be changed between steps; each may be a function of the step
        self._samples = whole("samples", samples, most=1 << 20)
        self._noise, self._maximize, self._nonfinite = noise, flag("maximize", maximize), nonfinite
        self._seed = whole("seed", seed, least=0)
        self._steps = 0
        self.value: float | None = None
        self.skipped = 0                        # values that were not finite, so far
        self._setting_values(1)

        self._names = list(params) if isinstance(params, Mapping) else None
        self._single = _arrays.is_array(params)
        if not (self._single or self._names is not None or isinstance(params, (list, tuple))):
            raise TypeError(f"params: an array, a list or a dict of arrays is needed, got {type(params).__name__}")
        self._given = params
        self._held = self._members()
        if not self._held:
            raise ValueError("params: it is empty")
        self._labels = ["params"] if self._single else [f"params[{n!r}]" for n in self._names or range(len(self._held))]
        self._params: list[Array] = self._views(self._held)
        self._buffers: list[Array] | None = None
        self._firsts = self._numbered(offset)

    def _members(self) -> list[Any]:
        if self._names is not None:
            return _arrays.members(self._given)
        return [self._given] if self._single else list(self._given)

    def _views(self, arrays: list[Any]) -> list[Array]:
        found = [_arrays.view(label, a, writable=True, formats=("float32",))
                 for label, a in zip(self._labels, arrays, strict=True)]
        _arrays.intervals(self._labels, found)
        return found

    def _look_again(self) -> None:
        """The caller may have put another array into the list or dict that was given: that one is moved from now on.
        One that does not fit is refused by name."""
        given = self._given
        if self._single:
            return
        if len(given) == len(self._held) and (
                all(a is b for a, b in zip(given, self._held, strict=True)) if self._names is None
                else all(given.get(name) is a for name, a in zip(self._names, self._held, strict=True))):
            return
        if len(given) != len(self._held) or self._names is not None and list(given) != self._names:
            raise ValueError(f"params: it had {', '.join(self._labels)} when this search was made, and has others now")
        held = self._members()
        params = self._views(held)
        for label, p, old in zip(self._labels, params, self._params, strict=True):
            _arrays.check_shape(label, old, f"the new {label}", p.shape)
        self._held, self._params = held, params

    def _numbered(self, offset: int | Sequence[int]) -> list[int]:
        """The number of each tensor's first element."""
        if isinstance(offset, Sequence):
            if len(offset) != len(self._params):
                raise ValueError(f"offset: {len(self._params)} are needed, one for each parameter, got {len(offset)}")
            return [whole(f"offset[{k}]", x, least=0) for k, x in enumerate(offset)]
        firsts = [whole("offset", offset, least=0)]
        for p in self._params[:-1]:
            firsts.append(firsts[-1] + p.size)
        return firsts

    def __repr__(self) -> str:
        settings = ", ".join(f"{k}={v!r}" for k, v in self.settings.items())
        return (f"{type(self).__name__}({settings}, samples={self._samples}, noise={self._noise!r}): "
                f"{len(self._params)} tensors, {sum(p.size for p in self._params)} parameters, {self._steps} steps")

    def _setting_values(self, step: int) -> dict[str, float]:
        return {s.name: number(s, self.settings[s.name], step) for s in self._domains}

    def _trial(self, trial: int, sigma: float) -> tuple[int, float]:
        """The sample by which a trial moves the parameters, and how far."""
        raise NotImplementedError

    def _learn(self, costs: Any, now: Mapping[str, float], threads: int) -> None:
        """Move the parameters. costs: float64, to be small, inf where a value cannot be used."""
        raise NotImplementedError

    def _structured(self, arrays: list[Array]) -> Any:
        if self._names is not None:
            return dict(zip(self._names, arrays, strict=True))
        return arrays[0] if self._single else list(arrays)

    def _perturb(self, outs: list[Array], weights: Sequence[float], sample: int, threads: int) -> None:
        """outs <- params + sum_k weights[k] noise(sample + k)."""
        if not _kernels.perturb(outs, self._params, self._firsts, weights, KINDS[self._noise], self._seed, sample,
                                threads):
            # Arrays that were good when they were given; something outside has changed one.
            for label, p, out in zip(self._labels, self._params, outs, strict=True):
                _arrays.view(label, p, writable=True, formats=("float32",))
                _arrays.view(f"the perturbed {label}", out, writable=True, formats=("float32",))
                _arrays.check_shape(label, p, f"the perturbed {label}", out.shape)

    # -------------------------------------------------------------------------------------------- the step

    def ask(self) -> range:
        """The numbers of the trials of the coming step, whose values `tell` needs."""
        return range(2 * self._samples)

    def perturbed(self, trial: int, *, num_threads: int | None = None) -> Any:
        """The parameters of a trial, structured as the parameters were given: NumPy arrays of this object's own, the
        same ones at each call. The parameters themselves are not changed.

        Raises TypeError or ValueError if `trial` is none of ask().
        """
        trials = self.ask()
        trial = whole("trial", trial, least=trials[0], most=trials[-1])
        threads = 0 if num_threads is None else _threads.checked(num_threads)
        self._look_again()
        sample, size = self._trial(trial, self._setting_values(self._steps + 1)["sigma"])
        if self._buffers is None:
            self._buffers = [_arrays.allocate(p, 0.0, "float32") for p in self._params]
        self._perturb(self._buffers, (size,), sample, threads)
        return self._structured(self._buffers)

    def tell(self, values: Sequence[Any] | Mapping[int, Any], *, num_threads: int | None = None) -> None:
        """Finish the step: change the parameters in place by the values of all trials: a list or an array in the order
        of ask(), or a dict trial -> value in any order.

        The bits of the result depend on nothing else. Raises TypeError or ValueError, naming the argument, before
        anything is changed; under nonfinite="raise" FloatingPointError, naming the first value that is not finite.
        """
        threads = 0 if num_threads is None else _threads.checked(num_threads)
        now = self._setting_values(self._steps + 1)
        costs = _costs(values, self.ask())
        self._look_again()
        usable = np.abs(costs) <= FLOAT32_MAX
        if self._nonfinite == "raise" and not usable.all():
            k = int(np.argmin(usable))
            which = self.ask()[k] if isinstance(values, Mapping) else k
            raise FloatingPointError(f"values[{which}] is {costs[k]}; nothing was changed")
        self._learn(np.where(usable, -costs if self._maximize else costs, np.inf), now, threads)
        self.skipped += int((~usable).sum())
        self._steps += 1

    def step(self, f: Callable[[Any], Any], *, num_threads: int | None = None) -> float:
        """One step with all trials in this process: ask, f(perturbed) for each, tell. Returns `value`.

        What f raises, this raises too, and nothing is changed.
        """
        self.tell([f(self.perturbed(k, num_threads=num_threads)) for k in self.ask()], num_threads=num_threads)
        assert self.value is not None
        return self.value

    # -------------------------------------------------------------------------------------------- what lasts

    def state_dict(self) -> dict[str, Any]:
        """All that lasts but the parameters: some numbers and words, of which no array is one."""
        return {"step": self._steps, "seed": self._seed, "samples": self._samples, "noise": self._noise,
                "maximize": self._maximize, "value": self.value, "skipped": self.skipped, **self.settings}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave; with the parameters of that time, the next steps are those that the saved
        one would make.

        Raises TypeError or ValueError, naming the entry, before anything is changed.
        """
        mine = self.state_dict()
        if state_dict.keys() != mine.keys():
            odd = ", ".join(sorted(map(str, state_dict.keys() ^ mine.keys())))
            raise ValueError(f"state_dict: missing or unknown entries {odd}")
        new = dict(state_dict)
        for name, least, most in (("step", 0, 1 << 32), ("seed", 0, 1 << 53), ("samples", 1, 1 << 20),
                                  ("skipped", 0, 1 << 53)):
            new[name] = whole(name, new[name], least, most)
        new["noise"], new["maximize"] = _word("noise", new["noise"], KINDS), flag("maximize", new["maximize"])
        if new["value"] is not None:
            new["value"] = _value("value", new["value"])
            if math.isnan(new["value"]) and not self._mean_value:
                raise ValueError("value=nan: nothing would ever be better")
        for s in self._domains:
            number(s, new[s.name], new["step"] + 1)
        self._steps, self._seed, self._samples = new["step"], new["seed"], new["samples"]
        self._noise, self._maximize = new["noise"], new["maximize"]
        self.value, self.skipped = new["value"], new["skipped"]
        self.settings = {s.name: new[s.name] for s in self._domains}


class RandomSearch(Search):
    """Random search: try neighbours of the parameters, and go to the best one if it is better.

        candidate k    p + sigma noise_k                    p <- the best candidate, if f is less there than at p

    params: an array, a list or a dict of float32 arrays, C-contiguous, changed in place.
    sigma: size of the perturbations; may be a function of the step.
    samples: candidates of a step.
    noise: "gaussian" (normal numbers) or "rademacher" (1 or -1, a quarter of the time).
    maximize: look for large values.
    seed: of the noise.
    offset: the number of the parameters' first element, where they are a shard of a larger whole; or a list with a
    number for each array. By default all elements are numbered through, from 0.
    nonfinite: what a value that is not finite (or beyond float32) means: "skip": never better, counted in `skipped`;
    "raise": FloatingPointError.

    `value` is f at the parameters. While it is None, as at first, ask() has a trial 0 too: the parameters as they
    are. Set it to None where f has changed.
    Source: Rastrigin 1963 (random search with a fixed step).

    >>> import numpy as np, optcore as oc
    >>> w = np.zeros(2, np.float32)
    >>> opt = oc.RandomSearch(w, sigma=0.3, samples=8)
    >>> for _ in range(50):
    ...     least = opt.step(lambda w: max(abs(w[0] - 1), abs(w[1] + 2)))
    >>> least < 0.1, w.round()
    (True, array([ 1., -2.], dtype=float32))
    """

    _domains = (SIGMA,)
    _mean_value = False

    def __init__(self, params: Any, *, sigma: Any = 0.1, samples: int = 1, noise: str = "gaussian",
                 maximize: bool = False, seed: int = 0, offset: int | Sequence[int] = 0,
                 nonfinite: str = "skip") -> None:
        self._set_up(params, {"sigma": sigma}, samples, noise, maximize, seed, offset, nonfinite)

    def ask(self) -> range:
        """The numbers of the trials of the coming step, whose values `tell` needs: 1 .. samples, and 0, the
        parameters as they are, while their value is not known."""
        return range(0 if self.value is None else 1, self._samples + 1)

    def _trial(self, trial: int, sigma: float) -> tuple[int, float]:
        return self._steps * self._samples + max(trial - 1, 0), sigma if trial else 0.0

    def _learn(self, costs: Any, now: Mapping[str, float], threads: int) -> None:
        sign = -1.0 if self._maximize else 1.0
        known, costs = (costs[0], costs[1:]) if self.value is None else (sign * self.value, costs)
        best = int(np.argmin(costs))
        if costs[best] < known:
            sample, size = self._trial(1 + best, now["sigma"])
            self._perturb(self._params, (size,), sample, threads)
            known = costs[best]
        self.value = sign * float(known)


class _Pairs(Search):
    """Searches by pairs of opposite perturbations: trial 2k is p + sigma noise_k, trial 2k + 1 is p - sigma noise_k."""

    _domains = (LR, SIGMA)

    def _trial(self, trial: int, sigma: float) -> tuple[int, float]:
        return self._steps * self._samples + trial // 2, -sigma if trial % 2 else sigma

    def _learn(self, costs: Any, now: Mapping[str, float], threads: int) -> None:
        weights, pairs = self._weights(costs)
        with np.errstate(all="ignore"):         # a sigma so small that the quotient has no value is refused below
            moves = -now["lr"] * weights / (2.0 * pairs * now["sigma"])
        if not (np.abs(moves) <= FLOAT32_MAX).all():
            raise FloatingPointError(f"lr={now['lr']!r}, sigma={now['sigma']!r}: with these values the step is beyond "
                                     "float32; nothing was changed")
        self._perturb(self._params, moves.tolist(), self._steps * self._samples, threads)
        usable = costs[costs < np.inf]
        self.value = (-1.0 if self._maximize else 1.0) * math.fsum(usable) / usable.size if usable.size else math.nan

    def _weights(self, costs: Any) -> tuple[Any, int]:
        """For each pair what stands for f(p + sigma noise) - f(p - sigma noise), and how many pairs count."""
        raise NotImplementedError


def centred_ranks(costs: Any) -> Any:
    """The costs' ranks, from -1/2 for the least to 1/2 for the largest; equal costs share the mean of theirs."""
    _, which, counts = np.unique(costs, return_inverse=True, return_counts=True)
    last = np.cumsum(counts) - 1
    return (last - (counts - 1) / 2)[which] / (costs.size - 1) - 0.5


class ES(_Pairs):
    """Antithetic evolution strategy: the parameters move against the values' ranks.

        p <- p - lr / (2 K sigma) sum_k (u(p + sigma noise_k) - u(p - sigma noise_k)) noise_k,    K = samples

    where u is the rank of f among the 2 K trials of the step, spread evenly over -1/2 .. 1/2. So the step does not
    depend on the scale of f, nor on its few largest values, and a value that is not finite counts as the worst.

    lr, sigma: step and perturbation; each may be a function of the step. Other arguments as in RandomSearch.
    `value` is the mean of the last step's usable values.
    Source: Salimans, Ho, Chen, Sidor, Sutskever 2017, arXiv:1703.03864.

    >>> import numpy as np, optcore as oc
    >>> w = np.full(20, 3, np.float32)
    >>> opt = oc.ES(w, lr=1.0, sigma=0.5, samples=32)
    >>> for _ in range(100):
    ...     value = opt.step(lambda w: np.abs(w).max())
    >>> bool(abs(w).max() < 1)
    True
    """

    def __init__(self, params: Any, *, lr: Any, sigma: Any = 0.1, samples: int = 16, noise: str = "gaussian",
                 maximize: bool = False, seed: int = 0, offset: int | Sequence[int] = 0,
                 nonfinite: str = "skip") -> None:
        self._set_up(params, {"lr": lr, "sigma": sigma}, samples, noise, maximize, seed, offset, nonfinite)

    def _weights(self, costs: Any) -> tuple[Any, int]:
        u = centred_ranks(costs)
        return u[0::2] - u[1::2], self._samples


class SPSA(_Pairs):
    """Simultaneous perturbation: gradient descent (zeroth-order SGD) by differences of two values.

        p <- p - lr / (2 K sigma) sum_k (f(p + sigma noise_k) - f(p - sigma noise_k)) noise_k,    K = samples

    Its mean is the gradient of f smoothed by the noise; of a quadratic f, the gradient itself. For n parameters the
    estimate's squared length is about 1 + n / K times the gradient's, so lr must be smaller than SGD's by as much. One
    pair a step, with noise that is made again and not stored, is MeZO.

    lr, sigma: step and perturbation (c, or epsilon of MeZO); each may be a function of the step. Other arguments as in
    RandomSearch. A pair with a value that is not finite is left out, and the mean is that of the others; if
    none is left, the parameters stay. `value` is the mean of the last step's usable values.
    Source: Spall 1992 (SPSA); Malladi, Gao, Nichani, Damian, Lee, Chen, Arora 2023, arXiv:2305.17333 (MeZO).

    >>> import numpy as np, optcore as oc
    >>> w = np.zeros(3, np.float32)
    >>> opt = oc.SPSA(w, lr=0.1, sigma=0.01)
    >>> for _ in range(100):
    ...     value = opt.step(lambda w: float(((w - [1, 2, 3]) ** 2).sum()))
    >>> w.round(2)
    array([1., 2., 3.], dtype=float32)
    """

    def __init__(self, params: Any, *, lr: Any, sigma: Any = 1e-3, samples: int = 1, noise: str = "rademacher",
                 maximize: bool = False, seed: int = 0, offset: int | Sequence[int] = 0,
                 nonfinite: str = "skip") -> None:
        self._set_up(params, {"lr": lr, "sigma": sigma}, samples, noise, maximize, seed, offset, nonfinite)

    def _weights(self, costs: Any) -> tuple[Any, int]:
        usable = np.isfinite(costs[0::2]) & np.isfinite(costs[1::2])
        apart = np.zeros(self._samples)
        np.subtract(costs[0::2], costs[1::2], out=apart, where=usable)
        return apart, max(1, int(usable.sum()))
