"""opt.save and opt.load: every bit comes back, and what is damaged or does not fit is refused.

How a file reaches the disk is in test_last_good_file.py; schedules in files are in test_schedules.py.
"""
from __future__ import annotations

import os
import sys

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import example, given, settings
from hypothesis import strategies as st

import optcore as oc
from optcore import _files
from optcore.schedules import constant, warmup
from tests.support.bits import exact
from tests.support.classes import each_variation
from tests.support.processes import value_of
from tests.support.saved import goes_on_from_a_file, number_in, numbered, refuses, stepped

# ------------------------------------------------------------------------------------------- every bit comes back


@each_variation
@settings(max_examples=5)
@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(0, 3), lr=st.floats(0, 1))
def test_the_loaded_optimizer_goes_on_as_the_saved_one(name, chosen, seed, steps, lr, tmp_path):
    opt = stepped(name, seed, steps, **chosen)
    opt.param_groups[0]["lr"] = lr
    goes_on_from_a_file(opt, str(tmp_path / "opt"))


LEAVES = (st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
          | st.text(st.characters(exclude_categories=())))


@given(st.recursive(LEAVES, lambda x: st.lists(x, max_size=3) | st.lists(x, max_size=3).map(tuple)
                    | st.dictionaries(st.integers() | st.text(), x, max_size=3), max_leaves=10))
@example(['{"sha256":"', '{\\"sha256\\":\\"', "0" * 64])
@example((-0.0, float("inf"), 5e-324, 0.1 + 0.2, 2**70, True, 1, 1.0, "\ud800\x00", {1: 2, "1": 3}))
def test_settings_come_back_as_what_they_were(tmp_path, value):
    saved = {"state": {}, "param_groups": [{"setting": value, "params": [0]}]}
    _files.save(tmp_path / "opt", saved, "Adam")
    assert exact(_files.load(tmp_path / "opt", "Adam")) == exact(saved)


@given(st.sampled_from([*_files.DTYPES.values()]), st.lists(st.integers(0, 3), max_size=3), st.data())
def test_arrays_of_every_dtype_come_back_to_the_bit(tmp_path, name, shape, data):
    """Any bits, NaNs with payloads included, and arrays that lie in memory in different ways."""
    dtype = np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
    raw = data.draw(st.binary(min_size=(n := int(np.prod(shape)) * dtype.itemsize), max_size=n))
    a = np.frombuffer(bytes(b & 1 for b in raw) if name == "bool" else raw, dtype).reshape(shape)
    saved = {"state": {0: {"step": 1, "c": a, "f": np.asfortranarray(a), "t": a.T, "back": a[::-1] if shape else a}}}
    _files.save(tmp_path / "opt", saved, "Adam")
    assert exact(_files.load(tmp_path / "opt", "Adam")) == exact(saved)


def test_other_programs_find_the_arrays_and_equal_states_are_equal_files(tmp_path):
    opt = stepped(betas=(0.5, np.float32(0.75)))        # a setting of NumPy's is written as the same number
    opt.save(tmp_path / "opt")
    first, state = (tmp_path / "opt").read_bytes(), opt.state_dict()["state"]
    want = {f"state.{i}.{k}": exact(x) for i, s in state.items() for k, x in s.items() if k != "step"}
    assert {k: exact(x) for k, x in safetensors.numpy.load(first).items()} == want
    opt.load(tmp_path / "opt")
    assert exact(opt.param_groups[0]["betas"]) == exact((0.5, 0.75))
    opt.save(tmp_path / "opt")
    assert (tmp_path / "opt").read_bytes() == first


# ------------------------------------------------------------------------------------------- what is refused


def test_every_cut_and_every_changed_byte_is_refused(tmp_path):
    path, opt, saved = tmp_path / "opt.safetensors", stepped(seed=1), stepped(lr=warmup(0.1, 9, then=constant(0.2)))
    saved.save(path)
    with open(path, "r+b", buffering=0) as f:
        whole = f.read()
        for at, byte in enumerate(whole):
            for change in (1 << at % 8, 0x20):          # 0x20: the other case of a letter
                os.pwrite(f.fileno(), bytes([byte ^ change]), at)
                refuses(opt, path, r"opt\.safetensors: it.*(altered|version)")
            os.pwrite(f.fileno(), bytes([byte]), at)
        assert exact(_files.load(path, "Adam")) == exact(saved.state_dict())
        for length in reversed(range(len(whole))):
            f.truncate(length)
            refuses(opt, path, r"opt\.safetensors: it.*cut short")


