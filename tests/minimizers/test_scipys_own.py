"""SciPy's own tests of minimize, with ours in the place of BFGS, L-BFGS-B and Newton-CG: all hold but those named."""
from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec

from tests.support.paths import ROOT

SELECTION = ("((WrapperDisp and not NoWrapper) or OptimizeSimple or noninteger) and "
             "(bfgs or ncg or scaling or gh1953 or noninteger)")
# What differs, and why: docs/second_order.md has the same rows.
DIFFERENT = {
    "test_bfgs": "the count of SciPy's own search", "test_ncg": "the count of SciPy's own search",
    "test_bfgs_hess_inv0_neg": "refused by name, in other words", "test_bfgs_hess_inv0_semipos": "the same",
    "test_bfgs_infinite": "where fun is -inf ours ends at the last finite point",
    "test_bfgs_c1": "no option c1", "test_bfgs_c2": "no option c2", "test_ncg_zero_xtol": "another minimum of cos",
    "test_ncg_negative_maxiter": "a negative maxiter is refused",
    "test_l_bfgs_b_maxiter": "the text of L-BFGS-B's message",
    "test_initial_step_scaling": "the first step is 1 long, SciPy's 1.01",
    "test_minimize_warnings_gh1953[bfgs]": "no warning where maxiter ends a run",
    "test_minimize_warnings_gh1953[newton-cg]": "the same"}


def test_scipys_own_tests_hold_but_for_what_is_named():
    tests = find_spec("scipy.optimize.tests.test_optimize").origin
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.support.scipy_with_ours", "-p", "no:cacheprovider", "-c",
         os.devnull, f"--rootdir={os.path.dirname(tests)}", tests, "--tb=no", "-rf", "-k", SELECTION],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=300)
    failed = {line.rsplit("::", 1)[1].split(" ")[0] for line in done.stdout.splitlines() if line.startswith("FAILED")}
    assert failed == set(DIFFERENT), done.stdout[-3000:]
    runs, passed = (int(re.search(rf"(\d+) {word}", done.stdout)[1]) for word in ("runs were ours", "passed"))
    assert runs >= 40 and passed >= 40
