"""The live view: a table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from toy_campaign import ToyCampaign

from evolm.campaign import Progress
from evolm.live import LiveView, Pace, duration, log_to, sparkline


def test_without_a_terminal_it_logs_plain_lines(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=200)
    log_to(console)
    view = LiveView(console)
    toy().run(tmp_path / "run", observers=[view])
    view.close()
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b" not in text
    lines = text.splitlines()
    assert lines[0] == "search begins"
    assert "random search begins" in lines
    (last,) = [line for line in lines if line.startswith("search, generation 2: best ")]
    assert "14 of 14 evaluations" in last
    assert "(new best)" in lines[1]


def test_in_a_terminal_it_draws_a_table_without_error(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=160)
    log_to(console)
    view = LiveView(console)
    try:
        toy(name="a [bold]name[/bold]").run(tmp_path / "run", observers=[view])
        console.print(view)
    finally:
        view.close()
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "best dev" in text
    assert "a [bold]name[/bold]" in text
    assert "14 of 14" in text


def test_a_search_in_which_nothing_is_valid_is_drawn_too() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=160)
    view = LiveView(console)
    try:
        console.print(view)
        view.on_requests(0, 0)
        view.on_generation(Progress("main", 0, math.nan, math.nan, 0.0, 0, 0))
        console.print(view)
    finally:
        view.close()
    assert "nan" in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("values", "line"),
    [([], ""), ([math.nan], ""), ([0.5, 0.5], "▄▄"), ([0.0, math.nan, 1.0], "▁█")],
)
def test_a_sparkline_spans_lowest_to_highest(values: list[float], line: str) -> None:
    assert sparkline(values) == line


def test_durations_read_like_a_clock() -> None:
    assert [duration(s) for s in (0, 59.7, 187, math.nan, math.inf)] == ["0:00", "1:00", "3:07", "–", "–"]


def test_a_pace_is_unknown_until_there_are_two_marks() -> None:
    pace = Pace()
    pace.mark(1)
    assert math.isnan(pace.per_second)
