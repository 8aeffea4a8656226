"""Callbacks: what they hear of individuals, and how they end a search, whatever strikes in between."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from evolm.campaign import Observer, Phase, Progress, RunInfo, continue_run
from evolm.errors import ConfigError, Interrupted
from evolm.individual import Individual
from evolm.report import RunRecord, render_summary
from evolm.report.page import render_page
from evolm.storage import RunLayout
from tests.support.toy_campaign import ToyCampaign, bytes_of, entries, quick, result_of, without_clock

REASON = "10 are enough"


class Stops(Observer):
    """Ends the search at hand as soon as it has spent so many evaluations."""

    def __init__(self, evaluations: int = 10, search: str = "main") -> None:
        self.evaluations, self.search = evaluations, search

    def on_start(self, info: RunInfo) -> None:
        self.info = info

    def on_generation(self, progress: Progress) -> None:
        if progress.search == self.search and progress.evaluations >= self.evaluations:
            self.info.stop(REASON)


class StopsAt(Observer):
    """Ends the search at any other event."""

    def __init__(self, event: str) -> None:
        self.event = event

    def on_start(self, info: RunInfo) -> None:
        self.info = info
        self._perhaps("on_start")

    def on_phase(self, phase: Phase) -> None:
        self._perhaps("on_phase")

    def on_requests(self, done: int, total: int, purpose: str) -> None:
        self._perhaps("on_requests")

    def on_evaluation(self, individual: Individual) -> None:
        self._perhaps("on_evaluation")

    def _perhaps(self, event: str) -> None:
        if event == self.event:
            self.info.stop(f"first {event}")


class Strikes(Observer):
    """Does something at the second generation of the main search, or when the next search begins."""

    def __init__(self, event: str, strike: Callable[[], None]) -> None:
        self.event, self.strike = event, strike

    def on_generation(self, progress: Progress) -> None:
        if self.event == "on_generation" and progress.evaluations == 10:
            self.strike()

    def on_phase(self, phase: Phase) -> None:
        if self.event == "on_phase" and phase.name == "random_search":
            self.strike()


@pytest.fixture(scope="module")
def stopped(founding: ToyCampaign, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose search a callback ended, changed by no test."""
    with quick():
        return founding.run(tmp_path_factory.mktemp("stopped") / "run", observers=[Stops()]).directory


# -- hearing ---------------------------------------------------------------------------------------------------


def test_every_individual_is_heard_of_once_in_the_order_of_asking_before_its_generation(
    founding: ToyCampaign, tmp_path: Path
) -> None:
    heard: list[Any] = []

    class Listener(Observer):
        def on_phase(self, phase: Phase) -> None:
            self.search = phase.name

        def on_evaluation(self, individual: Individual) -> None:
            heard.append((self.search, individual.to_record()))

        def on_generation(self, progress: Progress) -> None:
            heard.append((self.search, progress.tokens))

    run = founding.run(tmp_path / "run", observers=[Listener()]).directory
    journal = [e for e in entries(run) if e["type"] in ("individual", "generation")]
    expected = [{k: v for k, v in e.items() if k not in ("type", "search", "item_scores")} for e in journal]
    expected = [e if "id" in e else e["tokens"] for e in expected]  # type: ignore[misc]
    assert heard == list(zip((e["search"] for e in journal), expected, strict=True))


