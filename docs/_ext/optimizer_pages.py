"""Makes docs/optimizers/: a page for each optimizer class, and one that compares them.

What a page says comes from the table: formulas, defaults, state, sources, when to use it and where it fails. Needs
nothing but the package; the pictures (pictures.py) are drawn when Sphinx builds.
"""
from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from optcore import race
from optcore.rules import FAMILIES, RULES, SENSITIVE_STATE, Family, Rule

DOCS = Path(__file__).resolve().parent.parent
# In the order of the rules, which is that of the README.
PAGES = sorted(FAMILIES.values(), key=lambda family: list(RULES).index(family.rules[0]))
TORCH = " For torch's tensors: `optcore.torch.{}`." if find_spec("optcore.torch") else ""
ON = {"taco": "lower right", "saddle": "upper left"}        # the surfaces of the pictures, and where there is room
BYTES = {"float32": "4", "bfloat16": "2", "int8": "1"}


def formula(rule: Rule) -> str:
    """The table's formula with the signs that people write."""
    text = "\n".join(rule.formula)
    text = re.sub(r"\b(t_alpha|t_beta3)\b", lambda m: m[0].replace("_", "\0"), text)     # settings, not subscripts
    for word, sign in (("<-", "←"), ("sqrt", "√"), ("^2", "²"), ("^t", "ᵗ")):
        text = text.replace(word, sign)
    for word, sign in (("beta", "β"), ("alpha", "α"), ("rho", "ρ"), ("mu", "μ"), ("eta", "η"), ("eps", "ε")):
        text = re.sub(rf"(?<![A-Za-z\0]){word}(?![A-Za-z\0])", sign, text)
    return re.sub("β([123])", lambda m: "β" + "₁₂₃"[int(m[1]) - 1], text.replace("\0", "_"))


def moved(rule: Rule, state: str = "float32") -> int:
    """Bytes a step moves for each parameter: g is read, p and its state are read and written."""
    kept = [4 if state == "int8" and key in SENSITIVE_STATE else int(BYTES[state]) for key in rule.keys]
    return 12 + 2 * sum(kept)


def kept(rule: Rule, state: str) -> int:
    return (moved(rule, state) - 12) // 2


def meaning(family: Family, name: str) -> str:
    """What a setting of the class is, in the words of the table."""
    settings = {s.name: s.about for key in family.rules for s in RULES[key].all_settings}
    if name in family.spread:
        return "; ".join(f"{part}: {settings[part]}" for part in family.spread[name])
    for key, setting in family.fill.items():
        if setting == name:
            return f"what `{key}` holds before the first step"
    if name in settings:
        return settings[name]
    return "chooses another rule: " + next(RULES[rule].title for rule, when in family.choices.items() if name in when)


def bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def call(family: Family) -> str:
    """The constructor with its defaults, in lines that a narrow screen holds."""
    arguments = ["params", *(f"{k}={v!r}" for k, v in family.settings.items())]
    # A no-break space keeps the numbers of a tuple together while lines are broken.
    text = textwrap.fill(", ".join(a.replace(" ", "\xa0") for a in arguments) + ")", 40)
    return f"opt = oc.{family.name}(\n" + textwrap.indent(text, "    ").replace("\xa0", " ")


