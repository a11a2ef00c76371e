"""Steps in several Python threads at once: the same bits as one after the other, no half-made step, and the GIL
given back during the walk."""
from __future__ import annotations

import sys
import threading
import time
import traceback

import numpy as np
import pytest

import optcore as oc
from optcore.rules import FAMILIES
from tests.support.children import PATIENCE, bits, model


def together(*work):
    """Run the functions in a thread each, all at once."""
    gate, failed = threading.Barrier(len(work)), []

    def run(f):
        gate.wait()
        try:
            f()
        except BaseException:
            failed.append(traceback.format_exc())

    threads = [threading.Thread(target=run, args=(f,)) for f in work]
    for t in threads:
        t.start()
    for t in threads:
        t.join(PATIENCE)
        assert not t.is_alive(), "a thread hangs"
    assert not failed, failed[0]


def test_different_optimizers_in_different_threads():
    rounds = 40

    def all_steps(opt, grads, threads):
        for _ in range(rounds):
            opt.step(grads, num_threads=threads)

    def fleet():
        return [(*model(family, seed), 2 + seed % 3) for seed, family in enumerate(sorted(FAMILIES))]

    alone, at_once = fleet(), fleet()
    for x in alone:
        all_steps(*x)
    together(*(lambda x=x: all_steps(*x) for x in at_once))
    assert [bits(opt) for opt, _, _ in at_once] == [bits(opt) for opt, _, _ in alone]


@pytest.fixture
def quick_switches():
    """The interpreter changes threads as often as it can, so that each moment of a step is interrupted."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def shared_optimizer(two_rules):
    """Adam, whose every step differs from the one before; with two_rules its groups need a walk each."""
    rng = np.random.default_rng(0)
    params = [rng.standard_normal(n).astype(np.float32) for n in (50, 300)]
    grads = [rng.standard_normal(p.size).astype(np.float32) for p in params]
    return oc.Adam([{"params": params[:1]}, {"params": params[1:], "amsgrad": two_rules}], lr=0.01), grads


@pytest.mark.parametrize("two_rules", [False, True], ids=["one walk", "two walks"])
def test_one_optimizer_in_two_threads(quick_switches, two_rules):
    """A step is made whole or refused whole: k calls that came back make k steps of every tensor."""
    for _ in range(10):
        opt, grads = shared_optimizer(two_rules)
        twin, _ = shared_optimizer(two_rules)
        made = []

        def try_steps(opt=opt, grads=grads, made=made):
            for _ in range(500):
                try:
                    opt.step(grads)
                except RuntimeError as e:
                    assert "in the middle of a step" in str(e)
                else:
                    made.append(1)

        together(try_steps, try_steps)
        for _ in made:
            twin.step(grads)
        assert bits(opt)[1] == bits(twin)[1] == [len(made)] * 2
        assert bits(opt) == bits(twin)


def test_the_gil_is_given_back_during_the_walk():
    """A thread of pure Python notes the time as it runs. With the GIL held for the whole call it could note
    none in the middle half of it: not even a thread that was stopped just before or after reaches there."""
    noted, stop = [0.0], threading.Event()

    def note():
        while not stop.is_set():
            noted.append(time.perf_counter())

    n = 1 << 21
    thread = threading.Thread(target=note)
    thread.start()
    try:
        took = 0.0
        # Long beside the switch interval of 5 ms, for which each thread may hold the GIL around the call.
        while took < 0.08:
            n *= 2
            p, g, s = (np.ones(n, np.float32) for _ in range(3))
            start = time.perf_counter()
            oc.functional.adagrad(p, g, s, step=1, num_threads=1)
            took = time.perf_counter() - start
    finally:
        stop.set()
        thread.join()
    times = np.array(noted)
    assert ((start + took / 4 < times) & (times < start + 3 * took / 4)).any()
