"""Campaigns whose generations overlap: the order of asking decides, so kills and executors change no byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evolm.campaign import continue_run
from evolm.errors import ConfigError
from tests.support.crashes import Crash, CrashAfterGeneration, CrashAmidRequests
from tests.support.toy_campaign import EVALUATIONS, ToyCampaign, bytes_of, entries, result_of

OVERLAP = 2
GENETIC: dict[str, Any] = {"name": "genetic", "population_size": 5, "offspring": 2, "asynchronous": OVERLAP}


@pytest.fixture
def overlapping(toy: Callable[..., ToyCampaign]) -> ToyCampaign:
    return toy(strategy=GENETIC, baselines__random_search=False)


@pytest.fixture
def undisturbed(overlapping: ToyCampaign, tmp_path: Path) -> Path:
    return overlapping.run(tmp_path / "undisturbed").directory


def generations(run: Path) -> list[int]:
    return [entry["generation"] for entry in entries(run, "individual", "main")]


def test_every_individual_is_journalled_in_the_order_of_asking_and_the_budget_is_kept(undisturbed: Path) -> None:
    individuals = entries(undisturbed, "individual", "main")
    assert [entry["id"] for entry in individuals] == list(range(EVALUATIONS))
    assert generations(undisturbed) == [0] * 5 + [1, 1, 2, 2, 3, 3, 4, 4, 5]
    born = dict(zip(range(EVALUATIONS), generations(undisturbed), strict=True))
    for entry in individuals:
        assert all(born[parent] <= max(entry["generation"] - 1 - OVERLAP, 0) for parent in entry["parents"])
    told = entries(undisturbed, "generation", "main")
    assert [entry["generation"] for entry in told] == list(range(6))
    assert told[-1]["evaluations"] == result_of(undisturbed)["budget"]["evaluations"] == EVALUATIONS


def test_no_generation_is_bred_that_the_budget_does_not_pay_for(
    toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    whole = GENETIC["population_size"] + 4 * GENETIC["offspring"]
    campaign = toy(strategy=GENETIC, baselines__random_search=False, budget__evaluations=whole)
    [rates] = [entry["rates"] for entry in entries(campaign.run(tmp_path / "run").directory, "operators")]
    assert sum(each["accepted"] for each in rates.values()) > 0
    assert all(each["accepted"] == each["evaluated"] for each in rates.values())


def test_a_run_that_crashes_after_every_generation_ends_with_the_same_bytes(
    overlapping: ToyCampaign, undisturbed: Path, tmp_path: Path
) -> None:
    out, first = tmp_path / "run", 0
    with pytest.raises(Crash):
        overlapping.run(out, observers=[CrashAfterGeneration()])
    while first < 6:
        first += 1
        try:
            continue_run(out, observers=[CrashAfterGeneration(first)])
        except Crash:
            continue
    continue_run(out)
    assert bytes_of(out) == bytes_of(undisturbed)


def test_a_run_that_crashes_amid_a_generation_ends_with_the_same_bytes(
    overlapping: ToyCampaign, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with pytest.raises(Crash):
        overlapping.run(out, observers=[CrashAmidRequests(5)])
    continue_run(out)
    assert bytes_of(out) == bytes_of(undisturbed)


def test_more_budget_goes_on_after_the_generations_that_were_told(undisturbed: Path) -> None:
    before = entries(undisturbed)
    continue_run(undisturbed, add={"evaluations": 5})
    assert [e["id"] for e in entries(undisturbed, "individual", "main")] == list(range(EVALUATIONS + 5))
    assert entries(undisturbed)[: len(before)] == before


@pytest.mark.parametrize("limit", [{"tokens": 9000}, {"plateau": 1, "evaluations": 40}])
def test_generations_in_the_air_at_the_end_are_not_told_and_come_first_when_the_run_goes_on(
    limit: dict[str, int], toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    campaign = toy(strategy=GENETIC, baselines__random_search=False, budget={"evaluations": 0, **limit})
    run = campaign.run(tmp_path / "run").directory
    ended = entries(run, "individual", "main")
    assert [entry["id"] for entry in ended] == list(range(len(ended)))
    name = next(iter(limit))
    continue_run(run, add={name: 6000 if name == "tokens" else 3})
    individuals = entries(run, "individual", "main")
    assert [entry["id"] for entry in individuals] == list(range(len(individuals)))
    assert len(individuals) > len(ended)


def test_a_stage_begins_with_what_was_told(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    stages: Any = [
        {"strategy": GENETIC, "share": 2},
        {"strategy": {"name": "genetic", "population_size": 4}, "share": 1},
    ]
    campaign = toy(strategy={"name": "genetic"}, stage=stages, budget__evaluations=18, baselines__random_search=False)
    run = campaign.run(tmp_path / "run").directory
    told = entries(run, "individual", "main")
    assert len({entry["digest"] for entry in told}) == len(told) == 18


def test_a_race_of_generations_that_overlap_is_refused(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    campaign = toy(strategy=GENETIC, evaluation__racing="halving")
    with pytest.raises(ConfigError, match=r"racing.*asynchronous generations are scored side by side"):
        campaign.run(tmp_path / "run")
    assert not (tmp_path / "run").exists()