def page(family: Family) -> str:
    choices = family.choices
    about = " ".join(filter(None, (family.title + ".", family.note)))
    parts = [f"# {family.name}\n\n{about}\n\n```python\n{call(family)}\n```",
             f"```{{image}} {family.name.lower()}.svg\n:class: picture\n:alt: The way of {family.name} over a narrow "
             f"valley and past a saddle point\n```\n\nA mark every 10 steps; circles are starts, crosses "
             "minima. " + drawn(family.lines) + ".",
             "## When to use it\n\n" + bullets(family.use), "## Where it fails\n\n" + bullets(family.fails),
             "## Formula"]
    ahead = [family.ahead] if family.ahead else []
    for name in [*choices, *ahead]:
        rule, choice = RULES[name], choices.get(name)
        when = f" (with {', '.join(f'`{k}={v!r}`' for k, v in choice.items())})" if choice else ""
        parts.append(f"{rule.title}{when}:\n\n```text\n{formula(rule)}\n```")
    parts.append(f"t is the step, counted from 1; g the gradient{prelude(family)}. All arithmetic is float32, in the "
                 "order of the formula; what depends on settings and step alone is computed in double and rounded "
                 "once.")
    rows = "\n".join(f"| `{k}` | `{v!r}` | {meaning(family, k)} |" for k, v in family.settings.items())
    parts.append(f"## Defaults\n\n| setting | default | meaning |\n|---|---|---|\n{rows}\n\nThose that torch has are "
                 "torch's. They may change between steps, and a number may be "
                 "[a function of the step](../settings.md).")
    rows = "\n".join(
        f"| `{name}` | {', '.join(f'`{k}`' for k in RULES[name].keys) or '-'} | "
        + " | ".join(f"{kept(RULES[name], form)} / {moved(RULES[name], form)}" for form in BYTES) + " |"
        for name in choices)
    parts.append("## State and memory\n\nBytes a parameter: state kept / moved by a step, with parameters and "
                 "gradients in float32 and the state as the column says. A step reads g, and reads and writes p and "
                 "the state.\n\n"
                 "| rule | state | float32 | bfloat16 | int8 |\n|---|---|---:|---:|---:|\n" + rows + "\n\n8-bit state "
                 "has 1 byte more for each 256 elements; see [number formats](../number_formats.md).")
    parts.append("## Source\n\n" + bullets(list(dict.fromkeys(RULES[n].source for n in choices))))
    parts.append("## Class and functions\n\n```{eval-rst}\n.. autoclass:: optcore." + family.name
                 + ("\n   :members: lookahead" if ahead else "")
                 + "".join(f"\n\n.. autofunction:: optcore.functional.{n}" for n in [*choices, *ahead])
                 + "\n```\n\nThe same names in `optcore.reference` are plain NumPy, with the same signatures and bits."
                 + TORCH.format(family.name))
    return "\n\n".join(parts) + "\n"


def prelude(family: Family) -> str:
    rules = [RULES[name] for name in family.rules]
    turned = ", turned round first if `maximize`"
    if all(r.decoupled for r in rules) or "weight_decay" not in family.settings:
        return turned
    some = " (coupled)" if any(r.decoupled for r in rules) else ""
    return f"{turned}, plus weight_decay p{some}"


def drawn(names: tuple[str, ...]) -> str:
    """The settings of a picture's lines, which are those of optcore.race."""
    above, below = (race(surface, names, steps=1).tracks for surface in ON)
    said = []
    for name in names:
        pairs = [(k, v, below[name].settings[k]) for k, v in above[name].settings.items()]
        said.append(f"{name}: " + ", ".join(f"{k}={v!r}" if v == w else f"{k}={v!r} above and {w!r} below"
                                            for k, v, w in pairs))
    return "; ".join(said)


def index() -> str:
    rows = "\n".join(
        f"| [{family.name}]({family.name.lower()}.md) | {RULES[family.rules[0]].title} | "
        + ", ".join(dict.fromkeys(str(kept(RULES[r], "float32")) for r in family.rules)) + " | "
        + ", ".join(dict.fromkeys(str(moved(RULES[r])) for r in family.rules)) + " |" for family in PAGES)
    pages = "\n".join(family.name.lower() for family in PAGES)
    return f"""# Optimizers

If you do not know which: [AdamW](adamw.md) for networks with attention or embeddings, [SGD](sgd.md) with momentum for
convolutional ones, [second order](../second_order.md) for smooth problems whose
whole gradient is cheap, [random search](../random_search.md) where there is no gradient.

State is bytes a parameter in float32; moved is what a step reads and writes for each. Large models are limited by
memory, so the time of a step follows that column. More than one number: by the class's settings.

| class | rule | state | moved |
|---|---|---:|---:|
{rows}

```{{toctree}}
:hidden:

{pages}
```
"""


def texts() -> dict[str, str]:
    """The pages by file name."""
    return {"index.md": index(), **{f"{family.name.lower()}.md": page(family) for family in PAGES}}


def write(app) -> None:
    from pictures import draw, race_all

    folder = DOCS / "optimizers"
    folder.mkdir(exist_ok=True)
    for name, text in texts().items():
        path = folder / name
        if not path.exists() or path.read_text() != text:       # a page that did not change is not read again
            path.write_text(text)
    for family in PAGES:
        draw(family.lines, folder / f"{family.name.lower()}.svg")
    race_all(DOCS / "surfaces")


def setup(app):
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True}
