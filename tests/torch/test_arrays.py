"""torch's tensors as the memory of the functions and classes for arrays: what can be used is used as it is, and the
rest is refused by a name. tests/step has the same for memory of other kinds."""
from __future__ import annotations

import numpy as np
import pytest
import torch

import optcore as oc
from optcore.rules import FAMILIES, RULES
from optcore.rules.settings import FLAG
from tests.support.accepted import STEP, only_reads, updates_by_class, updates_by_function
from tests.support.arrays import good_arrays, strided
from tests.support.bits import assert_same_bits
from tests.support.draws import ELEMENTWISE
from tests.support.foreign import OnlyDLPack
from tests.support.meanings import CLASSES, numbers_of, of_class
from tests.support.refusals import (
    functional_refuses,
    functional_refuses_as_average,
    gradients_refused,
    parameters_refused,
    refuse,
)
from tests.support.steps import reference_step

NAMES = ELEMENTWISE
MEANT = [name for name in sorted(CLASSES) if name in ELEMENTWISE]

# Each makes an object with memory of its own from a flat array; what the second gets of it are its values.
KEPT = {
    "torch": (lambda a: torch.tensor(a), lambda x: x.numpy().copy()),
    "torch parameter": (lambda a: torch.nn.Parameter(torch.tensor(a), requires_grad=False),
                        lambda x: x.detach().numpy().copy()),
    "only DLPack": (lambda a: OnlyDLPack(torch.tensor(a)), lambda x: x.inner.numpy().copy()),
}


@pytest.mark.parametrize("kind", sorted(KEPT))
@pytest.mark.parametrize("name", NAMES)
def test_functional_updates_the_memory_it_is_given(name, kind):
    updates_by_function(name, *KEPT[kind])


@pytest.mark.parametrize("kind", sorted(KEPT))
@pytest.mark.parametrize("name", MEANT)
def test_classes_update_the_memory_they_are_given(name, kind):
    updates_by_class(name, *KEPT[kind])


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (2, 3, 4)])
@pytest.mark.parametrize("name", NAMES)
def test_tensors_of_any_rank(name, shape):
    rule = RULES[name]
    want = good_arrays(rule, shape)
    tensors = [torch.tensor(a) for a in want]
    getattr(oc.functional, name)(*tensors, step=STEP)
    reference_step(rule, want, STEP, {})
    for t, b in zip(tensors, want, strict=True):
        assert_same_bits(t.numpy(), b)


READ = {
    "torch, transposed": lambda a: torch.tensor(np.ascontiguousarray(a.T)).T,
    "torch, every other": lambda a: torch.tensor(strided(a).base)[..., ::2],
    "torch, channels last": lambda a: torch.tensor(a)[None, :, :, None].contiguous(
        memory_format=torch.channels_last)[0, :, :, 0],
}


@pytest.mark.parametrize("kind", sorted(READ))
@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_is_only_read(name, kind):
    only_reads(name, READ[kind])

# ------------------------------------------------------------------------------------------- what is refused


BAD = {
    "float8": lambda a: torch.from_numpy(a).to(torch.float8_e4m3fn),
    "requires grad": lambda a: torch.from_numpy(a).requires_grad_(),
    "bfloat16 that requires grad": lambda a: torch.from_numpy(a).to(torch.bfloat16).requires_grad_(),
    "no memory": lambda a: torch.empty(a.shape, device="meta"),
}


@pytest.mark.parametrize("name", NAMES)
def test_functional_refuses_bad_tensors(name):
    for k in range(len(RULES[name].arrays)):
        functional_refuses(name, k, BAD)
    functional_refuses_as_average(name, BAD | {"bfloat16": lambda a: torch.from_numpy(a).to(torch.bfloat16)})


@pytest.mark.parametrize("stepped", [False, True], ids=["at the first step", "later"])
@pytest.mark.parametrize("name", MEANT)
def test_classes_refuse_bad_gradients(name, stepped):
    gradients_refused(name, stepped, BAD)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_classes_refuse_bad_parameters(family):
    good = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
    parameters_refused(getattr(oc, family), good, BAD)


@pytest.mark.parametrize("name", NAMES)
def test_a_tensor_of_two_numbers_is_no_setting(name):
    rule, bad = RULES[name], torch.ones(2)
    arrays = good_arrays(rule)
    for s in rule.all_settings:
        if s.domain != FLAG:
            refuse(s.name, arrays, getattr(oc.functional, name), *arrays, step=STEP, **{s.name: bad})
    if name in CLASSES:
        kind, chosen = CLASSES[name]
        for s in numbers_of(name):
            key, made = of_class(kind, s.name, bad)
            refuse(s.name, [], kind, [arrays[0]], **{**chosen, key: made})
