"""Settings that are functions of the step: every function and class takes them, and does what it would have done
had the value at each step been given there; what goes bad at some step is refused there, with nothing changed."""
from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optcore as oc
from optcore.rules import RULES
from optcore.rules.settings import FLAG
from optcore.schedules import constant, warmup
from tests.support.arrays import good_arrays, random_arrays
from tests.support.bits import assert_same_bits
from tests.support.classes import each_variation, scheduled, tensors
from tests.support.draws import ELEMENTWISE, RULE_NAMES, settings_for
from tests.support.meanings import CLASSES, numbers_of, of_class
from tests.support.refusals import build, refuse, refuse_by, same_from_here
from tests.support.steps import ReferenceLoop, reference_step


@given(name=RULE_NAMES, data=st.data(), step=st.integers(1, 2**53), seed=st.integers(0, 2**32 - 1))
def test_a_callable_counts_as_its_value_at_the_step(name, data, step, seed):
    rule = RULES[name]
    values = data.draw(settings_for(rule))
    called = {}
    for s in rule.all_settings:
        wrap = data.draw(st.sampled_from([float, constant, lambda x: lambda t: np.float64(x) if t == step else None]))
        called[s.name] = values[s.name] if s.domain == FLAG else wrap(values[s.name])
    arrays = random_arrays(rule, 33, np.random.default_rng(seed))
    given_floats, by_reference = ([a.copy() for a in arrays] for _ in range(2))
    getattr(oc.functional, name)(*given_floats, step=step, **values)
    reference_step(rule, by_reference, step, called)
    getattr(oc.functional, name)(*arrays, step=step, **called)
    for a, b, c in zip(arrays, given_floats, by_reference, strict=True):
        assert_same_bits(a, b)
        assert_same_bits(a, c)


@pytest.mark.parametrize("name", sorted(RULES))
def test_plain_floats_pay_for_no_question(name, monkeypatch):
    rule = RULES[name]
    defaults = [s.default for s in rule.all_settings]
    monkeypatch.setitem(rule.scalars.__globals__, "number", None)
    assert len(rule.scalars(1, *defaults)) >= 3
    with pytest.raises(TypeError, match="NoneType"):
        rule.scalars(1, constant(0.5), *defaults[1:])


@each_variation
def test_classes_step_as_if_the_values_had_been_set_by_hand(name, chosen):
    rng = np.random.default_rng(3)
    by_itself = tensors(rng)
    by_hand = [p.copy() for p in by_itself]
    chosen = scheduled(chosen, getattr(oc, name).family)
    opt = getattr(oc, name)(by_itself, **chosen)
    hand = getattr(oc, name)(by_hand, **chosen)
    for t in range(1, 9):
        grads = tensors(rng)
        now = {k: v(t) if callable(v) else v for k, v in chosen.items()}
        if "betas" in chosen:
            now["betas"] = (chosen["betas"][0](t), *chosen["betas"][1:])
        hand.param_groups[0].update(now)
        opt.step(grads)
        hand.step(grads)
        for a, b in zip(by_itself, by_hand, strict=True):
            assert_same_bits(a, b)


@each_variation
def test_each_parameter_counts_its_own_steps_and_resumes_there(name, chosen):
    """Against loops over the reference, with gradients left out; after four steps another optimizer goes on, and
    after six its unpickled copy."""
    rng = np.random.default_rng(4)
    chosen = scheduled(chosen, getattr(oc, name).family)
    mine = tensors(rng)
    loop = ReferenceLoop(name, [p.copy() for p in mine], **chosen)
    opt = getattr(oc, name)(mine, **chosen)
    for t in range(8):
        if t == 4:
            saved = pickle.loads(pickle.dumps(opt.state_dict()))
            assert all(saved["param_groups"][0][k] == v for k, v in chosen.items())
            opt = getattr(oc, name)(mine)
            opt.load_state_dict(saved)
        if t == 6:
            opt = pickle.loads(pickle.dumps(opt))
            mine = opt.param_groups[0]["params"]
        grads = [None if rng.random() < 0.3 else g for g in tensors(rng)]
        opt.step(grads)
        loop.step(grads)
    for a, b in zip(mine, loop.params, strict=True):
        assert_same_bits(a, b)


