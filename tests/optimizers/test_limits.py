"""What a setting may be, and by whose count a schedule goes."""
from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest

import optcore as oc
from optcore.rules import FAMILIES
from tests.support.foreign import Gradient

F = np.float32
FLAGS = [(name, k) for name, family in FAMILIES.items() for k, v in family.settings.items() if isinstance(v, bool)]
NO_FLAGS = ["False", "no", "", 2, -1, 0.0, 1.0, None, [], [1], np.array([1, 1]), object()]


def ones(n=4):
    return np.ones(n, F)


@pytest.mark.parametrize(("name", "flag"), FLAGS)
def test_a_flag_is_true_or_false_and_nothing_that_is_true_by_accident(name, flag):
    more = {"momentum": 0.9} if flag == "nesterov" else {}
    for bad in NO_FLAGS:
        with pytest.raises(TypeError, match=flag):
            getattr(oc, name)([ones()], **{**more, flag: bad})
        opt = getattr(oc, name)([ones()], **more)
        opt.step([ones()])
        opt.param_groups[0][flag] = bad
        with pytest.raises(TypeError, match=flag):
            opt.step([ones()])
        assert opt.state[0]["step"] == 1
    for good in (True, False, 0, 1, np.True_, np.False_, np.int64(1)):
        w, v = ones(), ones()
        for x, value in ((w, good), (v, bool(good))):
            opt = getattr(oc, name)([x], **{**more, flag: value})
            opt.step([np.full(4, 0.5, F)])
        np.testing.assert_array_equal(w, v)


@pytest.mark.parametrize("option", ["zero_grads", "undoable"])
def test_the_flags_of_a_step_likewise(option):
    opt = oc.SGD([ones()])
    for bad in NO_FLAGS:
        with pytest.raises(TypeError, match=option):
            opt.step([ones()], **{option: bad})
    opt.step([ones()], **{option: np.True_})


def test_functions_take_no_flag_by_accident():
    for module in (oc.functional, oc.reference):
        for bad in NO_FLAGS:
            with pytest.raises(TypeError, match="maximize"):
                module.sgd(ones(), ones(), step=1, maximize=bad)


def test_an_infinite_norm_only_measures():
    for grads, norm in (([ones(4)], 2.0), ([np.full(4, np.inf, F)], np.inf)):
        w, v = np.zeros(4, F), np.zeros(4, F)
        opt = oc.SGD([w], lr=0.5)
        opt.step(grads, max_norm=float("inf"))
        oc.SGD([v], lr=0.5).step(grads)
        assert opt.grad_norm == norm
        np.testing.assert_array_equal(w, v)


@pytest.mark.parametrize("scale", [1e-39, 5e-324, 1e-300])
def test_a_scale_whose_inverse_is_no_float32_is_refused(scale):
    w = ones()
    with pytest.raises(ValueError, match="grad_scale"):
        oc.SGD([w], lr=1.0).step([ones()], grad_scale=scale)
    np.testing.assert_array_equal(w, ones())


def test_one_limit_for_seeds_and_offsets():
    most = 2 ** 64 - 1
    w = ones(300)
    m, v = (oc.state_array(w, "bfloat16") for _ in range(2))
    oc.functional.adam(w, ones(300), m, v, step=1, seed=most, offset=most)
    oc.Adam([w], seed=most, state_dtype="bfloat16").step([ones(300)])
    for bad in (-1, most + 1, 0.5, "x"):
        for name in ("seed", "offset"):
            with pytest.raises((TypeError, ValueError), match=name):
                oc.functional.adam(w, ones(300), m, v, step=1, **{name: bad})
        with pytest.raises((TypeError, ValueError), match="seed"):
            oc.Adam([w], seed=bad)


# Where state begins at lr, that is read once, and a function of the step is refused.
@pytest.mark.parametrize("name", [name for name in sorted(FAMILIES) if "lr" not in FAMILIES[name].fill.values()])
def test_a_schedule_goes_by_the_optimizers_own_count(name):
    """A layer that is unfrozen late takes the rate of now; its bias correction is its own first step's."""
    seen = []

    def lr(t):
        seen.append(t)
        return 1.0 / t

    early, late, plain = (np.zeros(3, F) for _ in range(3))
    opt = getattr(oc, name)({"early": early, "late": late}, lr=lr)
    for _ in range(9):
        opt.step({"early": ones(3), "late": None})
    seen.clear()
    opt.step({"early": ones(3), "late": ones(3)})
    assert set(seen) == {10}
    getattr(oc, name)([plain], lr=0.1).step([ones(3)])
    np.testing.assert_array_equal(late, plain)
    assert [s["step"] for s in opt.state] == [10, 1]


def test_lookahead_asks_for_the_momentum_that_the_step_takes():
    seen = []

    def momentum(t):
        seen.append(t)
        return 0.5

    opt = oc.NesterovClassical({"early": ones(), "late": ones()}, momentum=momentum)
    for _ in range(4):
        opt.step({"early": ones(), "late": None})
    seen.clear()
    with opt.lookahead():
        pass
    assert set(seen) == {5}


