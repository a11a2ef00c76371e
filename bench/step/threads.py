"""What spinning threads cost: training in NumPy with the optimizer on one thread, on all, and on as many as pay.

    python -m bench.step.threads [--quick]

A network of 1 M parameters: whole training steps with oc.Adam, whose idle threads and BLAS's spin while the other ones
work; and the same steps alone, without products of matrices between them. "measured choice" is what the engine finds to
pay. The figures stand behind a decision in ARCHITECTURE.md and in docs/threads.md.
"""

import numpy as np

import optcore as oc
from bench.harness.command import parsed, parser
from bench.harness.spread import number
from bench.harness.timing import Effort, Turn, interleaved

WIDTHS, BATCH = (512, 1024, 512), 32
STEPS = 40  # of training in a turn: long beside the milliseconds for which idle threads of the last turn spin


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
    options = parsed(parser(__doc__, rounds=21))
    print(f"{oc.build_info()['isa']} kernels, NumPy {np.__version__}\n")
    ways = {"one": 1, f"{options.threads}": options.threads, "measured choice": None}
    trainings = {name: Training(threads) for name, threads in ways.items()}
    print("| 1 M parameters in NumPy | optimizer's threads | ms | x one thread [quartiles] |\n|---|---:|---:|---:|")
    products = {"none: the products alone": trainings["one"].gradients}
    for what, steps in (("whole training step", {k: t.train for k, t in trainings.items()} | products),
                        ("optimizer alone", {k: t.step for k, t in trainings.items()})):
        turns = {name: Turn(step, repeats=STEPS, warm=STEPS // 2) for name, step in steps.items()}
        times = interleaved(turns, Effort.rounds(options.rounds))
        for name in times:
            print(f"| {what} | {name} | {number(times.us(name) / 1e3)} | {times.ratio(name, 'one')} |", flush=True)


if __name__ == "__main__":
    main()
