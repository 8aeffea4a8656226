"""Going on with a run: more budget, nothing left to do, and everything that must be refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from transformers import AutoModelForCausalLM

from evolm.campaign import continue_run
from evolm.campaign.records import changed_setting
from evolm.errors import ConfigError, RunError
from tests.support.crashes import Crash, CrashAfterGeneration
from tests.support.toy_campaign import (
    DEV,
    EVALUATIONS,
    ToyCampaign,
    bytes_of,
    entries,
    result_of,
    toy_rows,
    write_rows,
)


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A finished run of this test's own."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_a_finished_run_that_is_resumed_changes_nothing(run: Path) -> None:
    before, result = bytes_of(run), (run / "result.json").read_bytes()
    assert continue_run(run).result == json.loads(result)
    assert bytes_of(run) == before
    assert (run / "result.json").read_bytes() == result


def test_more_budget_goes_on_with_both_searches_and_opens_the_test_split_again(run: Path, finished: Path) -> None:
    result = continue_run(run, add={"evaluations": 8}).result
    assert result["budget"]["evaluations"] == EVALUATIONS + 8
    assert result["test"]["openings"] == 2
    assert result["budget"]["items"] == (EVALUATIONS + 8) * DEV
    for search in ("main", "random_search"):
        individuals = entries(run, "individual", search)
        assert len({e["digest"] for e in individuals}) == len(individuals) == EVALUATIONS + 8
        assert [e["id"] for e in individuals] == list(range(EVALUATIONS + 8))
    assert bytes_of(run)["journal.jsonl"].startswith(bytes_of(finished)["journal.jsonl"])
    assert result["dev"]["best"] >= 0
    assert result_of(run) == result
    again = bytes_of(run)
    assert continue_run(run).result == result
    assert bytes_of(run) == again


@pytest.mark.parametrize(
    ("add", "message"),
    [
        ({"evaluation": 5}, "did you mean 'evaluations'"),
        ({"items": 5}, "no limit on items"),
        ({"evaluations": 0}, "whole number above 0"),
        ({"evaluations": -3}, "whole number above 0"),
        ({"evaluations": float("nan")}, "evaluations"),
        ({"evaluations": float("inf")}, "evaluations"),
        ({"evaluations": 0.4}, "evaluations"),
    ],
)
def test_a_limit_that_cannot_be_raised_is_refused_and_nothing_changes(
    run: Path, add: dict[str, float], message: str
) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.suffix != ".jsonl"}
    with pytest.raises(ConfigError, match=message):
        continue_run(run, add=add)
    assert before == {path: path.read_bytes() for path in before}


def test_changed_data_is_refused(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    small = toy(baselines__random_search=False)
    out = small.run(tmp_path / "run").directory
    before = bytes_of(out)
    write_rows(small.folder / "toy.csv", [(f"{text}!", label) for text, label in toy_rows()])
    with pytest.raises(RunError, match=r"the data changed since the run began: expected \w+, found \w+"):
        continue_run(out, add={"evaluations": 3})
    assert bytes_of(out) == before


def test_a_changed_model_is_refused(toy: Callable[..., ToyCampaign], tiny_model_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))
    out = toy(model__name=str(folder), baselines__random_search=False).run(tmp_path / "run").directory
    before = bytes_of(out)
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.model.norm.weight.add_(1)
    model.save_pretrained(folder)
    with pytest.raises(RunError, match=r"the model changed since the run began: expected \w+, found \w+"):
        continue_run(out)
    assert bytes_of(out) == before


def test_a_run_that_another_process_works_on_is_refused(run: Path) -> None:
    with FileLock(run / "lock"), pytest.raises(RunError, match="another process"):
        continue_run(run)


@pytest.mark.parametrize("missing", ["directory", "campaign.toml", "journal.jsonl"])
def test_a_directory_that_holds_no_run_is_refused(run: Path, missing: str) -> None:
    if missing == "directory":
        shutil.rmtree(run)
    else:
        (run / missing).unlink()
    with pytest.raises(RunError, match="expected a run's directory, found no"):
        continue_run(run)
    assert run.exists() == (missing != "directory")


def test_a_damaged_checkpoint_is_one_sentence(run: Path) -> None:
    state = run / "checkpoint" / "state.json"
    state.write_bytes(state.read_bytes()[:-20])
    with pytest.raises(
        RunError,
        match=r"state\.json: .* found a damaged file .*checkpoint is deleted, 'evolm resume'",
    ):
        continue_run(run)


def test_a_lost_answer_cache_costs_time_but_no_bit(
    toy: Callable[..., ToyCampaign], finished: Path, tmp_path: Path
) -> None:
    with pytest.raises(Crash):
        toy().run(tmp_path / "run", observers=[CrashAfterGeneration()])
    for path in (tmp_path / "run").glob("answers.sqlite*"):
        path.unlink()
    continue_run(tmp_path / "run", n_jobs=1)
    assert bytes_of(tmp_path / "run") == bytes_of(finished)


def test_a_scorer_described_by_more_than_json_goes_on(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    toy(scorers={"p_true": 1.0}, budget__evaluations=6, baselines__random_search=False).run(tmp_path / "run")
    assert continue_run(tmp_path / "run", add={"evaluations": 2}).result["budget"]["evaluations"] == 8


def test_a_setting_that_is_new_is_named_whatever_its_value_is() -> None:
    error = changed_setting(Path("run"), "writer", {"a": 1}, {"a": 1, "name": "nothing"})
    assert str(error) == "run: writer.name changed since the run began: expected nothing, found 'nothing'"
