"""race(): the known facts about how optimizers travel, what it takes, what it refuses, and its pictures."""
from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import optcore as oc
from optcore import racing, surfaces
from optcore.racing._figure import COLOURS, DASHES, draw, nice, spread
from tests.support.processes import run, value_of


def points(surface, *optimizers, **options):
    tracks = oc.race(surface, list(optimizers), **options).tracks.values()
    found = [t.points for t in tracks]
    return found[0] if len(found) == 1 else found


# ------------------------------------------------------------------------------------------- known facts


def test_on_the_taco_sgd_zigzags_more_than_momentum():
    sgd, momentum = points("taco", "SGD", "Momentum")
    turns = [int((np.diff(np.sign(p[:, 1])) != 0).sum()) for p in (sgd, momentum)]
    assert turns[0] == 80 and turns[0] > 2 * turns[1]
    # One factor a step, 1 - lr 50 across and 1 - lr along; float32 rounds each step a few times by 2^-24 of x <= 9.
    lr = np.float64(np.float32(1.9 / 50))
    expected = np.array(surfaces.get("taco").start) * (1 - lr * np.array([1, 50])) ** np.arange(81)[:, None]
    assert np.abs(sgd - expected).max() < 81 * 4 * 2.0 ** -24 * 9


def test_momentum_overshoots_and_comes_back():
    momentum, sgd = points("taco", "Momentum", "SGD", steps=200)
    assert sgd[:, 0].max() < 0 < 0.5 < momentum[:, 0].max() and abs(momentum[-1, 0]) < 0.05


def test_the_two_forms_of_nesterov_agree_after_the_change_of_variables():
    """The stored point of the one is the other's plus momentum times its last step."""
    ahead, classical = points("taco", "Nesterov", "Nesterov classical")
    step = np.diff(classical, axis=0, prepend=classical[:1])
    # Each step of either rounds by some 2^-24 of the position (9) and, in the gradient, of lr 50 y; the errors of
    # 80 steps add up at most, since with these settings no direction grows.
    assert np.abs(ahead - (classical + 0.9 * step)).max() < 80 * 8 * 2.0 ** -24 * 9


@given(x=st.floats(-8, 8), y=st.floats(-2, 2), lr=st.floats(1e-3, 1))
def test_adams_first_step_is_lr_in_every_coordinate(x, y, lr):
    g = np.abs(surfaces.get("taco").gradient(np.array([x, y])))
    if g.min() < 1e-3:          # eps = 1e-8 is then more than 1e-5 of the gradient
        return
    p = points("taco", oc.Adam([np.ones(2, np.float32)], lr=lr), start=(x, y), steps=1)
    # lr (1 - eps/|g|), rounded in a dozen operations; p itself is rounded at its size, up to 8.
    np.testing.assert_allclose(np.abs(p[1] - p[0]), lr, rtol=1.2e-5, atol=2 * 8 * 2.0 ** -24)


@pytest.mark.parametrize("start", [(-9.0, 1.6), (3.0, -2.0), (0.1, 0.0)])
def test_newton_solves_the_quadratic_in_one_step(start):
    track = oc.race("taco", "Newton", start=start).tracks["Newton"]
    assert len(track.points) == 2 and track.ended == "converged"
    assert np.abs(track.points[1]).max() < 8 * 2.0 ** -52 * 9


def test_at_the_saddles_axis_sgd_moves_less_than_rmsprop():
    sgd, rmsprop, newton = points("saddle", "SGD", "RMSProp", "Newton", steps=50)
    assert abs(sgd[-1, 1]) < 0.2 and rmsprop[-1, 1] > 0.9
    assert abs(newton[-1, 1]) == pytest.approx(1, abs=1e-6)             # ours leaves saddles


def test_momentum_leaves_the_sharp_minimum_that_sgd_stays_in():
    flat, sharp = (np.array(m) for m in surfaces.get("sharp").minima)
    sgd, momentum = points("sharp", "SGD", "Momentum")
    assert np.abs(sgd[-1] - sharp).max() < 1e-3 and np.abs(momentum[-1] - flat).max() < 0.05
    same = oc.SGD([np.ones(2, np.float32)], lr=surfaces.get("sharp").lr * 0.3)
    assert np.abs(points("sharp", same, steps=600)[-1] - sharp).max() < 1e-3       # it is not the smaller lr


