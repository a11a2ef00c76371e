"""Which class and settings mean a rule, found by trying the settings of all classes; and the variations of classes that
several tests run. The one place where tests search for that."""
from __future__ import annotations

import itertools

import numpy as np
import pytest

import optcore as oc
from optcore.rules import FAMILIES, RULES
from optcore.rules.settings import FLAG
from optcore.schedules import cosine, exponential, one_cycle, warmup


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


VARIATIONS = [
    ("SGD", {}), ("SGD", {"momentum": 0.9}), ("SGD", {"momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.8, "nesterov": True}), ("NesterovClassical", {"maximize": True}),
    ("Adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.5}), ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9}), ("RMSprop", {"centered": True}), ("RMSprop", {"centered": True, "momentum": 0.5}),
    ("Adam", {}), ("Adam", {"amsgrad": True, "weight_decay": 0.1}), ("AdamW", {}), ("AdamW", {"amsgrad": True}),
    ("Lion", {"weight_decay": 0.1}), ("Adadelta", {}), ("Adamax", {"weight_decay": 0.1}), ("NAdam", {}),
    ("NAdam", {"decoupled_weight_decay": True, "weight_decay": 0.1}), ("RAdam", {}),
    ("RAdam", {"decoupled_weight_decay": True, "weight_decay": 0.1}), ("Rprop", {}), ("Rprop", {"maximize": True}),
    ("ASGD", {"t0": 2.0, "lambd": 0.1}), ("AdEMAMix", {}), ("AdEMAMix", {"t_alpha": 5.0, "t_beta3": 5.0}),
]
VARIATION_IDS = [name + "".join(f",{k}={v}" for k, v in s.items()) for name, s in VARIATIONS]
each_variation = pytest.mark.parametrize("name, chosen", VARIATIONS, ids=VARIATION_IDS)


def tensors(rng, sizes=((3, 5), (17,), (), (0,), (4, 1, 9))):
    return [rng.standard_normal(s).astype(np.float32).reshape(s) for s in sizes]


FALLING = {"lr": warmup(0.1, 2, then=cosine(0.1, 4)), "weight_decay": exponential(0.1, 0.5)}


def scheduled(chosen, family):
    """The settings of a variation, as many of them functions of the step as can be."""
    made = {**chosen, **{k: v for k, v in FALLING.items() if k in family.settings and k not in family.fill.values()}}
    if "betas" in family.settings:
        made["betas"] = (warmup(0.9, 3, start=0.5), *family.settings["betas"][1:])
    if made.get("momentum"):
        made["momentum"] = one_cycle(0.9, 6)
    return made
