"""Learning once more: the schedule of the best individual, taken again on more rows, and its contest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evolm.campaign import relearning
from evolm.campaign.build import build
from evolm.campaign.pass_estimate import PassEstimate
from evolm.campaign.runs import continue_run
from evolm.export.predictor import saved_prompt
from evolm.report import RunRecord, render_summary
from evolm.report.forms import relearnt_sentence
from evolm.report.page import render_page
from evolm.report.tables import score_rows
from evolm.storage import RunLayout
from tests.support.once import SharedFolder
from tests.support.saved_prompts import task_of
from tests.support.soups import RELEARNING, relearnt_run, write_soup_campaign
from tests.support.tiers import slow
from tests.support.toy_campaign import bytes_of, entries, quick, result_of


@pytest.fixture(scope="module")
def folder(shared_folder: SharedFolder, tiny_model_folder: Path) -> Path:
    return relearnt_run(shared_folder, tiny_model_folder)


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    return folder / "run"


def test_the_schedule_of_the_best_is_taken_on_all_rows_but_test(run: Path) -> None:
    result = result_of(run)
    found, best = result["relearnt"], result["best"]
    learnt, before = (each["genome"]["delta"]["learning"] for each in (found, best))
    assert found["id"] == best["id"] and found["steps"] == learnt["steps"] == learnt["count"]
    (entry,) = (each for each in entries(run, "individual", "main") if each["id"] == best["id"])
    assert found["steps"] == entry["genome"]["delta"]["learning"]["count"]
    assert (learnt["rate"], learnt["decay"]) == (before["rate"], before["decay"])
    splits = result["task"]["splits"]
    assert found["rows"] == splits["train"] + splits["dev"] + splits["validation"]
    assert found["digest"] != best["digest"]


def test_the_result_has_its_contest_and_the_best_single_individual(run: Path) -> None:
    result = result_of(run)
    found = result["relearnt"]
    (journalled,) = (entry["relearnt"] for entry in entries(run, "validation", "main"))
    assert journalled == {key: found[key] for key in journalled} and found["won"]
    assert (found["log_loss"], -found["validation"]) <= (
        found["single"]["log_loss"],
        -found["single"]["validation"],
    )
    assert result["validation"] == {"best": found["validation"], "single": found["single"]["validation"]}
    assert result["expected"] is None and result["test"]["single"] is not None


def test_its_tokens_are_charged_to_the_search(run: Path) -> None:
    searched = entries(run, "generation", "main")[-1]["tokens"]
    assert result_of(run)["budget"]["tokens"] > searched


@pytest.mark.parametrize("use", ["best", "single"])
def test_its_score_on_test_rows_is_that_of_the_verdict(run: Path, use: str) -> None:
    with saved_prompt(run, use=use) as opened:
        found = opened.score_items(task_of(run).test)
        assert opened.delta is not None
    assert found.value == pytest.approx(result_of(run)["test"][use])


def test_the_report_says_that_it_learnt_once_more(run: Path) -> None:
    record = RunRecord.read(run)
    sentence = relearnt_sentence(record)
    assert "--use single" in sentence and f"all {result_of(run)['relearnt']['rows']} rows but test" in sentence
    assert sentence in render_page(record)
    assert next(row for row in score_rows(record) if row.key == "best").name.endswith("(learnt once more)")
    assert render_summary(run) is not None


@pytest.mark.parametrize("left", [1, slow(2), slow(4)])
def test_killed_and_resumed_it_equals_the_undisturbed_run(
    evolm: Any, folder: Path, run: Path, tmp_path: Path, left: int
) -> None:
    out = evolm.killed_near_its_end(folder / "toy", tmp_path / "run", run, left)
    assert bytes_of(out) == bytes_of(run)


def test_rows_that_the_prompt_shows_teach_nothing(
    tmp_path: Path, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And validation rows teach only what has won without them."""
    taught: list[set[str]] = []
    real = relearning.minibatch

    def noted(rng: np.random.Generator, items: Any, size: int) -> Any:
        taught.append({item.digest for item in items})
        return real(rng, items, size)

    monkeypatch.setattr(relearning, "minibatch", noted)
    founder = {"instruction": "Is it spam, or ham?", "demonstrations": 2}
    toy = write_soup_campaign(tmp_path / "toy", tiny_model_folder, **RELEARNING, budget__evaluations=4)
    (toy.folder / "founders.jsonl").write_text(json.dumps(founder) + "\n", encoding="utf-8")
    with quick():
        run = toy.run(tmp_path / "run").directory
    result, task = result_of(run), task_of(run)
    shown = {each["item"] for each in result["best"]["genome"]["prompt"]["demonstrations"]}
    assert shown and taught and all(not shown & each for each in taught)
    before, unseen = {item.digest for item in (*task.train, *task.dev)}, {item.digest for item in task.validation}
    assert taught[0] == before - shown
    (contest,) = (entry["relearnt"] for entry in entries(run, "validation", "main"))
    assert any(unseen & each for each in taught) == contest["won"]


def test_what_did_not_learn_by_gradient_does_not_learn_once_more(finished_run: Callable[..., Path]) -> None:
    run = finished_run(
        write=write_soup_campaign, **{**RELEARNING, "strategy": {"name": "genetic", "population_size": 3}}
    )
    assert result_of(run)["relearnt"] is None
    assert [entry["relearnt"] for entry in entries(run, "validation", "main")] == [None]


def test_a_finished_run_is_continued_from_the_single_individual(folder: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(folder / "run", tmp_path / "run"))
    with quick():
        result = continue_run(out, add={"evaluations": 2}).result
    ids = [entry["id"] for entry in entries(out, "individual", "main")]
    assert ids == list(range(len(ids))) and result["best"]["id"] in ids
    assert RunLayout(out).prompt.exists()


def test_the_dry_run_counts_what_it_costs(tmp_path: Path, tiny_model_folder: Path) -> None:
    tokens = {}
    for relearn in (True, False):
        finals = {"committee": 0, "soup": 0, "relearn": relearn}
        toy = write_soup_campaign(tmp_path / "toy", tiny_model_folder, finals=finals)
        parts = build(toy.config, toy.folder)
        parts.engine.close()
        phases = {name: tokens for name, _, tokens in PassEstimate(parts, 10.0, 5.0).phases()}
        tokens[relearn] = phases["finals"]
    assert tokens[True] > tokens[False] > 0
