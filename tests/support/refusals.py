"""A call was refused: by an error that names the argument, and with nothing changed, neither arrays nor optimizer."""
from __future__ import annotations

import re

import numpy as np
import pytest

from tests.support.arrays import SHAPE
from tests.support.bad_arrays import Elsewhere
from tests.support.classes import CLASSES

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
    arrays = [*opt._params, *(a for s in opt.state for a in s.values() if isinstance(a, np.ndarray))]
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
