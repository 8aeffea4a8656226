"""A model that was moved after the run: `--model` names its new place, and another model is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from evolm import Objective
from evolm.api import load_result
from evolm.campaign import continue_run
from evolm.config import load
from evolm.errors import ModelError, RunError
from tests.support.command_line import evolm, refused
from tests.support.delta_campaigns import write_delta_campaign
from tests.support.once import SharedFolder
from tests.support.tiers import slow
from tests.support.toy_campaign import quick, toy_rows, write_rows

FORMS = ("prompt", "peft", "merged", "population")


@pytest.fixture(scope="module")
def places(shared_folder: SharedFolder, tiny_model_folder: Path) -> Path:
    """A folder with a finished ``run`` of a model that is now at ``new``, and with ``other``, another model."""

    def build(folder: Path) -> None:
        shutil.copytree(tiny_model_folder, folder / "old")
        small = {"budget": {"evaluations": 6}, "baselines": {"random_search": False, "few_shot": False}}
        with quick():
            write_delta_campaign(folder / "toy", folder / "old", "delta", **small).run(folder / "run")
        (folder / "old").rename(folder / "new")
        shutil.copytree(folder / "new", folder / "other")
        (weights,) = (folder / "other").glob("*.safetensors")
        tensors = load_file(weights)
        tensors["model.norm.weight"] = tensors["model.norm.weight"] + 1
        save_file(tensors, weights, {"format": "pt"})
        write_rows(folder / "rows.csv", toy_rows(6))

    return shared_folder.once("moved-model", build)


@pytest.fixture
def here(places: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The places, copied into the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("run", "new", "other"):
        shutil.copytree(places / name, name)
    shutil.copy(places / "rows.csv", "rows.csv")
    return tmp_path


def files_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def done(*arguments: object) -> str:
    said = evolm(*arguments)
    assert said.exit_code == 0, said.output
    return said.stdout


COMMANDS: dict[str, tuple[str, ...]] = {
    "predict": ("predict", "run", "rows.csv", "--out", "out.csv"),
    "score": ("score", "run", "rows.csv"),
    **{f"export {form}": ("export", "run", "out", "--to", form) for form in FORMS},
    "resume": ("resume", "run", "--add", "evaluations=2"),
}
WITH_MODEL = [name for name in COMMANDS if name not in ("export prompt", "export population")]


@pytest.mark.parametrize("name", WITH_MODEL[:1] + [slow(name) for name in WITH_MODEL[1:]])
def test_a_missing_model_is_one_sentence_that_names_the_option(here: Path, name: str) -> None:
    refused(evolm(*COMMANDS[name]), r"model '.*old': expected .*; if it has moved, name its new place with --model")


@pytest.mark.parametrize("name", ["predict", slow("score"), *[slow(f"export {form}") for form in FORMS], "resume"])
def test_another_model_is_refused_and_nothing_changes(here: Path, name: str) -> None:
    before = files_of(here)
    refused(evolm(*COMMANDS[name], "--model", "other"), "--model other: expected the model with the fingerprint .*")
    refused(evolm(*COMMANDS[name], "--model", "nowhere"), "model 'nowhere': expected a folder")
    unchanged = {path: content for path, content in before.items() if path.name not in ("lock", "answers.sqlite")}
    assert files_of(here).items() >= unchanged.items() and not Path("out").exists()


def test_predict_and_score_take_the_new_place_and_write_nothing_into_the_run(here: Path) -> None:
    before = files_of(here / "run")
    done(*COMMANDS["predict"], "--model", "new")
    assert "6 rows" in done(*COMMANDS["score"], "--model", here / "new")
    assert files_of(here / "run") == before
    result = load_result("run")
    assert len(result.predict("rows.csv", model="new")) == 6
    assert result.score("rows.csv", model="new").scored == 6
    with pytest.raises(ModelError, match="--model other"):
        result.predict("rows.csv", model="other")


@pytest.mark.parametrize("form", ["prompt", *map(slow, FORMS[1:])])
def test_an_export_names_the_new_place(here: Path, form: str) -> None:
    done("export", "run", "out", "--to", form, "--model", "new")
    if form == "population":
        assert load(here / "out" / "campaign.toml").model.name == str(here / "new")
        return
    record = json.loads((here / "out" / "prompt.json").read_text(encoding="utf-8"))["model"]
    assert record["name"] == ("." if form == "merged" else str(here / "new"))
    if form == "peft":
        adapter = json.loads((here / "out" / "adapter_config.json").read_bytes())
        assert adapter["base_model_name_or_path"] == str(here / "new")
    done("predict", "out", "rows.csv", "--out", "out.csv")  # without --model
    if form == "prompt":
        done("predict", "run", "rows.csv", "--out", "run.csv", "--model", "new")
        assert Path("out.csv").read_bytes() == Path("run.csv").read_bytes()


def test_a_resumed_run_remembers_the_new_place(here: Path) -> None:
    done(*COMMANDS["resume"], "--model", "new")
    assert load(here / "run" / "campaign.toml").model.name == str(here / "new")
    names = {json.loads(path.read_bytes())["model"]["name"] for path in (here / "run").rglob("prompt.json")}
    assert names == {str(here / "new")}
    done(*COMMANDS["predict"])
    continue_run(here / "run")


def test_an_objective_is_continued_with_a_model_that_was_moved(
    arguments: Callable[..., dict[str, Any]], here: Path
) -> None:
    def settings(name: str) -> dict[str, Any]:
        return arguments("prompt", model={"name": name, "dtype": "float32", "chat_template": "off"})

    with Objective(**settings("new"), out="objective") as objective:
        known = objective(objective.x0)
    Path("new").rename("newer")
    with pytest.raises(RunError, match="model.name changed since the run began"):
        Objective(**settings("other"), out="objective")
    with Objective(**settings("newer"), out="objective") as objective:
        assert objective(objective.x0) == known
