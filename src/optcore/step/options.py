"""THE TABLE of options: what a call may ask beside its rule's settings, a row each.

Owns names, defaults, domains, the places where an option may be given, and what docs and stubs say of it. Signatures,
docstrings, stubs and checks of the functions, the classes, their steps and optcore.torch are made from these rows
(signatures.py). What an option does stands where it is done: policy.py, share.py, the kernels. Imports nothing
compiled.

To add an option: its row here, and what it does.
"""
from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from optcore.rules.settings import CLIP_VALUE, FRACTION, MEASURE, POSITIVE, Setting, flag, number, whole

# Where an option may be given: the functions of functional.py and reference.py; the constructors of optimizers/; their
# step(); the constructors of torch/; a parameter group of either, whose own value goes before the constructor's.
FUNCTION, CLASS, STEP, TORCH, GROUP = "function", "class", "step", "torch", "group"
NUMBER = "float | Callable[[int], float]"      # in stubs: a number, or a function of the step


@dataclass(frozen=True)
class Option:
    """One option. about: what the docs say; words: what they say instead in some places, in which {key} is the name of
    a state array. kind: its type as stubs say it ("Array" is the module's own)."""

    name: str
    default: Any
    kind: str
    at: tuple[str, ...]
    about: str
    setting: Setting | None = None              # the domain of a number; None is allowed where it is the default
    choices: tuple[str, ...] = ()               # the words it may be
    least: int | None = None                    # of a whole number that has no other bound
    words: Mapping[str, str] | None = None

    def check(self, value: Any, step: int = 1) -> None:
        """Raise TypeError or ValueError, naming the option, if it may not have this value."""
        if self.choices:
            if value not in self.choices:
                raise ValueError(f"{self.name}={value!r}: it must be {' or '.join(self.choices)}")
        elif self.kind == "bool":
            flag(self.name, value)
        elif self.least is not None:
            whole(self.name, value, self.least)
        elif self.setting is not None and not (value is None and self.default is None):
            number(self.setting, value, step)

    def text(self, place: str, key: str = "") -> str:
        found = (self.words or {}).get(place, self.about)
        return found.replace("{key}", key)


AVERAGE = Setting("average", 0.999, FRACTION, "")

