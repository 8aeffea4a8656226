"""Per-item scores in the journal, and finals that pick by the expected score."""

from __future__ import annotations

from collections.abc import Callable
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from evolm.campaign.forecasts import forecast
from evolm.campaign.item_scores import ItemScores, read_item_scores, scores_record
from evolm.genomes import Prompt, prompt_genome
from evolm.headroom import about_headroom
from evolm.individual import Individual
from evolm.report import RunRecord
from evolm.report.page import render_page
from evolm.report.tables import expected, headroom
from evolm.two_way import fit_two_way
from tests.campaign.test_racing_campaign import N_DEV, changed
from tests.support.toy_campaign import DEV, TEST, entries, result_of

SEARCHES = ("main", "random_search")


def test_the_journal_has_every_individuals_item_scores_whose_mean_is_its_fitness(finished: Path) -> None:
    for search in SEARCHES:
        for entry in entries(finished, "individual", search):
            assert len(entry["item_scores"]) == DEV
            assert np.mean(entry["item_scores"]) == pytest.approx(entry["fitness"][0], abs=1e-3)


def test_individuals_that_a_race_dropped_keep_the_scores_of_the_items_they_saw(
    finished_run: Callable[..., Path],
) -> None:
    run = finished_run(**changed("race"))
    gone = [e for e in entries(run, "individual", "main") if e["status"] == "dropped"]
    assert gone and len(entries(run, "headroom")) == 1  # both are in the runs that are killed and resumed
    for entry in gone:
        assert len(entry["item_scores"]) == N_DEV
        assert sum(score is not None for score in entry["item_scores"]) == entry["items"] < N_DEV
    scores = read_item_scores(run / "journal.jsonl", "main")
    assert np.isnan(scores.values).any(axis=1).sum() >= len({entry["digest"] for entry in gone})


def test_finals_pick_the_highest_expected_score_and_of_equals_the_best_pooled(finished: Path) -> None:
    for search in SEARCHES:
        (final,) = entries(finished, "validation", search)
        best = max((each["expected"], each["pooled"]) for each in final["finalists"])
        (winner,) = (each for each in final["finalists"] if each["id"] == final["winner"])
        assert (winner["expected"], winner["pooled"]) == best
        assert all(each["error"] >= 0 for each in final["finalists"])


def test_the_result_says_what_was_expected_of_the_test_split(finished: Path) -> None:
    (final,) = entries(finished, "validation", "main")
    (winner,) = (each for each in final["finalists"] if each["id"] == final["winner"])
    expected = result_of(finished)["expected"]
    low, high = expected["interval"]
    assert expected["score"] == winner["expected"]
    assert low < expected["score"] < high and expected["confidence"] == 0.8
    assert high - low > 2 * winner["error"]  # test items have their luck, too


def test_an_objective_that_is_no_mean_over_items_has_no_forecast(finished_run: Callable[..., Path]) -> None:
    run = finished_run(task__metric="macro_f1")
    assert {entry["item_scores"] for entry in entries(run, "individual")} == {None}
    for final in entries(run, "validation"):
        assert all(each["expected"] is None for each in final["finalists"])
        pooled = {each["id"]: each["pooled"] for each in final["finalists"]}
        assert pooled[final["winner"]] == max(pooled.values())
    assert result_of(run)["expected"] is None


def individual(number: int) -> Individual:
    return Individual(number, prompt_genome(Prompt(f"instruction {number}")))


def past(values: np.ndarray) -> ItemScores:
    digests = tuple(individual(number).digest for number in range(len(values)))
    return ItemScores(digests, (False,) * len(values), values)


def test_a_forecast_uses_every_answer_of_everybody() -> None:
    rng = np.random.default_rng(0)
    values = (rng.random((12, 20)) < 0.6).astype(float)
    values[3, 8:] = np.nan
    fresh = (rng.random((2, 15)) < 0.6).astype(float)
    found = forecast(past(values), [individual(5), individual(1)], fresh)
    order = [0, 2, 3, 4, *range(6, 12), 5, 1]
    whole = np.full((12, 35), np.nan)
    whole[:, :20], whole[10:, 20:] = values[order], fresh
    fit = fit_two_way(whole)
    assert found is not None
    assert [found.mean(0), found.mean(1)] == pytest.approx(fit.means[10:])
    assert [found.error(0), found.error(1)] == pytest.approx(fit.errors[10:])
    said = found.on_test(1, TEST)
    assert np.diff(said["interval"]) == pytest.approx(2 * 1.2816 * fit.forecast_error(11, TEST), rel=1e-3)


def test_of_a_long_search_the_finalists_and_evenly_spaced_others_are_in_the_model() -> None:
    values = (np.random.default_rng(1).random((500, 4)) < 0.5).astype(float)
    found = forecast(past(values), [individual(499), individual(0)], np.empty((2, 0)))
    assert found is not None and len(found.fit.means) == 200
    evenly = np.linspace(0, 497, 198).round().astype(int)
    fit = fit_two_way(values[[*(1 + evenly), 499, 0]])
    assert [found.mean(0), found.mean(1)] == pytest.approx(fit.means[-2:])


def test_a_finalist_without_item_scores_leaves_no_forecast() -> None:
    assert forecast(past(np.ones((2, 3))), [individual(7)], np.empty((1, 0))) is None


def test_scores_are_written_short_and_unseen_items_as_null() -> None:
    assert scores_record(None) is None
    assert scores_record(np.array([0.0, 1.0, 1.23456789, np.nan])) == [0, 1, 1.235, None]


def test_the_headroom_is_told_once_when_twenty_individuals_are_known(
    finished_run: Callable[..., Path], finished: Path
) -> None:
    run = finished_run(budget__evaluations=25)
    kinds = [(e["type"], e.get("evaluations")) for e in entries(run) if e.get("search") == "main"]
    (place,) = (place for place, (kind, _) in enumerate(kinds) if kind == "headroom")
    assert kinds[place - 1] == ("generation", 20)
    (entry,) = entries(run, "headroom")
    said = {name: value for name, value in entry.items() if name not in ("type", "search")}
    assert result_of(run)["headroom"] == said
    assert (said["individuals"], said["rows"], said["evaluations"]) == (20, DEV, 25)
    assert 0 <= said["reliability"] <= 1
    assert not entries(finished, "headroom") and result_of(finished)["headroom"] is None  # 14 evaluations
    record = RunRecord.read(run)
    assert headroom(record) == about_headroom(said)
    page = unescape(render_page(record))
    assert headroom(record) in page and expected(record) in page


def test_the_report_says_what_was_expected_and_what_came(finished: Path) -> None:
    result = result_of(finished)
    low, high = result["expected"]["interval"]
    assert expected(RunRecord.read(finished)) == (
        f"Expected before the test: {result['expected']['score']:.3f} balanced accuracy (between {low:.3f} and "
        f"{high:.3f} with a probability of 80\N{NO-BREAK SPACE}%); realised: {result['test']['best']:.3f}."
    )
