"""The figures behind ARCHITECTURE.md's decisions: what the place of arrays costs, and what spinning threads cost.

    python bench/decisions.py

First: Adam on arrays of 1 Mi elements that begin at given bytes past a cache line. The walk begins its chunks where p
meets a line; arrays that then do not meet one touch two lines with every vector of 64 bytes.
Second: training a network of 1 M parameters in NumPy with oc.Adam on one thread, on all, and on as many as the engine
measures to pay; and the same steps alone, without products of matrices between them.
Every way has its turn in every round; ratios are formed within a round, medians and quartiles over the rounds told.
"""

import argparse

import numpy as np

import optcore as oc
from rounds import interleaved, quartiles

MEGA = 1 << 20
LINE = 64
PLACES = {  # bytes past a cache line of p, g, m, v
    "all on a line": (0, 0, 0, 0),
    "all 16 bytes past one, as NumPy places them": (16, 16, 16, 16),
    "p on a line, the others 16 bytes past one": (0, 16, 16, 16),
    "p and state on a line, g 16 bytes past one": (0, 16, 0, 0),
    "each elsewhere: 0, 16, 32, 48": (0, 16, 32, 48),
}
WIDTHS, BATCH = (512, 1024, 512), 32
STEPS = 40  # of training in a turn: long beside the milliseconds for which idle threads of the last turn spin


def placed(n: int, past: int) -> np.ndarray:
    raw = np.empty(4 * n + 2 * LINE, np.uint8)
    first = -raw.ctypes.data % LINE + past
    a = raw[first : first + 4 * n].view(np.float32)
    a.fill(0.5)
    return a


def step_of(places: tuple[int, ...], threads: int):
    arrays = [placed(MEGA, past) for past in places]
    return lambda: oc.functional.adam(*arrays, step=10, lr=1e-6, num_threads=threads)


class Training:
    """Two layers with a ReLU between, squared error, written in NumPy as one does."""

    def __init__(self, threads: int | None):
        rng = np.random.default_rng(0)
        self.threads = threads
        self.x = rng.standard_normal((BATCH, WIDTHS[0]), dtype=np.float32)
        self.y = rng.standard_normal((BATCH, WIDTHS[2]), dtype=np.float32)
        self.w = [rng.standard_normal(s, dtype=np.float32) / np.float32(s[0] ** 0.5)
                  for s in zip(WIDTHS, WIDTHS[1:], strict=False)]
        self.opt = oc.Adam(self.w, lr=1e-5)
        self.grads = self.gradients()

    def gradients(self) -> list[np.ndarray]:
        h = np.maximum(self.x @ self.w[0], 0)
        error = (h @ self.w[1] - self.y) / np.float32(BATCH)
        back = (error @ self.w[1].T) * (h > 0)
        return [self.x.T @ back, h.T @ error]

    def train(self) -> None:
        self.opt.step(self.gradients(), num_threads=self.threads)

    def step(self) -> None:
        self.opt.step(self.grads, num_threads=self.threads)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    everything = oc.get_num_threads()
    print(f"{oc.build_info()['isa']} kernels, NumPy {np.__version__}\n")

    print("| Adam, 1 Mi elements | threads | us a step | x all on a line [quartiles] |\n|---|---:|---:|---:|")
    for threads in sorted({1, everything}):
        times = interleaved({name: step_of(places, threads) for name, places in PLACES.items()}, options.rounds, 8)
        for name, t in times.items():
            ratio = quartiles(t / times["all on a line"])
            print(f"| {name} | {threads} | {np.median(t) * 1e6:,.0f} | {ratio} |")

    ways = {"one": 1, f"{everything}": everything, "measured choice": None}
    trainings = {name: Training(threads) for name, threads in ways.items()}
    print("\n| 1 M parameters in NumPy | optimizer's threads | ms | x one thread [quartiles] |\n|---|---:|---:|---:|")
    products = {"none: the products alone": trainings["one"].gradients}
    for what, steps in (("whole training step", {k: t.train for k, t in trainings.items()} | products),
                        ("optimizer alone", {k: t.step for k, t in trainings.items()})):
        times = interleaved(steps, options.rounds, STEPS, warm=STEPS // 2)
        for name, t in times.items():
            print(f"| {what} | {name} | {np.median(t) * 1e3:.2f} | {quartiles(t / times['one'])} |")


if __name__ == "__main__":
    main()
