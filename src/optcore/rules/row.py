"""The rows of the table: what is said of an update rule, of its state, and of an optimizer class.

Owns the dataclasses, and how a rule's scalars and a class's choice of a rule become functions. Holds no optimizer.

Scalars that depend on the settings and the step are computed in double, for the kernels and the reference alike; each
is rounded once to float32 by whoever takes it.
"""
from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from optcore.rules.made import Template, made
from optcore.rules.settings import DECAY, MAXIMIZE, MOST_STEPS, Setting, flag, number, whole

Group = Mapping[str, Any]           # a parameter group's settings, by the class's names
Meaning = tuple[str, tuple[Any, ...]]       # the name of a rule, and the values of its settings in order


# ------------------------------------------------------------------------------------------- a rule


@dataclass(frozen=True)
class State:
    """One state array of a rule."""

    key: str                        # torch's name; "" where it is not part of an optimizer's state
    letter: str                     # the paper's, in the formula and as the functions' argument
    nonnegative: bool = False       # never below 0, and so stored without a sign in 8 bits
    linear: bool = False            # if so, as large as gradients, and not as their squares
    decays: str = ""                # of one without a sign: the scalar it is multiplied by at each step, if one says it
    sensitive: bool = False         # kept in float32 where state is asked to be "int8"
    start: Setting | None = None    # the class's setting whose value it holds before the first step; None: 0
    begins: str = "zeros"           # the same in words, for the functions, which are handed the array
    shape: str = "parameter"        # "row": one number a row of the parameter, which is never narrow

    @property
    def code(self) -> int:
        """Which numbers its 8-bit codes stand for: SIGNED, SQUARE or SIZE in formats/block8.py; 8: it is one a row."""
        if self.shape == "row":
            return 8
        return 0 if not self.nonnegative else 2 if self.linear else 1