@settings(max_examples=300)
@given(st.integers(0, 1700), st.integers(0, 20), st.binary(max_size=20))
def test_other_changes_are_refused_too(tmp_path, at, length, instead):
    path = tmp_path / "opt.safetensors"
    stepped().save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + instead + whole[at + length:])
    if path.read_bytes() == whole:
        assert exact(_files.load(path, "Adam")) == exact(stepped().state_dict())
    else:
        refuses(stepped(seed=1), path, r"opt\.safetensors: it")


def test_files_that_do_not_fit_are_refused_by_name(tmp_path):
    path, other = tmp_path / "opt", tmp_path / "other"
    opt = stepped()
    opt.save(path)
    for wrong, message in [
        (stepped("SGD", momentum=0.9), "opt: it holds the state of Adam, which SGD"),
        (stepped("AdamW"), "opt: it holds the state of Adam, which AdamW"),
        (stepped(sizes=((5, 3), (17,), (), (0,))), r"opt: .*state\[0\].*shape"),
        (stepped(sizes=((3, 5), (17,))), r"opt: param_groups\[0\]\['params'\]"),
        (oc.Adam({"w": np.ones(3, np.float32)}), r"opt: param_groups\[0\]\['params'\]"),
    ]:
        refuses(wrong, path, message)
    other.write_bytes(path.read_bytes().replace(b'\\"version\\":2', b'\\"version\\":3'))
    refuses(opt, other, "other: it is of version 3; this optcore reads versions 1 and 2")
    nested = f'{{"a":{"[" * 100_000}'.encode()
    for content in (b"", b"text, and not a short one", safetensors.numpy.save({"w": np.ones(3)}, {"optcore": "{}"}),
                    safetensors.numpy.save({"w": np.ones(3)}), len(nested).to_bytes(8, "little") + nested):
        other.write_bytes(content)
        refuses(opt, other, "other: it is cut short or altered, or no file that an optimizer of optcore has saved")
    refuses(opt, tmp_path / "none", "none", FileNotFoundError)
    refuses(opt, tmp_path, str(tmp_path), IsADirectoryError)


def test_what_a_file_cannot_hold_is_named(tmp_path):
    numbered(7).save(tmp_path / "opt")
    for value, message in [
        ({"lr": lambda step: 0.1}, r"^lr is a function of your own.* after loading"),
        ({"groups": [(0.9, object())]}, r"^groups\.0\.1: a object cannot"),
        ({"betas": {1.5: 2}}, "^betas: a dict cannot"),
        ({"lr": np.zeros(2, complex)}, "^lr: arrays of complex128 cannot"),
        ({"a": {"b.c": np.ones(1)}, "a.b": {"c": np.ones(1)}}, r"^a\.b\.c: two arrays"),
    ]:
        with pytest.raises(ValueError, match=message):
            _files.save(tmp_path / "opt", value, "Adam")
    assert number_in(tmp_path / "opt") == 7 and os.listdir(tmp_path) == ["opt"]


def test_libraries_are_imported_only_when_used(tmp_path, monkeypatch):
    assert value_of("import optcore, sys; print('safetensors' in sys.modules or 'ml_dtypes' in sys.modules)") is False
    numbered(7).save(tmp_path / "opt")
    _files.save(tmp_path / "half", {"a": np.ones(3, ml_dtypes.bfloat16)}, "Adam")
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(ValueError, match="half: .*pip install ml_dtypes"):
        _files.load(tmp_path / "half", "Adam")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    refuses(numbered(8), tmp_path / "opt", r"pip install optcore\[save\]", ImportError)
    with pytest.raises(ImportError, match=r"pip install optcore\[save\]"):
        numbered(8).save(tmp_path / "opt")
