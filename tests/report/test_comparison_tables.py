"""Groups of runs side by side, from a record alone: terminal, Markdown, CSV, figure."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from evolm.report.comparison import difference_frame, group_frame, markdown, notes, render_comparison, scores
from evolm.report.svg import render_file

HOSTILE = "genetic | [bold]<b>x"


def group(name: str, score: float, **baselines: float) -> dict[str, Any]:
    ends = {"low": score - 0.05, "high": score + 0.05}
    return {
        "name": name,
        "score": score,
        **ends,
        "seeds": {"0": score, "2": score},
        "baselines": baselines,
        "runs": [],
    }


@pytest.fixture
def record() -> dict[str, Any]:
    """Two groups over two seeds."""
    pair = {"first": HOSTILE, "second": "random_search", "difference": 0.1, "low": 0.04, "high": 0.16}
    return {
        "metric": "macro_f1",
        "items": 400,
        "seeds": [0, 2],
        "left_out": {"random_search": [1, 3]},
        "groups": [group("random_search", 0.7, founder=0.6), group(HOSTILE, 0.8, founder=0.6, random_search=0.71)],
        "differences": [{**pair, "p": 0.00004, "p_holm": 0.012345}],
    }


def printed(record: dict[str, Any]) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(render_comparison(record))
    return capture.get()


def test_the_terminal_shows_scores_baselines_and_differences(record: dict[str, Any]) -> None:
    lines = printed(record).splitlines()
    assert lines[0].split("  ")[-1].strip() == "random search, same budget"
    assert lines[1].split() == ["random_search", "0.700", "0.650", "to", "0.750", "0.600"]
    assert lines[2].startswith(HOSTILE)
    assert lines[5].split()[-6:] == ["+0.100", "+0.040", "to", "+0.160", "<0.001", "0.012"]
    assert lines[-1] == "Left out of random_search, since not all have them: seeds 1, 3."


def test_markdown_keeps_its_columns_whatever_a_group_is_called(record: dict[str, Any]) -> None:
    table = [line for line in markdown(record).splitlines() if line.startswith("| ")]
    assert {line.replace("\\|", "").count("|") for line in table[:4]} == {6}
    assert "genetic \\| [bold]<b>x over random_search" in table[-1]


def test_what_the_numbers_cover_is_said(record: dict[str, Any]) -> None:
    assert notes(record)[0].startswith("Means over 2 seeds and 400 test items")
    assert "Holm's correction for 1 difference." in notes(record)[1]
    alone = notes(record | {"seeds": [2], "differences": [], "left_out": {}})
    assert alone == [
        "Seed 2 on 400 test items: the 95 % intervals are for other items, and say nothing of other seeds."
    ]


def test_frames_hold_a_row_a_group_and_a_row_a_pair(record: dict[str, Any]) -> None:
    groups, pairs = group_frame(record), difference_frame(record)
    assert groups["name"].tolist() == ["random_search", HOSTILE]
    assert groups["difference"].tolist()[1] == 0.1
    assert groups["difference"].isna().tolist() == [True, False]
    assert pairs.loc[0, ["first_score", "second_score", "p_holm"]].tolist() == [0.8, 0.7, 0.012345]
    assert difference_frame(record | {"differences": []}).empty


def test_the_same_record_gives_the_same_figure_and_names_are_only_text(record: dict[str, Any]) -> None:
    drawn = render_file(scores, record)
    assert drawn == render_file(scores, record)
    assert "[bold]<b>x" in "".join(ElementTree.fromstring(drawn.encode()).itertext())
