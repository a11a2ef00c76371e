"""The picture of `train_charlm.py`: held-out loss over training time, and where the time of a step goes.

Reads finished runs and writes one PNG; it never trains or measures.  Colours are blue and orange of the Okabe-Ito
palette, which stay apart under every common kind of colour blindness; lines carry their names, so there is no legend.
"""

import matplotlib

matplotlib.use("Agg")  # no display is needed, or looked for

import matplotlib.pyplot as plt
import numpy as np

COLOURS = ("#0072B2", "#D55E00")
INK, FAINT = "#333333", "#8A8A8A"


def draw(runs, zlib_level, ratio, path):
    """Write the picture for (optcore, NumPy) runs to `path`."""
    plt.rcParams.update({"font.size": 11, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": FAINT})
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.8), width_ratios=(2.1, 1), layout="constrained")
    title = f"Same model, same data, same time: a training step {ratio:.1f}x faster"
    figure.suptitle(title, fontsize=14, x=0.01, ha="left")
    curves(left, runs, zlib_level)
    step_bars(right, runs)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=INK)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def curves(axes, runs, zlib_level):
    seconds = max(run.clock for run in runs)
    ends = [run.curve[-1][1] for run in runs]
    # The first points, near 7 bits, would flatten everything after them.
    top = max(zlib_level, *ends) + 1.6
    axes.axhline(zlib_level, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    axes.text(0.01 * seconds, zlib_level - 0.03, f"zlib -9: {zlib_level:.2f}", va="top", fontsize=10)
    # Labels are placed in the order of the ends, and kept a line apart.
    room = 0.065 * (top - min(zlib_level, *ends) + 0.2)
    middle, half = np.mean(ends), max(room, abs(ends[0] - ends[1])) / 2
    for run, colour, end in zip(runs, COLOURS, ends, strict=True):
        time, bits = np.array(run.curve).T
        axes.plot(time, bits, color=colour, linewidth=2.2, solid_capstyle="round", zorder=3)
        axes.plot(time[-1], end, "o", color=colour, markersize=6, zorder=4, clip_on=False)
        height = middle + (half if end == max(ends) else -half)
        axes.text(seconds * 1.02, height, f"{run.name} {end:.2f}", color=colour, va="center", fontweight="bold")
    axes.set_xlim(0, seconds)
    axes.set_ylim(min(zlib_level, *ends) - 0.2, top)
    axes.set_xlabel("seconds of training, each copy on its own clock")
    axes.set_title("held-out bits per character", loc="left", fontsize=11)
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)


def step_bars(axes, runs):
    """One bar a run: medians of forward and backward (light) and of the optimizer (full colour)."""
    parts = [[float(np.median(values)) for values in run.step_ms()[:2]] for run in runs]
    longest = max(map(sum, parts))
    for x, (colour, (backward, update)) in enumerate(zip(COLOURS, parts, strict=True)):
        axes.bar(x, backward, 0.62, color=colour, alpha=0.3)
        axes.bar(x, update, 0.62, bottom=backward, color=colour)
        axes.text(x, backward / 2, f"forward,\nbackward\n{backward:.1f}", ha="center", va="center", fontsize=10)
        label = f"optimizer\n{update:.1f}"
        if update > 0.15 * longest:
            axes.text(x, backward + update / 2, label, ha="center", va="center", color="white", fontsize=10)
        else:
            axes.text(x, backward + update + 0.02 * longest, label, ha="center", va="bottom", color=colour, fontsize=10)
    axes.set_xticks(range(len(runs)), [run.name for run in runs])
    axes.set_xlim(-0.6, len(runs) - 0.4)
    axes.set_ylim(0, 1.15 * longest)  # room for a label above the tallest bar
    axes.set_title("milliseconds a step (median)", loc="left", fontsize=11)
    axes.tick_params(axis="x", length=0)
