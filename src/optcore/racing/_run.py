"""How one optimizer runs on a surface: a point for each evaluation of it.

The clock: points[j] is where the optimizer stood when it asked for evaluation j, so points[0] is the start, and after k
evaluations there are k + 1 points. One that searches along a line stands at the last point that it took.
"""
from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np

from optcore.optimizers import Optimizer
from optcore.search import RandomSearch
from optcore.surfaces import Array, Surface

FAR = 50.0              # a point so many boxes away from the start has left


@dataclass(frozen=True)
class Track:
    """Where an optimizer was: points (k + 1, 2) and losses (k + 1,) from the start on, float64.

    settings: what it ran with; ended: "" after all steps, "converged", "stopped" (a line search found no way on),
    "left" (for infinity), "not finite" (the surface, or its gradient, had no value where it came to) or "failed" (it
    raised, or the surface did there); why: the message of the last two, with the point and the evaluation.
    """

    label: str
    points: Array = field(repr=False)
    losses: Array = field(repr=False)
    settings: dict[str, Any]
    ended: str = ""
    why: str = ""


class NotFinite(ValueError):
    """The surface has no value there."""


class Malformed(ValueError):
    """An answer of another form than was asked for."""


class Look:
    """The surface as one optimizer sees it: counts the evaluations, and refuses wrong answers by point and step."""

    def __init__(self, surface: Surface, label: str, seed: int) -> None:
        self.surface, self.label, self.seed, self.count = surface, label, seed, 0
        self.at = np.zeros(2)

    def __call__(self, x: Array, *, finite: bool = True) -> tuple[float, Array]:
        """The value and the gradient. finite: without them, whoever asks cannot go on."""
        self.at = x
        value, gradient = self.surface.value, self.surface.gradient
        if self.surface.batch is not None:
            value, gradient = self.surface.batch(self.seed, self.count)
        f = self._answer("the function", value(x.copy()), (), finite)
        g = self._answer("the gradient", gradient(x.copy()), (2,), finite)
        self.count += 1
        return float(f), g

    def value(self, x: Array) -> float:
        """The whole surface's value, whatever the batches are."""
        self.at = x
        return float(self._answer("the function", self.surface.value(x.copy()), ()))

    def hessian(self, x: Array) -> Array:
        self.at = x
        return self._answer("the Hessian", self.surface.hessian(x.copy()), (2, 2))

    def _answer(self, what: str, answer: Any, shape: tuple[int, ...], finite: bool = True) -> Array:
        a = _real(answer)
        if a.shape != shape:
            needed = "a number" if shape == () else f"shape {shape}"
            raise Malformed(f"{what} gave {_brief(answer)} {self.where()}: {needed} is needed")
        if finite and not np.isfinite(a).all():
            raise NotFinite(f"{what} gave {_brief(answer)} {self.where()}")
        return a

    def where(self) -> str:
        return f"at x = {_brief(self.at)}, evaluation {self.count} of {self.label}"


class Run(Protocol):
    """What runs: yields the next point for ever, or returns, when it is done, how it ended."""

    @property
    def settings(self) -> dict[str, Any]: ...

    def points(self, start: Array, look: Look) -> Generator[Array, None, str]: ...


def _real(answer: Any) -> Array:
    """As float64; of no shape that anything asks for, if it is not real numbers."""
    try:
        return np.empty(0) if np.iscomplexobj(answer) else np.asarray(answer, np.float64)
    except (TypeError, ValueError):
        return np.empty(0)


def _brief(x: Any) -> str:
    if isinstance(x, np.generic):
        x = x.item()
    if isinstance(x, np.ndarray):
        return f"{x.tolist()!r}" if x.size <= 4 else f"an array of shape {x.shape}"
    return f"{x!r}"[:60]


@dataclass
class Ours:
    """A class of ours, on float32 parameters."""

    kind: type[Optimizer]
    settings: dict[str, Any]

    def points(self, start: Array, look: Look) -> Generator[Array, None, str]:
        p = start.astype(np.float32)
        optimizer = self.kind([p], **self.settings)         # type: ignore[call-arg]
        while True:
            ahead = optimizer.lookahead() if optimizer.family.ahead else nullcontext()   # type: ignore[attr-defined]
            with ahead:
                gradient = look(p.astype(np.float64))[1]
            with np.errstate(over="ignore"):
                optimizer.step([gradient.astype(np.float32)])
            yield p.astype(np.float64)


@dataclass
class Own:
    """A function (x, gradient) -> next x of the reader's."""

    function: Callable[[Array, Array], Any]
    settings: dict[str, Any] = field(default_factory=dict)

    def points(self, start: Array, look: Look) -> Generator[Array, None, str]:
        x = start
        while True:
            answer = self.function(x.copy(), look(x)[1])
            following = _real(answer)
            if following.shape != (2,):
                raise Malformed(f"{look.label} gave {_brief(answer)} at x = {_brief(x)}: the next x, of shape (2,), "
                                 "is needed")
            x = following.copy()
            yield x


@dataclass
class Asked:
    """A method that asks for points, on float64 parameters."""

    method: str

    @property
    def settings(self) -> dict[str, Any]:
        return {"method": self.method}

    def points(self, start: Array, look: Look) -> Generator[Array, None, str]:
        from optcore.minimizers import Minimizer

        minimizer = Minimizer(start, method=self.method, ftol=0.0)
        first = True
        while not minimizer.done:
            x = np.array(minimizer.ask())
            hess = partial(look.hessian, x) if self.method == "newton" else None
            minimizer.tell(*look(x, finite=False), hess=hess)       # a line search shortens its step
            if not first:
                yield np.array(minimizer.x)
            first = False
        return "converged" if minimizer.success else "stopped"


@dataclass
class Searched:
    """Random search, a sample a step, on float32 parameters: it looks at values alone."""

    settings: dict[str, Any]

    def points(self, start: Array, look: Look) -> Generator[Array, None, str]:
        p = start.astype(np.float32)
        search = RandomSearch(p, seed=look.seed, **self.settings)
        while True:
            search.step(lambda x: look(x.astype(np.float64), finite=False)[0])      # never better
            yield p.astype(np.float64)


def run(surface: Surface, label: str, racer: Run, steps: int, seed: int) -> tuple[Track, Exception | None]:
    """The track of one optimizer, and what it raised, if anything: that ends its track alone."""
    start = np.array(surface.start, np.float64)
    look = Look(surface, label, seed)
    size = 1.0 + np.abs(start).max() if surface.box is None else max(np.ptp(surface.box[:2]), np.ptp(surface.box[2:]))
    raised: Exception | None = None
    points, ended, why = [start], "", ""
    losses = [look.value(start)]
    coming = racer.points(start, look)
    while len(points) <= steps:
        try:
            x = next(coming)
            if not np.isfinite(x).all() or np.abs(x - start).max() > FAR * size:
                ended = "left"
                break
            losses.append(look.value(x))
            points.append(x)
        except StopIteration as end:
            ended = end.value
            break
        except NotFinite as e:
            ended, why, raised = "not finite", str(e), e
            break
        except Malformed as e:
            ended, why, raised = "failed", str(e), e
            break
        except Exception as e:
            ended, why, raised = "failed", f"{type(e).__name__}: {e} {look.where()}", e
            break
    return Track(label, np.array(points), np.array(losses), racer.settings, ended, why), raised
