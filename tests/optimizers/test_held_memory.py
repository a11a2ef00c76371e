"""Arrays that change under an optimizer: resized in place though it holds them, and code of a gradient's own that runs
in the middle of a step and changes what the step is reading."""
from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import optcore as oc
from tests.support.foreign import Gradient


def ones(n=1000):
    return np.ones(n, np.float32)


@pytest.mark.parametrize("n", [3_000_000, 10, 999, 0])
@pytest.mark.parametrize("held", ["first", "second"])
def test_a_parameter_resized_under_the_optimizer_is_refused(n, held):
    """NumPy moves or frees the memory, though it is exported; the last bytes of a shrunk array are free, too."""
    first, second = ones(), ones()
    opt = oc.Adam([first, second], lr=0.25)
    opt.step([ones(), ones()])
    first = second = None
    p = opt.param_groups[0]["params"][held == "second"]
    other = opt.param_groups[0]["params"][held == "first"]
    p.resize(n, refcheck=False)
    p[...] = 7
    before = other.copy(), opt.state[0]["step"]
    for options in ({}, {"max_norm": 1.0}, {"undoable": True}, {"num_threads": 2}):
        for grads in ([ones(), ones()], [None, ones()], [np.ones(n, np.float32)] * 2):
            with pytest.raises(ValueError, match="params"):
                opt.step(grads, **options)
    assert (p == 7).all() and p.size == n
    assert (other == before[0]).all() and opt.state[0]["step"] == before[1]


@pytest.mark.parametrize("options", [{}, {"max_norm": 1.0}, {"nonfinite": True}], ids=str)
def test_a_gradient_in_the_place_of_a_resized_parameter(options):
    first, second = ones(), ones()
    opt = oc.Adam([first, second], nonfinite="skip" if "nonfinite" in options else "propagate")
    opt.step([ones(), ones()])
    was = first.__array_interface__["data"][0]
    first.resize(3_000_000, refcheck=False)
    for g in [ones() for _ in range(100)]:          # of which one lies there, as allocators go
        if abs(g.__array_interface__["data"][0] - was) < 4000:
            break
    with pytest.raises(ValueError, match="params.*resized"):
        opt.step([None, g], **{k: v for k, v in options.items() if k != "nonfinite"})


def test_a_resize_before_the_first_step_is_no_harm():
    p = ones()
    opt = oc.SGD([p], lr=0.5)
    p.resize(2000, refcheck=False)
    opt.step([ones(2000)])
    assert (p[:1000] == 0.5).all() and (p[1000:] == -0.5).all()


@pytest.mark.parametrize("stepped", [False, True])
def test_a_resized_array_of_which_a_parameter_is_a_view(stepped):
    owner = ones(2000)
    view = owner[:1000]
    opt = oc.SGD([view], lr=0.5)
    if stepped:
        opt.step([ones()])
    owner.resize(4_000_000 if stepped else 10, refcheck=False)
    with pytest.raises(ValueError, match="params.*resized"):
        opt.step([ones()])


def test_rounded_copies_of_a_master_are_looked_at_too():
    p = np.ones(1000, np.uint16)                    # bfloat16
    opt = oc.SGD([p], lr=0.5, rounding="master")
    opt.step([ones()])
    p.resize(3_000_000, refcheck=False)
    with pytest.raises(ValueError, match="params.*resized"):
        opt.step([ones()])


def test_state_cannot_be_resized():
    opt = oc.Adam([ones()])
    opt.step([ones()])
    m = opt.state[0]["exp_avg"]
    with pytest.raises(ValueError, match="resize"):
        m.resize(3_000_000, refcheck=False)
    opt.step([ones()])
    assert m.size == 1000


def test_another_shape_of_the_same_memory_is_no_resize():
    p = ones()
    opt = oc.SGD([p], lr=0.5)
    opt.step([ones()])
    p.resize((10, 100), refcheck=False)             # as many elements: NumPy leaves them where they are
    opt.step([ones()])
    assert (p == 0).all()


def test_memory_that_is_no_array_of_numpys_is_held_by_its_export():
    memory = bytearray(4000)
    opt = oc.SGD([np.frombuffer(memory, np.float32)], lr=0.5)
    opt.step([ones()])
    with pytest.raises(BufferError):
        memory.clear()
    opt.step([ones()])
    assert np.frombuffer(memory, np.float32)[0] == -1


def test_arrays_are_let_go_with_the_optimizer():
    p, opt = ones(), None
    opt = oc.Adam([p])
    opt.step([ones()])
    seen = weakref.ref(opt.state[0]["exp_avg"]), weakref.ref(p)
    del opt
    gc.collect()
    assert seen[0]() is None
    del p
    assert seen[1]() is None

# ------------------------------------------------------------------------------------------- code of a gradient's own


ACTS = {
    "clears the list": lambda opt, grads: grads.clear(),
    "shortens the list": lambda opt, grads: grads.pop(),
    "lengthens the list": lambda opt, grads: grads.append(ones()),
    "replaces the others": lambda opt, grads: grads.__setitem__(slice(1, None), [None] * (len(grads) - 1)),
    "steps": lambda opt, grads: opt.step([ones() for _ in range(50)]),
    "interrupts": lambda opt, grads: interrupt(),
}


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("options", [{}, {"max_norm": 1.0}, {"undoable": True}], ids=str)
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("place", [0, 30])
def test_a_gradient_whose_code_changes_what_a_step_reads(act, place, options):
    """Such a step may be refused or made; it reads no freed memory, and the next one is a usual one."""
    params = [ones() for _ in range(50)]
    opt = oc.SGD(params, lr=0.5)
    opt.step([ones() for _ in params])
    grads = [ones() for _ in params]
    ran = []
    grads[place] = Gradient(ones(), lambda: (ran.append(act), ACTS[act](opt, grads)))
    before = opt.state[0]["step"]
    try:
        opt.step(grads, **options)
    except (ValueError, RuntimeError, TypeError, IndexError, KeyboardInterrupt):
        assert opt.state[0]["step"] == before and all((p == 0.5).all() for p in params)
    else:
        assert opt.state[0]["step"] == before + 1 and len({float(p[0]) for p in params}) == 1
    assert ran
    for p in params:
        p[...] = 1
    opt.step([ones() for _ in params])
    assert all((p == 0.5).all() for p in params)
