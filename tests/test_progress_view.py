"""The live view: a table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from evolm.campaign import Observer, Phase, Progress
from evolm.models import Decoding, Generate
from evolm.operators import OPERATORS, Family, VariationContext
from evolm.progress_view import (
    ASKING,
    FIRST_ANSWERS,
    LOADING,
    SCORING,
    Pace,
    ProgressView,
    duration,
    log_to,
    sparkline,
)
from tests.support.toy_campaign import ToyCampaign, entries


def test_without_a_terminal_it_logs_plain_lines(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=200)
    log_to(console)
    view = ProgressView(console)
    toy().run(tmp_path / "run", observers=[view])
    view.close()
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b" not in text
    lines = text.splitlines()
    assert lines[0].startswith("Splits: ")
    begin = lines.index("search begins")
    assert "random search begins" in lines
    (last,) = [line for line in lines if line.startswith("search, generation 2: best ")]
    assert "14 of 14 evaluations" in last
    assert "(new best)" in lines[begin + 1]


def test_in_a_terminal_it_draws_a_table_without_error(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=160)
    log_to(console)
    view = ProgressView(console)
    try:
        toy(name="a [bold]name[/bold]").run(tmp_path / "run", observers=[view])
        console.print(view)
    finally:
        view.close()
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "best dev" in text
    assert "a [bold]name[/bold]" in text
    assert "14 of 14" in text


class Watched(ProgressView):
    """A live view that remembers what it said it was doing, and the table beneath."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.said: list[tuple[str, str]] = []

    def on_phase(self, phase: Phase) -> None:
        super().on_phase(phase)
        self.said.append((phase.name, self.doing))

    def on_requests(self, done: int, total: int, purpose: str) -> None:
        super().on_requests(done, total, purpose)
        assert self.phase is not None
        self.said.append((self.phase.name, self.doing))


@pytest.fixture
def watched() -> Iterator[Watched]:
    view = Watched(Console(file=io.StringIO(), force_terminal=True, width=160))
    yield view
    view.close()


def drawn(view: ProgressView) -> str:
    """The view as it stands now."""
    console = Console(file=io.StringIO(), width=160)
    console.print(view)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_before_the_campaign_begins_it_says_that_the_model_is_loading(watched: Watched) -> None:
    assert drawn(watched).strip().endswith(LOADING)
    assert "best dev" not in drawn(watched)


def test_it_waits_for_the_first_answers_of_a_phase_and_then_scores(
    toy: Callable[..., ToyCampaign], tmp_path: Path, watched: Watched
) -> None:
    toy().run(tmp_path / "run", observers=[watched])
    main = [doing for phase, doing in watched.said if phase == "main"]
    assert main[:2] == [FIRST_ANSWERS, FIRST_ANSWERS]  # as the phase begins, and as the first batch does
    assert set(main[2:]) == {SCORING}
    assert ("verdict", FIRST_ANSWERS) in watched.said


class GoOn:
    """An operator that lets the model go on with an instruction; small enough for the tiny model's context."""

    name, role, chromosome, weight = "go_on", "mutation", "prompt", 20.0
    asks_model, needs_gold, summary = True, False, "Lets the model go on."

    def vary(self, families: Sequence[Family], context: VariationContext) -> list[Any | None]:
        def conversation(genome: Any) -> Iterator[Any]:
            [answer] = yield [Generate("", genome.prompt.instruction or "Say", Decoding(3))]
            prompt = replace(genome.prompt, instruction=f"{genome.prompt.instruction} {answer.text}")
            return genome.with_chromosome("prompt", prompt)

        assert context.model_access is not None
        return context.model_access.hold_dialogues([conversation(family[0].genome) for family in families])  # type: ignore[misc]


def test_it_says_when_operators_ask_the_model(
    toy: Callable[..., ToyCampaign], tmp_path: Path, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OPERATORS, "go_on", GoOn())  # type: ignore[arg-type]
    toy().run(tmp_path / "run", observers=[watched])
    main = [doing for phase, doing in watched.said if phase == "main"]
    assert ASKING in main
    assert SCORING in main[: main.index(ASKING)]  # founders need no operator
    assert SCORING in main[main.index(ASKING) :]
    assert ASKING not in {doing for phase, doing in watched.said if phase != "main"}


def test_the_size_of_a_front_is_shown_where_there_is_one(
    toy: Callable[..., ToyCampaign], tmp_path: Path, watched: Watched
) -> None:
    sizes: list[str] = []

    class Sizes(Observer):
        def on_generation(self, progress: Progress) -> None:
            sizes.append(drawn(watched))

    changes = {
        "scorers": {"label_likelihood": 1.0, "prompt_length": 1.0},
        "fitness__combine": "pareto",
        "strategy": {"name": "nsga2", "population_size": 4},
        "baselines__random_search": False,
    }
    assert "front" not in drawn(watched)
    toy(**changes).run(tmp_path / "run", observers=[watched, Sizes()])
    fronts = [len(entry["front"]) for entry in entries(tmp_path / "run", "generation")]
    for text, size in zip(sizes, fronts, strict=True):
        header, row = (next(line for line in text.splitlines() if word in line) for word in ("front", "│"))
        place = header.split("┃").index(next(cell for cell in header.split("┃") if cell.strip() == "front"))
        assert row.split("│")[place].strip() == str(size)


def test_time_passes_while_the_first_generation_is_at_work(
    toy: Callable[..., ToyCampaign], tmp_path: Path, watched: Watched
) -> None:
    seen: list[str] = []

    class Early(Observer):
        def on_requests(self, done: int, total: int, purpose: str) -> None:
            seen.append(drawn(watched))

    toy().run(tmp_path / "run", observers=[watched, Early()])
    assert "0:0" in seen[0]
    assert "0 of 14" in seen[0]


def test_a_search_in_which_nothing_is_valid_is_drawn_too() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=160)
    view = ProgressView(console)
    try:
        console.print(view)
        view.on_requests(0, 0, "scoring")
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
