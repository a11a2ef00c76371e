"""A call was refused: by an error that names the argument, and with nothing changed, neither arrays nor optimizer."""
from __future__ import annotations

import re

import numpy as np
import pytest

import optcore as oc
from optcore.rules import RULES
from tests.support.arrays import SHAPE, good_arrays
from tests.support.bad_arrays import Elsewhere
from tests.support.meanings import CLASSES

REFUSED = (TypeError, ValueError)


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


def build(name, named=False, seed=0):
    """(optimizer, gradients) for the class that means the rule: three tensors, by name or not."""
    kind, chosen = CLASSES[name]
    rng = np.random.default_rng(seed)
    params, grads = ([rng.standard_normal(s).astype(np.float32) for s in (SHAPE, (7,), ())] for _ in range(2))
    if named:
        params, grads = (dict(zip("abc", x, strict=True)) for x in (params, grads))
    return kind(params, lr=0.01, **chosen), grads


def contents(opt):
    """Everything of an optimizer that can be seen, as comparable values."""
    arrays = [*opt._layout.params, *(a for s in opt.state for a in s.values() if isinstance(a, np.ndarray))]
    groups = [{k: repr(v) for k, v in g.items() if k != "params"} for g in opt.param_groups]
    return [a.tobytes() for a in arrays], [(list(s), s["step"]) for s in opt.state], groups, repr(opt)


def refuse_by(opt, argument, arrays, attempt, *args, **kwargs):
    """`refuse`, and the optimizer is left as it was."""
    before = contents(opt)
    refuse(argument, arrays, attempt, *args, **kwargs)
    assert contents(opt) == before


def same_from_here(opt, twin, grads):
    """Two optimizers with equal contents stay equal: the refusals left nothing behind that is not seen."""
    for _ in range(2):
        opt.step(grads)
        twin.step(grads)
    assert contents(opt) == contents(twin)


def replaced(grads, k, bad):
    return {**grads, k: bad} if isinstance(grads, dict) else [bad if i == k else g for i, g in enumerate(grads)]


def functional_refuses(name, k, kinds):
    """The k-th array of a rule's function, made bad in each of these ways, is refused by its letter."""
    rule = RULES[name]
    for make in kinds.values():
        arrays = good_arrays(rule)
        arrays[k] = make(arrays[k])
        refuse(rule.arrays[k], arrays, getattr(oc.functional, name), *arrays, step=2)


def functional_refuses_as_average(name, kinds):
    arrays = good_arrays(RULES[name])
    for make in kinds.values():
        bad = make(arrays[0].copy())
        refuse("average", [*arrays, bad], getattr(oc.functional, name), *arrays, step=2, average=bad,
               average_weight=0.1)


def gradients_refused(name, stepped, kinds):
    """A class refuses a gradient made bad in each of these ways, in a list and by name, before the first step or after
    one, and goes on as if it had not been given."""
    for named in (False, True):
        (opt, grads), (twin, _) = build(name, named), build(name, named)
        if stepped:
            opt.step(grads)
            twin.step(grads)
        key = "a" if named else 0
        for make in kinds.values():
            bad = make(grads[key])
            refuse_by(opt, f"grads[{key!r}]", [bad], opt.step, replaced(grads, key, bad))
        same_from_here(opt, twin, grads)


def parameters_refused(kind, good, kinds):
    """A class refuses a parameter made bad in each of these ways, in its constructor and in a later group."""
    opt = kind([good.copy()])
    for make in kinds.values():
        bad = make(good.copy())
        refuse("params[1]", [good, bad], kind, [good, bad])
        refuse("params['b']", [good, bad], kind, {"w": good, "b": bad})
        refuse_by(opt, "params[1]", [bad], opt.add_param_group, {"params": [bad]})
