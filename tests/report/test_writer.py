"""The report as an observer: when it is drawn, and that its cost is linear in the length of the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evolm.errors import Interrupted
from evolm.observers import Phase, RunInfo
from evolm.report import ReportWriter, page
from evolm.report.writer import GROWTH
from evolm.storage import Journal, RunLayout

Reads = list[int]


def info_of(directory: Path) -> RunInfo:
    """Return the start of a new run."""
    return RunInfo(directory, "toy", {}, {}, False, False, 0.0, (), "", lambda reason: None)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """A journal with its head."""
    found = Journal(RunLayout(tmp_path).journal)
    found.append({"type": "run", "schema": 1})
    return found


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """The journal's bytes at every drawing, each of which reads all of them."""
    found: Reads = []
    monkeypatch.setattr(
        page, "write_report", lambda directory: found.append(RunLayout(directory).journal.stat().st_size)
    )
    return found


def append_generation(journal: Journal, number: int, size: int = 4) -> None:
    for id in range(number * size, (number + 1) * size):
        journal.append({"type": "individual", "search": "main", "id": id, "genome": {"instruction": "x" * 200}})
    journal.append({"type": "generation", "search": "main", "generation": number})


def follow(journal: Journal, generations: int) -> ReportWriter:
    """Let a report follow a search of so many generations."""
    report = ReportWriter()
    report.on_start(info_of(journal.path.parent))
    report.on_phase(Phase("main"))
    for number in range(generations):
        append_generation(journal, number)
        report.on_saved()
    report.on_phase(Phase("verdict"))
    report.on_end({})
    return report


@pytest.mark.parametrize("generations", [125, 250, 500])
def test_the_reports_of_a_run_read_a_constant_multiple_of_its_journal(
    generations: int, journal: Journal, reads: Reads
) -> None:
    follow(journal, generations)
    journal_bytes = journal.offset
    assert sum(reads[:-2]) <= journal_bytes * GROWTH / (GROWTH - 1)  # between generations: a geometric series
    assert reads[-1] == journal_bytes
    assert sum(reads) <= 7 * journal_bytes
    assert len(reads) <= 35  # not one per generation


def test_four_times_the_generations_cost_four_times_as_much_reading(tmp_path: Path, reads: Reads) -> None:
    costs = {}
    for generations in (125, 500):
        (tmp_path / str(generations)).mkdir()
        journal = Journal(RunLayout(tmp_path / str(generations)).journal)
        journal.append({"type": "run"})
        follow(journal, generations)
        costs[generations] = sum(reads)
        reads.clear()
    assert costs[500] < 5 * costs[125]


def test_the_page_is_never_more_than_a_quarter_behind_the_saved_journal(journal: Journal, reads: Reads) -> None:
    report = ReportWriter()
    report.on_start(info_of(journal.path.parent))
    for number in range(60):
        append_generation(journal, number)
        report.on_saved()
        assert journal.offset < GROWTH * reads[-1]


def test_it_is_drawn_at_the_end_of_a_search_only_if_something_changed(journal: Journal, reads: Reads) -> None:
    report = ReportWriter()
    report.on_start(info_of(journal.path.parent))
    report.on_phase(Phase("main"))
    assert reads == []
    append_generation(journal, 0)  # as an objective does, which saves nothing between calls
    report.on_phase(Phase("random_search"))
    assert reads == [journal.offset]
    report.on_phase(Phase("verdict"))
    assert reads == [journal.offset]


@pytest.mark.parametrize("end", ["on_error", "on_end"])
def test_it_is_drawn_at_an_interruption_and_at_the_verdict(end: str, journal: Journal, reads: Reads) -> None:
    report = ReportWriter()
    report.on_start(info_of(journal.path.parent))
    told: dict[str, Any] = {"on_error": Interrupted("stopped"), "on_end": {}}
    getattr(report, end)(told[end])
    assert reads == [journal.offset]


def test_a_real_page_is_written(run_factory: Callable[..., Path]) -> None:
    run = run_factory(generations=2)
    report = ReportWriter()
    report.on_start(info_of(run))
    report.on_saved()
    assert RunLayout(run).report.read_text(encoding="utf-8").startswith("<!doctype html>")
