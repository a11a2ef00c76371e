"""Settings: a name, a default, a domain, and what is asked of a value before it is used.

Owns every message about a number that was passed in. Imports nothing of the package.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import ceil, log
from numbers import Integral
from operator import index
from typing import Any

MOST_STEPS = 2 ** 53                # beyond it a double no longer counts
MOST_SEED = 2 ** 64 - 1             # of seeds and offsets, which the noise takes in 64 bits
FLOAT32_MAX = 3.4028234663852886e38

# A domain is a Python condition on x: the check and the error message both come from it.
NONNEGATIVE = f"0.0 <= x <= {FLOAT32_MAX!r}"
POSITIVE = f"0.0 < x <= {FLOAT32_MAX!r}"
INVERTIBLE = f"{2.0 ** -126!r} <= x <= {FLOAT32_MAX!r}"     # 1 / x is a float32
MEASURE = "0.0 <= x"                # infinity too
FRACTION = "0.0 <= x < 1.0"
SHRINKING = "0.0 < x < 1.0"
GROWING = f"1.0 < x <= {FLOAT32_MAX!r}"
FLAG = ""
IN_WORDS = {NONNEGATIVE: "finite and not negative", MEASURE: "not negative", POSITIVE: "finite and above 0",
            INVERTIBLE: "finite and at least 2^-126",
            FRACTION: "from 0 up to but not including 1", SHRINKING: "between 0 and 1",
            GROWING: "finite and above 1"}


@dataclass(frozen=True)
class Setting:
    name: str
    default: float | bool
    domain: str
    about: str
    scheduled: bool = True          # may be a function of the step; not where it is read once, as state is made


LR = Setting("lr", 1e-3, NONNEGATIVE, "learning rate")
MOMENTUM = Setting("momentum", 0.9, NONNEGATIVE, "how much of the velocity is kept (mu)")
EPS = Setting("eps", 1e-8, NONNEGATIVE, "added to the root, so that the division is bounded")
ALPHA = Setting("alpha", 0.99, FRACTION, "how much of the mean square is kept")
BETA1 = Setting("beta1", 0.9, FRACTION, "how much of the first moment is kept")
BETA2 = Setting("beta2", 0.999, FRACTION, "how much of the second moment is kept")
DECAY = Setting("weight_decay", 0.0, NONNEGATIVE, "coupled decay: weight_decay * p joins the gradient")
DECOUPLED = Setting("weight_decay", 1e-2, NONNEGATIVE, "decoupled decay: p is first scaled by 1 - lr * weight_decay")
CLIP_VALUE = Setting("clip_value", 1.0, NONNEGATIVE, "the largest absolute value of a gradient's element",
                     scheduled=False)
MAXIMIZE = Setting("maximize", False, FLAG, "ascend: the gradient's sign is turned first")


def with_default(setting: Setting, default: float) -> Setting:
    return Setting(setting.name, default, setting.domain, setting.about, setting.scheduled)


@cache
def _condition(domain: str) -> Callable[[Any], Any]:
    made: Callable[[Any], Any] = eval(f"lambda x: {domain}")
    return made


def number(setting: Setting, value: Any, step: int) -> float:
    """The value of a numeric setting at a step, as a float, or an error that names the setting.

    A callable is a schedule: it is asked for the value at the step, and the error names the step too.
    """
    when = ""
    if callable(value) and setting.scheduled:
        when = f" at step {step}"
        try:
            value = value(step)
        except Exception as e:
            raise ValueError(f"{setting.name}: its schedule failed{when}: {e!r}") from e
    try:
        good = bool(_condition(setting.domain)(value))
        x = float(value)                        # an array of one element, say, is refused here
    except Exception:
        raise TypeError(f"{setting.name}: a number is needed, got {value!r}{when}") from None
    if not good:
        raise ValueError(f"{setting.name}={value!r}{when}: it must be {IN_WORDS[setting.domain]}")
    return x


def explain(values: Mapping[str, Any], settings: tuple[Setting, ...], step: int = 1) -> None:
    """Raise an error that names the first of these settings that is not in its domain."""
    for s in settings:
        if s.name in values:
            number(s, values[s.name], step) if s.domain else flag(s.name, values[s.name])


def flag(name: str, value: Any) -> bool:
    """`value` as a bool, or an error that names it: what is true by accident, such as "False", is no flag."""
    known = isinstance(value, Integral) and value in (0, 1)     # a bool is such a number
    if not known and not (type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_")):
        raise TypeError(f"{name}: True or False is needed, got {value!r}")
    return bool(value)


def whole(name: str, value: Any, least: int = 1, most: int = MOST_STEPS) -> int:
    """`value` as an int from `least` to `most`, or an error that names it."""
    try:
        n = index(value)
    except TypeError:
        raise TypeError(f"{name}: a whole number is needed, got {value!r}") from None
    if n < least:
        raise ValueError(f"{name}={n}: it must be at least {least}")
    if n > most:
        raise ValueError(f"{name}: it must be at most {most}")
    return n


def negligible_after(ratio: float) -> int:
    """How many steps a movement that shrinks by `ratio` at each takes until all that would follow is below 2^-25 of the
    first one, half a unit of float32; -1 if it does not shrink."""
    if not 0.0 < ratio < 1.0:
        return 0 if ratio == 0.0 else -1
    return ceil(log(2.0 ** -25 * (1.0 - ratio)) / log(ratio))