@dataclass(frozen=True)
class Rule:
    """One update rule: a function of optcore.functional and of optcore.reference."""

    name: str
    update: Callable[..., tuple[Any, ...]]          # the formula in NumPy, by the name of its struct in the kernels
    state: tuple[State, ...]
    settings: tuple[Setting, ...]                   # without weight_decay and maximize, which `decay` brings
    constants: Callable[..., tuple[float, ...]]     # (step, *settings) -> the rule's scalars, in the struct's order
    title: str
    formula: tuple[str, ...]
    source: str
    decay: Setting | None = DECAY                   # None: a rule that takes no gradient
    decoupled: bool = False                         # the decay shrinks p instead of joining g
    # For rows="dense": settings -> how many steps with a gradient of zero are to be made one by one, since a first
    # moment moves the parameters; -1, or no function: all. And the scalar that each further one multiplies each state
    # array by; "1-" before it: one less it; "": none.
    idle: Callable[..., int] | None = None
    fades: tuple[str, ...] = ()
    reads: str = "g"                                # the letter of the second array, which is only read
    scalars: Callable[..., tuple[float, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scalars", _checked_scalars(self))

    @cached_property
    def kernel(self) -> str:
        """The struct in kernels/rules.pxi."""
        return self.update.__name__

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The names of its scalars, in the struct's order."""
        parameters = inspect.signature(self.update).parameters.values()
        return tuple(x.name for x in parameters if x.kind is x.KEYWORD_ONLY)

    @cached_property
    def arrays(self) -> tuple[str, ...]:
        """Letters, in positional order; the second is only read."""
        return ("p", self.reads, *(s.letter for s in self.state))

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """torch's names of the state arrays."""
        return tuple(s.key for s in self.state if s.key)

    @cached_property
    def codes(self) -> tuple[int, ...]:
        """For each state array, the kind of its 8-bit codes."""
        return tuple(s.code for s in self.state)

    @cached_property
    def decays(self) -> tuple[int, ...]:
        """For each state array, which of the rule's scalars it decays by, counted from 1; 0: by none."""
        return tuple(self.fields.index(s.decays) + 1 if s.decays else 0 for s in self.state)

    @cached_property
    def starts(self) -> Mapping[str, str]:
        """By key, what a state array holds before step 1, in words; those of zeros are left out."""
        return {s.key: s.begins for s in self.state if s.begins != "zeros"}

    def idling(self, step: int, values: tuple[Any, ...], scalars: tuple[float, ...]) -> int:
        """`idle` at a step with these settings and scalars: with coupled decay p itself is a gradient: all count."""
        if self.idle is None or scalars[1] != 0:
            return -1
        return self.idle(*(number(s, x, step) for s, x in zip(self.settings, values, strict=False)))

    @cached_property
    def fading(self) -> tuple[tuple[int, bool], ...]:
        """For each state array what `fades` says: the number of the scalar among the rule's own, -1 for none, and
        whether it is one less that."""
        return tuple((self.fields.index(x.removeprefix("1-")) if x else -1, x.startswith("1-")) for x in self.fades)

    @cached_property
    def all_settings(self) -> tuple[Setting, ...]:
        return self.settings + ((self.decay, MAXIMIZE) if self.decay else ())


# One condition for all settings. The search for the wrong one, a schedule's value or a conversion to float come only
SCALARS = Template("""
def $name(step, $names):
    if not (step.__class__ is int and 1 <= step <= $most and $conditions):
        step = whole("step", step)
        $numbers, = [number(s, x, step) for s, x in zip(numeric, ($numbers,))]
        $flags
    return ($prelude, *constants(step, $own))
""")


def _checked_scalars(rule: Rule) -> Callable[..., tuple[float, ...]]:
    """scalars(step, *all settings) -> (scale, couple, keep, *the rule's own), after checking every one."""
    numeric = tuple(s for s in rule.all_settings if s.domain)
    conditions = [f"{s.name}.__class__ is float" for s in numeric] + [s.domain.replace("x", s.name) for s in numeric]
    if rule.decay is None:
        prelude = "1.0, 0.0, 1.0"
    elif rule.decoupled:
        prelude = "-1.0 if maximize else 1.0, 0.0, 1.0 - lr * weight_decay"
    else:
        prelude = "-1.0 if maximize else 1.0, weight_decay, 1.0"
    flags = [s.name for s in rule.all_settings if not s.domain]
    conditions += [f"{name}.__class__ is bool" for name in flags]
    return made(SCALARS, "scalars", {"number": number, "whole": whole, "flag": flag, "numeric": numeric,
                                     "constants": rule.constants},
                flags="; ".join(f'{name} = flag("{name}", {name})' for name in flags) or "pass",
                names=", ".join(s.name for s in rule.all_settings), most=str(MOST_STEPS),
                conditions=" and ".join(conditions), numbers=", ".join(s.name for s in numeric), prelude=prelude,
                own=", ".join(s.name for s in rule.settings))


# ------------------------------------------------------------------------------------------- a class


@dataclass(frozen=True)
class Choice:
    """A rule of a class, and the settings that choose it."""

    rule: Rule
    when: Mapping[str, Any] = field(default_factory=dict)   # True: a flag that is set; a number: one that is not 0
    needs: Mapping[str, Any] = field(default_factory=dict)  # what then must hold too; 0.0: a number that is 0


@dataclass(frozen=True)
class Race:
    """A name in optcore.race: the class with lr = times * the surface's `length`, and with these settings.

    length: "lr" for what follows the gradient, "stride" for what divides its size away (surfaces.py).
    """

    length: str
    times: float = 1.0
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """One optimizer class: torch's argument names and defaults, the rules that a group's settings may mean, and what
    general code asks about it."""

    name: str
    settings: Mapping[str, Any]                     # constructor arguments after params, with defaults
    means: tuple[Choice, ...]                       # from the plainest to the most special: the last that fits is meant
    title: str
    note: str = ""                                  # further sentences of its docs
    spread: Mapping[str, tuple[str, ...]] = field(default_factory=dict)     # a tuple -> the rules' settings in it
    fixed: Mapping[str, float] = field(default_factory=dict)    # what a rule's setting is where the class has none
    ahead: str = ""         # the rule that moves the parameters to where the gradient is to be taken
    # What torch carries from step to step in its state, and is computed here: (group, steps taken) -> key -> number.
    carried: Callable[[Group, int], dict[str, float]] | None = None
    # The same after step t where settings were others before: (group, t, what the state carried before it). None: as
    # `carried`. The rule's `constants` take what was carried as `carried=` there.
    follows: Callable[[Group, int, Mapping[str, float]], dict[str, float]] | None = None
    counted: bool = True    # whether torch keeps "step" in the state
    becomes: Mapping[str, str] = field(default_factory=dict)    # a flag of torch's groups -> the class it makes of this
    only_rows: bool = False     # in optcore.torch, as torch's class, takes sparse gradients only
    races: Mapping[str, Race] = field(default_factory=dict)     # by the name in optcore.race
    use: tuple[str, ...] = ()       # when to use it
    fails: tuple[str, ...] = ()     # where it fails
    pick: Callable[[Group], Meaning] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pick", _picking(self))

    @cached_property
    def rules(self) -> tuple[str, ...]:
        """The rules that pick may name."""
        return tuple(choice.rule.name for choice in self.means)

    @cached_property
    def choices(self) -> Mapping[str, Mapping[str, Any]]:
        """For each rule of the class, the settings beside the defaults that choose it."""
        return {c.rule.name: {**c.when, **{k: v for k, v in c.needs.items() if v != self.settings[k]}}
                for c in self.means}

    def setting_of(self, setting: str) -> tuple[str, int | None]:
        """The class's setting that holds a rule's, and the place in it if that is a tuple."""
        for key, parts in self.spread.items():
            if setting in parts:
                return key, parts.index(setting)
        return setting, None

    @cached_property
    def carries(self) -> tuple[str, ...]:
        """torch's names of what it carries beside arrays."""
        return tuple(self.carried(self.settings, 0)) if self.carried else ()

    def keys(self) -> dict[str, None]:
        """torch's names of the state arrays that any of the rules keeps, in order."""
        return {key: None for choice in self.means for key in choice.rule.keys}

    @cached_property
    def codes(self) -> Mapping[str, int]:
        """State key -> the kind of its 8-bit codes."""
        return {s.key: s.code for choice in self.means for s in choice.rule.state if s.key}

    @cached_property
    def shapes(self) -> Mapping[str, str]:
        """State key -> its shape, as its row says it."""
        return {s.key: s.shape for choice in self.means for s in choice.rule.state if s.key}

    @cached_property
    def fill(self) -> Mapping[str, str]:
        """State key -> the setting with its first value, where that is not 0."""
        return {s.key: s.start.name for choice in self.means for s in choice.rule.state if s.start}

    @cached_property
    def domains(self) -> tuple[Setting, ...]:
        """Settings that not every rule takes, to be checked whichever is meant."""
        rules = [choice.rule for choice in self.means]
        common = set.intersection(*({s.name for s in rule.all_settings} for rule in rules))
        found = {s.name: s for rule in rules for s in rule.all_settings if s.domain and s.name not in common}
        found |= {s.start.name: s.start for rule in rules for s in rule.state if s.start}
        return tuple(found.values())

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The names in optcore.race whose ways its picture shows: as many as are told apart there."""
        return tuple(self.races)[:3]

    @cached_property
    def remarks(self) -> str:
        """The note as a paragraph of a docstring, to be put behind its first line."""
        return self.note and f"\n\n{textwrap.fill(self.note, 116)}"


# Which rule, and its settings from the group. Written out because it is on the way of every step.
PICK = Template("""
def $name(g):
    if not ($flags): g = flagged(g)
    $spread
    if $refused: refuse(g)
    return $meaning
""")


def _holds(conditions: Mapping[str, Any]) -> str:
    """As source, whether a group `g` has these settings."""
    return " and ".join(f'g["{k}"]' if v is True else f'g["{k}"] {"!=" if v else "=="} 0'
                        for k, v in conditions.items())


def _picking(family: Family) -> Callable[[Group], Meaning]:
    """pick(group) -> the name of the rule that its settings mean, and their values in the rule's order."""
    spread = [f'{", ".join(parts)} = x if (x := g["{key}"]).__class__ is tuple and len(x) == {len(parts)} '
              f'else several("{key}", x, {len(parts)})' for key, parts in family.spread.items()]
    refused = [f"{_holds(c.when)} and not ({_holds(c.needs)})" for c in family.means if c.needs]
    taken = {part: part for parts in family.spread.values() for part in parts}
    taken |= {setting: repr(value) for setting, value in family.fixed.items()}
    meaning = ""
    for choice in family.means:
        values = ", ".join(taken.get(s.name, f'g["{s.name}"]') for s in choice.rule.all_settings)
        one = f'("{choice.rule.name}", ({values},))'
        meaning = f"{one} if {_holds(choice.when)} else {meaning}" if choice.when else one

    def refuse(g: Group) -> None:
        for choice in family.means:
            if choice.needs and _all(g, choice.when) and not _all(g, choice.needs):
                needed = " and ".join(f"{k} > 0" if v else f"{k} = 0" for k, v in choice.needs.items())
                got = ", ".join(f"{k}={g[k]!r}" for k in choice.needs)
                raise ValueError(f"{next(iter(choice.when))}: it needs {needed}, got {got}")

    # Those that every rule takes are checked with its scalars.
    flags = [k for k, v in family.settings.items() if isinstance(v, bool)
             and not all(k in (s.name for s in choice.rule.all_settings) for choice in family.means)]

    def flagged(g: Group) -> Group:
        return {**g, **{name: flag(name, g[name]) for name in flags}}

    return made(PICK, "pick", {"several": _several, "refuse": refuse, "flagged": flagged},
                flags=" and ".join(f'g["{name}"].__class__ is bool' for name in flags) or "True",
                spread="; ".join(spread) or "pass",
                refused=" or ".join(refused) or "False", meaning=meaning)


def _all(g: Group, conditions: Mapping[str, Any]) -> bool:
    return all(g[k] if v is True else (g[k] != 0) == bool(v) for k, v in conditions.items())


def _several(key: str, x: Any, n: int) -> tuple[Any, ...]:
    """A setting that is given as a tuple or list of n numbers."""
    if not isinstance(x, (tuple, list)) or len(x) != n:
        raise ValueError(f"{key}={x!r}: {'two' if n == 2 else 'three'} numbers are needed")
    return tuple(x)


def in_order(rows: Iterable[Any], known: tuple[str, ...]) -> dict[str, Any]:
    """Rows by name, first those of known names in their order, then the others as they come."""
    found = {row.name: row for row in rows}
    return {name: found[name] for name in (*known, *(name for name in found if name not in known))}
