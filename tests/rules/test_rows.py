"""What the rows say of the classes: which settings mean which rule, and that nothing is said twice."""
from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from optcore import rules
from optcore.rules import FAMILIES, RULES

EACH = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


@EACH
def test_the_settings_that_choose_a_rule_choose_it(family):
    assert set(family.choices) == set(family.rules)
    assert family.choices[family.rules[0]] == {}            # the defaults
    for name, settings in family.choices.items():
        group = {**family.settings, **settings}
        picked, values = family.pick(group)
        assert picked == name
        for setting, value in zip(RULES[name].all_settings, values, strict=True):
            key, place = family.setting_of(setting.name)
            if key in group:
                assert value == (group[key] if place is None else group[key][place])
            else:
                assert value == family.fixed[setting.name]


@EACH
def test_every_setting_of_a_class_is_a_rules_or_chooses_one_or_begins_state(family):
    taken = {family.setting_of(s.name)[0] for rule in family.rules for s in RULES[rule].all_settings}
    choosing = {key for settings in family.choices.values() for key in settings}
    assert set(family.settings) == (taken | choosing | set(family.fill.values())) - set(family.fixed)


@pytest.mark.parametrize("nested", [False, True])
def test_nesterov_without_momentum_is_refused_in_the_words_of_its_row(nested):
    chosen = {"nesterov": True, "momentum": 0.9 if nested else 0.0, "dampening": 0.5 if nested else 0.0}
    message = (r"nesterov: it needs momentum > 0 and dampening = 0, got momentum="
               rf"{chosen['momentum']}, dampening={chosen['dampening']}")
    with pytest.raises(ValueError, match=message):
        FAMILIES["SGD"].pick({**FAMILIES["SGD"].settings, **chosen})


def test_a_name_stands_in_one_file_and_a_key_means_one_thing():
    for what in ("RULES", "FAMILIES"):
        names = Counter(row.name for file in rules._FILES for row in getattr(file, what))
        assert set(names.values()) == {1} and names.keys() == getattr(rules, what).keys()
    meant = {(s.key, s.code, s.sensitive) for rule in RULES.values() for s in rule.state if s.key}
    assert set(Counter(key for key, *_ in meant).values()) == {1}
    structs = {(rule.kernel, rule.update) for rule in RULES.values()}
    assert len(structs) == len(rules.FORMULAS)


def test_the_table_imports_nothing_compiled():
    """Nor anything of the package outside its folder, so that tools can read it before there are kernels."""
    code = ("import sys, types\n"
            f"package = types.ModuleType('optcore'); package.__path__ = [{str(list(rules.__path__)[0])!r} + '/..']\n"
            "sys.modules['optcore'] = package\n"
            "import optcore.rules\n"
            "print(sorted(m for m in sys.modules if m.startswith('optcore.') and not m.startswith('optcore.rules')))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
