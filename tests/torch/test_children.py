"""tests/step/test_processes.py where torch has had a parallel region in the parent, so that its threads exist too."""
from __future__ import annotations

import threading

import pytest
import torch

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


def use_threads():
    """Parallel regions of ours and of torch's, in the calling thread."""
    torch.ones(1 << 20).mul_(2.0).sum()
    return all_rules()


def test_a_forked_child_is_serial_and_has_the_same_bits():
    want = use_threads()
    before = threads_here()
    for _ in range(3):
        found, seen, again = in_child("fork", serial_child)
        assert found == again == want
        assert seen == [(1, 1, "forked child")] * 2
    assert threads_here() == before
    assert all_rules() == want


def test_a_child_of_a_forked_child():
    want = use_threads()
    for found, seen, again in in_child("fork", grandchild):
        assert found == again == want
        assert seen == [(1, 1, "forked child")] * 2


def test_a_child_forked_by_another_thread():
    """OpenMP keeps a team for each thread that asked for one; here it is not the main thread's."""
    got = []
    thread = threading.Thread(target=lambda: got.append((use_threads(), in_child("fork", serial_child))))
    thread.start()
    thread.join(2 * PATIENCE)
    (want, (found, _, again)), = got
    assert found == again == want


def test_a_child_forked_while_another_thread_steps():
    want = use_threads()
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
    use_threads()
    opt, grads = model(family)
    for _ in range(2):
        opt.step(grads, num_threads=3)
    before = bits(opt)
    in_the_child = in_child("fork", go_on, opt, grads)
    assert bits(opt) == before                  # the child's memory is its own
    assert go_on(opt, grads) == in_the_child != before


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_a_fresh_process_has_threads(method):
    want = use_threads()
    count, source = _threads._initial()
    assert in_child(method, fresh_process) == (want, (count, count, source))
