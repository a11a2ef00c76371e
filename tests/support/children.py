"""Steps in child processes: what a child does, and a wait for it that has an end."""
from __future__ import annotations

import multiprocessing
import traceback
from hashlib import sha256

import numpy as np
import pytest

import optcore as oc
from optcore.rules import RULES

PATIENCE = 60                               # seconds until a child counts as hung; a busy machine needs a few

ABOVE = 16384 + 4321                        # elements; from 16384 on a walk enters OpenMP


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


def model(family, seed=0):
    """An optimizer over three tensors, with their gradients."""
    rng = np.random.default_rng(seed)
    sizes = (ABOVE, 7, 30_001)
    opt = getattr(oc, family)([rng.standard_normal(n).astype(np.float32) for n in sizes])
    return opt, [rng.standard_normal(n).astype(np.float32) for n in sizes]


def bits(opt):
    """All that a step may change."""
    return digest([*opt._layout.params, *(a for s in opt.state for k, a in s.items() if k != "step")]), [
        s["step"] for s in opt.state]


def go_on(opt, grads):
    for _ in range(3):
        opt.step(grads, num_threads=3)
    return bits(opt)
