"""Who takes part in a workload: us, the roof and the peers that are installed and have the rule.

A contender is a name and a call without arguments that does one optimizer step on the workload's data.
Every call counts its own steps, since a user's step number moves too. Threads are set in one place, here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import optcore as oc
from bench.rules import peers_numpy
from bench.rules.data import TABLE, Data, bytes_per_element, of_class, settings
from optcore import _kernels
from tests.support.meanings import CLASSES

try:
    from bench.rules import peers_torch
except ImportError:
    peers_torch = None
try:
    from bench.rules import peers_numba
except ImportError:
    peers_numba = None

# A one-thread roof too where starting a team of threads could cost more than it brings.
_SMALL = 2 << 20
ROOF_STATE = 2  # state arrays that the kernels' roof takes at most


@dataclass
class Contender:
    name: str
    call: Callable[[], None]
    shares_state: bool = True  # False: it keeps state arrays of its own, so only p can be verified
    every_round: bool = False  # True: it may never sit a round out, as the closest ratios are formed with it
    times: float = 1.0  # its time counts so many times, where its walk is that much shorter than the rule's


def use_threads(asked: int | None) -> int:
    """Give every peer our number of threads and return it. Unless one is asked for, ours stays what a
    user has who never set it."""
    if asked is not None:
        oc.set_num_threads(asked)
    n = oc.get_num_threads()
    if peers_torch:
        peers_torch.torch.set_num_threads(n)
    if peers_numba:
        peers_numba.start(n, oc.build_info().get("openmp_runtime"))
    return n


def functional(data: Data, threads: int | None = None) -> Callable[[], None]:
    """oc.functional on one array, written out as a user would write it, with every check on."""
    update, steps = getattr(oc.functional, data.rule), count(1)
    p, g, state = data.p[0], data.g[0], [slot[0] for slot in data.state]
    chosen = {k: v for k, v in settings(data.rule).items() if k == "lr"}
    if threads is not None or len(state) not in (1, 2) or not chosen:
        more = chosen | ({"num_threads": threads} if threads is not None else {})

        def call() -> None:
            update(p, g, *state, step=next(steps), **more)
    elif len(state) == 2:
        (m, v), lr = state, chosen["lr"]

        def call() -> None:
            update(p, g, m, v, step=next(steps), lr=lr)
    else:
        (v,), lr = state, chosen["lr"]

        def call() -> None:
            update(p, g, v, step=next(steps), lr=lr)

    return call


def optimizer(data: Data) -> Callable[[], None]:
    """The class API: opt.step(grads) for the whole list.

    The state is put in place before the first step makes its own: where a state array lies, and in pages of
    which size, is worth more than the differences between good kernels, so all must have the same.
    """
    opt = CLASSES[data.rule][0](data.p, **of_class(data.rule))
    for entry, *state in zip(opt._layout.state, *data.state, strict=True):
        entry.update(zip(TABLE[data.rule].keys, state, strict=True))
    step, grads = opt.step, data.g

    def call() -> None:
        step(grads)

    return call


def roof(data: Data, threads: int) -> Callable[[], None]:
    """The same streams with trivial arithmetic, over the whole block: what the memory allows. It takes two state
    arrays at most; see `roof_times`."""
    run, p, g, state = _kernels.roof, data.flat_p, data.flat_g, data.flat_state[:ROOF_STATE]

    def call() -> None:
        run(p, g, *state, num_threads=threads)

    return call


def roof_times(rule: str) -> float:
    """The bytes that the rule moves over those of its roof: 1 but for rules with a third state array, whose roof is
    that of two arrays at the same bytes a second."""
    return bytes_per_element(rule) / (4 * (1 + 2 * (1 + min(len(TABLE[rule].keys), ROOF_STATE))))


def line_up(data: Data, threads: int) -> list[Contender]:
    """All contenders for this data; `ours` is the functional API on one array and the class API on a list."""
    single = len(data.p) == 1
    times = roof_times(data.rule)
    found = [Contender("roof", roof(data, threads), every_round=True, times=times)]
    if single:
        found.append(Contender("ours", functional(data), every_round=True))
    else:
        found.append(Contender("ours", optimizer(data), every_round=True))
    if data.elements <= _SMALL and threads > 1:
        found.append(Contender("roof, 1 thread", roof(data, 1), times=times))
    if single and data.elements <= 4096:
        found.append(Contender("ours, opt.step", optimizer(data)))
    if single and data.elements == 1 << 20 and threads > 1:
        found.append(Contender("roof, 2 threads", roof(data, 2), times=times))
        found += [Contender(f"ours, {n} thread{'s' * (n > 1)}", functional(data, n)) for n in (1, 2)]
    if peers_torch:
        for flavour in reversed(peers_torch.flavours(data.rule)):
            call = peers_torch.stepper(flavour, data)
            found.append(Contender(f"torch {flavour}", call, every_round=flavour == "fused"))
    if peers_numba and data.rule in peers_numba.KERNELS:
        found.append(Contender("numba", peers_numba.prange_loop(data), every_round=True))
    if data.rule in peers_numpy.CAREFUL:
        found.append(Contender("careful NumPy", peers_numpy.careful(data)))
        found.append(Contender("naive NumPy", peers_numpy.naive(data), shares_state=False))
    return found
