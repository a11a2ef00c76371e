"""What storage formats bring: Adam with narrower arrays against our own float32 step.

    python -m bench.formats.steps [--quick]

Each format has arrays of its own. Bytes moved a parameter stand beside the ratios: they bound them where memory is the
limit.
"""

from functools import partial

import numpy as np

import optcore as oc
from bench.harness.command import parsed, parser
from bench.harness.spread import number
from bench.harness.timing import Effort, Turn, interleaved

ONE_HALF = {"float32": 0.5, "float16": 0.5, "bfloat16": 0x3F00}
DTYPE = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}
FORMATS = {  # name: parameter, gradient, state, copy
    "float32": ("float32", "float32", "float32", None),
    "bfloat16 gradient": ("float32", "bfloat16", "float32", None),
    "float16 gradient": ("float32", "float16", "float32", None),
    "bfloat16 state": ("float32", "float32", "bfloat16", None),
    "bfloat16 gradient and state": ("float32", "bfloat16", "bfloat16", None),
    "bfloat16 gradient, state and copy": ("float32", "bfloat16", "bfloat16", "bfloat16"),
    "8-bit state": ("float32", "float32", "int8", None),
    "bfloat16 parameter (stochastic rounding), 8-bit state": ("bfloat16", "float32", "int8", None),
}
WIDTH = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 260 / 256, None: 0}  # 8-bit blocks have a scale


def bytes_moved(p, g, state, copy):
    """A parameter's: p and two state arrays are read and written, g is read, the copy is written."""
    return 2 * WIDTH[p] + WIDTH[g] + 4 * WIDTH[state] + WIDTH[copy]


def step_of(n, threads, parameter, gradient, state, copy):
    p, g = (np.full(n, ONE_HALF[form], DTYPE[form]) for form in (parameter, gradient))
    slots = [oc.state_array(p, state) for _ in range(2)]
    low = None if copy is None else np.zeros(n, DTYPE[copy])
    return partial(oc.functional.adam, p, g, *slots, step=10, lr=1e-6, num_threads=threads, copy=low)


def measure(n, rounds, threads):
    steps = {name: step_of(n, threads, *forms) for name, forms in FORMATS.items()}
    turns = {name: Turn(step, repeats=max(1, 2_000_000 // n)) for name, step in steps.items()}
    return interleaved(turns, Effort.rounds(rounds))


def main():
    made = parser(__doc__, rounds=21)
    made.add_argument("--sizes", type=int, nargs="+", metavar="N", help="default: 64 Ki, 1 Mi, 16 Mi and 64 Mi")
    options = parsed(made)
    sizes = options.sizes or ([1 << 16] if options.quick else [1 << 16, 1 << 20, 1 << 24, 1 << 26])
    info = oc.build_info()
    print(f"Adam, {options.threads} threads, {info['isa']} kernels; times as fast as our float32\n")
    print("| parameters | format | bytes | us a step | x float32 [quartiles] |\n|---:|---|---:|---:|---:|")
    for n in sizes:
        times = measure(n, options.rounds, options.threads)
        for name in times:
            moved = f"{bytes_moved(*FORMATS[name]):.3g}"
            print(f"| {n:,} | {name} | {moved} | {number(times.us(name))} | {times.ratio('float32', name)} |")


if __name__ == "__main__":
    main()
