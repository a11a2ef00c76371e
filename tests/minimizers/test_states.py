"""States that no minimizer has had: each is refused by the name of the entry, and nothing is changed."""
from __future__ import annotations

import copy

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der, rosen_hess

import optcore as oc
from optcore import _files
from tests.support.bits import assert_same_bits

METHODS = ["lbfgs", "bfgs", "newton", "newton-cg"]
START = np.array([-1.2, 1.0, 0.8, -0.5])


def run(method, told=5, dtype=np.float64):
    m = oc.Minimizer(START.astype(dtype), method, gtol=1e-10)
    for _ in range(told):
        x = m.ask().astype(np.float64)
        m.tell(rosen(x), rosen_der(x), hess=rosen_hess(x))
    return m


def leaves(tree, path=()):
    for name, value in tree.items():
        if isinstance(value, dict):
            yield (*path, name), value
            yield from leaves(value, (*path, name))
        else:
            yield (*path, name), value


def put(tree, path, value):
    for name in path[:-1]:
        tree = tree[name]
    if value is DELETE:
        del tree[path[-1]]
    else:
        tree[path[-1]] = value


DELETE = object()
OPEN = {"fun", "grad_max", "_best_f", "_best_slope", "_least_f", "_least_g", "_mean", "width", "width_before"}
MAY_BE_ODD = {"_g", "_d", "sg", "yg", "hg", "w"}        # of a run that a gradient which is not finite has ended


def forgeries(path, value):
    """What may stand in this place, and is none of what was saved."""
    name = path[-1]
    yield DELETE
    if isinstance(value, dict):
        yield from (None, [], 3, {**value, "odd": 1}, {})
    elif isinstance(value, np.ndarray):
        yield from (None, value.tolist(), value[:-1], value[None], value.astype(">f8"), value.astype(complex))
        other = np.float32 if value.dtype == np.float64 else np.float64
        yield value.astype(other)
        if name not in MAY_BE_ODD and not (name == "s" and value.ndim == 1):
            yield from (np.full_like(value, np.nan), np.full_like(value, -np.inf))
    elif isinstance(value, bool):
        yield from (None, 0, 1, "False", np.nan)
    elif isinstance(value, int):
        yield from (None, "1", 1.5, True, -7, np.nan, 2**70)
    elif isinstance(value, float):
        yield from (None, "1", True, [1.0])
        if name not in OPEN:
            yield from (np.nan, -np.inf)
    elif isinstance(value, str):
        yield from (None, 3, b"x") if name == "message" else (None, 3, "adam")
    elif isinstance(value, list):
        yield from (None, value[:-1], [*value, *value], [99], [-1], "ab", [0.5] * len(value))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", METHODS)
def test_a_state_with_one_forged_entry_is_refused_by_name(method, dtype):
    whole, mine = run(method, dtype=dtype), run(method, 3, dtype)
    before = dict(leaves(mine.state_dict()))
    tried = 0
    for path, value in leaves(whole.state_dict()):
        if path[0] == "options" and len(path) == 2 or path == ("best_jac",):
            continue
        for forged in forgeries(path, value):
            state = copy.deepcopy(whole.state_dict())
            put(state, path, forged)
            says = {"kind": "search", "slots": r"model\.(slots|s) "}.get(path[-1], path[-1].lstrip("_"))
            with pytest.raises((KeyError, TypeError, ValueError),
                               match="the state's" if forged is DELETE else says):
                mine.load_state_dict(state)
            tried += 1
            after = dict(leaves(mine.state_dict()))
            assert before.keys() == after.keys()
            for k, old in before.items():
                assert np.array_equal(old, after[k], equal_nan=True) if isinstance(old, np.ndarray) else (
                    isinstance(old, dict) or old == after[k] or old != old and after[k] != after[k]), k
    assert tried > 150
    mine.load_state_dict(whole.state_dict())
    assert_same_bits(mine.ask(), whole.ask())


