"""Files that optcore 0.1.0 saved are loaded, and the next steps have the bits that they had there. The 8-bit format
has changed since, so state in it is taken over by value, and goes on as these values do.

files_0_1/README.md says how they came about. The gradients of the steps after the file are those that 0.1.0 drew next
from its generator, so what it drew before is drawn here too.
"""
from __future__ import annotations

import hashlib
import json

import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from scipy.optimize import rosen, rosen_der, rosen_hess

import optcore as oc
from optcore.formats import block8
from optcore.schedules import cosine
from tests.support.paths import FILES_0_1

EXPECTED = json.loads((FILES_0_1 / "expected.json").read_text())
SHAPES = {"w": (70, 60), "b": (7,)}

# The class, what its constructor was given beside the settings that the file has, and the parameters' format.
SAVED = {
    "sgd_momentum": ("SGD", {}, "float32"), "adam_amsgrad": ("Adam", {}, "float32"),
    "adamw_int8": ("AdamW", {"state_dtype": "int8", "seed": 5}, "float32"),
    "nadam_bfloat16": ("NAdam", {"state_dtype": "bfloat16", "seed": 1}, "float32"),
    "rmsprop_average": ("RMSprop", {"average": 0.9}, "float32"), "rprop": ("Rprop", {}, "float32"),
    "lion_kahan": ("Lion", {"rounding": "kahan"}, "bfloat16"),
    "adam_master": ("Adam", {"rounding": "master"}, "float16"),
    "ademamix_schedule": ("AdEMAMix", {}, "float32"), "asgd": ("ASGD", {}, "float32"),
}
# Settings that 0.1.0 was given; the file has them.
SETTINGS = {"sgd_momentum": {"momentum": 0.9, "weight_decay": 0.01}, "adam_amsgrad": {"amsgrad": True},
            "rmsprop_average": {"centered": True, "momentum": 0.9},
            "ademamix_schedule": {"lr": cosine(0.01, 100, warmup=5)}}
MINIMIZERS = ("lbfgs", "bfgs", "newton")


def test_every_file_is_read():
    assert {path.stem for path in FILES_0_1.glob("*.safetensors")} == {
        *SAVED, *(f"minimizer_{m}" for m in MINIMIZERS)}
    assert {name for name in EXPECTED if not name.startswith("torch_")} == {
        path.stem for path in FILES_0_1.glob("*.safetensors")}


def draw(rng):
    return {key: rng.standard_normal(shape).astype(np.float32) for key, shape in SHAPES.items()}


def digest(params, state):
    sha = hashlib.sha256()
    for p in params.values():
        sha.update(p.tobytes())
    for entries in state:
        for key in sorted(entries):
            sha.update(np.asarray(entries[key]).tobytes())
    return sha.hexdigest()


def reopened(name):
    family, extras, form = SAVED[name]
    dtype = np.dtype(ml_dtypes.bfloat16 if form == "bfloat16" else form)
    with np.load(FILES_0_1 / f"{name}.npz") as file:
        params = {key: file[key].view(dtype) for key in SHAPES}
    return params, getattr(oc, family)(params, **extras)


def next_gradients():
    rng = np.random.default_rng(0)
    for _ in range(4):                  # the parameters and three steps' gradients
        draw(rng)
    return [draw(rng) for _ in range(2)]


def test_eight_bit_state_is_taken_over_by_value():
    """To nearest: 5 bits of significand, evenly spaced below 2 units, of which the largest has 2^7 at least."""
    params, opt = reopened("adamw_int8")
    opt.load(FILES_0_1 / "adamw_int8.safetensors")
    with safe_open(FILES_0_1 / "adamw_int8.safetensors", "numpy") as file:
        old = {key: file.get_tensor(key) for key in file.keys() if file.get_tensor(key).dtype == np.uint8}
    assert len(old) == 2
    values = {}
    for name, codes in old.items():
        key, n = "exp_avg_sq" if "exp_avg_sq" in name else "exp_avg", 70 * 60
        values[key] = block8.decode_0_1(codes, n, key == "exp_avg_sq").reshape(70, 60)
        got = block8.decode8(opt.state[0][key], n, key == "exp_avg_sq").reshape(70, 60)
        assert (abs(got - values[key]) <= 2.0**-5 * abs(values[key]) + 2.0**-10 * abs(values[key]).max()).all()
    by_value = opt.state_dict()
    by_value["state"][0] |= values
    same_params, same = reopened("adamw_int8")
    same.load_state_dict(by_value)
    for g in next_gradients():
        opt.step(g)
        same.step(g)
    assert digest(params, opt.state) == digest(same_params, same.state)


@pytest.mark.parametrize("name", [name for name in SAVED if name != "adamw_int8"])
def test_an_optimizer_goes_on_with_the_same_bits(name):
    params, opt = reopened(name)
    opt.load(FILES_0_1 / f"{name}.safetensors")
    assert SETTINGS.get(name, {}).items() <= opt.param_groups[0].items()
    for g in next_gradients():
        opt.step(g)
    assert digest(params, opt.state) == EXPECTED[name]


@pytest.mark.parametrize("method", MINIMIZERS)
def test_a_minimizer_goes_on_to_the_same_points(method):
    """Four evaluations further. Small systems go through BLAS and LAPACK, whose bits differ between processors: five
    roundings a sum, systems of condition below 1e6 (Rosenbrock's Hessian along its valley has 2500 at the minimum), and
    each evaluation starts where the last one ended: 4 * 5 * 1e6 * 2^-53 is 2.3e-9 of the point."""
    minimizer = oc.Minimizer(np.zeros(5), method=method)
    minimizer.load(FILES_0_1 / f"minimizer_{method}.safetensors")
    for _ in range(4):
        x = np.array(minimizer.ask())
        more = {"hess": rosen_hess(x)} if method == "newton" else {}
        minimizer.tell(rosen(x), rosen_der(x), **more)
    want = np.array(EXPECTED[f"minimizer_{method}"])
    assert np.abs(minimizer.x - want).max() <= 2.3e-9 * np.abs(want).max()
