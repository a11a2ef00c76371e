"""Steps in forked children and in fresh processes: the bits of the parent, and no hang.

tests/torch/test_children.py has the same where torch has threads of its own."""
from __future__ import annotations

import threading

import numpy as np

import optcore as oc
from tests.support.children import PATIENCE, in_child
from tests.support.forking import Forking


class TestAfterOurThreads(Forking):
    pass


def refused_step(opt, grads):
    """What a child is told whose optimizer was in the middle of a step when it was forked; twice."""
    said = []
    for _ in range(2):
        try:
            opt.step(grads)
            said.append("stepped")
        except RuntimeError as e:
            said.append(str(e))
    return said


def test_a_child_forked_in_the_middle_of_a_step_is_told_so():
    inside, may_go_on = threading.Event(), threading.Event()

    class Slow:
        array = np.ones(8, np.float32)

        @property
        def __array_interface__(self):
            inside.set()
            assert may_go_on.wait(PATIENCE)
            return self.array.__array_interface__

    p = np.ones(8, np.float32)
    opt = oc.SGD([p], lr=0.5)
    thread = threading.Thread(target=lambda: opt.step([Slow()]))
    thread.start()
    try:
        assert inside.wait(PATIENCE)
        said = in_child("fork", refused_step, opt, [np.ones(8, np.float32)])
    finally:
        may_go_on.set()
        thread.join(PATIENCE)
    assert all("fork" in text for text in said), said
    assert (p == 0.5).all()                     # the parent's step is made
    opt.step([np.ones(8, np.float32)])
