"""The picture of a race: the surface with all paths, and beside it each step's loss with the labels at the lines' ends.

Colours are those of Okabe and Ito, which people with any colour vision tell apart; after seven of them the lines are
dashed. A mark on a path every so many steps shows the speed. Drawn on a Figure without pyplot: no display, no state of
matplotlib's is touched.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, isfinite, log10, nan
from typing import TYPE_CHECKING, Any

import numpy as np

from optcore.racing._run import Track
from optcore.surfaces import Array, Surface

try:
    from matplotlib.figure import Figure
    from matplotlib.patheffects import withStroke
    from matplotlib.ticker import MaxNLocator
except ImportError as e:
    raise ImportError("pictures need matplotlib: pip install optcore[plot]") from e

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)))
MARKS = "osD^vpX"
INK, QUIET = "#222222", "#777777"
LOW, HIGH = (0.99, 0.99, 1.0), (0.80, 0.83, 0.88)       # of the surface's lowest and highest band
LOWEST = 1e-8           # losses below this share of the first one's are drawn there: float32 points tell no more
SIZE = (10.0, 4.3)


@dataclass
class Picture:
    """A figure and what of it moves when it is filmed."""

    figure: Figure
    panel: Axes
    marks_every: int
    heights: dict[str, Array] = field(default_factory=dict)     # what the loss panel shows
    lines: dict[str, tuple[Line2D, Line2D, Line2D, Line2D]] = field(default_factory=dict)

    def show(self, tracks: dict[str, Track], steps: int) -> None:
        """Draw every line up to a step only."""
        for label, track in tracks.items():
            n = min(steps + 1, len(track.points))
            path, end, loss, tip = self.lines[label]
            path.set_data(*track.points[:n].T)
            end.set_data(*track.points[n - 1:n].T)
            loss.set_data(np.arange(n), self.heights[label][:n])
            tip.set_data([n - 1], self.heights[label][n - 1:n])


def _look(i: int) -> dict[str, Any]:
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i // len(COLOURS) % len(DASHES)]}


def _mark(i: int) -> str:
    return MARKS[(i + i // len(COLOURS)) % len(MARKS)]


def _box(surface: Surface, tracks: dict[str, Track]) -> tuple[float, float, float, float]:
    """The surface's box, or one around the paths, square enough to be looked at."""
    if surface.box is not None:
        return surface.box
    points = np.concatenate([t.points for t in tracks.values()])
    low, high = np.quantile(points, 0.005, axis=0), np.quantile(points, 0.995, axis=0)
    low, high = np.minimum(low, surface.start), np.maximum(high, surface.start)
    side = np.maximum(high - low, 0.4 * max(*(high - low), 1e-6))
    middle = (low + high) / 2
    return (*(float(v) for v in (middle[0] - 0.65 * side[0], middle[0] + 0.65 * side[0],
                                 middle[1] - 0.65 * side[1], middle[1] + 0.65 * side[1])),)   # type: ignore[return-value]


def _height(surface: Surface, x: Array) -> float:
    """The value of a function of the reader's, NaN where it has none."""
    try:
        return float(surface.value(x.copy()))
    except Exception:                           # as on a track, whatever it raises
        return nan


