"""The pictures of the optimizer pages: the way of one optimizer over two surfaces, beside plain gradient descent.

Owns how they look. Drawn without a ground of their own and in colours that stand out from white and from black alike
(those of Okabe and Ito, which people with any colour vision tell apart), so that one picture serves a light page and a
dark one.
"""
from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

import optcore as oc

QUIET = "#8a8a8a"
COLOURS = ("#D55E00", "#0A84D0", "#009E73")
EVERY = 10                  # steps between two marks

# name: (title, value, gradient, start, minima, box, steps, lr, stride). lr is for what follows the gradient, stride the
# step length of what divides the gradient's length away; every optimizer is set by these two numbers alone.
SURFACES = {
    "taco": ("A valley 50 times steeper across than along", lambda x, y: 0.5 * (x * x + 50 * y * y),
             lambda x, y: (x, 50 * y), (-9.0, 1.6), ((0.0, 0.0),), (-10.5, 4.5, -2.6, 2.6), 80, 1.9 / 50, 0.3),
    "saddle": ("A saddle between two minima", lambda x, y: 0.5 * x * x - 0.5 * y * y + 0.25 * y ** 4,
               lambda x, y: (x, y ** 3 - y), (-1.5, 1e-3), ((0.0, 1.0), (0.0, -1.0)), (-1.9, 0.9, -0.55, 1.5), 100,
               0.1, 0.03),
}


def settings(line: dict, surface: str) -> dict:
    """The constructor's arguments of a line on a surface."""
    *_, lr, stride = SURFACES[surface]
    length = {"lr": lr, "stride": stride}[line["length"]] * line.get("times", 1.0)
    return {"lr": float(f"{length:.3g}"), **line.get("settings", {})}


def path(family: str, options: dict, surface: str) -> np.ndarray:
    """The points that an optimizer visits, start included."""
    _, _, gradient, start, _, _, steps, _, _ = SURFACES[surface]
    p = np.array(start, np.float32)
    opt = getattr(oc, family)([p], **options)
    points = [p.copy()]
    for _ in range(steps):
        if family == "NesterovClassical":
            with opt.lookahead():
                g = gradient(*p)
        else:
            g = gradient(*p)
        opt.step([np.array(g, np.float32)])
        points.append(p.copy())
    return np.array(points)


def draw(family: str, lines: list[dict], to: Path) -> None:
    """Both surfaces, one above the other on a narrow page and large enough to be read there."""
    # The salt makes the names inside the file the same at every build.
    with rc_context({"svg.hashsalt": "optcore", "font.size": 12, "text.color": QUIET}):
        figure = Figure(figsize=(7.2, 6.4))
        for k, (name, (title, value, _, start, minima, box, _, _, _)) in enumerate(SURFACES.items()):
            axes = figure.add_axes((0.005, 0.515 - 0.51 * k, 0.99, 0.435))
            x, y = np.linspace(*box[:2], 161), np.linspace(*box[2:], 121)
            z = value(*np.meshgrid(x, y))
            levels = z.min() + (z.max() - z.min()) * np.linspace(0, 1, 17) ** 2.5
            axes.contour(x, y, z, levels[1:], colors=[QUIET], linewidths=0.6, alpha=0.55)
            axes.plot(*np.transpose(minima), "+", color=QUIET, ms=13, mew=2)
            if lines[0]["label"] != "SGD":
                axes.plot(*path("SGD", {"lr": SURFACES[name][-2]}, name).T, color=QUIET, lw=1.2, label="SGD", zorder=3)
            for colour, line in zip(COLOURS, lines, strict=False):
                points = path(family, settings(line, name), name)
                axes.plot(*points.T, "-o", color=colour, lw=1.8, ms=4.5, markevery=EVERY, label=line["label"], zorder=4)
            axes.plot(*start, "o", color=QUIET, mfc="none", ms=11, mew=1.8, zorder=5)
            axes.set_xlim(*box[:2])
            axes.set_ylim(*box[2:])
            axes.set_title(title, loc="left", fontsize=13, color=QUIET)
            axes.axis("off")
            axes.legend(loc="lower right", frameon=False, labelcolor="linecolor", handlelength=1.4, fontsize=12)
        figure.savefig(to, transparent=True, metadata={"Date": None})
