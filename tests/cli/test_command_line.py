"""python -m optcore: what it prints, its exit status, and that an error is one line."""
from __future__ import annotations

import json
import subprocess
import sys

import pytest

import optcore as oc
from optcore.cli import bench as _bench
from optcore.cli import main


def call(capsys, *arguments):
    try:
        status = main(arguments)
    except SystemExit as end:
        status = end.code
    out, err = capsys.readouterr()
    return status, out, err


def test_info_says_what_runs_here_and_why(capsys):
    status, out, err = call(capsys, "info")
    info = oc.build_info()
    assert status == 0 and err == ""
    for part in (info["version"], info["isa"], "the best that this processor runs", info["threads_from"], "numpy "):
        assert part in out
    found = json.loads(call(capsys, "info", "--json")[1])
    assert {k: found[k] for k in info} == info and found["packages"]["numpy"]


def test_it_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "optcore", "info"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("optcore ") and done.stderr == ""


def test_race_writes_a_picture_and_says_who_came_how_far(capsys, tmp_path):
    path = tmp_path / "taco.svg"
    status, out, err = call(capsys, "race", "taco", "-o", str(path), "--optimizers", "SGD, newton", "--steps", "9",
                            "--start=-3,1")
    assert (status, err) == (0, "") and path.read_bytes().lstrip().startswith(b"<?xml")
    rows = out.splitlines()[3:]
    assert rows[0].split()[:2] == ["Newton", "1"] and rows[0].endswith("converged")
    assert rows[1].split()[:2] == ["SGD", "9"]
    out = call(capsys, "race", "taco", "-o", str(path), "--optimizers", "SGD", "--steps", "3", "--json")[1]
    track = json.loads(out)["tracks"]["SGD"]
    assert len(track["points"]) == 4 and track["settings"] == {"lr": 0.038}


def test_bench_measures_every_size_and_draws_a_bar_for_people_only(capsys, monkeypatch):
    monkeypatch.setattr(_bench, "SIZES", {"1 Ki": 1 << 10, "64 Ki": 1 << 16})
    status, out, err = call(capsys, "bench", "--seconds", "0.1", "--json")
    assert (status, err) == (0, "")
    for size in json.loads(out)["sizes"].values():
        assert size["rounds"] >= _bench.ROUNDS and {"roof", "optcore", "numpy"} <= size["contenders"].keys()
        ours = size["contenders"]["optcore"]
        assert ours["times_ours"] == 1 and ours["us"] > 0 and ours["gb_per_s"] > 0
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    status, out, err = call(capsys, "bench", "--seconds", "0.1")
    assert status == 0 and "100 %" in err and "64 Ki parameters" in out and "% of roof" in out


@pytest.mark.parametrize(("arguments", "status", "message"), [
    ((), 2, "COMMAND"),
    (("fly",), 2, "invalid choice: 'fly'"),
    (("race", "burrito", "-o", "x.png"), 2, "there are taco, saddle"),
    (("race", "taco"), 2, "-o/--output"),
    (("race", "taco", "-o", "x.png", "--optimizers", "Adan"), 2, "there are SGD"),
    (("race", "taco", "-o", "x.png", "--steps", "0"), 2, "steps"),
    (("race", "taco", "-o", "x.png", "--start", "1"), 2, "two numbers are needed"),
    (("race", "taco", "-o", "x.paint"), 2, "paint"),
    (("race", "taco", "-o", "no/such/folder/x.png"), 1, "there is no folder"),
    (("bench", "--seconds", "0"), 2, "--seconds 0"),
])
def test_an_error_is_one_line_and_an_exit_status(capsys, arguments, status, message):
    found, out, err = call(capsys, *arguments)
    assert found == status and out == "" and message in err
    assert err.startswith("python -m optcore") and err.count("\n") == 1 and err.endswith("\n")


@pytest.mark.parametrize("arguments", [("--help",), ("race", "--help"), ("info", "--help"), ("bench", "--help")])
def test_help_teaches(capsys, arguments):
    status, out, err = call(capsys, *arguments)
    assert status == 0 and err == "" and len(out.splitlines()) >= 8
    if "race" in arguments:
        assert "rosenbrock" in out and "python -m optcore race taco -o taco.png" in out
