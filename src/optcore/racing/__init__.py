"""race(): optimizers on one surface, from one start, with one clock; their paths and a picture of them.

Owns the public function and what it returns. Who can race is _racers.py, how one runs _run.py, how it looks _figure.py
and _film.py. Imported when first asked for; matplotlib is imported when the first picture is drawn.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from errno import EISDIR, ENOENT
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optcore.racing._own import chosen
from optcore.racing._racers import DEFAULT, RACERS, line_up
from optcore.racing._run import Track, run
from optcore.rules.settings import whole
from optcore.surfaces import Surface

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DEFAULT", "RACERS", "Race", "Track", "race"]


FORMATS = ("png", "svg", "pdf", "gif", "jpg", "jpeg", "webp", "tif", "tiff", "eps")


def picture_format(path: str | Path) -> str:
    """The format that a path's ending names, if a picture can be written there; to be asked before a long race."""
    place = Path(path)
    ending = place.suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        raise ValueError(f"{path}: its ending says the format, one of .{', .'.join(FORMATS)}")
    if place.is_dir():
        raise IsADirectoryError(EISDIR, "it is a folder", str(path))
    if not place.parent.is_dir():
        raise FileNotFoundError(ENOENT, f"there is no folder {place.parent}", str(path))
    return ending


@dataclass(frozen=True)
class Race:
    """What came of a race: `tracks`, a dict of Track by label, and the picture of them.

    `figure` is a matplotlib Figure, drawn when first asked for; `save(path)` writes it, or an animation if path ends
    in .gif. Both raise ImportError without matplotlib (pip install optcore[plot]).
    """

    surface: Surface
    tracks: dict[str, Track] = field(repr=False)

    @cached_property
    def figure(self) -> Figure:
        """The picture: the surface with all paths, and beside it the loss of each step."""
        from optcore.racing._figure import draw

        return draw(self.surface, self.tracks).figure

    def save(self, path: str | Path, *, dpi: float | None = None) -> None:
        """Write the picture in the format that the name ends in (.png, .svg, .pdf); .gif is the race as it runs.

        dpi: pixels an inch, of 10 x 4.3 inches: by default 150, and 80 for the animation.
        Raises ValueError for another ending, OSError with the path if it cannot be written, before anything is drawn.
        """
        ending = picture_format(path)
        if ending == "gif":
            from optcore.racing._film import film

            film(self.surface, self.tracks, Path(path), dpi or 80)
        else:
            self.figure.savefig(path, dpi=dpi or 150, format=ending)

    def _repr_png_(self) -> bytes:
        from io import BytesIO

        buffer = BytesIO()
        self.figure.savefig(buffer, format="png", dpi=100)
        return buffer.getvalue()


def race(surface: str | Surface | Callable[[Any], Any], optimizers: Any = DEFAULT, *, steps: int | None = None,
         start: Sequence[float] | None = None, seed: int = 0, lr: float | None = None, stride: float | None = None,
         grad: Callable[[Any], Any] | None = None, hess: Callable[[Any], Any] | None = None,
         box: Sequence[float] | None = None) -> Race:
    """Let optimizers run on one surface from one start; one clock for all: a step is one evaluation of the surface.

    Parameters
        surface: a name (see optcore.surfaces), a Surface, or a function of your own, fun(x) -> number with x of
            shape (2,), float64; it needs start
        optimizers: one, or a list of them, or a dict label -> optimizer; "all" for every name. An optimizer is
            a name ("Adam"; any case) or a class (oc.Adam), with the surface's settings;
            an instance (oc.Adam([p], lr=0.3)): a new one with its settings runs, itself it is left alone;
            a function of your own, (x, gradient) -> next x, arrays of shape (2,), float64
        steps: evaluations of the surface, at least 1; by default what the surface's story takes
        start: two numbers, instead of the surface's
        seed: of the mini-batches (all optimizers see the same ones) and of random search
        lr, stride: instead of the surface's: the learning rate of what follows the gradient (SGD, momentum,
            Nesterov), and the step length of the others, from which theirs are made as RACERS says. For a function
            of your own 1 / |H| at the start, and a hundredth of the box
        grad, hess: of your own function; without them, central differences of fun or of grad
        box: (left, right, bottom, top) to be drawn, instead of the surface's; for your own function around the paths

    Returns a Race: its `tracks[label]` have `points` (k + 1, 2) and `losses` (k + 1,), float64, from the start on, the
    `settings` used, how it `ended` and `why`. k is `steps`, or less where one converged, found no way on, left for
    infinity, came to where the surface is not finite, or failed: the others race on.
    Optimizers that search along a line stand still while they try points. Ours work in float32.

    Raises ValueError for an unknown name (it lists those there are), for a function that returns a wrong shape or
    something not finite at the start (it says where), and TypeError for what is no optimizer. If none can take a step,
    what the first one raised.

    >>> import optcore as oc
    >>> result = oc.race("taco", ["SGD", oc.Adam, "Newton"], steps=20)
    >>> {label: len(track.points) for label, track in result.tracks.items()}
    {'SGD': 21, 'Adam': 21, 'Newton': 2}
    >>> result.save("taco.png")                     # doctest: +SKIP
    """
    where = chosen(surface, start, grad, hess, box, lr, stride)
    count = whole("steps", where.steps if steps is None else steps, 1)
    seed = whole("seed", seed, 0)
    racers = line_up(optimizers, where)
    found = {label: run(where, label, racer, count, seed) for label, racer in racers.items()}
    first = [raised for track, raised in found.values() if len(track.points) == 1]
    if len(first) == len(found) and first[0] is not None and all(first):
        raise first[0]                          # nobody took a step: a mistake, to be seen with its traceback
    return Race(where, {label: track for label, (track, _) in found.items()})
