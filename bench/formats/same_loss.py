"""Do narrow formats reach the same final loss? Two character models, every format, several seeds.

    OPENBLAS_NUM_THREADS=1 python -m bench.formats.same_loss           # docs/number_formats.md's table, on one core
    OPENBLAS_NUM_THREADS=1 python -m bench.formats.same_loss --quick   # the same with few steps and one seed

Each run trains with Adam (torch's defaults) and a cosine to zero, where updates become small against the weights. A
seed fixes the first weights and the batches; all formats of one seed share them. What is told is held-out bits per
character at the end. Each result is kept as a file in build/same_loss/ when it comes, so that a run that was cut goes
on where it was (a change of the code does not void them: delete the folder). The table is printed, the picture is
build/same_loss.png.
"""

import argparse
import json
import platform
import sys
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

import optcore as oc
from bench.formats.same_loss_report import draw, table

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "examples"))

from bench.formats.residual_charlm import ResidualLM, check_gradients  # noqa: E402
from charlm import CharLM, as_codes, batch_at, held_out_bits, load_text  # noqa: E402

MODELS = {"main job": (CharLM, 3e-3), "residual": (ResidualLM, 2e-3)}  # with the highest learning rate
BATCH = 128
WARM_UP = 200
HELD_OUT = 65_536  # characters, evenly over the held-out files
CHUNK = 1 << 14  # elements that stay in the cache while they are rounded
FORMATS = {  # name: (are the weights bfloat16, what the optimizer is told)
    "float32": (False, {}),
    "bfloat16 state": (False, {"state_dtype": "bfloat16"}),
    "8-bit state": (False, {"state_dtype": "int8"}),
    "bfloat16 weights, stochastic": (True, {"rounding": "stochastic"}),
    "bfloat16 weights, kahan": (True, {"rounding": "kahan"}),
    "bfloat16 weights, residual, 8-bit state": (True, {"rounding": "residual", "state_dtype": "int8"}),
    "bfloat16 weights, master": (True, {"rounding": "master"}),
    "bfloat16 weights, stochastic, and state": (True, {"rounding": "stochastic", "state_dtype": "bfloat16"}),
    "bfloat16 weights, stochastic, 8-bit state": (True, {"rounding": "stochastic", "state_dtype": "int8"}),
    "bfloat16 weights, to nearest": (True, {"rounding": "nearest"}),
    "bfloat16 state, to nearest": (False, {}),  # not offered: float32 state, rounded here after each step
}
ROUNDED_HERE = "bfloat16 state, to nearest"


def to_nearest(values):
    """Round a float32 array in place to the nearest bfloat16, ties to even."""
    bits = values.reshape(-1).view(np.uint32)
    for first in range(0, bits.size, CHUNK):
        part = bits[first : first + CHUNK]
        part += ((part >> np.uint32(16)) & np.uint32(1)) + np.uint32(0x7FFF)
        part &= np.uint32(0xFFFF0000)


def stored(params):
    """Float32 parameters rounded to nearest bfloat16 in place, and the bits of that as arrays of their own."""
    for p in params.values():
        to_nearest(p)
    return {name: (p.view(np.uint32) >> np.uint32(16)).astype(np.uint16) for name, p in params.items()}


def decode(bits, params):
    for name, p in params.items():
        np.left_shift(bits[name], 16, out=p.view(np.uint32), dtype=np.uint32)


def bytes_a_parameter(weights, opt):
    state = (a for s in opt.state for a in s.values() if isinstance(a, np.ndarray))
    return sum(a.nbytes for a in (*weights.values(), *state)) / sum(p.size for p in weights.values())


def train(model_name, format_name, seed, steps, text, bar):
    """One run; returns what is kept of it."""
    train_codes, held_codes = text
    make, peak = MODELS[model_name]
    model = make(np.random.default_rng(seed))
    rng = np.random.default_rng(1000 + seed)
    narrow, options = FORMATS[format_name]
    weights = stored(model.params) if narrow else model.params
    lr = oc.schedules.cosine(peak, steps, warmup=min(WARM_UP, steps // 10))
    opt = oc.Adam(weights, lr=lr, seed=seed, **options)
    losses, begin = [], time.perf_counter()
    for _ in range(steps):
        positions = rng.integers(model.context, len(train_codes), BATCH)
        losses.append(model.loss_and_grads(*batch_at(train_codes, positions, model.context)))
        opt.step(model.grads, num_threads=1)
        if narrow:
            decode(weights, model.params)
        if format_name == ROUNDED_HERE:
            for state in opt.state:
                to_nearest(state["exp_avg"])
                to_nearest(state["exp_avg_sq"])
        bar.update()
    seconds = time.perf_counter() - begin
    positions = np.linspace(model.context, len(held_codes) - 1, HELD_OUT).astype(np.int64)
    last = losses[-max(1, steps // 10) :]
    return {
        "held_out": float(held_out_bits(model, held_codes, positions)),
        "train": float(np.mean(last) / np.log(2)),  # over the last tenth of the steps
        "bytes": bytes_a_parameter(weights, opt),
        "seconds": round(seconds, 1),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="300 steps, one seed: shows that all of it runs")
    parser.add_argument("--steps", type=int, help="of a run (default 4000)")
    parser.add_argument("--seeds", type=int, help="how many (default 3)")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="train these only")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS), help="train these only")
    parser.add_argument("--limit", type=int, help="make at most so many of the runs that are lacking")
    parser.add_argument("--out", type=Path, default=ROOT / "build", help="folder of the results (default build/)")
    options = parser.parse_args()
    steps = options.steps or (300 if options.quick else 4000)
    seeds = range(options.seeds or (1 if options.quick else 3))
    folder = options.out / "same_loss"
    folder.mkdir(parents=True, exist_ok=True)

    files = load_text()
    text = [as_codes(part, 16) for part in files]
    check_gradients(text[0]).raise_if_wrong()  # that of the main job is checked by the main job
    every = {(m, f, s): folder / f"{m}, {f}, seed {s}, {steps} steps.json"
             for s in seeds for m in MODELS for f in FORMATS}
    lacking = [run for run, path in every.items()
               if run[0] in options.models and run[1] in options.formats and not path.exists()][: options.limit]
    with tqdm(total=len(lacking) * steps, unit="step", mininterval=1, disable=not lacking) as bar:
        for run in lacking:
            bar.set_description_str(every[run].stem)
            result = json.dumps(train(*run, steps, text, bar))
            every[run].write_text(result + "\n")

    done = {run: json.loads(path.read_text()) for run, path in every.items() if path.exists()}
    print(f"\nAdam, {steps} steps of {BATCH} characters, seeds {seeds.start} to {seeds.stop - 1}; "
          f"Python {platform.python_version()}, NumPy {np.__version__}\n")
    print(table(done, MODELS, FORMATS))
    draw(done, MODELS, FORMATS, options.out / "same_loss.png")


if __name__ == "__main__":
    main()
