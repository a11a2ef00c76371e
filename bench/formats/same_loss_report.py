"""The table and the picture of `same_loss.py`, from finished runs; it never trains.

Of a format is told its mean over the seeds, and its difference from float32 with the same seed (the same first weights
and batches): mean, least and most. The seed spread of float32 is the least and the most of its own seeds; a format is
within it if its mean is.
"""

import matplotlib

matplotlib.use("Agg")  # no display is needed, or looked for

import matplotlib.pyplot as plt
import numpy as np

INK, FAINT, BLUE, ORANGE = "#333333", "#8A8A8A", "#0072B2", "#D55E00"


def scores(done, model, form):
    """{seed: held-out bits per character}"""
    return {seed: run["held_out"] for (m, f, seed), run in done.items() if (m, f) == (model, form)}


def cells(done, model, form):
    """What the table tells of one format on one model."""
    mine, base = scores(done, model, form), scores(done, model, "float32")
    if not mine:
        return ["-", "-", "-"]
    mean = np.mean(list(mine.values()))
    low, high = min(base.values()), max(base.values())
    if form == "float32":
        return [f"{mean:.4f}", f"{low:.4f} to {high:.4f}", ""]
    gaps = [bits - base[seed] for seed, bits in mine.items() if seed in base]
    verdict = "yes" if low <= mean <= high else "better" if mean < low else "worse"
    return [f"{mean:.4f}", f"{np.mean(gaps):+.4f} ({min(gaps):+.4f} to {max(gaps):+.4f})", verdict]


def table(done, models, formats):
    """Markdown: a row for each format, three columns for each model."""
    heads = [h for m in models for h in (f"{m}: bits", "from float32", "within")]
    lines = ["| Adam | bytes a parameter | " + " | ".join(heads) + " |", "|---|---:|" + "---:|" * len(heads)]
    for form in formats:
        size = [run["bytes"] for (m, f, _), run in done.items() if f == form]
        row = [form, f"{min(size):.2f}" if size else "-", *(c for m in models for c in cells(done, m, form))]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def draw(done, models, formats, path):
    """Write the picture: a dot for each run, a bar for each mean, the seed spread of float32 shaded."""
    plt.rcParams.update({"font.size": 10, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": FAINT})
    figure, panels = plt.subplots(1, len(models), figsize=(10, 4.2), sharey=True, layout="constrained")
    for axes, model in zip(panels, models, strict=True):
        base = list(scores(done, model, "float32").values())
        if base:
            axes.axvspan(min(base), max(base), color=BLUE, alpha=0.12, linewidth=0)
        for y, form in enumerate(formats):
            bits = list(scores(done, model, form).values())
            if bits:
                colour = ORANGE if form.endswith("nearest") else BLUE
                axes.plot(bits, [y] * len(bits), "o", color=colour, markersize=5, alpha=0.7, linewidth=0)
                axes.plot(np.mean(bits), y, "|", color=colour, markersize=16, markeredgewidth=2)
        axes.set_title(f"{model}: held-out bits per character", loc="left", fontsize=10)
        axes.set_yticks(range(len(formats)), list(formats))
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=INK)
        axes.grid(axis="y", color="#E6E6E6", linewidth=0.8)
        axes.set_axisbelow(True)
    panels[0].invert_yaxis()
    figure.savefig(path, dpi=100)
    plt.close(figure)
