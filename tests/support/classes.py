"""Variations of the classes that several tests run: settings, tensors to step, settings that are schedules."""
from __future__ import annotations

import numpy as np
import pytest

from optcore.schedules import cosine, exponential, one_cycle, warmup

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
