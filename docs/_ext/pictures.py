"""The pictures of the optimizer pages: the way of one optimizer over two surfaces, beside plain gradient descent. And,
as oc.race draws them, those of the page about pictures.

Owns how the first look; surfaces, settings and paths are those of optcore.race. Drawn without a ground of their own and
in colours that stand out from white and from black alike (those of Okabe and Ito, which people with any colour vision
tell apart), so that one picture serves a light page and a dark one.
"""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from optimizer_pages import ON

import optcore as oc

QUIET = "#8a8a8a"
COLOURS = ("#D55E00", "#0A84D0", "#009E73")
EVERY = 10                  # steps between two marks


def draw(names: Sequence[str], to: Path) -> None:
    """Both surfaces, one above the other, so that a narrow page shows them large enough."""
    # The salt makes the names inside the file the same at every build.
    with rc_context({"svg.hashsalt": "optcore", "font.size": 11, "text.color": QUIET}):
        figure = Figure(figsize=(5.4, 5.2))
        for k, (surface, corner) in enumerate(ON.items()):
            s = oc.surfaces.get(surface)
            axes = figure.add_axes((0.005, 0.515 - 0.51 * k, 0.99, 0.43))
            x, y = np.linspace(*s.box[:2], 161), np.linspace(*s.box[2:], 121)
            z = s.value(np.stack(np.meshgrid(x, y)))
            levels = z.min() + (z.max() - z.min()) * np.linspace(0, 1, 17) ** 2.5
            axes.contour(x, y, z, levels[1:], colors=[QUIET], linewidths=0.6, alpha=0.55, linestyles="solid")
            axes.plot(*np.transpose(s.minima), "+", color=QUIET, ms=11, mew=1.8)
            beside = [] if "SGD" in names else ["SGD"]
            tracks = oc.race(s, [*beside, *names]).tracks
            for (label, track), colour in zip(tracks.items(), [QUIET] * len(beside) + list(COLOURS), strict=False):
                axes.plot(*track.points.T, "-o", color=colour, lw=1.2 if colour == QUIET else 1.8, ms=4,
                          markevery=EVERY, label=label)
            axes.plot(*s.start, "o", color=QUIET, mfc="none", ms=11, mew=1.8, zorder=5)
            axes.set_xlim(*s.box[:2])
            axes.set_ylim(*s.box[2:])
            axes.set_title(s.title, loc="left", fontsize=12, color=QUIET)
            axes.axis("off")
            axes.legend(loc=corner, frameon=False, labelcolor="linecolor", handlelength=1.4)
        figure.savefig(to, transparent=True, metadata={"Date": None})


def race_all(folder: Path) -> None:
    """A picture of each surface, and one race as it runs."""
    folder.mkdir(exist_ok=True)
    for name in oc.surfaces.SURFACES:
        oc.race(name).save(folder / f"{name}.png", dpi=110)
    oc.race("saddle").save(folder / "saddle.gif")
