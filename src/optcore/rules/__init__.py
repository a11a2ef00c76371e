"""THE TABLE: every update rule and every optimizer class, one row each, gathered from a file for each family.

Owns the order in which lists, stubs and pages show them. Functions, classes, reference wrappers, stubs, docs, races,
tests and benchmarks are made from these rows. Imports nothing compiled, and nothing of the package outside this folder.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optcore.rules import adagrad, adam, averaging, descent, nadam, proximal, rmsprop, sign
from optcore.rules.row import Family, Rule, in_order

__all__ = ["FAMILIES", "FORMULAS", "RULES", "SENSITIVE_STATE", "Family", "Rule"]

_FILES = (descent, adagrad, rmsprop, adam, nadam, sign, averaging, proximal)

# The order of what was there before each family had a file; what is not named comes after it. Nothing is added here.
RULES: dict[str, Rule] = in_order((rule for file in _FILES for rule in file.RULES), (
    "sgd", "momentum", "nesterov", "nesterov_classical", "lookahead", "accumulate", "adagrad", "rmsprop",
    "rmsprop_momentum", "rmsprop_centered", "rmsprop_centered_momentum", "adam", "adam_amsgrad", "adamw",
    "adamw_amsgrad", "lion", "adadelta", "adamax", "nadam", "nadamw", "radam", "radamw", "rprop", "asgd", "ademamix"))

FAMILIES: dict[str, Family] = in_order((family for file in _FILES for family in file.FAMILIES), (
    "SGD", "NesterovClassical", "Adagrad", "RMSprop", "Adam", "Lion", "AdamW", "Adadelta", "Adamax", "NAdam", "RAdam",
    "Rprop", "ASGD", "AdEMAMix"))

# By the name of the struct in kernels/rules.pxi: (p, g, state..., *, the struct's scalars) -> new p and state.
FORMULAS: dict[str, Callable[..., tuple[Any, ...]]] = {rule.kernel: rule.update for rule in RULES.values()}

# Kept in float32 where state is asked to be "int8".
SENSITIVE_STATE = {s.key for rule in RULES.values() for s in rule.state if s.sensitive}
