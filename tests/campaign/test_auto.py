"""``strategy = "auto"``: the stages that it stands for, and the campaigns that ``evolm init`` writes with it."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evolm import config as configuration
from evolm.campaign import build, continue_run, start_run
from evolm.campaign.build import Components
from evolm.campaign.stages import Stage
from tests.support.command_line import evolm as command
from tests.support.kinds_of_campaigns import write_kind
from tests.support.toy_campaign import ToyCampaign, bytes_of, entries, quick, toy_rows, write_rows

AUTO = {"strategy": "auto", "budget": {"evaluations": 20}}
SPLIT = {"train": 34, "dev": 24, "test": 14, "validation": 8}


def built(toy: ToyCampaign) -> Components:
    parts = build(toy.config, toy.folder)
    parts.engine.close()
    return parts


LEARNT = {"layers": "last:1", "target_modules": ["q_proj"], "encoding": "lowrank", "rank": 1}
PROMPTS = {"demonstrations": [0, 2], "max_tokens": 240}


def staged(toy: ToyCampaign, **space: Any) -> tuple[Stage, ...]:
    """Return the stages of the campaign with enough rows to learn from."""
    write_rows(toy.folder / "toy.csv", toy_rows(90))
    task = {**toy.tables["task"], "split": SPLIT}
    return built(ToyCampaign(toy.folder, {**toy.tables, "task": task, "space": {"prompt": PROMPTS, **space}})).stages


def test_labels_that_a_probe_may_read_are_searched_alone(toy: Callable[..., ToyCampaign]) -> None:
    (stage,) = staged(toy(**AUTO))
    assert (stage.kinds, stage.settings["name"]) == (("prompt", "readout"), "genetic")
    assert stage.rules is not None and stage.rules.mode == "race"


@pytest.mark.parametrize(
    "space", [{"readout": {"kinds": ["linear", "words"]}}, {"delta": LEARNT}], ids=["no probe", "a delta's table"]
)
def test_other_labels_are_searched_then_learnt(toy: Callable[..., ToyCampaign], space: dict[str, Any]) -> None:
    first, second = staged(toy(**AUTO), **space)
    assert (first.kinds, first.settings["name"]) == (("prompt", "readout"), "genetic")
    assert first.rules is not None and first.rules.mode == "race"
    assert (second.kinds, second.settings["name"]) == (("delta",), "memetic")
    assert (second.readout, second.founders) == ("words", 2)
    assert second.rules is None and 0.5 < first.until < second.until == 1


TEXTS = {
    "strategy": "auto",
    "budget": {"evaluations": 8},
    "task.split": {"train": 34, "dev": 8, "test": 10, "validation": 8},
    "finals": {"committee": 0, "soup": 0, "relearn": False},
}


def test_texts_are_searched_then_taught_to_all_layers(tmp_path: Path, tiny_model_folder: Path) -> None:
    toy = write_kind(tmp_path, tiny_model_folder, "generation", **TEXTS)
    parts = built(toy)
    first, second = parts.stages
    assert (first.kinds, first.settings["name"], first.until) == (("prompt",), "genetic", 0.4)
    assert (second.kinds, second.settings["name"], second.readout) == (("delta",), "memetic", "")
    assert (second.demonstrations, second.founders) == (False, 1)
    delta = parts.space["delta"]
    assert delta.depth == 0 and {site.layer for site in delta.sites} == set(range(parts.model.structure.layers))
    assert delta.settings.rank == 8 and delta.learning_rate < 0.02


def test_texts_whose_prompts_must_show_rows_are_taught_behind_these(tmp_path: Path, tiny_model_folder: Path) -> None:
    shown = {"prompt": {"demonstrations": [1, 2], "max_tokens": 300}}
    _, second = built(write_kind(tmp_path, tiny_model_folder, "generation", **TEXTS, space=shown)).stages
    assert second.demonstrations


@pytest.mark.parametrize(("evaluations", "stages"), [(1, 1), (2, 2), (3, 2)])
def test_the_smallest_budgets_pay_for_each_stage(
    tmp_path: Path, tiny_model_folder: Path, evaluations: int, stages: int
) -> None:
    texts = {**TEXTS, "budget": {"evaluations": evaluations}}
    toy = write_kind(tmp_path, tiny_model_folder, "generation", **texts)
    assert len(built(toy).stages) == stages


def test_texts_without_gold_to_learn_from_are_searched_alone(tmp_path: Path, tiny_model_folder: Path) -> None:
    few = {**TEXTS, "task.split": {"train": 10, "dev": 8, "test": 10, "validation": 8}}
    (stage,) = built(write_kind(tmp_path, tiny_model_folder, "generation", **few)).stages
    assert (stage.kinds, stage.settings["name"]) == (("prompt",), "genetic")


def test_an_automatic_campaign_of_texts_learns_and_resumes(tmp_path: Path, tiny_model_folder: Path) -> None:
    toy = write_kind(tmp_path, tiny_model_folder, "generation", **TEXTS)
    with quick():
        start_run(toy.config, toy.folder, tmp_path / "run")
        before = bytes_of(tmp_path / "run")
        continue_run(tmp_path / "run")
    assert bytes_of(tmp_path / "run") == before
    assert [entry["name"] for entry in entries(tmp_path / "run", "stage")] == ["prompt", "delta"]
    searched = [entry for entry in entries(tmp_path / "run", "individual") if entry["search"] == "main"]
    assert sum("gradient_step" in entry["operators"] for entry in searched) >= 4


def test_few_rows_are_searched_alone(toy: Callable[..., ToyCampaign]) -> None:
    (stage,) = built(toy(**AUTO)).stages  # 10 train rows, 10 dev rows
    assert (stage.kinds, stage.settings["name"], stage.rules) == (("prompt", "readout"), "genetic", None)


def test_words_without_gold_are_searched_alone(toy: Callable[..., ToyCampaign]) -> None:
    small = toy(
        **AUTO, scorers={"mutual_information": 1}, task__labels=["spam", "ham"], task__columns={"text": "text"}
    )
    small.tables["task"]["split"] = {"train": 0, "dev": 10, "test": 0}
    assert [stage.settings["name"] for stage in built(small).stages] == ["genetic"]


@pytest.fixture
def drafted(tiny_model_folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write the campaign of ``evolm init`` for the toy rows."""

    def draft(size: str, *options: str) -> Path:
        write_rows(tmp_path / "toy.csv", toy_rows(120))
        fixed = ["--model", str(tiny_model_folder), "--budget", size, "--set", "evaluation.n_jobs=1"]
        said = command("init", tmp_path / "toy.csv", *fixed, "--set", "model.chat_template=off", *options)
        assert said.exit_code == 0, said.output
        return tmp_path

    return draft


