"""Steps in forked children and in fresh processes: the bits of the parent, and no hang.

A forked child has none of the threads that OpenMP keeps in the parent and would wait for them for ever; so every
wait here has an end, and a child that passes it has failed. tests/torch/test_children.py has the same where torch has
threads of its own.
"""
from __future__ import annotations

import threading

import numpy as np
import pytest

import optcore as oc
from optcore.rules import FAMILIES
from optcore.step import threads as _threads
from tests.support.children import (
    PATIENCE,
    all_rules,
    bits,
    fresh_process,
    go_on,
    grandchild,
    in_child,
    model,
    serial_child,
    threads_here,
)

FAMILY = sorted(FAMILIES)


def test_a_forked_child_is_serial_and_has_the_same_bits():
    want = all_rules()
    before = threads_here()
    for _ in range(3):
        found, seen, again = in_child("fork", serial_child)
        assert found == again == want
        assert seen == [(1, 1, "forked child")] * 2
    assert threads_here() == before
    assert all_rules() == want


def test_a_child_of_a_forked_child():
    want = all_rules()
    for found, seen, again in in_child("fork", grandchild):
        assert found == again == want
        assert seen == [(1, 1, "forked child")] * 2


def test_a_child_forked_by_another_thread():
    """OpenMP keeps a team for each thread that asked for one; here it is not the main thread's."""
    got = []
    thread = threading.Thread(target=lambda: got.append((all_rules(), in_child("fork", serial_child))))
    thread.start()
    thread.join(2 * PATIENCE)
    (want, (found, _, again)), = got
    assert found == again == want


def test_a_child_forked_while_another_thread_steps():
    want = all_rules()
    stop = threading.Event()
    opt, grads = model("Adam")

    def keep_stepping():
        while not stop.is_set():
            opt.step(grads, num_threads=2)

    thread = threading.Thread(target=keep_stepping)
    thread.start()
    try:
        for _ in range(5):
            assert in_child("fork", serial_child)[0] == want
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("family", FAMILY)
def test_an_optimizer_goes_on_in_a_forked_child(family):
    opt, grads = model(family)
    for _ in range(2):
        opt.step(grads, num_threads=3)
    before = bits(opt)
    in_the_child = in_child("fork", go_on, opt, grads)
    assert bits(opt) == before                  # the child's memory is its own
    assert go_on(opt, grads) == in_the_child != before


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_a_fresh_process_has_threads(method):
    want = all_rules()
    count, source = _threads._initial()
    assert in_child(method, fresh_process) == (want, (count, count, source))


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