def test_a_schedule_that_fails_in_the_step_that_needs_new_state_leaves_none():
    def lr(t):
        return 0.1 if t < 6 else 1 / 0

    opt = oc.Adam([ones()], lr=lr)
    for _ in range(5):
        opt.step([ones()])
    opt.add_param_group({"params": [ones()]})
    with pytest.raises(ValueError, match="lr: its schedule failed at step 6"):
        opt.step([ones(), ones()])
    assert dict(opt.state[1]) == {"step": 0} and opt.state[0]["step"] == 5


CALLS = {
    "step": lambda opt, saved, path: opt.step([ones()]),
    "save": lambda opt, saved, path: opt.save(path),
    "load": lambda opt, saved, path: opt.load(path),
    "state_dict": lambda opt, saved, path: opt.state_dict(),
    "load_state_dict": lambda opt, saved, path: opt.load_state_dict(saved),
    "undo": lambda opt, saved, path: opt.undo(),
    "add_param_group": lambda opt, saved, path: opt.add_param_group({"params": [ones()]}),
}


@pytest.mark.parametrize("call", CALLS)
def test_in_the_middle_of_another_threads_step_it_is_refused_and_the_step_is_made(call, tmp_path):
    inside, may_go_on, failed = threading.Event(), threading.Event(), []

    def wait():
        inside.set()
        assert may_go_on.wait(60)

    def step():
        try:
            opt.step([Gradient(ones(), wait)], undoable=True)
        except BaseException as e:
            failed.append(e)

    w = ones()
    opt = oc.SGD([w], lr=0.5)
    opt.step([ones()], undoable=True)           # there is one to take back
    saved = opt.state_dict()
    opt.save(tmp_path / "x")
    thread = threading.Thread(target=step)
    thread.start()
    try:
        assert inside.wait(60)
        with pytest.raises(RuntimeError, match="in the middle of a step"):
            CALLS[call](opt, saved, tmp_path / "x")
    finally:
        may_go_on.set()
        thread.join(60)
    assert not failed and (w == 0.0).all() and opt.state[0]["step"] == 2
    CALLS[call](opt, saved, tmp_path / "x")     # and now it is not


@pytest.mark.parametrize("call", ["save", "state_dict"])
def test_what_is_saved_beside_another_threads_steps_is_not_torn(call, tmp_path):
    n = 300_000
    opt = oc.Adam([np.ones(n, F)])
    grads = [np.full(n, 0.5, F)]
    opt.step(grads)
    stop = threading.Event()

    def steps():
        while not stop.is_set():
            try:
                opt.step(grads)
            except RuntimeError:
                pass                            # the other thread was at work
    thread = threading.Thread(target=steps)
    thread.start()
    try:
        refused, made, until = 0, 0, time.monotonic() + 3.0
        while min(refused, made) < 3 and time.monotonic() < until:
            try:
                if call == "state_dict":
                    found = opt.state_dict()["state"][0]["exp_avg_sq"]
                else:
                    opt.save(tmp_path / "x")
                    again = oc.Adam([np.ones(n, F)])
                    again.load(tmp_path / "x")
                    found = again.state[0]["exp_avg_sq"]
            except RuntimeError as e:
                assert "in the middle of a step" in str(e)
                refused += 1
            else:
                made += 1
                assert np.unique(found).size == 1
    finally:
        stop.set()
        thread.join()
    assert refused + made


def test_a_pipe_is_not_waited_for_and_a_private_file_stays_private(tmp_path):
    opt = oc.Adam([ones()])
    opt.step([ones()])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe: it is no regular file"):
        opt.load(tmp_path / "pipe")
    path = tmp_path / "x"
    opt.save(path)
    path.chmod(0o6640)
    opt.save(path)
    assert path.stat().st_mode & 0o7777 == 0o640


def test_one_unusual_gradient_costs_its_own_conversion():
    """Counted in checks of arrays, not in seconds."""
    from optcore.step import arrays

    P = [np.ones((8, 8), F) for _ in range(50)]
    opt = oc.Adam(P)
    grads = [np.ones((8, 8), F) for _ in P]
    opt.step(grads)
    grads[7] = np.ones((8, 8), F).T
    before, seen = arrays.view, []
    try:
        arrays.view = lambda name, *more, **options: seen.append(name) or before(name, *more, **options)
        opt.step(grads)
        grads[3] = grads[3].astype(np.float16).T
        opt.step(grads)
        assert seen == ["grads[7]", "grads[7]", "grads[3]"]
        opt.step([np.ones((8, 8), F) for _ in P])
        opt.step([np.ones((8, 8), F) for _ in P])
        assert sorted(seen[3:]) == ["grads[3]", "grads[7]"]         # looked at once more, and then usual again
    finally:
        arrays.view = before
