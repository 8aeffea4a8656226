"""Campaigns of unusual sizes: hardly any rows or budget, no demonstrations, hundreds of labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evolm.campaign import build
from evolm.errors import EvolmError
from evolm.operators.prompt import ON_DEMONSTRATIONS
from evolm.report import RunRecord
from evolm.report.audit import diverged
from tests.support.command_line import evolm, refused
from tests.support.delta_campaigns import write_delta_campaign
from tests.support.toy_campaign import DEV, ToyCampaign, entries, toy_rows, write_rows


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in the test's own folder, on a wide line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")


def test_a_budget_below_one_evaluation_is_refused_before_a_model_is_loaded_or_a_directory_made(
    toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    campaign = toy(model__name="no-such-model")
    said = evolm("run", "toy", "--out", "out", "--set", f"budget.items={DEV - 1}")
    refused(said, rf"budget.items: expected at least {DEV}, the dev rows that one evaluation scores, found {DEV - 1}")
    assert not (tmp_path / "out").exists()
    with pytest.raises(EvolmError, match="no-such-model"):
        toy(model__name="no-such-model", budget={"items": DEV}).run(tmp_path / "out")
    assert campaign.folder.exists()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"space__prompt__demonstrations": [0, 0]}, "space.prompt.demonstrations = [0, 0]"),
        ({"task__split": {"train": 0, "dev": 10, "test": 14}}, "no labelled train rows"),
    ],
)
def test_prompts_that_show_no_rows_are_varied_by_no_operator_on_demonstrations(
    changes: dict[str, object], why: str, toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    campaign = toy(founders=[], budget={"evaluations": 6}, baselines={"random_search": False}, **changes)
    parts = build(campaign.config, campaign.folder)
    parts.engine.close()
    assert not ON_DEMONSTRATIONS & {operator.name for operator, _ in parts.stages[0].choice.operators}
    assert not any(genome.prompt.demonstrations for genome in parts.founders.genomes)
    said = evolm("run", "toy", "--dry-run")
    assert said.exit_code == 0, said.output
    assert f"Prompts are instructions without demonstrations: {why}." in said.stdout
    campaign.run(tmp_path / "out")
    assert not any(e["genome"]["prompt"].get("demonstrations") for e in entries(tmp_path / "out", "individual"))


def test_a_run_begins_with_what_its_splits_can_show(toy: Callable[..., ToyCampaign]) -> None:
    campaign = toy(task__split={"train": 10, "dev": 10, "test": 3}, budget={"evaluations": 2})
    said = evolm("run", campaign.folder, "--out", "out")
    assert said.exit_code == 0, said.output
    first, second, *_ = said.stdout.splitlines()
    assert first == "Splits: train 10, dev 10, validation 10, test 3"
    assert second.startswith("No gain can be shown: with 3 test items, it would have to be 1.44 balanced_accuracy")


def many_labels(path: Path, labels: int) -> None:
    write_rows(path, [(f"{text} {n}", f"c{n % labels:03d}") for n, (text, _) in enumerate(toy_rows(3 * labels))])


def test_the_dry_run_lists_the_first_of_many_labels(toy: Callable[..., ToyCampaign]) -> None:
    campaign = toy(founders=[], space={}, task__split={"train": 40, "dev": 40, "test": 40, "validation": 0})
    many_labels(campaign.folder / "toy.csv", 40)
    said = evolm("run", "toy", "--dry-run")
    assert said.exit_code == 0, said.output
    assert "labels c000, c001, " in said.stdout
    assert "c011 and 28 more\n" in said.stdout
    assert "'c011' 5 and 28 more\n" in said.stdout
    assert " | and 32 more\n" in said.stdout
    assert "c020" not in said.stdout


@pytest.mark.slow
def test_a_campaign_of_250_labels_runs(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    campaign = toy(
        founders=[],
        space={},
        task__split={"train": 250, "dev": 250, "test": 250, "validation": 0},
        budget={"evaluations": 2},
        strategy={"name": "random_search"},
        baselines={"few_shot": False, "prior_corrected": False},
    )
    many_labels(campaign.folder / "toy.csv", 250)
    result = campaign.run(tmp_path / "out").result
    assert len(result["task"]["labels"]) == 250
    assert result["test"]["best"] < 0.1
    assert "c249" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_steps_that_overflow_end_in_a_result_and_a_warning_of_our_own(
    tmp_path: Path, tiny_model_folder: Path
) -> None:
    campaign = write_delta_campaign(
        tmp_path / "toy",
        tiny_model_folder,
        "delta",
        strategy={"name": "es", "population_size": 4, "sigma": 3e38},
        baselines={"random_search": False},
    )
    result = campaign.run(tmp_path / "out").result
    assert result["dev"]["best"] == result["dev"]["founder"]
    assert diverged(RunRecord.read(tmp_path / "out")).startswith("The search diverged: all 4 individuals")