def _ground(axes: Axes, surface: Surface, box: tuple[float, float, float, float]) -> None:
    """The surface: bands that are closer together near its lowest value."""
    own = surface.name == "own"
    x, y = np.linspace(box[0], box[1], 81 if own else 321), np.linspace(box[2], box[3], 61 if own else 241)
    grid = np.stack(np.meshgrid(x, y))
    if own:
        points = grid.reshape(2, -1).T
        with np.errstate(all="ignore"):
            z = np.array([_height(surface, p) for p in points]).reshape(grid.shape[1:])
    else:
        z = np.asarray(surface.value(grid))
    z = np.ma.masked_invalid(z)
    least, most = float(z.min()), float(z.max())
    levels = least + (most - least or 1.0) * np.linspace(0, 1, 19) ** 3
    tint = np.linspace(0, 1, 18)[:, None] ** 0.7 * (np.array(HIGH) - LOW) + LOW
    axes.contourf(x, y, z, levels=levels, colors=tint)
    axes.contour(x, y, z, levels=levels[1:-1], colors=["#b9c0cc"], linewidths=0.5, linestyles="solid")
    halo = [withStroke(linewidth=2.5, foreground="white")]
    values = [float(surface.value(np.array(m))) for m in surface.minima]
    for minimum, value in zip(surface.minima, values, strict=True):
        lowest = value - min(values) <= 1e-9 * (most - least)
        axes.plot(*minimum, "+", color=INK, ms=10, mew=1.5, zorder=7, path_effects=halo)
        axes.annotate("minimum" if lowest else "higher minimum", minimum, (0, -10), textcoords="offset points",
                      ha="center", va="top", color=INK, fontsize=8.5, zorder=7, path_effects=halo)
    axes.set_xlim(box[0], box[1])
    axes.set_ylim(box[2], box[3])


def spread(wanted: list[float], gap: float, low: float, high: float) -> list[float]:
    """Heights nearest to those wanted that are a gap apart and, if there is room, between low and high."""
    order = np.argsort(wanted, kind="stable")
    groups: list[list[float]] = []                      # [labels, sum of their wanted heights less ranks]
    starts: list[float] = []
    for rank, k in enumerate(order):
        groups.append([1, wanted[k] - rank * gap])
        while len(groups) > 1 and groups[-1][1] / groups[-1][0] < groups[-2][1] / groups[-2][0]:
            n, total = groups.pop()
            groups[-1][0] += n
            groups[-1][1] += total
    for n, total in groups:
        starts += [total / n] * int(n)
    top = max(high - (len(wanted) - 1) * gap, low)
    placed = [0.0] * len(wanted)
    for rank, k in enumerate(order):
        placed[k] = min(max(starts[rank], low), top) + rank * gap
    return placed


def _heights(surface: Surface, tracks: dict[str, Track]) -> tuple[dict[str, Array], float | None]:
    """What the loss panel shows, and its lowest height if that is logarithmic."""
    if not surface.minima:
        return {label: t.losses for label, t in tracks.items()}, None
    least = min(float(surface.value(np.array(m))) for m in surface.minima)
    first = next(iter(tracks.values())).losses[0] - least
    floor = LOWEST * first if first > 0 else LOWEST
    gaps = {label: np.maximum(t.losses - least, floor) for label, t in tracks.items()}
    return gaps, 10.0 ** (log10(min(float(g.min()) for g in gaps.values())) - 0.15)


def nice(steps: int) -> int:
    """A round number of steps between two marks: about a dozen on a path."""
    for every in (1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500):
        if steps <= 12 * every:
            return every
    return ceil(steps / 12 / 1000) * 1000


