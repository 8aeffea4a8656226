"""Which finalist wins: the highest expected score, then the higher fitness, then the shorter prompt."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from evolm.archives import BestFound
from evolm.campaign.finals import _picked

SEARCH: Any = SimpleNamespace(archive=BestFound(5))


def assessed(*scores: float | None) -> Any:
    """Return assessments with these scores; None = a finalist that failed on a row."""
    return [None if score is None else SimpleNamespace(fitness=(score,), violation=0.0) for score in scores]


def forecast(*means: float) -> Any:
    return SimpleNamespace(mean=lambda place: means[place])


def test_the_highest_expectation_wins_whatever_its_prompt_s_length() -> None:
    assert _picked(SEARCH, assessed(0.7, 0.8, 0.6), None, [1, 99, 1]) == 1
    assert _picked(SEARCH, assessed(0.7, 0.8, 0.6), forecast(0.72, 0.71, 0.6), [99, 1, 1]) == 0


def test_of_equals_the_one_with_the_shortest_prompt_wins() -> None:
    assert _picked(SEARCH, assessed(0.75, 0.75, 0.75), None, [60, 12, 30]) == 1
    assert _picked(SEARCH, assessed(0.75, 0.75), forecast(0.7, 0.7), [60, 12]) == 1
    assert _picked(SEARCH, assessed(0.75, 0.75), None, [12, 12]) == 0  # the better one on dev comes first


def test_a_finalist_that_failed_cannot_win() -> None:
    assert _picked(SEARCH, assessed(None, 0.2), None, [1, 50]) == 1
    assert _picked(SEARCH, assessed(None, None), None, [50, 1]) == 0
