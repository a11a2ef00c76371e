"""What is true of every object whose memory is taken: it is updated where it lies, and a gradient is only read."""
from __future__ import annotations

import numpy as np

import optcore as oc
from optcore.rules import RULES
from tests.support.arrays import good_arrays
from tests.support.bits import assert_same_bits
from tests.support.meanings import CLASSES
from tests.support.steps import reference_step

STEP = 2


def updates_by_function(name, make, values):
    """make: from a flat array an object with memory of its own; values: what is in it."""
    rule = RULES[name]
    want = good_arrays(rule, (37,))
    given = [make(a) for a in want]
    assert getattr(oc.functional, name)(*given, step=STEP) is None
    reference_step(rule, want, STEP, {})
    for letter, x, b in zip(rule.arrays, given, want, strict=True):
        assert_same_bits(values(x), b, letter)


def updates_by_class(name, make, values):
    """In a list, in a dict, and alone: one array is not mistaken for a sequence of parameters."""
    cls, chosen = CLASSES[name]
    rng = np.random.default_rng(0)
    p, g, q, h = (rng.standard_normal(37).astype(np.float32) for _ in range(4))
    ours = [make(p), make(q)]
    by_list, by_name, alone = cls(ours, **chosen), cls({"w": make(p), "b": make(q)}, **chosen), cls(make(p), **chosen)
    want = [p.copy(), q.copy()]
    twin = cls(want, **chosen)
    for _ in range(2):
        twin.step([g, h])
        by_list.step([make(g), make(h)])
        by_name.step({"b": make(h), "w": make(g)})
        alone.step(make(g))
    for x, b in zip(ours, want, strict=True):
        assert_same_bits(values(x), b)
    for opt, count in ((by_list, 2), (by_name, 2), (alone, 1)):
        for a, b in zip(opt._layout.params, want[:count], strict=True):
            assert_same_bits(a, b)


def as_array(x):
    return np.from_dlpack(x) if hasattr(x, "__dlpack__") and not isinstance(x, np.ndarray) else np.asarray(x)


def only_reads(name, make):
    """make: from an array a gradient that lies in memory in another way, or may not be written."""
    rule = RULES[name]
    arrays = good_arrays(rule)
    arrays[1] = make(arrays[1])
    want = [as_array(a).copy(order="C") for a in arrays]
    if name in CLASSES:
        cls, chosen = CLASSES[name]
        p, q = arrays[0].copy(), arrays[0].copy()
        cls([p, p.copy()], **chosen).step([arrays[1], None])
        cls([q, q.copy()], **chosen).step([want[1], None])
        assert_same_bits(p, q)
    getattr(oc.functional, name)(*arrays, step=STEP)
    reference_step(rule, want, STEP, {})
    for letter, a, b in zip(rule.arrays, arrays, want, strict=True):
        assert_same_bits(as_array(a), b, letter)
