"""A step whose groups mean several kernels, which walk one after another, is the step of one: what one of them would
write under another's eyes is refused."""
from __future__ import annotations

import numpy as np
import pytest

import optcore as oc
from tests.support.bits import exact

F = np.float32


def two(momentum, first=1):
    """An optimizer of two parameters, which take kernels of their own if the momentum is not 0; and these."""
    params = [np.zeros(4, F), np.ones(4, F)]
    opt = oc.SGD([{"params": params[:1], "momentum": 0.0}, {"params": params[1:], "momentum": momentum}], lr=0.5)
    for _ in range(first):
        opt.step([np.zeros(4, F), np.zeros(4, F)])
    return opt, params


@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("reader", [0, 1])
@pytest.mark.parametrize("options", [{}, {"max_norm": 1.0}, {"undoable": True}, {"zero_grads": True}])
def test_a_gradient_that_is_a_parameter_of_the_optimizer_is_refused(momentum, first, reader, options):
    opt, params = two(momentum, first)
    grads = [np.ones(4, F), np.ones(4, F)]
    grads[reader] = params[1 - reader]
    before = exact(params), [s["step"] for s in opt.state]
    with pytest.raises(ValueError, match=rf"grads\[{reader}\] overlaps params\[{1 - reader}\]"):
        opt.step(grads, **options)
    assert (exact(params), [s["step"] for s in opt.state]) == before


def test_a_gradient_that_is_state_of_another_kernel_is_refused():
    opt, params = two(0.5)
    with pytest.raises(ValueError, match=r"grads\[0\] overlaps the state of params\[1\]"):
        opt.step([opt.state[1]["momentum_buffer"], np.ones(4, F)])
    assert (params[0] == 0).all() and (params[1] == 1).all()


def test_a_refused_step_leaves_the_last_one_to_be_undone():
    opt, params = two(0.5)
    opt.step([np.ones(4, F), np.ones(4, F)], undoable=True)
    with pytest.raises(ValueError, match="overlaps"):
        opt.step([params[1], np.ones(4, F)], undoable=True)
    opt.undo()
    assert (params[0] == 0).all() and (params[1] == 1).all()


@pytest.mark.parametrize("sizes", [(5, 0, 5), (8, 0), (0, 8), (0, 0), (3, 0, 0, 3)])
def test_empty_gradients_beside_others_may_be_zeroed(sizes):
    flat = np.ones(sum(sizes), F)
    grads = np.split(flat, np.cumsum(sizes)[:-1])
    params = [np.zeros(n, F) for n in sizes]
    opt = oc.SGD(params, lr=0.5)
    for n in (1, 2):
        flat[:] = 1
        opt.step(grads, zero_grads=True)
        assert not flat.any() and all((p == -0.5 * n).all() for p in params)
