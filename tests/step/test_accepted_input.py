"""What can be used is used as it is: memory of NumPy, torch, ctypes, the array module and anything that offers the
buffer protocol, __array_interface__ or CPU DLPack is updated in place without a copy; a gradient may be read-only,
and one with other strides is read by its indices, never in storage order."""
from __future__ import annotations

import array
import ctypes
import mmap

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import optcore as oc
from optcore.rules import RULES
from tests.support.arrays import good_arrays, misaligned, read_only, strided
from tests.support.bits import assert_same_bits
from tests.support.classes import CLASSES
from tests.support.steps import reference_step

NAMES = sorted(RULES)
MEANT = sorted(CLASSES)
STEP = 2


class OnlyInterface:
    """Offers nothing but __array_interface__."""

    def __init__(self, inner):
        self.inner = inner
        self.__array_interface__ = inner.__array_interface__


class OnlyDLPack:
    """Offers nothing but DLPack."""

    def __init__(self, inner):
        self.inner = inner

    def __dlpack__(self, **options):
        return self.inner.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.inner.__dlpack_device__()


def in_mmap(a):
    memory = mmap.mmap(-1, a.nbytes)
    memory[:] = a.tobytes()
    return memoryview(memory).cast("f")


# Each makes an object with memory of its own from a flat array; what the second gets of it are its values.
KEPT = {
    "array.array": (lambda a: array.array("f", a.tobytes()), np.array),
    "bytearray": (lambda a: memoryview(bytearray(a.tobytes())).cast("f"), np.array),
    "mmap": (in_mmap, np.array),
    "memoryview": (lambda a: memoryview(a.copy()), np.array),
    "ctypes": (lambda a: (ctypes.c_float * a.size)(*a.tolist()), np.array),
    "torch": (lambda a: torch.tensor(a), lambda x: x.numpy().copy()),
    "torch parameter": (lambda a: torch.nn.Parameter(torch.tensor(a), requires_grad=False),
                        lambda x: x.detach().numpy().copy()),
    "only __array_interface__": (lambda a: OnlyInterface(a.copy()), lambda x: x.inner.copy()),
    "only DLPack": (lambda a: OnlyDLPack(torch.tensor(a)), lambda x: x.inner.numpy().copy()),
    "ndarray": (np.copy, np.copy),
    "subclass of ndarray": (lambda a: a.copy().view(np.recarray), lambda x: np.array(x)),
}


@pytest.mark.parametrize("kind", sorted(KEPT))
@pytest.mark.parametrize("name", NAMES)
def test_functional_updates_the_memory_it_is_given(name, kind):
    rule, (make, values) = RULES[name], KEPT[kind]
    want = good_arrays(rule, (37,))
    given_ = [make(a) for a in want]
    assert getattr(oc.functional, name)(*given_, step=STEP) is None
    reference_step(rule, want, STEP, {})
    for letter, x, b in zip(rule.arrays, given_, want, strict=True):
        assert_same_bits(values(x), b, letter)


@pytest.mark.parametrize("kind", sorted(KEPT))
@pytest.mark.parametrize("name", MEANT)
def test_classes_update_the_memory_they_are_given(name, kind):
    """In a list, in a dict, and alone: one array is not mistaken for a sequence of parameters."""
    (cls, chosen), (make, values) = CLASSES[name], KEPT[kind]
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
    for opt in (by_list, by_name, alone):
        for a, b in zip(opt._params, want, strict=False):
            assert_same_bits(a, b)


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (2, 3, 4)])
@pytest.mark.parametrize("name", NAMES)
def test_torch_tensors_of_any_rank(name, shape):
    rule = RULES[name]
    want = good_arrays(rule, shape)
    tensors = [torch.tensor(a) for a in want]
    getattr(oc.functional, name)(*tensors, step=STEP)
    reference_step(rule, want, STEP, {})
    for t, b in zip(tensors, want, strict=True):
        assert_same_bits(t.numpy(), b)


def test_a_buffer_in_use_cannot_be_resized_under_the_optimizer():
    memory = bytearray(np.ones(5, np.float32).tobytes())
    opt = oc.SGD([np.frombuffer(memory, np.float32)])
    opt.step([np.ones(5, np.float32)])
    with pytest.raises(BufferError):
        memory.extend(b"more")

# ------------------------------------------------------------------------------------------- gradients


@st.composite
def layouts(draw):
    """A shape, and a function that lays an array of it out in another order of axes, direction and spacing."""
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    order = draw(st.permutations(range(len(shape))))
    steps = draw(st.lists(st.sampled_from([1, -1, 2, -3]), min_size=len(shape), max_size=len(shape)))

    def lay_out(a):
        memory = np.zeros([a.shape[k] * abs(steps[k]) for k in order], np.float32)
        window = memory.transpose(np.argsort(order))[tuple(slice(None, None, s) for s in steps)]
        window[...] = a
        return window
    return shape, lay_out


@settings(max_examples=300)
@given(layout=layouts(), name=st.sampled_from(NAMES), seed=st.integers(0, 2**32 - 1))
def test_a_gradient_is_read_by_index_whatever_its_strides(layout, name, seed):
    shape, lay_out = layout
    rule = RULES[name]
    want = good_arrays(rule, shape, seed)
    got = [a.copy() for a in want]
    got[1] = lay_out(got[1])
    np.testing.assert_array_equal(got[1], want[1])
    before = got[1].tobytes(), got[1].base.tobytes()
    getattr(oc.functional, name)(*got, step=STEP)
    getattr(oc.functional, name)(*want, step=STEP)
    for a, b in zip(got, want, strict=True):
        assert_same_bits(a, b, name)
    assert (got[1].tobytes(), got[1].base.tobytes()) == before
    if name in CLASSES:
        cls, chosen = CLASSES[name]
        p, q = want[0].copy(), want[0].copy()
        cls([p], **chosen).step([got[1]])
        cls([q], **chosen).step([want[1]])
        assert_same_bits(p, q, name)


READ = {
    "read-only": read_only,
    "read-only bytes": lambda a: memoryview(a.tobytes()).cast("B").cast("f", a.shape),
    "in Fortran order": np.asfortranarray,
    "strided": strided,
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
    "misaligned by 1": lambda a: misaligned(a, 1),
    "misaligned by 2": lambda a: misaligned(a, 2),
    "misaligned and read-only": lambda a: read_only(misaligned(a, 3)),
    "torch, transposed": lambda a: torch.tensor(np.ascontiguousarray(a.T)).T,
    "torch, every other": lambda a: torch.tensor(strided(a).base)[..., ::2],
    "torch, channels last": lambda a: torch.tensor(a)[None, :, :, None].contiguous(
        memory_format=torch.channels_last)[0, :, :, 0],
    "its own transpose": lambda a: np.ascontiguousarray(a.T).T,
}


@pytest.mark.parametrize("kind", sorted(READ))
@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_is_only_read(name, kind):
    rule = RULES[name]
    arrays = good_arrays(rule)
    arrays[1] = READ[kind](arrays[1])
    want = [np.asarray(a).copy(order="C") for a in arrays]
    if name in CLASSES:
        cls, chosen = CLASSES[name]
        p, q = arrays[0].copy(), arrays[0].copy()
        cls([p, p.copy()], **chosen).step([arrays[1], None])
        cls([q, q.copy()], **chosen).step([want[1], None])
        assert_same_bits(p, q)
    getattr(oc.functional, name)(*arrays, step=STEP)
    reference_step(rule, want, STEP, {})
    for letter, a, b in zip(rule.arrays, arrays, want, strict=True):
        assert_same_bits(np.asarray(a), b, letter)
