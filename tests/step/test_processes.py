"""Steps in forked children and in fresh processes: the bits of the parent, and no hang.

A forked child has none of the threads that OpenMP keeps in the parent and would wait for them for ever; so every
wait here has an end, and a child that passes it has failed.
"""
from __future__ import annotations

import multiprocessing
import threading
import traceback
from hashlib import sha256

import numpy as np
import pytest
import torch

import optcore as oc
from optcore.rules import FAMILIES, RULES
from optcore.step import threads as _threads

PATIENCE = 60                               # seconds until a child counts as hung; a busy machine needs a few
ABOVE = 16384 + 4321                        # elements; from 16384 on a walk enters OpenMP
FAMILY = sorted(FAMILIES)


def arrays_for(rule, n=ABOVE, seed=0):
    rng = np.random.default_rng(seed)
    p, g, *state = (rng.standard_normal(n).astype(np.float32) for _ in rule.arrays)
    return [p, g, *(np.abs(s) for s in state)]


def digest(arrays):
    return sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


def all_rules():
    """The bits of every rule after a step with the default number of threads and one with three."""
    found = []
    for name, rule in RULES.items():
        arrays = arrays_for(rule)
        for step, threads in ((1, None), (2, 3)):
            getattr(oc.functional, name)(*arrays, step=step, num_threads=threads)
        found.append(digest(arrays))
    return found


def model(family, seed=0):
    """An optimizer over three tensors, with their gradients."""
    rng = np.random.default_rng(seed)
    sizes = (ABOVE, 7, 30_001)
    opt = getattr(oc, family)([rng.standard_normal(n).astype(np.float32) for n in sizes])
    return opt, [rng.standard_normal(n).astype(np.float32) for n in sizes]


def bits(opt):
    """All that a step may change."""
    return digest([*opt._params, *(a for s in opt.state for k, a in s.items() if k != "step")]), [
        s["step"] for s in opt.state]


# ------------------------------------------------------------------------------------------- children


def answer(pipe, work, args):
    try:
        pipe.send((True, work(*args)))
    except BaseException:
        pipe.send((False, traceback.format_exc()))


def in_child(method, work, *args):
    """work(*args) in a child process, or a failure if it raises or does not come back."""
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    child = context.Process(target=answer, args=(theirs, work, args))
    child.start()
    theirs.close()
    try:
        if not ours.poll(PATIENCE):
            pytest.fail(f"the {method} child hangs")
        good, result = ours.recv()
        child.join(PATIENCE)
        assert child.exitcode == 0, result
    finally:
        if child.is_alive():
            child.kill()
            child.join()
        ours.close()
    assert good, result
    return result


def use_threads():
    """Parallel regions of ours and of torch's, in the calling thread."""
    torch.ones(1 << 20).mul_(2.0).sum()
    return all_rules()


def threads_here():
    return oc.get_num_threads(), oc.build_info()["threads"], oc.build_info()["threads_from"]


def serial_child():
    """What a forked child finds: one thread, whatever is asked for."""
    found = all_rules()
    seen = [threads_here()]
    oc.set_num_threads(4)
    seen.append(threads_here())
    return found, seen, all_rules()


def grandchild():
    return serial_child(), in_child("fork", serial_child)


def fresh_process():
    return all_rules(), threads_here()


def go_on(opt, grads):
    for _ in range(3):
        opt.step(grads, num_threads=3)
    return bits(opt)


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
