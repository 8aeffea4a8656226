"""Committees: their selection, their contest with the best single individual, the run of one that won."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolm.campaign import committee as room
from evolm.campaign.build import build
from evolm.campaign.committee import FOLDS, allowed, cross_fitted, select
from evolm.campaign.contests import Standing, log_loss
from evolm.campaign.runs import continue_run
from evolm.export.predictor import saved_prompt
from evolm.genomes import mixture
from evolm.storage import RunLayout
from evolm.tasks import Task, load_task
from tests.support.committees import CHANGES, committee_run, members_of_run
from tests.support.kinds_of_campaigns import components_of, write_kind
from tests.support.once import SharedFolder
from tests.support.saved_prompts import task_of
from tests.support.tiers import slow
from tests.support.toy_campaign import ToyCampaign, bytes_of, entries, quick, result_of, write_campaign


@pytest.fixture(scope="module")
def folder(shared_folder: SharedFolder, tiny_model_folder: Path) -> Path:
    return committee_run(shared_folder, tiny_model_folder)


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    return folder / "run"


def everything_of(run: Path) -> dict[str, bytes]:
    """Return the journal, the best, and what a user may apply instead."""
    baselines = sorted(path for path in (run / "baselines").rglob("*") if path.is_file())
    return bytes_of(run) | {str(path.relative_to(run)): path.read_bytes() for path in baselines}


# -- selection -----------------------------------------------------------------------------------------------


def oracle(of_gold: np.ndarray, weights: np.ndarray, seats: int) -> list[int]:
    """Select by the definition, one committee after the other: the list of seats of the best one."""

    def loss(committee: list[int]) -> float:
        total = 0.0
        for item, weight in enumerate(weights):
            mean = sum(math.exp(of_gold[member, item]) for member in committee) / len(committee)
            total -= weight * max(math.log(mean), -12)
        return round(total / sum(weights), 12)

    chosen: list[int] = []
    nested: list[list[int]] = []
    for _ in range(seats):
        chosen = min(([*chosen, each] for each in range(len(of_gold))), key=loss)
        nested.append(chosen)
    return min(nested, key=loss)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(1, 6), st.integers(1, 5))
def test_selection_is_greedy_with_replacement(seed: int, candidates: int, items: int, seats: int) -> None:
    rng = np.random.default_rng(seed)
    of_gold = np.log(rng.uniform(1e-3, 1, (candidates, items)).round(2) + 1e-9)
    weights = rng.integers(1, 4, items).astype(float)
    counts = select(np.exp(of_gold), weights, seats)
    expected = oracle(of_gold, weights, seats)
    assert counts == tuple(expected.count(each) for each in range(candidates))
    alone = log_loss(np.exp(of_gold), weights).min()
    chosen = log_loss(np.array(counts) @ np.exp(of_gold) / sum(counts), weights)
    assert chosen <= alone + 1e-9


def test_of_equals_the_first_candidate_and_the_smallest_committee_is_taken() -> None:
    same = np.full((3, 4), 0.5)
    assert select(same, np.ones(4), 5) == (1, 0, 0)


def test_members_that_err_on_different_items_complement_one_another() -> None:
    of_gold = np.array([[0.9, 0.1], [0.1, 0.9], [0.4, 0.4]])
    assert select(of_gold, np.ones(2), 2) in {(1, 1, 0), (1, 0, 1), (0, 1, 1)}
    assert select(of_gold, np.array([1.0, 0.0]), 5) == (1, 0, 0)  # items without weight do not count


def test_a_probability_of_zero_costs_no_more_than_the_floor() -> None:
    assert log_loss(np.array([0.0, 1.0]), np.ones(2)) == pytest.approx(6.0)


def test_a_mixture_is_the_weighted_mean_of_probabilities() -> None:
    rng = np.random.default_rng(0)
    members = [rng.dirichlet([1.0, 1.0, 1.0], 4) for _ in range(2)]
    with np.errstate(divide="ignore"):
        logs = [np.log(np.where(member < 0.1, 0.0, member)) for member in members]
    found = np.exp(mixture(logs, (3, 1)))
    assert found == pytest.approx(0.75 * np.exp(logs[0]) + 0.25 * np.exp(logs[1]))


# -- the contest ---------------------------------------------------------------------------------------------


def answers_of(of_gold: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """Return ``(..., n, 2)`` log-probabilities of two labels from the ``(..., n)`` probabilities of gold."""
    probabilities = np.repeat(1 - of_gold[..., None], 2, axis=-1)
    np.put_along_axis(probabilities, np.broadcast_to(gold[:, None], (*of_gold.shape, 1)), of_gold[..., None], -1)
    return np.log(probabilities)


@pytest.mark.parametrize(
    ("joint", "other", "won"),
    [
        ([0.7] * 4, [0.9, 0.8, 0.9, 0.2], True),  # a higher loss of the other
        ([0.7] * 4, [0.9, 0.9, 0.9, 0.4], False),  # a lower loss of the other, which is wrong once more
        ([0.7] * 4, [0.6] * 4, True),  # equal metric, and a lower loss of the committee
        ([0.7] * 4, [0.7] * 4, False),  # equal in both: the simpler one stays
        ([0.7] * 4, None, True),  # the other cannot answer all rows
    ],
)
def test_the_log_loss_decides_on_validation_rows(
    task: Task, joint: list[float], other: list[float] | None, won: bool
) -> None:
    rows = task.test[:4]
    known = [None if each is None else answers_of(np.array(each), task.gold_indices(rows)) for each in (joint, other)]
    mine, theirs = (Standing.of(each, task, rows) for each in known)
    assert (mine > theirs) == won
    json.dumps([mine.to_record(), theirs.to_record()], allow_nan=False)


@pytest.fixture
def task(toy: Callable[..., ToyCampaign]) -> Task:
    campaign = toy(task__split=SPLIT)
    return load_task(campaign.config.task, campaign.config.template, root=campaign.folder)


SPLIT = {"train": 10, "dev": 10, "test": 14, "validation": 7}


@pytest.mark.parametrize("seed", range(3))
def test_a_row_is_confirmed_by_a_committee_that_it_did_not_choose(task: Task, seed: int) -> None:
    rows = (*task.dev, *task.validation)
    rng = np.random.default_rng(seed)
    of_gold = rng.uniform(0.05, 0.95, (4, len(rows)))
    gold = task.gold_indices(rows)
    found = cross_fitted(answers_of(of_gold, gold), task, 3)
    weights, start = task.row_weights(rows), len(task.dev)
    for row in range(len(task.validation)):
        others = [place for place in range(len(rows)) if place < start or (place - start) % FOLDS != row % FOLDS]
        counts = np.array(select(of_gold[:, others], weights[others], 3))
        expected = counts @ of_gold[:, start + row] / counts.sum()
        assert np.exp(found[row, gold[start + row]]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"finals": {"committee": 0}}, False),
        ({"finals": {"committee": 1}}, False),
        ({"task__gold": "audit", "scorers": {"mutual_information": 1.0}}, False),
        ({"task__split": {**SPLIT, "validation": 0}}, False),
        ({"scorers": {"label_likelihood": 1.0, "prompt_length": 0.1}}, False),
        (
            {
                "scorers": {"label_likelihood": 1.0, "prompt_length": -0.1},
                "fitness": {"combine": "pareto"},
                "strategy": {"name": "nsga2", "population_size": 4},
            },
            False,
        ),
    ],
)
def test_committees_are_for_searches_of_one_number_that_is_read_from_gold(
    toy: Callable[..., ToyCampaign], changes: dict[str, Any], expected: bool
) -> None:
    campaign = toy(**{"finals": {"committee": 5}, **changes})
    parts = build(campaign.config, campaign.folder)
    parts.engine.close()
    assert allowed(parts) == expected


def test_texts_have_no_committee(finished_run: Callable[..., Path]) -> None:
    run = finished_run("generation", write=write_kind, finals={"committee": 5})
    parts = components_of(run)
    parts.engine.close()
    assert not allowed(parts)


# -- a run ---------------------------------------------------------------------------------------------------


def test_the_result_has_the_committee_and_the_best_single_individual(run: Path) -> None:
    result, members = result_of(run), members_of_run(run)
    committee = result["committee"]
    assert committee["won"] and 2 <= len(members) <= 5
    assert sum(member["weight"] for member in members) <= 5
    known = {entry["id"]: entry for entry in entries(run, "individual", "main")}
    for member in members:
        assert known[member["id"]]["genome"] == member["genome"]
        assert known[member["id"]]["score"] == pytest.approx(member["dev"])
    assert result["validation"] == {"best": committee["validation"], "single": committee["single"]["validation"]}
    assert committee["log_loss"] <= committee["single"]["log_loss"]
    assert result["dev"]["best"] == committee["dev"]
    (journalled,) = (entry["committee"] for entry in entries(run, "validation", "main"))
    own = [{key: member[key] for key in member if key not in ("genome", "readout")} for member in members]
    assert journalled == {**{key: committee[key] for key in committee if key != "digest"}, "members": own}


def test_the_single_individual_is_tested_and_is_no_rival(run: Path) -> None:
    test = result_of(run)["test"]
    assert test["single"] is not None
    rivals = {name: test[name] for name in ("founder", "majority")}
    assert test["strongest_baseline"] == max(rivals, key=lambda name: rivals[name])
    assert test["gain"] == pytest.approx(test["best"] - max(rivals.values()))


def right_answers(task: Task) -> np.ndarray:
    return answers_of(np.full(len(task.validation), 0.999), task.gold_indices(task.validation))


def test_random_search_may_win_by_a_committee_too(
    toy: Callable[..., ToyCampaign], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "select", lambda of_gold, weights, seats: (1, 2, *(0 for _ in of_gold[2:])))
    monkeypatch.setattr(room, "cross_fitted", lambda logprobs, task, seats: right_answers(task))
    changes = {**CHANGES, "baselines": {**CHANGES["baselines"], "random_search": True}}
    run = toy(**changes).run(tmp_path / "run").directory
    assert {entry["search"]: entry["committee"]["won"] for entry in entries(run, "validation")} == {
        "main": True,
        "random_search": True,
    }
    with saved_prompt(run, use="random_search") as opened:
        assert opened.weights == (1, 2)
        found = opened.score_items(task_of(run).test)
    assert found.value == pytest.approx(result_of(run)["test"]["random_search"])


def test_the_folder_of_the_best_has_its_members_and_nothing_of_an_earlier_best(run: Path) -> None:
    best, members = run / "best", members_of_run(run)
    assert {path.name for path in best.iterdir()} == {"committee.json", "members"}
    record = json.loads((best / "committee.json").read_text(encoding="utf-8"))
    assert record["schema"] == 1
    assert [member["weight"] for member in record["members"]] == [member["weight"] for member in members]
    for saved, member in zip(record["members"], members, strict=True):
        written = json.loads((best / saved["folder"] / "prompt.json").read_text(encoding="utf-8"))
        assert written["genome"] == member["genome"]["prompt"]
    assert (run / "baselines" / "single" / "prompt.txt").exists()


@pytest.mark.parametrize("left", [1, slow(2), slow(4), slow(9)])
def test_killed_and_resumed_it_equals_the_undisturbed_run(
    evolm: Any, folder: Path, run: Path, tmp_path: Path, left: int
) -> None:
    """Before the last entry but one, the verdict, the folders of the committee and of the baselines are written."""
    out = evolm.killed_near_its_end(folder / "toy", tmp_path / "run", run, left)
    assert everything_of(out) == everything_of(run)


@pytest.mark.slow
def test_two_workers_write_the_same_run(folder: Path, run: Path, tmp_path: Path, tiny_model_folder: Path) -> None:
    seed = result_of(run)["seed"]
    campaign = write_campaign(tmp_path / "toy", tiny_model_folder, **CHANGES, seed=seed, evaluation={"n_jobs": 2})
    with quick():
        campaign.run(tmp_path / "run")
    assert everything_of(tmp_path / "run") == everything_of(run)


def test_a_continued_run_replaces_the_committee_by_what_wins_then(folder: Path, tmp_path: Path) -> None:
    """Whatever wins, ``best/`` is of one kind, and ``baselines/single`` is there exactly if a committee won."""
    out = tmp_path / "run"
    shutil.copytree(folder / "run", out)
    with quick():
        result = continue_run(out, add={"evaluations": 6}).result
    best = {path.name for path in (out / "best").iterdir()}
    won = result["committee"] is not None
    assert ("committee.json" in best) == won and ("prompt.json" in best) != won
    assert (out / "baselines" / "single").exists() == won
    assert bool(RunLayout(out).member_prompts) == won
