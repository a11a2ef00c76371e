"""What the storage formats and what goes with them (rounding, clipping, a copy, an average) refuse: by name, and with
nothing changed. step/test_bad_input.py does the same for what every call has."""
from __future__ import annotations

import numpy as np
import pytest

import optcore as oc
from optcore.rules import FAMILIES, RULES
from tests.support.arrays import good_arrays, read_only
from tests.support.bad_arrays import BAD, BAD_BESIDE, BAD_SHAPE
from tests.support.bits import assert_same_bits
from tests.support.draws import ELEMENTWISE
from tests.support.refusals import contents, functional_refuses_as_average, refuse, refuse_by

NAMES = ELEMENTWISE
WITH_STATE = [name for name in NAMES if RULES[name].keys]
NOT_FRACTIONS = [-1.0, 1.0, float("nan"), float("inf"), "x", 1j, [0.1], {}, np.ones(2), lambda t: 0.5]
NOT_NORMS = [-1.0, -1, 10**400, float("nan"), "x", 1j, [0.1], np.ones(2), lambda t: 0.5]
NOT_SIZES = [3.5e38, float("inf"), *NOT_NORMS]
NOT_ROUNDINGS = ["Nearest", "kahan", "", None, 0, True]


def halves(a):
    return np.zeros(a.shape, np.uint16)


def wide(a):
    return np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)[..., ::2]


def shifted(a, by):
    """a, `by` bytes past an address that its words need."""
    raw = np.zeros(a.nbytes + 8, np.uint8)
    first = -raw.ctypes.data % 4 + by
    return raw[first:first + a.nbytes].view(a.dtype).reshape(a.shape)


BAD_HALVES = {
    "float32": lambda a: a.astype(np.float32), "int16": lambda a: a.astype(np.int16),
    "uint8": lambda a: a.view(np.uint8), "big-endian": lambda a: a.astype(">u2"),
    "same size": lambda a: a.reshape(a.shape[::-1]), "flat": lambda a: a.ravel(), "one axis more": lambda a: a[None],
    "smaller": lambda a: a[:, :-1].copy(), "empty": lambda a: a[:0],
    "strided": wide, "transposed": np.asfortranarray, "misaligned": lambda a: shifted(a, 1), "read-only": read_only,
    "a list": lambda a: a.tolist(),
}


def call(name, arrays, **more):
    getattr(oc.functional, name)(*arrays, **{"step": 2, **more})


@pytest.mark.parametrize("name", NAMES)
def test_functional_refuses_bad_extras(name):
    arrays = good_arrays(RULES[name])
    narrow = [halves(arrays[0]), *arrays[1:]]
    for bad in NOT_FRACTIONS:
        refuse("average_weight", arrays, call, name, arrays, average=np.zeros_like(arrays[0]), average_weight=bad)
    for bad in NOT_SIZES:
        refuse("clip_value", arrays, call, name, arrays, clip_value=bad)
    for bad in NOT_ROUNDINGS:
        refuse("rounding", narrow, call, name, narrow, rounding=bad)
    functional_refuses_as_average(name, BAD | BAD_SHAPE | BAD_BESIDE)
    for make in BAD_HALVES.values():
        bad = make(halves(arrays[0]))
        refuse("copy", [*arrays, bad], call, name, arrays, copy=bad)
        refuse("compensation", [*narrow, bad], call, name, narrow, compensation=bad)
    refuse("copy", narrow, call, name, narrow, copy=wide(arrays[0].astype(np.float16)))
    refuse("compensation", narrow, call, name, narrow, compensation=arrays[0].astype(np.float16))
    refuse("compensation", arrays, call, name, arrays, compensation=halves(arrays[0]))


@pytest.mark.parametrize("name", NAMES)
def test_functional_refuses_extras_that_overlap(name):
    """With p, the gradient, state, or each other, by all or by one element; a neighbour is taken."""
    rule = RULES[name]
    n = 24
    arrays = good_arrays(rule, (n,))
    arrays[0] = halves(arrays[0])
    for k, letter in enumerate(rule.arrays):
        for distance in (0, 1, n - 1):
            memory = np.zeros(2 * n, arrays[k].dtype)
            mine = [memory[:n] if i == k else a for i, a in enumerate(arrays)]
            if memory.dtype == np.float32:
                refuse("average", mine, call, name, mine, average=memory[distance:distance + n])
                memory = memory.view(np.uint16)[:3 * n]
            for key in ("copy", "compensation"):
                refuse(key, mine, call, name, mine, **{key: memory[distance:distance + n]})
                refuse(letter, mine, call, name, mine, **{key: memory[distance:distance + n]})
    memory = np.zeros(2 * n, np.uint16)
    for key in ("copy", "compensation"):
        refuse(key, [memory, *arrays], call, name, arrays, copy=memory[:n], compensation=memory[n - 1:2 * n - 1])
    call(name, arrays, copy=memory[:n], compensation=memory[n:])
    assert_same_bits(memory[:n], arrays[0])                 # p itself is to nearest beside a compensation


