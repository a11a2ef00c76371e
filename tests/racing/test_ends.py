"""How a track ends that cannot go on, while the others do; and the files that a race is written to."""
from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optcore as oc
from optcore import cli, racing, surfaces
from tests.support.bits import assert_same_bits


def bowl(x):
    return float((x[0] - 1) ** 2 + x[1] ** 2)


def slope(x):
    return np.array([2 * (x[0] - 1), 2 * x[1]])


def without_value(where, what):
    """The bowl, but where x[0] is below `where`: `what`, a value or an exception."""
    def fun(x):
        if x[0] < where:
            if isinstance(what, type):
                raise what("nothing here")
            return what
        return bowl(x)
    return fun


def left(x, gradient):
    return x - (0.5, 0)


# ------------------------------------------------------------------------------------------- tracks


@pytest.mark.parametrize(("what", "ended", "says"), [
    (np.nan, "not finite", "the function gave nan at x = [-0.5, 1.0], evaluation 5 of left"),
    (np.inf, "not finite", "the function gave inf at x = [-0.5, 1.0]"),
    (-np.inf, "not finite", "the function gave -inf at x = [-0.5, 1.0]"),
    (ZeroDivisionError, "failed", "ZeroDivisionError: nothing here at x = [-0.5, 1.0]"),
    (RuntimeError, "failed", "RuntimeError: nothing here"),
    ("low", "failed", "the function gave 'low' at x = [-0.5, 1.0]"),
    ([1, 2], "failed", "the function gave [1, 2] at x = [-0.5, 1.0]")])
def test_one_that_comes_to_where_there_is_no_value_ends_there_alone(what, ended, says):
    alone = oc.race(bowl, "SGD", start=(2, 1), steps=60, grad=slope, lr=0.1).tracks["SGD"]
    result = oc.race(without_value(0.0, what), {"left": left, "SGD": "SGD"}, start=(2, 1), steps=60, grad=slope, lr=0.1)
    track = result.tracks["left"]
    assert track.ended == ended and says in track.why
    assert track.points[-1].tolist() == [0.0, 1.0] and len(track.points) == len(track.losses) == 5
    assert np.isfinite(track.losses).all()
    assert_same_bits(result.tracks["SGD"].points, alone.points)
    assert (result.tracks["SGD"].ended, result.tracks["SGD"].why) == ("", "")
    assert result._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize("names", ["all", racing.DEFAULT], ids=["all", "default"])
def test_every_racer_survives_a_surface_with_a_hole(names):
    """With the start beside it. Whoever looks into it ends there, shortens its step or tries another point."""
    result = oc.race(without_value(0.5, np.nan), names, start=(2, 1), steps=60)
    assert len(result.tracks) == len(racing.RACERS if names == "all" else names)
    for track in result.tracks.values():
        assert np.isfinite(track.points).all() and np.isfinite(track.losses).all() and (track.points[:, 0] >= 0.5).all()
        assert len(track.points) == 61 or track.ended
        assert bool(track.why) == (track.ended in ("not finite", "failed"))


def test_searches_go_on_after_a_value_that_is_none():
    """As they do outside a race: a line search shortens its step, random search stays."""
    def fun(x):
        return float(x[0] - np.log(x[0]) + x[1] ** 2) if x[0] > 0 else np.nan

    def grad(x):
        return np.array([1 - 1 / x[0], 2 * x[1]])

    result = oc.race(fun, ["L-BFGS", "BFGS", "Random search"], start=(0.01, 1.0), steps=80, grad=grad, stride=0.3)
    for track in result.tracks.values():
        assert not track.why and track.losses[-1] < 1.1 < track.losses[0]       # 1 at the minimum, (1, 0)


@pytest.mark.parametrize("bad, ended", [(np.full((2, 2), np.nan), "not finite"), (np.eye(3), "failed")])
def test_a_hessian_that_is_none_ends_newtons_track(bad, ended):
    """On a quartic Newton's steps go a third of the way: from 8 to 5.3 to 3.6 away."""
    def hess(x):
        return np.diag(12 * (x - 1) ** 2) if x[0] > 5 else bad

    result = oc.race(lambda x: float(((x - 1) ** 4).sum()), ["Newton", "SGD"], start=(9.0, 9.0), steps=60,
                     grad=lambda x: 4 * (x - 1) ** 3, hess=hess)
    assert result.tracks["Newton"].ended == ended and "Hessian" in result.tracks["Newton"].why
    assert len(result.tracks["SGD"].points) == 61


