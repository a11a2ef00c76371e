"""Optimizers to be saved, and what a file that is read or refused does to them."""
from __future__ import annotations

import numpy as np
import pytest

import optcore as oc
from tests.support.bits import assert_same_bits, exact
from tests.support.classes import tensors

SIZES = ((3, 5), (17,), (), (0,))


def stepped(name="Adam", seed=0, steps=2, sizes=SIZES, **chosen):
    rng = np.random.default_rng(seed)
    opt = getattr(oc, name)(tensors(rng, sizes), **chosen)
    for _ in range(steps):
        opt.step([None if rng.random() < 0.1 else g for g in tensors(rng, sizes)])
    return opt


def goes_on_from_a_file(opt, path, steps=5):
    """Saves the optimizer; one that loads the file has its state and takes the same steps."""
    opt.save(path)
    again = type(opt)([p.copy() for p in opt.param_groups[0]["params"]])
    again.load(path)
    assert exact(again.state_dict()) == exact(opt.state_dict())
    for k in range(steps):
        grads = tensors(np.random.default_rng(k), SIZES)
        opt.step(grads)
        again.step(grads)
    for p, q in zip(again.param_groups[0]["params"], opt.param_groups[0]["params"], strict=True):
        assert_same_bits(p, q)


def numbered(k, n=3):
    """An optimizer that says everywhere that it is the k-th."""
    opt = oc.Adam([np.zeros(n, np.float32)], lr=float(k))
    opt.load_state_dict({**opt.state_dict(), "state": {0: {
        "step": k + 1, "exp_avg": np.full(n, k, np.float32), "exp_avg_sq": np.full(n, k, np.float32)}}})
    return opt


def number_in(path, n=3):
    """Which of them the file holds."""
    opt = oc.Adam([np.zeros(n, np.float32)])
    opt.load(path)
    k = int(opt.param_groups[0]["lr"])
    assert exact(opt.state_dict()) == exact(numbered(k, n).state_dict())
    return k


def refuses(opt, path, message, error=ValueError):
    before = exact(opt.state_dict())
    with pytest.raises(error, match=message):
        opt.load(path)
    assert exact(opt.state_dict()) == before