class Hears(Observer):
    """Remembers the names of events, and the info of the run."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_start(self, info: RunInfo) -> None:
        self.info = info

    def on_generation(self, progress: Progress) -> None:
        self.heard.append("generation")

    def on_saved(self) -> None:
        self.heard.append("saved")

    def on_error(self, error: Exception) -> None:
        self.heard.append(type(error).__name__)

    def on_end(self, result: dict[str, Any]) -> None:
        self.heard.append("end")


def test_every_generation_is_told_before_it_is_saved_and_told_to_be_saved_after(
    founding: ToyCampaign, tmp_path: Path
) -> None:
    observer = Hears()
    founding.run(tmp_path / "run", observers=[observer])
    assert observer.heard == [*["generation", "saved"] * 4, "end"]


def test_what_is_told_at_the_start_is_plain_data(founding: ToyCampaign, finished: Path, tmp_path: Path) -> None:
    first, again = Hears(), Hears()
    run = founding.run(tmp_path / "run", observers=[first], report=False).directory
    continue_run(run, observers=[again])
    assert (first.info.directory, first.info.name) == (run, "toy")
    assert first.info.budget["evaluations"] == first.info.settings["budget"]["evaluations"] == 14
    assert first.info.settings["strategy"]["crossover_prob"] > 0  # a default of the strategy
    assert json.loads(json.dumps(first.info.settings)) == first.info.settings
    assert [(info.resumed, info.finished) for info in (first.info, again.info)] == [(False, False), (True, True)]
    assert first.info.seconds < 1 < again.info.seconds + 1


def test_without_a_report_a_run_has_the_same_bytes_and_no_page(
    founding: ToyCampaign, finished: Path, tmp_path: Path
) -> None:
    run = founding.run(tmp_path / "run", report=False).directory
    assert bytes_of(run) == bytes_of(finished)
    assert not RunLayout(run).report.exists()


def test_an_interruption_is_told_and_the_page_says_so(founding: ToyCampaign, tmp_path: Path) -> None:
    class PressesCtrlC(Hears):
        def on_generation(self, progress: Progress) -> None:
            super().on_generation(progress)
            if progress.evaluations == 10:
                signal.raise_signal(signal.SIGINT)

        def on_error(self, error: Exception) -> None:
            super().on_error(error)
            raise ZeroDivisionError  # is logged; the interruption is raised

    observer = PressesCtrlC()
    with pytest.raises(Interrupted):
        founding.run(tmp_path / "run", observers=[observer])
    assert observer.heard == [*["generation", "saved"] * 2, "Interrupted"]
    assert RunRecord.read(tmp_path / "run").status == "interrupted"
    assert "interrupted" in RunLayout(tmp_path / "run").report.read_text(encoding="utf-8")


# -- stopping --------------------------------------------------------------------------------------------------


def test_a_stopped_search_ends_after_its_generation_and_the_baseline_gets_what_it_spent(stopped: Path) -> None:
    for search in ("main", "random_search"):
        assert len(entries(stopped, "individual", search)) == 10
    (stop,) = entries(stopped, "stop")
    assert (stop["search"], stop["generation"], stop["evaluations"], stop["reason"]) == ("main", 1, 10, REASON)
    result = result_of(stopped)
    assert result["stopped"] == REASON
    assert result["test"]["random_search"] is not None
    assert result["claim"]


def test_the_report_and_the_summary_say_why(stopped: Path, finished: Path) -> None:
    said = f"A callback ended the search after 10 evaluations: {REASON}"
    console = Console(width=200)
    with console.capture() as captured:
        console.print(render_summary(stopped))
    assert said in captured.get()
    assert said in render_page(RunRecord.read(stopped))
    assert "callback" not in render_page(RunRecord.read(finished))
    assert result_of(finished)["stopped"] is None


@pytest.mark.parametrize("event", ["on_start", "on_phase", "on_requests", "on_evaluation"])
def test_a_stop_at_any_event_waits_for_the_end_of_the_generation(
    event: str, founding: ToyCampaign, tmp_path: Path
) -> None:
    run = founding.run(tmp_path / "run", observers=[StopsAt(event)]).directory
    assert len(entries(run, "individual", "main")) == 5  # a whole generation
    assert result_of(run)["stopped"] == f"first {event}"


def test_the_first_reason_counts(founding: ToyCampaign, tmp_path: Path) -> None:
    run = founding.run(tmp_path / "run", observers=[StopsAt("on_start"), Stops(5)]).directory
    assert result_of(run)["stopped"] == "first on_start"


def test_a_baseline_cannot_be_stopped(founding: ToyCampaign, finished: Path, tmp_path: Path) -> None:
    run = founding.run(tmp_path / "run", observers=[Stops(search="random_search")]).directory
    assert bytes_of(run) == bytes_of(finished)


@pytest.mark.parametrize("reason", ["", " ", None])
def test_a_stop_needs_a_reason(reason: Any, founding: ToyCampaign, tmp_path: Path) -> None:
    class Silent(Observer):
        def on_start(self, info: RunInfo) -> None:
            info.stop(reason)

    with pytest.raises(ConfigError, match="expected a reason in words, found"):
        founding.run(tmp_path / "run", observers=[Silent()])


# -- resuming --------------------------------------------------------------------------------------------------


def same(run: Path, stopped: Path) -> None:
    assert bytes_of(run) == bytes_of(stopped)
    assert without_clock(result_of(run)) == without_clock(result_of(stopped))


def test_a_stop_that_was_not_saved_is_uttered_again(founding: ToyCampaign, stopped: Path, tmp_path: Path) -> None:
    def crash() -> None:
        raise RuntimeError

    run = tmp_path / "run"
    with pytest.raises(RuntimeError):
        founding.run(run, observers=[Stops(), Strikes("on_generation", crash)])
    assert not entries(run, "stop")
    continue_run(run, observers=[Stops()])
    same(run, stopped)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("event", "again"), [("on_generation", [Stops()]), ("on_phase", [])])
def test_killed_before_or_after_a_stop_is_saved_and_resumed_it_ends_as_if_undisturbed(
    event: str, again: list[Observer], founding: ToyCampaign, stopped: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    if not (child := os.fork()):  # the process to be killed
        try:
            strike = Strikes(event, lambda: os.kill(os.getpid(), signal.SIGKILL))
            founding.run(run, observers=[Stops(), strike])
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert len(entries(run, "generation")) == 2
    continue_run(run, observers=again)  # once it is saved, the callback is not needed any more
    same(run, stopped)


def test_a_stopped_run_that_is_resumed_stays_as_it_is_until_its_budget_is_raised(
    founding: ToyCampaign, tmp_path: Path
) -> None:
    run = founding.run(tmp_path / "run", observers=[Stops()]).directory
    before = bytes_of(run)
    continue_run(run)
    assert bytes_of(run) == before
    continue_run(run, add={"evaluations": 4})
    assert len(entries(run, "individual", "main")) == len(entries(run, "individual", "random_search")) == 18
    assert result_of(run)["stopped"] is None
    assert "callback" not in render_page(RunRecord.read(run))


# -- failing ---------------------------------------------------------------------------------------------------


def test_an_exception_says_which_callback_it_came_from_and_how_to_go_on(
    founding: ToyCampaign, tmp_path: Path
) -> None:
    class Clumsy(Observer):
        def on_evaluation(self, individual: Individual) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        founding.run(tmp_path / "run", observers=[Observer(), Clumsy()])
    (note,) = caught.value.__notes__
    run = tmp_path / "run"
    assert note == f"In the callback Clumsy.on_evaluation; the run is saved, go on with 'evolm resume {run}'"