@pytest.mark.parametrize(("path", "value", "says"), [
    (("options", "maxiter"), -1, "maxiter"), (("options", "gtol"), np.nan, "gtol"), (("options", "disp"), "no", "disp"),
    (("options", "odd"), 1, "odd"), (("options", "ftol"), DELETE, "ftol"), (("best_jac",), [1.0], "best_jac"),
    (("best_jac",), np.full(4, np.nan), "best_jac"), (("scalars", "status"), 7, "status"),
    (("scalars", "status"), 0, "contradict"), (("search", "kind"), "Armijo", "search"),
    (("search", "step"), 0.0, "step"), (("search",), None, "search is None"),
    (("search", "step"), -1.0, "step"), (("search",), {"kind": "Wolfe"}, "lacks f0"),
    (("model", "sy"), -np.eye(2), "sy"), (("model", "yy"), np.zeros((2, 2)), "yy")])
def test_entries_that_contradict_the_others_are_refused(path, value, says):
    m = run("lbfgs")
    state = copy.deepcopy(m.state_dict())
    k = len(state["model"]["slots"])
    put(state, path, np.array(value).flat[0] * np.eye(k) if path[0] == "model" else value)
    with pytest.raises((KeyError, TypeError, ValueError), match=says):
        m.load_state_dict(state)


def test_an_inverse_hessian_that_is_not_symmetric_is_refused():
    m = run("bfgs")
    state = m.state_dict()
    state["model"]["h"][0, 1] *= 2
    with pytest.raises(ValueError, match=r"model\.h is not symmetric"):
        m.load_state_dict(state)


@pytest.mark.parametrize("bad", [None, 3, [], {}, {"method": "lbfgs"}, "state"])
def test_what_is_no_state_is_refused(bad):
    with pytest.raises((KeyError, TypeError), match="the state's"):
        oc.Minimizer(START).load_state_dict(bad)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("path", "value"), [(("scalars", "nit"), -1), (("arrays", "_trial"), np.zeros(3)),
                                             (("scalars", "fun"), DELETE), (("arrays", "x"), np.full(4, np.nan))])
def test_a_forged_file_is_named(method, path, value, tmp_path):
    """A checksum keeps out no forger."""
    m = run(method)
    state = copy.deepcopy(m.state_dict())
    put(state, path, value)
    _files.save(tmp_path / "run", state, f"Minimizer of {method}")
    before = m.ask().copy()
    with pytest.raises(ValueError, match=rf"{tmp_path / 'run'}: the state's.*{path[-1]}"):
        m.load(tmp_path / "run")
    assert_same_bits(m.ask(), before)


@pytest.mark.parametrize("method", METHODS)
def test_every_state_of_a_run_can_be_loaded(method, tmp_path):
    """From the first to the last, and those of runs that ended badly."""
    runs = [run(method, 0)]
    m = runs[0]
    while not m.done:
        other = oc.Minimizer(np.zeros(4), method)
        m.save(tmp_path / "run")
        other.load(tmp_path / "run")
        assert_same_bits(other.ask(), m.ask())
        x = m.ask().copy()
        m.tell(rosen(x), rosen_der(x), hess=rosen_hess(x))
    told = [(np.nan, [0] * 4), (1.0, [np.nan] * 4), (1.0, [np.inf] * 4), (-np.inf, [1.0] * 4), (1e308, [1e308] * 4)]
    for first in told:
        for second in told:
            odd = oc.Minimizer(START, method, maxfun=2)
            for f, g in (first, second):
                if not odd.done:
                    odd.ask()
                    odd.tell(f, g, hess=np.eye(4))
            oc.Minimizer(np.zeros(4), method).load_state_dict(odd.state_dict())
    other = oc.Minimizer(np.zeros(4), method)
    other.load_state_dict(m.state_dict())
    assert other.done and other.message == m.message
