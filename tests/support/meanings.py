"""Which class and settings mean a rule, found by trying the settings of all classes. The one place where that is
searched; it imports no test framework, as the benchmarks ask here too."""
from __future__ import annotations

import itertools

import optcore as oc
from optcore.rules import FAMILIES, RULES
from optcore.rules.settings import FLAG


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