def test_random_search_never_gets_worse_and_needs_no_gradient():
    tracks = [oc.race("taco", oc.RandomSearch, seed=s).tracks["Random search"] for s in (0, 0, 1)]
    assert (np.diff(tracks[0].losses) <= 0).all() and tracks[0].losses[-1] < tracks[0].losses[0] / 2
    assert tracks[0].points.tobytes() == tracks[1].points.tobytes() != tracks[2].points.tobytes()
    assert len(tracks[0].points) == 81


def test_adagrads_steps_shrink():
    steps = np.abs(np.diff(points("rosenbrock", "AdaGrad"), axis=0)).max(1)
    assert steps[:10].mean() > 5 * steps[-10:].mean()


# ------------------------------------------------------------------------------------------- what it takes


@pytest.mark.parametrize("name", racing.RACERS)
def test_every_name_runs_on_every_surface(name):
    for surface in surfaces.SURFACES:
        track = oc.race(surface, name, steps=25).tracks[name]
        assert track.points.shape == (len(track.losses), 2) and len(track.points) <= 26
        assert len(track.points) == 26 or track.ended
        assert track.ended != "left", surface
        assert track.points[0].tolist() == list(surfaces.get(surface).start)


def test_every_class_has_a_name():
    assert {row.family for row in racing.RACERS.values()} >= set(oc.optimizers.FAMILIES)


def test_names_classes_instances_and_functions():
    p = np.full(2, 7, np.float32)
    instance = oc.SGD([p], lr=0.038)
    lr = float(np.float32(0.038))

    def mine(x, gradient):
        return x - lr * gradient

    result = oc.race("taco", {"name": "sgd", "class": oc.SGD, "instance": instance, "function": mine}, steps=10)
    assert list(result.tracks) == ["name", "class", "instance", "function"]
    named = result.tracks["name"].points
    assert named.tobytes() == result.tracks["class"].points.tobytes() == result.tracks["instance"].points.tobytes()
    assert (p == 7).all() and instance.defaults["lr"] == 0.038
    # float64 against float32: ten steps, each rounded by a few 2^-24 of the position
    np.testing.assert_allclose(result.tracks["function"].points, named, atol=10 * 4 * 2.0 ** -24 * 9)
    assert list(oc.race("taco", [instance, mine], steps=2).tracks) == ["SGD lr=0.038", "mine"]


def test_a_function_of_ones_own_and_its_differences():
    def bowl(x):
        return (x[0] - 1) ** 2 + 3 * (x[1] + 2) ** 2

    def gradient(x):
        return np.array([2 * (x[0] - 1), 6 * (x[1] + 2)])

    exact = oc.race(bowl, ["SGD", "Newton"], grad=gradient, start=(4, 4), steps=60)
    rough = oc.race(bowl, ["SGD", "Newton"], start=(4, 4), steps=60)
    for result in (exact, rough):
        assert result.surface.lr == pytest.approx(1 / 6, rel=1e-3)          # 1 / |H|
        for track in result.tracks.values():
            assert np.abs(track.points[-1] - (1, -2)).max() < 1e-4
    assert exact.figure.axes[0].get_title(loc="left") == "bowl"
    left, right = exact.figure.axes[0].get_xlim()
    assert left < 1 < 4 < right


def test_the_same_race_has_the_same_bits_and_batches_are_shared():
    one, two, other = (oc.race("noisy", ["SGD", oc.Adam], seed=s, steps=30).tracks for s in (1, 1, 2))
    for label in one:
        assert one[label].points.tobytes() == two[label].points.tobytes() != other[label].points.tobytes()
    assert oc.race("noisy", oc.Adam, seed=1, steps=30).tracks["Adam"].points.tobytes() == one["Adam"].points.tobytes()


def test_one_that_leaves_for_infinity_is_stopped_and_says_so():
    track = oc.race("rosenbrock", {"wild": oc.SGD([np.ones(2, np.float32)], lr=1.0)}).tracks["wild"]
    assert track.ended == "left" and np.isfinite(track.losses).all() and len(track.points) < 10


# ------------------------------------------------------------------------------------------- what it refuses