GONE_BAD = st.sampled_from(
    [-1.0, float("nan"), float("inf"), 10**400, "x", None, np.ones(2), constant(0.5), KeyError()])


def until(step, bad):
    """A schedule that is 0.5 before the step, and at it and after it what it should not be, or an error."""
    def value(t):
        if t < step:
            return 0.5
        if isinstance(bad, Exception):
            raise bad
        return bad
    return value


@given(name=RULE_NAMES, bad=GONE_BAD, step=st.integers(1, 2**53), data=st.data())
def test_functions_refuse_a_bad_value_and_name_setting_and_step(name, bad, step, data):
    rule = RULES[name]
    arrays = good_arrays(rule)
    setting = data.draw(st.sampled_from([s.name for s in rule.all_settings if s.domain != FLAG]))
    for word in (setting, f"at step {step}"):
        refuse(word, arrays, getattr(oc.functional, name), *arrays, step=step, **{setting: until(step, bad)})
    refuse("step", arrays, getattr(oc.functional, name), *arrays, step=0, **{setting: until(step, bad)})


@pytest.mark.parametrize("name", [name for name in sorted(CLASSES) if name in ELEMENTWISE])
@settings(max_examples=25)
@given(bad=GONE_BAD, taken=st.integers(0, 3), data=st.data())
def test_classes_refuse_a_bad_value_when_its_step_comes(name, bad, taken, data):
    (opt, grads), (twin, _) = build(name), build(name)
    kind, chosen = CLASSES[name]
    setting = data.draw(st.sampled_from([s.name for s in numbers_of(name)]))
    key, made = of_class(kind, setting, until(taken + 1, bad))
    for x in (opt, twin):
        for _ in range(taken):
            x.step(grads)
    before, opt.param_groups[0][key] = opt.param_groups[0][key], made
    for word in (setting, f"at step {taken + 1}"):
        refuse_by(opt, word, grads, opt.step, grads)
    if taken == 0:
        refuse(setting, [], kind, opt._layout.params, **{**chosen, key: made})
    opt.param_groups[0][key] = before
    same_from_here(opt, twin, grads)


def test_a_bad_value_is_refused_before_the_state_of_another_rule_is_made():
    (opt, grads), (twin, _) = build("adam"), build("adam")
    opt.step(grads)
    twin.step(grads)
    opt.param_groups[0].update(amsgrad=True, lr=until(2, -1.0))
    refuse_by(opt, "lr", grads, opt.step, grads)
    opt.param_groups[0].update(amsgrad=False, lr=twin.param_groups[0]["lr"])
    same_from_here(opt, twin, grads)


def test_what_is_read_once_is_no_function_of_the_step():
    p = np.ones(3, np.float32)
    refuse("initial_accumulator_value", [p], oc.Adagrad, [p], initial_accumulator_value=constant(0.1))


def test_lookahead_goes_by_the_momentum_of_the_optimizers_coming_step():
    """As the step will: by the optimizer's count, whatever a tensor's own is."""
    rng = np.random.default_rng(6)
    momentum = warmup(0.9, 5, start=0.4)
    params = tensors(rng)
    opt = oc.NesterovClassical(params, lr=0.1, momentum=momentum)
    for t in range(6):
        opt.step([None if k == 0 and t % 2 else g for k, g in enumerate(tensors(rng))])
        here = [p.copy() for p in params]
        with opt.lookahead():
            for p, q, s in zip(params, here, opt.state, strict=True):
                assert_same_bits(p, q + np.float32(momentum(t + 2)) * s["velocity"])
