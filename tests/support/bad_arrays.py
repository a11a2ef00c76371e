"""What several tests need to try bad input: arrays that cannot be used, numbers that no setting may have, the class
and settings that mean a rule, and a check that a call was refused by name and without effect."""
from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

import optcore as oc
from optcore.rules import FAMILIES, RULES
from optcore.rules.settings import FLAG, FRACTION, GROWING, NONNEGATIVE, SHRINKING
from tests.support.helpers import random_arrays

SHAPE = (4, 6)
REFUSED = (TypeError, ValueError)


def meanings():
    """For each rule that a class can mean: the class and the settings under which it does."""
    found = {}
    for name, family in FAMILIES.items():
        choices = {k: (False, True) for k, v in family.settings.items() if isinstance(v, bool) and k != "maximize"}
        if "momentum" in family.settings:
            choices["momentum"] = (0.0, 0.9)
        for values in itertools.product(*choices.values()):
            chosen = dict(zip(choices, values, strict=True))
            try:
                rule, _ = family.pick({**family.settings, **chosen})
            except ValueError:              # settings that exclude each other
                continue
            found.setdefault(rule, (getattr(oc, name), chosen))
    return found


CLASSES = meanings()

# Where a class takes a rule's setting in a tuple: under which name, and at which place.
PLACES = {"beta1": ("betas", 0), "beta2": ("betas", 1), "beta3": ("betas", 2), "etaminus": ("etas", 0),
          "etaplus": ("etas", 1), "step_size_min": ("step_sizes", 0), "step_size_max": ("step_sizes", 1)}


def numbers_of(name):
    """The numeric settings of a rule that its class takes too (Rprop, as torch's, takes no weight_decay)."""
    taken = CLASSES[name][0].family.settings
    return [s for s in RULES[name].all_settings
            if s.domain != FLAG and PLACES.get(s.name, (s.name,))[0] in taken]


def of_class(kind, setting, value):
    """The name and value by which a class takes a setting of its rule; what shares a tuple with it as it is made."""
    key, place = PLACES.get(setting, (setting, None))
    if place is not None:
        value = tuple(value if k == place else x for k, x in enumerate(kind.family.settings[key]))
    return key, value


def good_arrays(rule, shape=SHAPE, seed=0):
    n = int(np.prod(shape))
    return [a.reshape(shape) for a in random_arrays(rule, n, np.random.default_rng(seed))]


def bytes_of(x):
    """The bytes of an array and of all memory that it is a view of; of anything else, what it looks like."""
    if isinstance(x, Elsewhere):
        x = x.inner
    if isinstance(x, np.ndarray):
        return [x.tobytes(), *(bytes_of(x.base) if isinstance(x.base, np.ndarray) else [])]
    return repr(x)


def refuse(argument, arrays, attempt, *args, **kwargs):
    """attempt(*args, **kwargs) raises an error whose message has the argument in it as a word; no byte of the arrays
    has changed then."""
    before = [bytes_of(a) for a in arrays]
    with pytest.raises(REFUSED, match=rf"(?<!\w){re.escape(argument)}(?!\w)"):
        attempt(*args, **kwargs)
    assert [bytes_of(a) for a in arrays] == before


class Elsewhere:
    """An array that says it is on another device. Its memory must not be asked for."""

    def __init__(self, inner, **attributes):
        self.inner = inner
        for name, value in attributes.items():
            setattr(self, name, value)

    def __dlpack__(self, **_):
        raise AssertionError("the memory of another device was asked for")


class OnCuda(Elsewhere):
    def __dlpack_device__(self):
        return 2, 0


def strided(a):
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), np.float32)
    wide[..., ::2] = a
    return wide[..., ::2]


def misaligned(a, by):
    raw = np.zeros(a.nbytes + 8, np.uint8)
    first = -raw.ctypes.data % 4 + by
    b = raw[first:first + a.nbytes].view(np.float32).reshape(a.shape)
    b[...] = a
    return b


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def backwards(a):
    return np.ascontiguousarray(a[::-1])[::-1]


# For a gradient and for what is updated. Each makes a bad array from a good one.
BAD = {
    "float64": lambda a: a.astype(np.float64),
    "int16": lambda a: a.astype(np.int16),
    "int8": lambda a: np.zeros(a.shape, np.int8),
    "uint8": lambda a: np.zeros(a.shape, np.uint8),
    "int32": lambda a: a.view(np.int32),
    "big-endian": lambda a: a.astype(">f4"),
    "bytes": lambda a: a.tobytes(),
    "a record": lambda a: a.view([("x", np.float32)]),
    "bfloat16": lambda a: torch.from_numpy(a).to(torch.bfloat16),
    "requires grad": lambda a: torch.from_numpy(a).requires_grad_(),
    "no memory": lambda a: torch.empty(a.shape, device="meta"),
    "dlpack on cuda": OnCuda,
    "cuda array interface": lambda a: Elsewhere(a, __cuda_array_interface__={"shape": a.shape, "typestr": "<f4"}),
    "a list": lambda a: a.tolist(),
    "a number": lambda a: 0.5,
    "a string": lambda a: "p",
}
BAD_SHAPE = {
    "same size": lambda a: a.reshape(a.shape[::-1]),
    "one axis more": lambda a: a[None],
    "flat": lambda a: a.ravel(),
    "larger": lambda a: np.ones((a.shape[0] + 1, *a.shape[1:]), np.float32),
    "smaller": lambda a: np.ones((a.shape[0], a.shape[1] - 1), np.float32),
    "broadcastable": lambda a: np.ones((1, a.shape[1]), np.float32),
    "empty": lambda a: np.ones((0, a.shape[1]), np.float32),
}
BAD_TARGET = {
    "float16": lambda a: a.astype(np.float16),
    "strided": strided,
    "transposed": lambda a: np.asfortranarray(a),
    "negative strides": backwards,
    "misaligned by 1": lambda a: misaligned(a, 1),
    "misaligned by 2": lambda a: misaligned(a, 2),
    "misaligned by 3": lambda a: misaligned(a, 3),
    "read-only": read_only,
    "read-only memoryview": lambda a: memoryview(a).toreadonly(),
}


def bad_numbers(setting):
    limit = {FRACTION: 1.0, SHRINKING: 1.0, NONNEGATIVE: 3.5e38, GROWING: 3.5e38}[setting.domain]
    edges = {SHRINKING: [0.0, 0], GROWING: [0.0, 0.5, 1.0, 1]}.get(setting.domain, [-1.0])
    return st.one_of(
        st.sampled_from(edges),
        st.floats(max_value=-1e-300), st.floats(min_value=limit), st.integers(max_value=-1),
        st.sampled_from([float("nan"), float("inf"), np.float32("nan"), 10**400, -10**400, "x", b"1", 1j, [0.1],
                         (0.1, 0.2), {}, object(), np.ones(2), np.full(1, 0.5), torch.ones(2)]))