def draw(surface: Surface, tracks: dict[str, Track]) -> Picture:
    """The picture of these tracks."""
    figure = Figure(figsize=SIZE)
    left = figure.add_axes((0.012, 0.085, 0.525, 0.80))
    right = figure.add_axes((0.60, 0.135, 0.25, 0.75))
    steps = max(len(t.points) for t in tracks.values()) - 1
    picture = Picture(figure, left, nice(steps))
    picture.heights, bottom = _heights(surface, tracks)
    every = picture.marks_every

    _ground(left, surface, _box(surface, tracks))
    left.set_xticks([])
    left.set_yticks([])
    for spine in left.spines.values():
        spine.set_visible(False)
    for i, (label, track) in enumerate(tracks.items()):
        style, mark, top = _look(i), _mark(i), 3 + 0.01 * (len(tracks) - i)
        at: dict[str, Any] = dict(marker=mark, markeredgecolor="white", markeredgewidth=0.5)
        path, = left.plot(*track.points.T, lw=1.5, ms=5, markevery=every, zorder=top, alpha=0.95, **style, **at)
        end, = left.plot(*track.points[-1:].T, ms=10, zorder=top + 1, color=style["color"], **at)
        height = picture.heights[label]
        loss, = right.plot(np.arange(len(height)), height, lw=1.5, zorder=top, **style)
        tip, = right.plot([len(height) - 1], height[-1:], ms=6, zorder=top + 1, color=style["color"], clip_on=False,
                          **at)
        picture.lines[label] = path, end, loss, tip
    left.plot(*surface.start, "o", ms=9, mfc="white", mec=INK, mew=1.5, zorder=6)
    left.annotate("start", surface.start, (0, 9), textcoords="offset points", ha="center", color=INK, fontsize=9,
                  zorder=6, path_effects=[withStroke(linewidth=2.5, foreground="white")])
    left.set_title(surface.title or "The race", loc="left", fontsize=12, color=INK, fontweight="bold")
    left.text(0, -0.025, f"a mark every {every} steps" if every > 1 else "a mark every step",
              transform=left.transAxes, va="top", fontsize=8.5, color=QUIET)

    if bottom is not None:
        right.set_yscale("log")
        right.set_ylim(bottom=bottom)
    right.set_xlim(0, max(steps, 1))
    right.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    right.set_title("Loss above the lowest" if bottom is not None else "Loss", loc="left", fontsize=12, color=INK,
                    fontweight="bold")
    right.set_xlabel("step (one evaluation)", color=QUIET, fontsize=9)
    right.tick_params(colors=QUIET, labelsize=8, which="both")
    right.grid(axis="y", color="#e6e6e6", lw=0.7)
    for side in ("top", "right"):
        right.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        right.spines[side].set_color("#bbbbbb")
    _label(right, tracks, picture)
    return picture


def _label(axes: Axes, tracks: dict[str, Track], picture: Picture) -> None:
    """Names to the right of the loss panel, each joined to its line's end, none on another."""
    axes.figure.canvas.draw()                           # limits and transforms are now what they will be
    to_points = 72 / axes.figure.dpi
    ends = {label: (len(h) - 1, float(h[-1])) for label, h in picture.heights.items()}
    frame = axes.get_window_extent()
    names = {label: label if track.ended in ("", "converged") else f"{label} ({track.ended})"
             for label, track in tracks.items()}
    room = (1 - axes.get_position().x1) * SIZE[0] * 72 - 22     # points beside the panel, less the mark's
    wide = 0.62 * max(1, *map(len, names.values()))         # of the longest name, in units of the letters' size
    tall = axes.get_position().height * SIZE[1] * 72 / (1.3 * len(tracks))
    size = max(6.0, min(10.0 if len(tracks) <= 12 else 8.5, room / wide, tall))
    tops = [float(axes.transData.transform(end)[1] - frame.y0) * to_points for end in ends.values()]
    tops = [t if isfinite(t) else 0.0 for t in tops]
    tops = [min(max(t, 0.0), frame.height * to_points) for t in tops]
    placed = spread(tops, 1.3 * size, 0.0, frame.height * to_points)
    for i, (label, height) in enumerate(zip(tracks, placed, strict=True)):
        y = height / (frame.height * to_points)
        last = max(len(h) for h in picture.heights.values()) - 1
        colour = _look(i)["color"]
        axes.plot([ends[label][0], last], [ends[label][1]] * 2, ":", lw=1, color=colour)        # where it stays
        axes.annotate("", (last, ends[label][1]), (1.04, y), xycoords="data", textcoords="axes fraction",
                      annotation_clip=False,
                      arrowprops=dict(arrowstyle="-", color=colour, lw=0.7, alpha=0.6, shrinkA=0, shrinkB=3))
        axes.plot([1.055], [y], _mark(i), transform=axes.transAxes, clip_on=False, ms=6, color=colour, mec="white",
                  mew=0.5)
        axes.text(1.085, y, names[label], transform=axes.transAxes, va="center", fontsize=size, color=INK,
                  parse_math=False)
