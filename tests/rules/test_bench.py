"""A new row of the table takes part in the benchmark as it is; and the harness: rounds, turns, ratios."""
from __future__ import annotations

import numpy as np
import pytest

from bench.harness.timing import Effort, Turn, interleaved
from bench.rules import contenders
from bench.rules.data import RULES, USUAL, Data, bytes_per_element
from bench.rules.verify import WrongResult, verify
from optcore.rules import RULES as TABLE
from tests.support.draws import ELEMENTWISE


def test_every_rule_that_takes_a_gradient_can_be_named():
    assert set(RULES) == {name for name in ELEMENTWISE if TABLE[name].decay is not None}
    assert set(USUAL) <= set(RULES)
    assert [bytes_per_element(name) for name in ("sgd", "momentum", "adam", "ademamix")] == [12, 20, 28, 36]


@pytest.mark.parametrize("shapes", [[(5000,)], [(40, 30), (7,), (3,)]], ids=["an array", "a list"])
@pytest.mark.parametrize("name", RULES)
def test_every_contender_computes_the_rule(name, shapes):
    data = Data(name, shapes, seed=0)
    line_up = contenders.line_up(data, 2)
    assert {"roof", "ours"} <= {c.name for c in line_up}
    for contender in line_up:
        verify(contender, data)


def test_a_contender_that_does_something_else_is_found():
    data = Data("adam", [(5000,)], seed=0)
    with pytest.raises(WrongResult, match="idle, adam"):
        verify(contenders.Contender("idle", lambda: None), data)
    other = Data("adamw", [(5000,)], seed=0)
    with pytest.raises(WrongResult, match="adam"):
        verify(contenders.Contender("ours", contenders.functional(other)), data)


def test_rounds_are_shuffled_and_counted_and_ratios_are_formed_within_them():
    order = []

    def turn(name, seconds):
        order.append(name)
        return seconds * len(order)                     # the machine becomes slower and slower

    times = interleaved({"one": lambda: turn("one", 1.0), "three": lambda: turn("three", 3.0),
                         "rare": lambda: turn("rare", 9.0)}, Effort.rounds(8), every={"rare": 4})
    assert [len(t) for t in times.values()] == [8, 8, 8] and np.isfinite(times["rare"]).sum() == 2
    assert times.of("rare").rounds == 2 and order.count("one") == 9        # the first round is not counted
    assert {tuple(x for x in order[k:k + 2] if x != "rare") for k in range(len(order) - 1)} > {
        ("one", "three"), ("three", "one")}
    assert 1.5 < times.ratio("three", "one").median < 6.0


def test_a_turn_warms_up_and_samples_long_enough():
    calls = []
    turn = Turn(lambda: calls.append(1), sample=1e-4, warm=5, warm_seconds=0.0, before=calls.clear)
    assert turn() > 0 and len(calls) >= 5 + turn.repeats and turn.repeats > 1
    fixed = Turn(lambda: calls.append(1), repeats=7, warm=2, warm_seconds=0.0, before=calls.clear)
    fixed()
    assert len(calls) == 9