OPTIONS: tuple[Option, ...] = (
    Option("state_dtype", "float32", "str | Mapping[str, str]", (CLASS, TORCH, GROUP),
           '"float32" (of float64 parameters float64, and no other); "bfloat16" for half the memory and less traffic '
           '(kept as uint16); "int8" for a quarter '
           "(8-bit codes, 260 bytes for 256 elements; small tensors, and a maximum, an average of parameters or a "
           "step size, stay float32). Both are rounded stochastically. Where state arrays shall differ, a dict such as "
           '{"{key}": "bfloat16"}. A group may have its own, and either may be changed between steps: what there is '
           "is then converted by value.",
           words={TORCH: '"float32", or "bfloat16" for half the memory (rounded stochastically), or "int8" for a '
                         "quarter; where state arrays shall differ, a dict as "
                         '{"{key}": "bfloat16"}. A group may have its own.'}),
    Option("min_8bit_size", 4096, "int", (CLASS, TORCH, GROUP),
           "tensors of fewer elements keep float32 state where state_dtype says 8 bits. A group may have its own.",
           least=0),
    Option("num_threads", None, "int | None", (FUNCTION, STEP),
           "threads for this call (default: see optcore.get_num_threads)."),
    Option("seed", 0, "int", (FUNCTION, CLASS),
           "fixes, with the tensor's number and the step, the noise of all rounding.",
           words={FUNCTION: "fixes, with step and offset, the noise by which what is narrow is rounded."}),
    Option("seed", None, "int | None", (TORCH,),
           "fixes, with the parameter's number and the step, that rounding's noise. None: 0 for the first optimizer of "
           "this process that is given none, and for each further one a number whose noise is another; the same "
           "program has the same ones, and a checkpoint carries it."),
    Option("offset", 0, "int", (FUNCTION,),
           "the number of p's first element where p is a shard of a larger array; with 8-bit state a multiple of 256."),
    Option("rows", "lazy", "str", (CLASS,),
           'what a gradient by rows (optcore.Rows) means for the rows that it does not name. "lazy": they are left '
           "alone, with their state and averages; the count of steps is the whole array's. \"dense\": they are as if "
           "their gradient were zero; what a row missed is made up for when it is named next, or by `catch_up`.",
           choices=("lazy", "dense")),
    Option("nonfinite", "propagate", "str", (CLASS, TORCH),
           'what a step does when a gradient has an infinity or NaN: "propagate" it, "skip" the step (nothing changes, '
           'but `skipped` counts it), or "raise" FloatingPointError. Other than "propagate" reads the gradients once '
           "more.", choices=("propagate", "skip", "raise")),
    Option("max_norm", None, "float | None", (STEP, TORCH),
           "clip: the step is made as if all gradients had then been multiplied by min(1, max_norm / (norm + 1e-6)), "
           "with their global Euclidean norm, which `grad_norm` then holds. They are read once more for it, and not "
           "changed. Infinity only measures.",
           setting=Setting("max_norm", 1.0, MEASURE, "", scheduled=False),
           words={TORCH: "clip by the global norm of the gradients, as torch.nn.utils.clip_grad_norm_ but without "
                         "changing them; `grad_norm` then holds the norm."}),
    Option("rounding", "stochastic", "str", (FUNCTION,),
           "of bfloat16 parameters, 'stochastic' or 'nearest'.", choices=("stochastic", "nearest")),
    Option("clip_value", None, "float | None", (FUNCTION, STEP, TORCH),
           "the step is made as if every element of the gradients had then been brought into -clip_value..clip_value.",
           setting=CLIP_VALUE,
           words={FUNCTION: "the gradient's elements are first brought into -clip_value..clip_value (default: not)."}),
    Option("grad_scale", None, "float | None", (STEP,),
           "what the gradients are too large by (loss scaling); the step is made as if they had been divided by it, "
           "before they are clipped.", setting=Setting("grad_scale", 1.0, POSITIVE, "", scheduled=False)),
    Option("rounding", "stochastic", "str", (CLASS, TORCH),
           'how parameters in bfloat16 are kept: rounded "stochastic"ally or to "nearest" (which loses updates below '
           '2^-9 of a parameter), with what they lack in an array beside them (state "compensation"), of bfloat16 '
           '("kahan") or of 8 bits ("residual", 3 bytes a parameter, for bfloat16 alone), or as copies of a float32 '
           '"master" (state "master"), which is what is updated; float16 can be this as well.',
           choices=("stochastic", "nearest", "kahan", "residual", "master"),
           words={TORCH: 'how bfloat16 parameters are kept: rounded "stochastic"ally or to "nearest" (which loses '
                         'updates below 2^-9 of a parameter), with what they lack in a tensor beside them (state '
                         '"compensation"), of bfloat16 ("kahan") or of 8 bits ("residual", 3 bytes a parameter, for '
                         'bfloat16 alone), or as copies of a float32 "master" (state "master"), which '
                         "is what is updated; what others write into the parameter between steps is taken over, unless "
                         "they write past torch's count of writes (in place, through `p.data`)."}),
    Option("compensation", None, "Array | None", (FUNCTION,),
           "bfloat16 or int8, shape of p, for p in bfloat16: what p lacks of the parameter, which is then kept to 16 "
           "bits (bfloat16, Kahan's) or as a float of 24 bits (int8, the residual); zeros before step 1; updated in "
           "place."),
    Option("copy", None, "Array | None", (FUNCTION,),
           "bfloat16 or float16, shape of p; receives the new parameters, rounded to nearest."),
    Option("average", None, "Array | None", (FUNCTION,),
           "float32 (of float64 p float64), shape of p; average <- average + average_weight (p - average), with the "
           "new p before it is rounded: an exponential moving average; updated in place."),
    Option("average_weight", 0.0, "float", (FUNCTION,), "how far the average moves towards p.",
           setting=Setting("average_weight", 0.0, FRACTION, "", scheduled=False)),
    Option("average", None, f"{NUMBER} | None", (CLASS, TORCH),
           "keep an exponential moving average of the parameters, average <- average + (1 - average)(p - average), in "
           "the same pass: a number from 0 up to 1, such as 0.999, or a function of the step; see `averages`.",
           setting=AVERAGE,
           words={TORCH: "keep an exponential moving average of the parameters, average <- average + (1 - average)"
                         "(p - average), in the same walk (state \"average\", float32, or float64 as p): a number "
                         "from 0 up to 1, such as 0.999, or a function of the step that gives one. `averages` gives "
                         "them, and within `with opt.averaged():` the parameters are them."}),
    Option("zero_grads", False, "bool", (STEP, TORCH),
           "set the gradients to zero, while they are in the cache; those of a skipped step too."),
    Option("undoable", False, "bool", (STEP, TORCH),
           "keep what undo() needs: a copy of parameters and state (Adam: 12 bytes a parameter), taken before the step "
           "and held until the next one."),
    Option("num_threads", None, "int | None", (TORCH,), "threads of a step (default: see optcore.get_num_threads)."),
)


def options(place: str) -> dict[str, Option]:
    """The options that may be given in a place, by name, in order."""
    return {o.name: o for o in OPTIONS if place in o.at}


def defaults(place: str) -> dict[str, Any]:
    return {name: o.default for name, o in options(place).items()}


_AT = {place: options(place) for place in (FUNCTION, CLASS, STEP, TORCH, GROUP)}


def check(place: str, values: Mapping[str, Any]) -> None:
    """Raise an error that names the first of these options that may not have its value."""
    for name, o in _AT[place].items():
        if name in values:
            o.check(values[name])


# What one step is asked to do, whoever asks: a field for each option of a step.
_made: Callable[..., Any] = namedtuple      # of fields that mypy cannot know
_Fields: Any = _made("_Fields", list(_AT[STEP]), defaults=list(defaults(STEP).values()))


class Ask(_Fields):         # type: ignore[misc]
    __slots__ = ()


PLAIN = Ask()


def asked(options: dict[str, Any]) -> Ask:
    """The keywords of a step as one value, after checking them."""
    for name, value in options.items():
        if name not in _AT[STEP]:
            raise TypeError(f"step() got an unexpected keyword argument {name!r}")
        _AT[STEP][name].check(value)
    ask: Ask = Ask(**options)
    return ask
