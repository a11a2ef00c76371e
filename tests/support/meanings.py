"""Which class and settings mean a rule, as the families' rows say. Imports no test framework: benchmarks ask too."""
from __future__ import annotations

import optcore as oc
from optcore.rules import FAMILIES, RULES
from optcore.rules.settings import FLAG

# For each rule that a class can mean: the class, and the settings beside the defaults that choose it.
CLASSES = {rule: (getattr(oc, name), dict(choice))
           for name, family in reversed(FAMILIES.items()) for rule, choice in family.choices.items()}


def numbers_of(name):
    """The numeric settings of a rule that its class takes too (Rprop, as torch's, takes no weight_decay)."""
    family = CLASSES[name][0].family
    return [s for s in RULES[name].all_settings
            if s.domain != FLAG and family.setting_of(s.name)[0] in family.settings]


def of_class(kind, setting, value):
    """The name and value by which a class takes a setting of its rule; what shares a tuple with it as it is made."""
    key, place = kind.family.setting_of(setting)
    if place is not None:
        value = tuple(value if k == place else x for k, x in enumerate(kind.family.settings[key]))
    return key, value
