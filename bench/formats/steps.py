"""What storage formats bring: Adam with narrower arrays against our own float32 step.

    python -m bench.formats.steps [--quick] [--threads 1] [--sizes 65536]

Each format has arrays of its own. Bytes moved a parameter stand beside the ratios: they bound them where memory is the
limit. So does the roof, a loop over as many bytes in as many streams that hardly computes: as many times as fast as the
float32 step is what memory allows the format.
"""

from functools import partial

import numpy as np

import optcore as oc
from bench.harness.command import parsed, parser
from bench.harness.spread import number
from bench.harness.timing import Effort, Turn, interleaved
from optcore import _kernels

ONE_HALF = {"float32": 0.5, "float16": 0.5, "bfloat16": 0x3F00, "float64": 0.5}
DTYPE = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16, "float64": np.float64,
         "residual": np.int8}
FORMATS = {  # name: parameter, gradient, state, copy, compensation
    "float32": ("float32", "float32", "float32", None, None),
    "bfloat16 gradient": ("float32", "bfloat16", "float32", None, None),
    "float16 gradient": ("float32", "float16", "float32", None, None),
    "bfloat16 state": ("float32", "float32", "bfloat16", None, None),
    "bfloat16 gradient and state": ("float32", "bfloat16", "bfloat16", None, None),
    "bfloat16 gradient and copy": ("float32", "bfloat16", "float32", "bfloat16", None),
    "bfloat16 gradient, state and copy": ("float32", "bfloat16", "bfloat16", "bfloat16", None),
    "8-bit state": ("float32", "float32", "int8", None, None),
    "bfloat16 parameter (stochastic rounding), gradient and state": ("bfloat16", "bfloat16", "bfloat16", None, None),
    "bfloat16 parameter (stochastic rounding), 8-bit state": ("bfloat16", "float32", "int8", None, None),
    "bfloat16 parameter (stochastic rounding) and gradient, 8-bit state": ("bfloat16", "bfloat16", "int8", None, None),
    "bfloat16 parameter (kahan) and gradient, 8-bit state": ("bfloat16", "bfloat16", "int8", None, "bfloat16"),
    "bfloat16 parameter (residual) and gradient, 8-bit state": ("bfloat16", "bfloat16", "int8", None, "residual"),
    "float64": ("float64", "float64", "float64", None, None),
}
WIDTH = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 260 / 256, "float64": 8, "residual": 1,
         None: 0}                                                   # a block has a unit


def bytes_moved(p, g, state, copy, compensation):
    """A parameter's: p, two state arrays and a compensation are read and written, g is read, the copy is written."""
    return 2 * WIDTH[p] + WIDTH[g] + 4 * WIDTH[state] + WIDTH[copy] + 2 * WIDTH[compensation]


def arrays_of(n, parameter, gradient, state, copy, compensation):
    """p, g, the state, and by name what stands beside them."""
    p, g = (np.full(n, ONE_HALF[form], DTYPE[form]) for form in (parameter, gradient))
    beside = {"copy": copy, "compensation": compensation}
    return [p, g, *(oc.state_array(p, state) for _ in range(2))], {
        name: np.zeros(n, DTYPE[form]) for name, form in beside.items() if form}


def step_of(n, threads, forms):
    arrays, beside = arrays_of(n, *forms)
    return partial(oc.functional.adam, *arrays, step=10, lr=1e-6, num_threads=threads, **beside)


def roof_of(n, threads, forms):
    arrays, beside = arrays_of(n, *forms)
    return partial(_kernels.roof, *arrays, *beside.values(), num_threads=threads)


def measure(n, rounds, threads):
    steps = {name: step_of(n, threads, forms) for name, forms in FORMATS.items()}
    steps |= {f"roof of {name}": roof_of(n, threads, forms) for name, forms in FORMATS.items()}
    turns = {name: Turn(step, repeats=max(1, 2_000_000 // n)) for name, step in steps.items()}
    return interleaved(turns, Effort.rounds(rounds))


def main():
    made = parser(__doc__, rounds=21)
    made.add_argument("--sizes", type=int, nargs="+", metavar="N", help="default: 64 Ki, 1 Mi and 16 Mi")
    options = parsed(made)
    sizes = options.sizes or ([1 << 16] if options.quick else [1 << 16, 1 << 20, 1 << 24])
    info = oc.build_info()
    print(f"Adam, {options.threads} threads, {info['isa']} kernels; times as fast: our float32 step's time over "
          "this, or over that of its roof\n")
    print("| parameters | format | bytes | us a step | its time / float32's | times as fast [quartiles] | roof |\n"
          "|---:|---|---:|---:|---:|---:|---:|")
    for n in sizes:
        times = measure(n, options.rounds, options.threads)
        for name in FORMATS:
            moved = f"{bytes_moved(*FORMATS[name]):.3g}"
            print(f"| {n:,} | {name} | {moved} | {number(times.us(name))} | {times.ratio(name, 'float32').median:.2f} "
                  f"| {times.ratio('float32', name)} | {times.ratio('float32', f'roof of {name}').median:.2f} |")


if __name__ == "__main__":
    main()
