"""What can be used is used as it is: memory of NumPy, ctypes, the array module and anything that offers the
buffer protocol, __array_interface__ or CPU DLPack is updated in place without a copy; a gradient may be read-only,
and one with other strides is read by its indices, never in storage order.

tests/torch/test_arrays.py has torch's memory."""
from __future__ import annotations

import array
import ctypes
import mmap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optcore as oc
from optcore.rules import RULES
from tests.support.accepted import only_reads, updates_by_class, updates_by_function
from tests.support.arrays import good_arrays, misaligned, read_only, strided
from tests.support.bits import assert_same_bits
from tests.support.draws import ELEMENTWISE
from tests.support.foreign import OnlyDLPack, OnlyInterface
from tests.support.meanings import CLASSES
from tests.support.steps import reference_step

NAMES = ELEMENTWISE
MEANT = sorted(CLASSES)
STEP = 2


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
    "only __array_interface__": (lambda a: OnlyInterface(a.copy()), lambda x: x.inner.copy()),
    "only DLPack": (lambda a: OnlyDLPack(a.copy()), lambda x: x.inner.copy()),
    "ndarray": (np.copy, np.copy),
    "subclass of ndarray": (lambda a: a.copy().view(np.recarray), lambda x: np.array(x)),
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
def test_arrays_of_any_rank(name, shape):
    rule = RULES[name]
    want = good_arrays(rule, shape)
    lent = [OnlyDLPack(a.copy()) for a in want]
    getattr(oc.functional, name)(*lent, step=STEP)
    reference_step(rule, want, STEP, {})
    for x, b in zip(lent, want, strict=True):
        assert_same_bits(x.inner, b)


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
    "DLPack, transposed": lambda a: OnlyDLPack(np.ascontiguousarray(a.T).T),
    "DLPack, every other": lambda a: OnlyDLPack(strided(a)),
    "its own transpose": lambda a: np.ascontiguousarray(a.T).T,
}


@pytest.mark.parametrize("kind", sorted(READ))
@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_is_only_read(name, kind):
    only_reads(name, READ[kind])