@pytest.mark.parametrize(("arguments", "options", "message"), [
    (("burrito",), {}, "'burrito' is unknown; there are taco"),
    (("taco", "Adan"), {}, "'Adan' is unknown; there are SGD, Momentum"),
    (("taco", []), {}, "none is given"),
    (("taco", ["SGD", oc.SGD]), {}, "two with the label 'SGD'"),
    (("taco", 3), {}, r"function \(x, gradient\) -> next x; got 3"),
    (("taco", int), {}, "function"),
    (("taco", type("Mine", (oc.Adam,), {})), {}, r"Mine has no row of settings.*an instance, Mine\(\[p\], lr"),
    (("taco",), {"steps": 0}, "steps"),
    (("taco",), {"start": (1, 2, 3)}, "start="),
    (("taco",), {"start": (1, float("nan"))}, "start="),
    (("taco",), {"box": (1, 0, 0, 1)}, "box="),
    (("taco",), {"lr": -1}, "lr=-1"),
    (("taco",), {"seed": -1}, "seed"),
    (("taco",), {"grad": abs}, "function of your own"),
    ((3,), {}, "a name, a Surface or a function"),
    ((sum,), {}, "start: two numbers"),
    ((lambda x: x, "SGD"), {"start": (1, 2), "lr": 1}, r"function gave \[1.0, 2.0\] at x = \[1.0, 2.0\].*a number"),
    ((lambda x: "low", "SGD"), {"start": (1, 2), "lr": 1}, r"function gave 'low' at x = \[1.0, 2.0\]"),
    ((lambda x: x[0], "SGD"), {"start": (1, 2), "lr": 1, "grad": lambda x: x[:1]},
     r"gradient gave \[1.0\] at x = \[1.0, 2.0\], evaluation 0 of SGD: shape \(2,\)"),
    ((lambda x: np.log(x[0]), {"down": lambda x, g: x - (1, 0)}), {"start": (-0.5, 2), "lr": 1},
     r"gave nan at x = \[-0.5, 2.0\]"),
    ((lambda x: np.log(x[0]), {"down": lambda x, g: x - (1, 0)}), {"start": (0.5, 2), "lr": 1},
     r"gave nan at x = \[-0.5, 2.0\]"),
    ((lambda x: x @ x, "SGD"), {"start": (1, 2), "grad": np.zeros_like, "hess": lambda x: np.eye(3)},
     r"Hessian gave an array of shape \(3, 3\) at x = \[1.0, 2.0\], evaluation 1 of the start: shape \(2, 2\)"),
    ((lambda x: x @ x, "Newton"), {"start": (1, 2), "lr": 1, "hess": lambda x: np.full((2, 2), np.inf)},
     r"Hessian gave \[\[inf, inf\], \[inf, inf\]\] at x = \[1.0, 2.0\], evaluation 1 of Newton"),
    ((lambda x: x @ x, "SGD"), {"start": (1, 2), "grad": lambda x: x[:1]}, r"gradient gave \[1.0\] at x = \[1.0, 2.0"),
    ((lambda x: x @ x, "SGD"), {"start": (1, 2), "grad": lambda x: None}, r"gradient gave None at x = \[1.0, 2.0\]"),
    ((lambda x: None, "SGD"), {"start": (1, 2)}, r"function gave None at x = \[1.0, 2.0\]"),
    (("taco", {"words": lambda x, g: ("a", "b")}), {}, r"words gave \('a', 'b'\) at x = \[-9.0, 1.6\]: the next x"),
    (("taco", {"ragged": lambda x, g: [1, [2, 3]]}), {}, r"ragged gave \[1, \[2, 3\]\] at x = \[-9.0, 1.6\]: the"),
    (("taco", {"odd": lambda x, g: x + 1j}), {}, r"odd gave .* at x = \[-9.0, 1.6\]: the next x"),
    (("taco", {"short": lambda x, g: x[:1]}), {}, r"short gave \[-9.0\] at x = \[-9.0, 1.6\]: the next x"),
])
@pytest.mark.filterwarnings("ignore:invalid value encountered in log")
def test_bad_input_is_named(arguments, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        oc.race(*arguments, **options)


def test_without_matplotlib_the_race_runs_and_the_picture_says_what_to_install():
    done = run("import sys; sys.modules['matplotlib'] = None\n"
               "import optcore as oc; r = oc.race('taco', 'SGD', steps=3); print(len(r.tracks['SGD'].points))\n"
               "r.save('x.png')")
    assert done.stdout == "4\n" and "pip install optcore[plot]" in done.stderr.splitlines()[-1]


def test_import_is_cheap_and_a_picture_needs_no_display():
    loaded = value_of("import sys, optcore; print([m for m in sys.modules if m.startswith(('matplotlib', 'optcore.rac',"
                      " 'optcore.surf', 'scipy'))])")
    assert loaded == []
    assert value_of("import sys, io, optcore as oc; oc.race('taco', 'SGD', steps=3).figure.savefig(io.BytesIO());"
                    "print('matplotlib.pyplot' in sys.modules)", DISPLAY="") is False


# ------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize(("arguments", "options"), [
    (("taco", "Newton"), {"start": (0, 0)}), (("taco", {"": "Adam"}), {}), (("taco", {r"$\bad{$": "Adam"}), {}),
    ((lambda x: math.log(x[0]) ** 2 + x[1] ** 2, "Adam"), {"start": (0.2, 1.0), "box": (-1, 1, -1, 2)}),
    ((lambda x: 1 / float(x[0]) ** 2 + x[1] ** 2, "Adam"), {"start": (1.0, 1.0), "box": (-1, 1, -1, 1)}),
    ((lambda x: 1e300 * float(x @ x), ["Adam", "Newton"]), {"start": (1, 2)})],
    ids=["at the minimum", "no label", "no formula", "domain", "pole", "huge"])