@pytest.mark.parametrize("name", WITH_STATE)
def test_functional_refuses_bad_eight_bit_state(name):
    rule = RULES[name]
    for n in (24, 256, 257):
        p, g = good_arrays(rule, (n,))[:2]
        good = [oc.state_array(p, "int8") for _ in rule.keys]
        size = good[0].size
        bads = [np.zeros(size - 1, np.uint8), np.zeros(size + 1, np.uint8), np.zeros(size + 260, np.uint8),
                np.zeros(size // 260 * 257, np.uint8),
                np.zeros(n, np.uint8), np.zeros(0, np.uint8), good[0][None], good[0].view(np.int8),
                *(shifted(good[0], by) for by in (1, 2, 3)), np.zeros(2 * size, np.uint8)[::2], read_only(good[0]),
                p[:size].astype(np.float16), bytes(size)]
        for k, letter in enumerate(rule.arrays[2:]):
            for bad in bads:
                arrays = [p, g, *good]
                arrays[2 + k] = bad
                refuse(letter, arrays, call, name, arrays)
        arrays = [p, g, *good]
        for offset in (1, 128, 255, 257, 2**32 + 4):
            refuse("offset", arrays, call, name, arrays, offset=offset)
            refuse("offset", arrays, call, name, arrays, offset=offset, clip_value=1.0)
        for bad in (p.view(np.uint8)[:size - size % 4], g.view(np.uint8)[:4 * n]):
            arrays[2] = bad                                 # codes that lie where p or g does
            refuse(rule.arrays[2], arrays, call, name, arrays)


def test_state_arrays_are_of_a_known_format():
    p = np.ones(3, np.float32)
    for bad in ("bf16", "float16", "", "float64", np.float32):
        refuse("dtype", [p], oc.state_array, p, bad)
    for bad in (p.astype(np.int64), p.astype(np.float16), read_only(p), "p", None):
        refuse("p", [p], oc.state_array, bad)


# ------------------------------------------------------------------------------------------- classes


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_constructors_refuse_bad_formats(family):
    kind = getattr(oc, family)
    p = np.ones((4, 6), np.float32)
    key = next(iter(FAMILIES[family].keys()))
    for bad in ("float16", "uint8", "", 8, None, {key: "bf16"}, {"colour": "int8"}):
        refuse("state_dtype", [p], kind, [p], state_dtype=bad)
    for bad in ("Nearest", "", None, 0):
        refuse("rounding", [p], kind, [p], rounding=bad)
    for bad in (-0.1, 1.0, float("nan"), "x", [0.9], lambda t: 1.0, lambda t: "x", lambda t: 1 / 0):
        refuse("average", [p], kind, [p], average=bad)
    half = p.astype(np.float16)
    for rounding in ("stochastic", "nearest", "kahan"):
        refuse("params[1]", [p, half], kind, [p, half], rounding=rounding)
        refuse_by(kind([p], rounding=rounding), "params[1]", [half], kind([p], rounding=rounding).add_param_group,
                  {"params": half})
    kind([p, half], rounding="master")


def combination(kind, extras, sizes=(5000, 7)):
    rng = np.random.default_rng(0)
    params, grads = ([rng.standard_normal(n).astype(np.float32) for n in sizes] for _ in range(2))
    if extras["rounding"] != "stochastic":
        params = [(p.view(np.uint32) >> 16).astype(np.uint16) for p in params]
    return kind(params, **extras), grads


EXTRAS = [{"state_dtype": "int8", "rounding": "stochastic", "average": lambda t: 0.9 if t < 4 else 1.0},
          {"state_dtype": "bfloat16", "rounding": "kahan", "average": lambda t: 0.9 if t < 4 else "x"},
          {"state_dtype": "int8", "rounding": "master", "average": lambda t: [0.9][t >= 4]}]


@pytest.mark.parametrize("extras", EXTRAS, ids=lambda x: f"{x['state_dtype']},{x['rounding']}")
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_refused_step_changes_nothing(family, extras):
    """At the first step, when there is no state yet, and later; and what follows is what it would have been."""
    (opt, grads), (twin, _) = (combination(getattr(oc, family), extras) for _ in range(2))
    for stepped in range(3):
        for key, bads in (("clip_value", NOT_SIZES), ("max_norm", NOT_NORMS), ("grad_scale", [0, 0.0, *NOT_SIZES])):
            for bad in bads:
                refuse_by(opt, key, grads, opt.step, grads, **{key: bad})
        state = [a for a in opt.state[0].values() if isinstance(a, np.ndarray)]
        mine = opt._layout.params[0]
        for bad in (grads[0][:-1], grads[0].astype(np.int64), np.zeros(5000, np.uint8), *state, mine):
            refuse_by(opt, "grads[0]", [bad], opt.step, [bad, grads[1]])
            refuse_by(opt, "grads[1]", [bad], opt.step, [grads[0], bad])
        for each in (opt, twin):
            each.step(grads, clip_value=0.5, grad_scale=2.0)
        assert contents(opt) == contents(twin), stepped
    refuse_by(opt, "average", grads, opt.step, grads)        # its schedule ends: the fourth step


def test_state_that_is_not_kept_here_or_has_no_shape_of_a_format_is_not_taken_over():
    p = np.ones(5000, np.float32)
    bits = np.full(5000, 0x3F80, np.uint16)
    makes = {"plain": lambda: oc.Adam([bits.copy()]), "int8": lambda: oc.Adam([bits.copy()], state_dtype="int8"),
             "kahan": lambda: oc.Adam([bits.copy()], rounding="kahan"),
             "master": lambda: oc.Adam([bits.copy()], rounding="master"),
             "average": lambda: oc.Adam([bits.copy()], average=0.9)}
    saved = {}
    for name, make in makes.items():
        opt = make()
        opt.step([p])
        saved[name] = opt.state_dict()
    for name, key in (("kahan", "compensation"), ("master", "master"), ("average", "average")):
        opt = makes["plain"]()
        opt.step([p])
        refuse_by(opt, f"state[0]['{key}']", [], opt.load_state_dict, saved[name])
    wrong = saved["int8"]["state"][0]
    for bad in (wrong["exp_avg"][:-1], wrong["exp_avg"][None], wrong["exp_avg"].view(np.int8)):
        opt = makes["int8"]()
        state = {0: {**wrong, "exp_avg": bad}}
        refuse_by(opt, "state[0]['exp_avg']", [], opt.load_state_dict, {**saved["int8"], "state": state})