@pytest.mark.parametrize("size", ["light", "medium", "heavy"])
def test_each_size_gives_a_file_that_can_be_run(drafted: Callable[..., Path], size: str) -> None:
    folder = drafted(size)
    text = (folder / "campaign.toml").read_text(encoding="utf-8")
    tables = tomllib.loads(text)
    assert tables["strategy"] == {"name": "auto"} and f"--budget {size}" in text
    parts = build(configuration.load(folder / "campaign.toml"), folder)
    parts.engine.close()
    assert parts.stages[-1].budget(parts.config.budget).evaluations == tables["budget"]["evaluations"]
    assert tables["budget"]["evaluations"] == {"light": 20, "medium": 36, "heavy": 160}[size]


@pytest.mark.slow
def test_an_automatic_campaign_runs_resumes_and_says_what_it_did(
    drafted: Callable[..., Path], tmp_path: Path
) -> None:
    folder = drafted("light", "--set", "task.split={train=36,dev=24,validation=20,test=30}")
    config = configuration.load(folder / "campaign.toml")
    with quick():
        start_run(config, folder, tmp_path / "run")
        before = bytes_of(tmp_path / "run")
        continue_run(tmp_path / "run")
    assert bytes_of(tmp_path / "run") == before
    assert [entry["name"] for entry in entries(tmp_path / "run", "stage")] == ["prompt+readout"]
