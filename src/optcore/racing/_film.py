"""The race as it runs, a GIF by matplotlib's pillow writer."""
from __future__ import annotations

from pathlib import Path

import numpy as np

from optcore.racing._figure import draw
from optcore.racing._run import Track
from optcore.surfaces import Surface

FRAMES, A_SECOND, HOLD = 60, 12, 18         # frames of the race, frames a second, frames of the finish


def film(surface: Surface, tracks: dict[str, Track], path: Path, dpi: float) -> None:
    from matplotlib.animation import PillowWriter

    picture = draw(surface, tracks)
    steps = max(len(t.points) for t in tracks.values()) - 1
    moments = np.unique(np.linspace(0, steps, FRAMES + 1).astype(int))
    clock = picture.panel.text(1, -0.025, "", transform=picture.panel.transAxes, va="top", ha="right", fontsize=8.5)
    writer = PillowWriter(fps=A_SECOND)
    with writer.saving(picture.figure, str(path), dpi):
        for step in [*moments, *[steps] * HOLD]:
            picture.show(tracks, int(step))
            clock.set_text(f"step {step}")
            writer.grab_frame()
