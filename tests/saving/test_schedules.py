"""Schedules in files: those of optcore.schedules come back as the values they are, everything else is refused."""
from __future__ import annotations

import base64
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import optcore as oc
from optcore import _files, schedules
from optcore.schedules import constant, cosine, exponential, one_cycle, piecewise, warmup
from tests.support.bits import exact
from tests.support.classes import each_variation, scheduled
from tests.support.draws import SCHEDULES
from tests.support.saved import goes_on_from_a_file, refuses, stepped

# Written by optcore when files were of version 1: Adam after one step of 0.25 along (1, -2).
VERSION_1 = base64.b85decode(
    "hynlr00000dm>+7ZDn*}WMOn+Utc0Rdm?XebYpLFWg<Evdt4%OXkjunHe4b)Tp~1PW;ifmVm4wiVKy;kWn?omGBIOfIW#yoWHB;fGdW>0Wiw@CH)"
    "b(7F*7x0H!)>mWnwuoGBGeUGh{I_VKQ7IEL<XXWpZ<AZ*E*7Ix#F<B4cb}b8}oGI$R<_WMOSwA}m}Yb97;JWnW}zV{}|1I(u9qWNBk`Tp~JKTU;V@"
    "bYXO5Tp}!cTq0y?V{}|1I$K*XEPGrcWNBk`Tp~JKTU;V@bY*Z{A}ldoEL&V6Wq5F3VRmO+A}o7cB4KiJVR>94I$R=ibYXO5E-)@-cyM1~c4u57eO)"
    "YDTq0$7a9?3|XJ2!1Tp}!cTq0p|a$$K~B05|mb97;JWiBu-Wq5F3VRmO<b8%cEeO+CBU0r=$EL&V6aA9&`ZC__{Z*_2UTp}!6dt4%9X=8L;B05`JTq"
    "108Tp}zmE;2P;EL&V6Vr6t;b6g@Udt4%Pb#QEDTp~JKFfKVPFfKVcIbD5SEL&V6WpHy`A}ldwEigD;EL&V6cV%g3Xmnp>Wn*D^Tp}zmE-+mzTU;Vx"
    "ZF6UGVPsq)EM{SBb7fsDTU;V-VR&h6X?kT`A}nTMY;$E@EL&V6aA9&`ZF5{AEL$*LU0r=$U0r>BB7H0(b97;JWiBu-Wq5F3VRmOCI(s5yba`-PB03"
    "^QGcqD9B6DbAaAhJoTQXfNB4lB7VP9`%W^-k9b0RuhFf2G-eJmn#bYXO5E-)@-cyM1~c4uF6aUwc<B4l)VaAhJoB1SVZA}k_vXkl<=B05_#T`VGGV"
    "RT_%Z)Rq5Wpr~QI$Jm_F*aR&eIOtp&CJX_&CE=`ZxVw#ZxVw$")


# ------------------------------------------------------------------------------------------- what comes back


def test_there_is_one_name_for_every_schedule():
    assert sorted(schedules.BY_NAME) == sorted(schedules.__all__)
    assert all(schedules.BY_NAME[name] is getattr(schedules, name) for name in schedules.__all__)


@given(lr=SCHEDULES, beta=SCHEDULES, t=st.integers(1, 200))
def test_every_schedule_comes_back_as_the_value_it_was(tmp_path, lr, beta, t):
    saved = {"param_groups": [{"lr": lr, "betas": (beta, 0.999)}]}
    _files.save(tmp_path / "opt", saved, "Adam")
    again = _files.load(tmp_path / "opt", "Adam")
    assert again == saved and repr(again) == repr(saved)        # the text of a float has its bits
    assert again["param_groups"][0]["lr"](t).hex() == lr(t).hex()


@each_variation
def test_the_resumed_run_goes_on_with_the_schedules(name, chosen, tmp_path):
    chosen = scheduled(chosen, getattr(oc, name).family)
    opt = stepped(name, steps=3, **chosen)
    goes_on_from_a_file(opt, tmp_path / "opt")


