"""What the place of arrays costs: Adam on arrays that begin at given bytes past a cache line.

    python -m bench.kernels.alignment [--quick]

1 Mi elements. The walk begins its chunks where p meets a line; arrays that then do not meet one touch two lines with
every vector of 64 bytes. The figures stand behind a decision in ARCHITECTURE.md.
"""

import numpy as np

import optcore as oc
from bench.harness.command import parsed, parser
from bench.harness.spread import number
from bench.harness.timing import Effort, Turn, interleaved

MEGA = 1 << 20
LINE = 64
PLACES = {  # bytes past a cache line of p, g, m, v
    "all on a line": (0, 0, 0, 0),
    "all 16 bytes past one, as NumPy places them": (16, 16, 16, 16),
    "p on a line, the others 16 bytes past one": (0, 16, 16, 16),
    "p and state on a line, g 16 bytes past one": (0, 16, 0, 0),
    "each elsewhere: 0, 16, 32, 48": (0, 16, 32, 48),
}


def placed(n: int, past: int) -> np.ndarray:
    raw = np.empty(4 * n + 2 * LINE, np.uint8)
    first = -raw.ctypes.data % LINE + past
    a = raw[first : first + 4 * n].view(np.float32)
    a.fill(0.5)
    return a


def step_of(places: tuple[int, ...], threads: int):
    arrays = [placed(MEGA, past) for past in places]
    return lambda: oc.functional.adam(*arrays, step=10, lr=1e-6, num_threads=threads)


def main():
    options = parsed(parser(__doc__, rounds=21))
    print(f"{oc.build_info()['isa']} kernels, NumPy {np.__version__}\n")
    print("| Adam, 1 Mi elements | threads | us a step | x all on a line [quartiles] |\n|---|---:|---:|---:|")
    for threads in sorted({1, options.threads}):
        turns = {name: Turn(step_of(places, threads), repeats=8) for name, places in PLACES.items()}
        times = interleaved(turns, Effort.rounds(options.rounds))
        for name in times:
            print(f"| {name} | {threads} | {number(times.us(name))} | {times.ratio(name, 'all on a line')} |")


if __name__ == "__main__":
    main()