def test_a_race_that_was_run_can_be_drawn(arguments, options):
    """Without a warning: no step was taken, labels that are no names, a function with no value beside its path."""
    assert oc.race(*arguments, steps=5, **options)._repr_png_().startswith(b"\x89PNG")


def test_where_a_function_is_straight_the_rounding_of_its_differences_is_no_curvature():
    result = oc.race(lambda x: abs(x[0]) + 2 * abs(x[1]) + 3, "SGD", start=(1.0, 2.0), steps=5)
    assert result.surface.lr == 0.1 and not result.tracks["SGD"].ended


@given(wanted=st.lists(st.floats(0, 100), min_size=1, max_size=12))
def test_labels_are_apart_and_in_order_and_stay_where_they_may(wanted):
    placed = spread(wanted, 7.0, 0.0, 100.0)
    order = np.argsort(wanted, kind="stable")
    gaps = np.diff(np.array(placed)[order])
    assert (gaps >= 7.0 - 1e-9).all() and min(placed) >= 0 and max(placed) <= 100 + 1e-9
    if len(wanted) == 1 or np.diff(np.sort(wanted)).min() >= 7:
        np.testing.assert_allclose(placed, wanted, atol=1e-9)


@pytest.mark.parametrize("who", ["all", racing.DEFAULT], ids=["all", "default"])
@pytest.mark.parametrize("surface", surfaces.SURFACES)
def test_no_label_covers_another_or_leaves_the_picture(surface, who):
    result = oc.race(surface, who)
    figure = result.figure
    panel = figure.axes[1]
    figure.canvas.draw()
    boxes = sorted((t.get_window_extent() for t in panel.texts if t.get_text()), key=lambda b: b.y0)
    assert len(boxes) == len(result.tracks) == len(racing.RACERS if who == "all" else who)
    for below, above in zip(boxes, boxes[1:], strict=False):
        assert below.y1 <= above.y0 + 1                                     # pixels
    assert all(b.x1 < figure.bbox.x1 and 0 < b.y0 and b.y1 < figure.bbox.y1 for b in boxes)


def test_lines_are_told_apart():
    picture = draw(surfaces.get("taco"), oc.race("taco", "all", steps=5).tracks)
    styles = [(path.get_color(), path.get_linestyle(), path._unscaled_dash_pattern) for path, *_ in
              picture.lines.values()]
    assert len(set(map(str, styles))) == len(styles) == len(racing.RACERS) <= len(DASHES) * len(COLOURS)


@pytest.mark.parametrize("steps", [1, 12, 13, 100, 1000, 99_999])
def test_marks_are_round_and_about_a_dozen(steps):
    assert steps / nice(steps) <= 12 and str(nice(steps)).rstrip("0") in ("1", "2", "5", "25", "9")


def test_a_picture_and_a_film(tmp_path):
    result = oc.race("saddle", ["SGD", "RMSProp", "Newton"], steps=20)
    result.save(tmp_path / "a.png")
    result.save(tmp_path / "a.gif", dpi=40)
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (1500, 645)
    with Image.open(tmp_path / "a.gif") as film:
        assert film.size == (400, 172) and film.n_frames >= 21
        first = np.asarray(film.convert("RGB"))
        film.seek(film.n_frames - 1)
        assert (first != np.asarray(film.convert("RGB"))).any()
    assert "matplotlib.pyplot" not in sys.modules
    assert result._repr_png_().startswith(b"\x89PNG")