def test_a_file_of_version_1_is_read(tmp_path):
    (tmp_path / "opt").write_bytes(VERSION_1)
    opt, same = (oc.Adam([np.zeros(2, np.float32)], lr=0.25) for _ in range(2))
    same.step([np.array([1.0, -2.0], np.float32)])
    opt.load(tmp_path / "opt")
    assert exact(opt.state_dict()) == exact(same.state_dict())
    (tmp_path / "opt").write_bytes(VERSION_1[:-1] + b"\0")
    refuses(opt, tmp_path / "opt", "opt: .*altered")


# ------------------------------------------------------------------------------------------- what is refused


class mine(constant):
    def __call__(self, step):
        return 2.0 * super().__call__(step)


@pytest.mark.parametrize("group, name", [
    ({"lr": lambda step: 0.1}, "lr"), ({"lr": mine(0.1)}, "lr"), ({"lr": constant}, "lr"),
    ({"betas": (0.9, lambda step: 0.999)}, r"betas\.1"), ({"lr": warmup(0.1, 3, then=mine(0.1))}, r"lr\.then"),
    ({"lr": piecewise({1: 0.1, 7: warmup(0.1, 3, then=abs)})}, r"lr\.pieces\.7\.then"),
])
def test_functions_of_ones_own_are_refused_by_name(group, name, tmp_path):
    opt = stepped()
    opt.save(tmp_path / "opt")
    opt.param_groups[0].update(group)
    with pytest.raises(ValueError, match=rf"^param_groups\.0\.{name} is a function of your own.* after loading"):
        opt.save(tmp_path / "opt")
    assert exact(_files.load(tmp_path / "opt", "Adam")) == exact(stepped().state_dict())


def forged(path, monkeypatch, lr):
    """A file that is whole, with a setting that no encoder has written."""
    real = _files._encoded
    with monkeypatch.context() as patch:
        patch.setattr(_files, "_encoded", lambda x, where, *more: lr if where.endswith("lr") else real(x, where, *more))
        stepped().save(path)


def schedule(name, *arguments):
    return {"schedule": [name, {"dict": [list(pair) for pair in arguments]}]}


@pytest.mark.parametrize("name", [
    "eval", "print", "__import__", "__class__", "os.system", "optcore.schedules.constant", "Mapping", "arguments",
    "BY_NAME", "_number", "Constant", "constant ", "constant\0", "", None, 0, ["constant"], {"array": "constant"}])
def test_names_of_no_schedule_are_refused(name, tmp_path, monkeypatch):
    bad = schedule(name, ("value", 0.1))
    for lr in (bad, schedule("warmup", ("value", 0.1), ("steps", 1), ("then", bad))):
        forged(tmp_path / "opt", monkeypatch, lr)
        refuses(stepped(seed=1), tmp_path / "opt", "opt: it.*(names the schedule|holds what no optimizer|unhashable)")


