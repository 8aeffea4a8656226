"""Founders written from a task alone."""

from __future__ import annotations

import pytest

from evolm.founders.generated import LISTED_LABELS, target_name, written_founders
from evolm.tasks import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_dozen_to_a_dozen_distinct_founders_of_which_a_third_show_demonstrations(kind: str) -> None:
    founders = written_founders(kind, ["text"], ["ham", "spam"], "answer", (0, 8))
    shown = [founder for founder in founders if founder.get("demonstrations")]
    assert 6 <= len(founders) <= 12
    assert 3 * len(shown) == len(founders)
    assert len({str(founder) for founder in founders}) == len(founders)
    assert {founder["demonstrations"] for founder in shown} == {4}


def test_founders_speak_of_the_task_in_its_own_words() -> None:
    texts = [f["instruction"] for f in written_founders("classification", ["news_title", "body"], ["a_1", "b", "c"])]
    assert "Classify the news title and body as a_1, b or c." in texts
    texts = [f["instruction"] for f in written_founders("generation", ["text"], target="summary")]
    assert "Write the summary for the text." in texts
    assert not any(
        "{" in text for kind in KINDS for f in written_founders(kind, ["x"], ["a", "b"]) for text in f.values()
    )


def test_many_labels_are_not_listed() -> None:
    labels = [f"intent{n}" for n in range(LISTED_LABELS + 1)]
    founders = written_founders("classification", ["text"], labels, demonstrations=(0, 8))
    assert not any("intent" in founder["instruction"] for founder in founders)
    assert len(founders) >= 6


@pytest.mark.parametrize(
    ("bounds", "numbers"),
    [((0, 0), {0}), ((0, 2), {0, 2}), ((2, 8), {2, 4}), ((6, 8), {6, 7}), ((3, 3), {3})],
)
def test_demonstrations_keep_to_their_bounds(bounds: tuple[int, int], numbers: set[int]) -> None:
    founders = written_founders("choice", ["text"], demonstrations=bounds)
    assert {founder.get("demonstrations", 0) for founder in founders} == numbers


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("summary", "summary"),
        ("target_summary", "summary"),
        ("English translation", "english translation"),
        ("label", "answer"),
    ],
)
def test_a_target_is_called_what_its_column_is_called(column: str, name: str) -> None:
    assert target_name(column) == name
