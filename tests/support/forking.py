"""What holds of steps in forked children and fresh processes, whatever had a parallel region in the parent before.

A forked child has none of the threads that OpenMP keeps in the parent and would wait for them for ever; so every
wait here has an end, and a child that passes it has failed.
"""
from __future__ import annotations

import threading

import pytest

from optcore.rules import FAMILIES
from optcore.step import threads
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


class Forking:
    """The tests, for a class Test... that may say what else uses threads in the parent."""

    @staticmethod
    def use_threads():
        """Parallel regions of others, in the calling thread."""

    def want(self):
        """The bits of every rule in this process, and threads in it."""
        self.use_threads()
        return all_rules()

    def test_a_forked_child_is_serial_and_has_the_same_bits(self):
        want = self.want()
        before = threads_here()
        for _ in range(3):
            found, seen, again = in_child("fork", serial_child)
            assert found == again == want
            assert seen == [(1, 1, "forked child")] * 2
        assert threads_here() == before
        assert self.want() == want

    def test_a_child_of_a_forked_child(self):
        want = self.want()
        for found, seen, again in in_child("fork", grandchild):
            assert found == again == want
            assert seen == [(1, 1, "forked child")] * 2

    def test_a_child_forked_by_another_thread(self):
        """OpenMP keeps a team for each thread that asked for one; here it is not the main thread's."""
        got = []
        thread = threading.Thread(target=lambda: got.append((self.want(), in_child("fork", serial_child))))
        thread.start()
        thread.join(2 * PATIENCE)
        (want, (found, _, again)), = got
        assert found == again == want

    def test_a_child_forked_while_another_thread_steps(self):
        want = self.want()
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

    @pytest.mark.parametrize("family", sorted(FAMILIES))
    def test_an_optimizer_goes_on_in_a_forked_child(self, family):
        self.want()
        opt, grads = model(family)
        for _ in range(2):
            opt.step(grads, num_threads=3)
        before = bits(opt)
        in_the_child = in_child("fork", go_on, opt, grads)
        assert bits(opt) == before                  # the child's memory is its own
        assert go_on(opt, grads) == in_the_child != before

    @pytest.mark.parametrize("method", ["forkserver", "spawn"])
    def test_a_fresh_process_has_threads(self, method):
        want = self.want()
        count, source = threads._initial()
        assert in_child(method, fresh_process) == (want, (count, count, source))
