"""The two front ends are one computation: optcore's classes on NumPy arrays and optcore.torch's on tensors give the
same bits for the same call, whatever is asked for together. Factors are drawn, so they are no powers of two."""
from __future__ import annotations

import ml_dtypes
import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import optcore as oc
import optcore.torch as ot
from optcore.formats import FORMATS, playing
from optcore.rules import FAMILIES
from optcore.step.state import ALL_NARROW
from tests.support.draws import ELEMENTWISE_CLASSES

SIZES = (0, 1, 7, 16, 17, 300, 4096, 5000)
NUMPY = {form: np.dtype(ml_dtypes.bfloat16 if form == "bfloat16" else FORMATS[form].dtype) for form in FORMATS}
# Above 0, of any magnitude that leaves a step finite, and no rounder than they come.
factors = st.floats(1e-3, 1e3, exclude_min=True).map(lambda x: x * 1.0000001)


@st.composite
def calls(draw):
    family = FAMILIES[draw(st.sampled_from(ELEMENTWISE_CLASSES))]
    flags = {k: draw(st.booleans()) for k, v in family.settings.items() if isinstance(v, bool)}
    if "momentum" in family.settings:
        flags["momentum"] = 0.9 if flags.get("nesterov") else draw(st.sampled_from([0.0, 0.9]))
    if "weight_decay" in family.settings:
        flags["weight_decay"] = draw(st.sampled_from([0.0, 0.013]))
    parameter = draw(st.sampled_from(playing("parameter")))
    return {
        "family": family, "settings": flags, "sizes": draw(st.lists(st.sampled_from(SIZES), min_size=1, max_size=4)),
        "parameter": parameter, "gradient": draw(st.sampled_from(playing("gradient"))),
        "extras": {
            "state_dtype": draw(st.sampled_from(["float32"] if parameter == "float64" else [
                "float32", "bfloat16", "int8"])), "seed": draw(st.integers(0, 2**40)),
            "nonfinite": draw(st.sampled_from(["propagate", "skip"])),
            "rounding": draw(st.sampled_from(["stochastic", "nearest", "kahan", "master", *(
                ALL_NARROW if FORMATS[parameter].narrow else [])])),
            "average": draw(st.sampled_from([None, 0.9, lambda t: 1 - 1 / (1 + t)]))},
        "ask": {
            "max_norm": draw(st.none() | factors),
            "clip_value": draw(st.none() | factors), "zero_grads": draw(st.booleans()),
            "undoable": draw(st.booleans()), "num_threads": draw(st.sampled_from([None, 1, 2]))},
        "grad_scale": draw(st.none() | factors), "missing": draw(st.integers(0, 3)),
        "broken": draw(st.sampled_from([None, np.inf, np.nan])), "data": draw(st.integers(0, 2**31)),
    }


def bits(x):
    """The bits of an array or tensor, what is narrow widened to float32, which is exact. NaNs are one: which of two an
    operation hands on is left open."""
    if isinstance(x, torch.Tensor):
        a = (x.float() if x.dtype.is_floating_point and x.dtype != torch.float64 else x).detach().numpy()
    else:
        a = x.view(ml_dtypes.bfloat16) if x.dtype == np.uint16 else x
        a = a if a.dtype in (np.uint8, np.int8, np.float64) else a.astype(np.float32)
    return a.tobytes() if a.dtype.kind != "f" else np.where(np.isnan(a), a.dtype.type(np.nan), a).tobytes()


@settings(max_examples=400)
@given(calls())
def test_numpy_and_torch_give_the_same_bits_for_the_same_call(call):
    rng = np.random.default_rng(call["data"])
    kind = NUMPY[call["parameter"]]
    arrays = [rng.standard_normal(n).astype(np.float32).astype(kind) for n in call["sizes"]]
    tensors = [torch.nn.Parameter(torch.from_numpy(a.astype(np.float32)).to(getattr(torch, call["parameter"])))
               for a in arrays]
    for p in tensors:
        p.grad_dtype = None
    ours = getattr(oc, call["family"].name)(arrays, **call["settings"], **call["extras"])
    theirs = getattr(ot, call["family"].name)(tensors, **call["settings"], **call["extras"], **call["ask"])
    for t in range(3):
        grads = [rng.standard_normal(n).astype(NUMPY[call["gradient"]]) for n in call["sizes"]]
        if call["broken"] is not None and t == 1 and grads[-1].size:
            grads[-1][grads[-1].size // 2] = call["broken"]
        for p, g in zip(tensors, grads, strict=True):
            p.grad = torch.from_numpy(g.astype(np.float64)).to(getattr(torch, call["gradient"]))     # exact, twice
        if t == 1 and call["missing"] < len(grads) - 1:
            grads[call["missing"]] = tensors[call["missing"]].grad = None
        if call["grad_scale"] is not None:
            theirs.grad_scale = torch.tensor(call["grad_scale"], dtype=torch.float64)
        ours.step(grads, **call["ask"], grad_scale=call["grad_scale"])
        theirs.step()
        if t == 1 and call["ask"]["undoable"] and not ours.skipped:
            ours.undo()
            theirs.undo()
        assert repr((ours.skipped, ours.grad_norm)) == repr((theirs.skipped, theirs.grad_norm))     # a NaN is one too
        for k, (a, p, g) in enumerate(zip(arrays, tensors, grads, strict=True)):
            assert bits(a) == bits(p), f"parameter {k} at step {t}"
            assert g is None or bits(g) == bits(p.grad), f"gradient {k} at step {t}"
            for key, value in ours.state[k].items():
                other = theirs.state[p].get(key)
                if key != "step" and other is not None:
                    assert bits(value) == bits(other), f"{key} of {k} at step {t}"