@pytest.mark.parametrize("lr, message", [
    (schedule("constant"), "its schedule constant: .*value"),
    (schedule("constant", ("value", 0.1), ("__class__", 1)), "its schedule constant: .*__class__"),
    (schedule("constant", (1, 0.1)), "its schedule constant: "),
    (schedule("constant", ("value", "0.1")), "its schedule constant: value: a number is needed"),
    (schedule("constant", ("value", [0.1])), "its schedule constant: value: a number is needed"),
    (schedule("constant", ("value", {"tuple": [0.1]})), "its schedule constant: value: a number is needed"),
    (schedule("constant", ("value", schedule("constant", ("value", 0.1)))), "its schedule constant: value"),
    (schedule("constant", ("value", {"array": "state.2.exp_avg"})), "it holds what no optimizer"),
    (schedule("constant", ("value", float("nan"))), "its schedule constant: value=nan"),
    (schedule("exponential", ("value", 10 ** 400), ("gamma", 0.5)), "its schedule exponential: value: a number"),
    (schedule("cosine", ("value", 0.1), ("steps", 2 ** 60)), "its schedule cosine: steps"),
    (schedule("cosine", ("value", 0.1), ("steps", 10.0)), "its schedule cosine: steps"),
    (schedule("one_cycle", ("peak", 0.1), ("steps", 9), ("anneal_strategy", "exec")), "its schedule one_cycle: anneal"),
    (schedule("warmup", ("value", 0.1), ("steps", 1), ("then", "constant")), "its schedule warmup: then"),
    (schedule("piecewise", ("pieces", [[1, 0.1]])), "its schedule piecewise: pieces"),
    (schedule("piecewise", ("pieces", {"dict": [[2, 0.1]]})), "its schedule piecewise: pieces"),
    (schedule("piecewise", ("pieces", {"dict": [[1, "x"]]})), r"its schedule piecewise: pieces\[1\]"),
    (schedule("constant", ("value", -0.1)), "its schedule constant: value"),
    ({"schedule": "constant"}, "it holds what no optimizer"), ({"schedule": None}, "it holds what no optimizer"),
    ({"schedule": ["constant"]}, "it holds what no optimizer"), ({"function": "constant"}, "it holds .*'function'"),
    ({"schedule": ["constant", [0.1]]}, "its schedule constant: "), ({}, "not enough values"),
])
def test_arguments_of_no_schedule_are_refused(lr, message, tmp_path, monkeypatch):
    forged(tmp_path / "opt", monkeypatch, lr)
    refuses(stepped(seed=1), tmp_path / "opt", f"opt: {message}")


def test_what_is_too_deep_for_a_reader_is_refused(tmp_path, monkeypatch):
    """By whoever writes it; and a file that somebody else made is no crash."""
    s = constant(0.1)
    for _ in range(_files.DEEPEST // 2 - 2):            # a schedule is two levels, the dict around it is one
        s = warmup(0.1, 1, then=s)
    _files.save(tmp_path / "opt", {"lr": s}, "Adam")
    assert _files.load(tmp_path / "opt", "Adam") == {"lr": s}
    with pytest.raises(ValueError, match=r"^lr.*\.then\.then: it is nested too deeply"):
        _files.save(tmp_path / "opt", {"lr": warmup(0.1, 1, then=s)}, "Adam")

    lr, limit = schedule("constant", ("value", 0.1)), sys.getrecursionlimit()
    for _ in range(limit):
        lr = schedule("warmup", ("value", 0.1), ("steps", 1), ("then", lr))
    sys.setrecursionlimit(10 * limit)
    try:
        forged(tmp_path / "opt", monkeypatch, lr)
    finally:
        sys.setrecursionlimit(limit)
    refuses(stepped(seed=1), tmp_path / "opt", "opt: it (is cut short|holds what no optimizer)")


def test_every_argument_is_in_the_file_by_its_name(tmp_path):
    """As programs that read the text find it."""
    for s, text in [
            (cosine(0.1, 9, 0.01, 2), b'["cosine",{"dict":[["value",0.1],["steps",9],["end",0.01],["warmup",2]]}]'),
            (one_cycle(0.1, 9), b'["one_cycle",{"dict":[["peak",0.1],["steps",9],["pct_start",0.3],["anneal_strategy",'
                                b'"cos"],["div_factor",25.0],["final_div_factor",10000.0]]}]'),
            (piecewise({1: exponential(1.0, 0.5), 5: 0.1}),
             b'["piecewise",{"dict":[["pieces",{"dict":[[1,{"schedule":["exponential",{"dict":[["value",1.0],'
             b'["gamma",0.5]]}]}],[5,0.1]]}]]}]')]:
        _files.save(tmp_path / "opt", {"lr": s}, "Adam")
        assert b'{"schedule":' + text + b"}" in (tmp_path / "opt").read_bytes().replace(b"\\", b"")
