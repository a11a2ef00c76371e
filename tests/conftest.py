"""Shared by all tests: one hypothesis profile, and which builds of the kernels this processor runs."""
from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from optcore import Rows, _dispatch

pytest.register_assert_rewrite("tests.support")         # asserts there explain themselves as well

# The same examples in every run: a red run can be repeated. No deadline: timings say nothing on a busy machine.
settings.register_profile("optcore", deadline=None, derandomize=True, print_blob=True,
                          suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
settings.load_profile("optcore")


@pytest.fixture(params=_dispatch.available())
def variant(request):
    """Each build of the kernels in turn, cutting even small arrays among threads."""
    module = _dispatch.load(request.param)
    module.take_by_rows(Rows)               # step/share.py told the chosen one only
    module._tune(grain_elements=1, team_from_elements=0)
    yield module
    module._tune()
