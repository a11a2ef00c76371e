"""The three places of a rule agree: its row of the table, its struct in the kernels, its formula in the reference;
and everything made from the row (functions, stubs, docstrings) is there and true."""
from __future__ import annotations

import inspect

import pytest

import optcore as oc
from optcore import _dispatch, _kernels, functional, optimizers, racing, reference, schedules
from optcore.rules import FAMILIES, RULES
from tests.support.texts import examples_run, stubtest, type_checks


@pytest.mark.parametrize("isa", _dispatch.available())
def test_kernels_table_and_reference_have_the_same_rules(isa):
    in_kernels = _dispatch.load(isa).rules()
    assert set(in_kernels) == {r.kernel for r in RULES.values()}
    for rule in RULES.values():
        names, slots, codes, decays = in_kernels[rule.kernel]
        assert names == rule.fields
        defaults = [s.default for s in rule.all_settings]
        assert len(rule.scalars(1, *defaults)) == 3 + len(names)
        assert len(rule.arrays) == 2 + slots
        assert len(rule.keys) == (slots if rule.decay else 0)
        assert codes == sum(code << 4 * k for k, code in enumerate(rule.codes))
        assert decays == sum(which << 4 * k for k, which in enumerate(rule.decays))


def test_functions_and_their_signatures_follow_the_table():
    assert set(functional.__all__) == set(reference.__all__) == set(RULES)
    for name, rule in RULES.items():
        ours, theirs = getattr(functional, name), getattr(reference, name)
        assert inspect.signature(ours) == inspect.signature(theirs)
        assert list(inspect.signature(ours).parameters) == [
            *rule.arrays, "step", *(s.name for s in rule.all_settings), "num_threads", "seed", "offset", "rounding",
            "clip_value", "compensation", "copy", "average", "average_weight"]


def test_every_family_means_a_rule_for_its_defaults():
    for name, family in FAMILIES.items():
        rule, values = family.pick(family.settings)
        assert len(values) == len(RULES[rule].all_settings)
        assert name in oc.__all__ and getattr(oc, name).__name__ == name


def test_public_names_are_documented():
    for name in oc.__all__:
        assert inspect.getdoc(getattr(oc, name)), name
    for name in RULES:
        text = inspect.getdoc(getattr(functional, name))
        for part in ("step", "Raises", "Source", ">>>", *RULES[name].formula):
            assert part in text, (name, part)


@pytest.mark.parametrize("module", [oc, functional, reference, optimizers, schedules, oc._info, oc.step.arrays,
                                    oc.accumulate, oc.check, oc.search, oc.surfaces, racing],
                         ids=lambda m: m.__name__)
def test_examples_in_docstrings(module):
    assert examples_run(module) > 0 or module is oc


def test_stubs_agree_with_the_modules(tmp_path):
    # What Cython adds to every module.
    stubtest(tmp_path, ["optcore._kernels", "optcore.functional", "optcore.reference", "optcore.optimizers"],
             # And what is put together at run time: the stubs of the classes have it.
             [r"optcore\._kernels\.__test__", r"optcore\.optimizers\.(base|lookahead)\.\w+\.step"])


def test_the_package_type_checks(tmp_path):
    """As installed: py.typed and the stubs came along."""
    type_checks(
        tmp_path, "import numpy as np\nimport optcore as oc\n"
        "p = np.ones(3, np.float32)\n"
        "oc.functional.adam(p, p, p, p, step=1, lr=0.1)\n"
        "opt = oc.Adam([p], lr=0.1, betas=(0.9, 0.99))\n"
        "opt.step([p])\n"
        "oc.Adam([p], lr=oc.schedules.cosine(0.1, 9), betas=(lambda t: 0.9, 0.99))\n"
        "threads: int = oc.get_num_threads()\n"
        "opt2 = oc.Adam([p], learning_rate=0.1)  # type: ignore[call-arg]\n")


def test_a_rule_that_the_kernels_lack_is_named():
    with pytest.raises(ValueError, match="not in list"):
        _kernels.rule_index("NoSuchRule")
