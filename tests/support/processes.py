"""What several tests need to look at a fresh process: run code in one, with environment variables of the test's."""
from __future__ import annotations

import ast
import os
import subprocess
import sys

OURS = ("OPTCORE_ISA", "OPTCORE_NUM_THREADS")


def run(code, **variables):
    """Run the code in a new process, with these environment variables and none of ours."""
    env = {k: v for k, v in os.environ.items() if k not in OURS and not k.startswith("OMP_")} | variables
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)


def value_of(code, **variables):
    """What the code prints, a Python literal."""
    done = run(code, **variables)
    assert done.returncode == 0, done.stderr
    return ast.literal_eval(done.stdout)


# Three steps of Adam over an array large enough for threads; prints the build and the bits.
STEPS = """
import hashlib, numpy as np, optcore as oc
rng = np.random.default_rng(0)
p, g, m, v = (rng.standard_normal(100_003).astype(np.float32) for _ in range(4))
v = abs(v)
for t in (1, 2, 3):
    oc.functional.adam(p, g, m, v, step=t, lr=0.01, weight_decay=0.1, num_threads=2)
print((oc.build_info()["isa"], hashlib.sha256(p.tobytes() + m.tobytes() + v.tobytes()).hexdigest()))
"""