def test_a_racer_that_raises_ends_alone_and_none_that_can_start_is_an_error():
    def wrong(x, gradient):
        raise KeyError("no such thing")

    result = oc.race("taco", {"wrong": wrong, "SGD": "SGD"})
    track = result.tracks["wrong"]
    assert track.ended == "failed" and "KeyError" in track.why and len(track.points) == 1
    assert len(result.tracks["SGD"].points) == 81
    with pytest.raises(KeyError, match="no such thing"):
        oc.race("taco", {"wrong": wrong, "again": wrong})

    def interrupted(x, gradient):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):              # of the user's, not of the racer's
        oc.race("taco", {"interrupted": interrupted, "SGD": "SGD"})


@settings(max_examples=30)
@given(edge=st.floats(-3, 1.9), what=st.sampled_from([np.nan, np.inf, OverflowError]), seed=st.integers(0, 9))
def test_whatever_ends_one_leaves_the_others_bits(edge, what, seed):
    names = ["Adam", "RandomSearch", "Momentum"]
    fun = without_value(edge, what)
    together = oc.race(fun, ["left", *names][1:] + [left], start=(2, 1), steps=20, grad=slope, seed=seed, lr=0.3).tracks
    for name in ["Adam", "Momentum"]:
        assert_same_bits(together[name].points,
                         oc.race(fun, [name, oc.SGD], start=(2, 1), steps=20, grad=slope, seed=seed, lr=0.3)
                         .tracks[name].points)


# ------------------------------------------------------------------------------------------- copies


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("name", surfaces.SURFACES)
def test_a_race_and_its_surface_can_be_copied(name, copied):
    surface = surfaces.get(name)
    other = copied(surface)
    x = np.array([0.3, -0.4])
    assert_same_bits(other.gradient(x), surface.gradient(x))
    result = oc.race(name, ["SGD"], steps=5, start=(0.5, 0.25), lr=0.01, box=(-1, 1, -2, 2))
    twin = copied(result)
    assert_same_bits(twin.tracks["SGD"].points, result.tracks["SGD"].points)
    assert (twin.surface.start, twin.surface.box, twin.surface.lr) == ((0.5, 0.25), (-1, 1, -2, 2), 0.01)
    own = copied(oc.race(bowl, ["SGD"], steps=5, start=(2, 1)))
    assert_same_bits(own.surface.gradient(x), oc.race(bowl, ["SGD"], steps=5, start=(2, 1)).surface.gradient(x))


# ------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("name", ["x", "x.txt", "x.", ".png", "x.png.zip", "x.mp4"])
def test_an_ending_that_is_no_format_is_refused_by_name_before_anything_is_drawn(name, tmp_path, monkeypatch):
    result = oc.race("taco", "SGD", steps=3)
    with pytest.raises(ValueError, match=rf"{name}: its ending says the format"):
        result.save(tmp_path / name)
    assert "figure" not in result.__dict__ and not list(tmp_path.iterdir())

    def never(*args, **options):
        raise AssertionError("it raced")

    monkeypatch.setattr(racing, "race", never)
    assert cli.main(["race", "taco", "-o", str(tmp_path / name)]) == 2


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.svg", "a.pdf", "a.gif", "a.GIF", "a.jpg", "a.b.png"])
def test_the_file_has_the_name_that_was_given_and_the_format_of_its_ending(name, tmp_path):
    oc.race("taco", "SGD", steps=3).save(str(tmp_path / name), dpi=20)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    begins = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF", "gif": b"GIF8", "jpg": b"\xff\xd8"}
    assert (tmp_path / name).read_bytes().startswith(begins[name.lower().rsplit(".")[-1]])


@pytest.mark.parametrize("name", ["no/folder/a.png", "no/folder/a.gif", "a.png/", "file.png/b.gif"])
def test_a_path_that_cannot_be_written_is_named(name, tmp_path):
    (tmp_path / "file.png").write_bytes(b"")
    if name == "a.png/":
        (tmp_path / "a.png").mkdir()
    result = oc.race("taco", "SGD", steps=3)
    with pytest.raises(OSError, match=str(tmp_path / name)):
        result.save(tmp_path / name)
    assert cli.main(["race", "taco", "-o", str(tmp_path / name)]) == 1
