"""The front: who is on it, what its axes are called, how it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evolm.report import RunRecord
from evolm.report.dot_plots import staircase
from evolm.report.front import ObjectiveAxis, members, objectives, rule
from tests.support.synthetic_run import make_pareto, revise

ACCURACY, TOKENS = (ObjectiveAxis.of(key, 1.0, "accuracy") for key in ("label_likelihood", "prompt_length"))


def test_objectives_are_called_by_what_they_measure_and_tokens_are_counted_upwards(pareto: Path) -> None:
    accuracy, tokens = objectives(RunRecord.read(pareto))
    assert (accuracy.name, accuracy.fewer) == ("balanced accuracy", False)
    assert (tokens.name, tokens.fewer) == ("prompt tokens", True)
    entry = {"measures": {"label_likelihood": 0.8125, "prompt_length": -1234.0}}
    assert [axis.text(axis.value(entry)) for axis in (accuracy, tokens)] == ["0.812", "1,234"]
    assert tokens.text(tokens.value({"measures": {"prompt_length": -0.0}})) == "0"
    assert tokens.text(tokens.value({"measures": {}})) == ""


def test_an_objective_with_a_negative_weight_is_better_below() -> None:
    assert ObjectiveAxis.of("fluency", -1.0, "accuracy") == ObjectiveAxis("fluency", "fluency", True)


def test_members_come_best_first_and_the_winner_is_the_picked_one(pareto: Path) -> None:
    record = RunRecord.read(pareto)
    found, best = members(record), record.best()
    assert best is not None
    assert {member.id for member in found} == {0, 1, best["id"]}
    firsts = [member.values[0] for member in found]
    assert firsts == sorted(firsts, key=lambda value: -(value or 0))
    assert [member.id for member in found if member.picked] == [best["id"]]
    assert all(member.tokens == member.values[1] for member in found)


def test_a_run_with_one_objective_has_no_front(run: Path) -> None:
    record = RunRecord.read(run)
    assert objectives(record) == members(record) == record.front() == []


@pytest.mark.parametrize(
    ("pick", "words"),
    [
        ("first", "the highest balanced accuracy on dev and validation together (“first”)"),
        ("knee", "the largest sum of all objectives, each scaled to its range over the front, on dev and validation"),
    ],
)
def test_the_rule_that_picked_is_told_in_words(run_factory: Callable[..., Path], pick: str, words: str) -> None:
    assert rule(RunRecord.read(make_pareto(run_factory(), pick))).startswith(words)


def test_the_rule_of_a_first_objective_that_counts_downwards_says_fewest(pareto: Path) -> None:
    revise(pareto, run=lambda head: {"scorers": dict(reversed(head["scorers"].items()))})
    assert rule(RunRecord.read(pareto)).startswith("the fewest prompt tokens")


@pytest.mark.parametrize(
    ("across", "points", "stairs"),
    [
        (ACCURACY, [(1, 3), (2, 2), (3, 1), (1, 1), (2, 1)], [(1, 3), (2, 2), (3, 1)]),
        (TOKENS, [(10, 0.5), (20, 0.7), (30, 0.6), (5, 0.5)], [(20, 0.7), (5, 0.5)]),
        (TOKENS, [(10, 0.5), (10, 0.7)], [(10, 0.7)]),
        (TOKENS, [], []),
    ],
)
def test_the_line_joins_what_nothing_beats_in_the_objectives_shown(
    across: ObjectiveAxis, points: list[tuple[float, float]], stairs: list[tuple[float, float]]
) -> None:
    assert staircase(points, across, ACCURACY) == stairs
