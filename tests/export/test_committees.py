"""What a user does with a committee: predict, score, export, take a single individual instead, move the model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evolm.api import load_result
from evolm.artifacts import find_prompt, read_members, seen_by_run
from evolm.artifacts.committee import committee_folder, prompts_below, replace_prompts
from evolm.campaign import continue_run
from evolm.errors import ConfigError, EvolmError, RunError
from evolm.evaluation import Engine
from evolm.export.export import export
from evolm.export.predictor import saved_prompt
from evolm.founders.sources import read_source
from tests.support.command_line import evolm as command
from tests.support.command_line import refused
from tests.support.committees import committee_run, members_of_run
from tests.support.delta_campaigns import write_delta_campaign
from tests.support.kinds_of_campaigns import write_kind
from tests.support.once import SharedFolder
from tests.support.saved_prompts import task_of
from tests.support.toy_campaign import result_of, toy_rows, write_rows

TEXTS = ["win a free prize 3", "see you at lunch 8", "claim your cash", "happy birthday", "urgent offer"]
ROWS = pd.DataFrame({"text": TEXTS})
COLUMNS = ["p_spam", "p_ham"]


@pytest.fixture(scope="module")
def run(shared_folder: SharedFolder, tiny_model_folder: Path) -> Path:
    return committee_run(shared_folder, tiny_model_folder) / "run"


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


def probabilities(place: Path, **arguments: Any) -> np.ndarray:
    with saved_prompt(place, **arguments) as opened:
        return opened.predict(ROWS)[COLUMNS].to_numpy()


# -- predict and score ---------------------------------------------------------------------------------------


def test_a_committee_answers_with_the_weighted_mean_of_its_members(run: Path) -> None:
    members = read_members(run / "best" / "committee.json")
    separate = [probabilities(path) for path, _ in members]
    expected = np.average(separate, axis=0, weights=[weight for _, weight in members])
    assert probabilities(run) == pytest.approx(expected)
    assert not np.allclose(expected, separate[0])


def test_its_members_requests_are_answered_in_one_call(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    answer = Engine.answer_tokenized

    def counted(self: Engine, requests: Any) -> Any:
        calls.append(len(requests))
        return answer(self, requests)

    with saved_prompt(run) as opened:
        monkeypatch.setattr(Engine, "answer_tokenized", counted)
        opened.predict(ROWS)
    assert len(calls) == 1 and calls[0] >= len(TEXTS) * len(members_of_run(run))


@pytest.mark.parametrize("use", ["best", "single"])
def test_its_score_on_test_rows_is_that_of_the_verdict(run: Path, use: str) -> None:
    with saved_prompt(run, use=use) as opened:
        found = opened.score_items(task_of(run).test)
    assert found.value == pytest.approx(result_of(run)["test"][use])


def test_the_command_line_says_which_committee_it_scored(run: Path, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.csv", toy_rows(8))
    assert command("score", run, rows, "--out", tmp_path / "score.json").exit_code == 0
    found = json.loads((tmp_path / "score.json").read_text(encoding="utf-8"))
    with saved_prompt(run) as opened:
        assert found["genome"] == opened.digest
    assert found["seen"] is not None  # the rows that the committee's run has seen are known


def test_a_result_has_its_committee_and_the_single_individual_s_prompt(run: Path) -> None:
    result = load_result(run)
    assert result.committee == members_of_run(run)
    assert result.prompt == (run / "baselines" / "single" / "prompt.txt").read_text(encoding="utf-8")
    assert result.predict(ROWS)[COLUMNS].to_numpy() == pytest.approx(probabilities(run))
    assert result.predict(ROWS, use="single")[COLUMNS].to_numpy() == pytest.approx(probabilities(run, use="single"))
    assert "best single individual" in result._repr_html_()


def test_the_rows_that_a_member_s_run_has_seen_are_known(run: Path) -> None:
    seen = seen_by_run(run / "best" / "members" / "1" / "prompt.json")
    assert seen and seen == seen_by_run(run / "best" / "committee.json")


def test_a_warm_start_begins_with_the_single_individual_and_the_members(run: Path) -> None:
    records = [record for record, _ in read_source(run, "run").records]
    result = result_of(run)
    ids = dict.fromkeys([result["best"]["id"], *(member["id"] for member in members_of_run(run))])
    genomes = [result["best"]["genome"], *(member["genome"] for member in members_of_run(run))]
    prompts = [record.get("prompt", record)["instruction"] for record in records[: len(ids)]]
    assert set(prompts) == {genome["prompt"]["instruction"] for genome in genomes}


# -- export --------------------------------------------------------------------------------------------------


def test_an_exported_committee_answers_like_the_run_s(run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "out")
    assert find_prompt(tmp_path / "out").name == "committee.json"
    assert (probabilities(tmp_path / "out") == probabilities(run)).all()
    assert (probabilities(tmp_path / "out" / "committee.json") == probabilities(run)).all()


def test_without_examples_no_member_shows_a_row(run: Path, tmp_path: Path) -> None:
    shown = sum(len(member["genome"]["prompt"]["demonstrations"]) for member in members_of_run(run))
    said = export(run, tmp_path / "bare", without_examples=True)
    assert (len(said) == 3) == bool(shown)
    with saved_prompt(tmp_path / "bare") as opened:
        assert not any(member.genome.demonstrations for member in opened.members)
        assert opened.left_out == shown
        assert len(opened.predict(ROWS)) == len(ROWS)


@pytest.mark.parametrize("to", ["peft", "merged"])
def test_adapters_and_merged_models_need_a_single_individual(run: Path, tmp_path: Path, to: str) -> None:
    result = command("export", run, tmp_path / "out", "--to", to)
    assert "--use single" in refused(result, r"expected a single prompt, found a committee of \d; --use single takes")
    assert not (tmp_path / "out").exists()


def test_a_population_is_made_of_a_run_with_a_committee(run: Path, tmp_path: Path) -> None:
    said = export(run, tmp_path / "population", "population", copy=True)
    assert "founders" in said[0]


# -- a moved model -------------------------------------------------------------------------------------------


def test_a_resumed_run_remembers_where_the_members_model_is_now(
    copied: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    place = shutil.copytree(tiny_model_folder, tmp_path / "moved")
    continue_run(copied, model=str(place))
    paths = [*prompts_below(copied / "best"), *prompts_below(copied / "baselines")]
    assert len(paths) > len(members_of_run(copied))
    for path in paths:
        assert json.loads(path.read_text(encoding="utf-8"))["model"]["name"] == str(place)
    export(copied, tmp_path / "out", model=str(tiny_model_folder))
    for path in prompts_below(tmp_path / "out"):
        assert json.loads(path.read_text(encoding="utf-8"))["model"]["name"] == str(tiny_model_folder)
    assert (probabilities(tmp_path / "out") == probabilities(copied)).all()


# -- damage --------------------------------------------------------------------------------------------------


def test_a_missing_member_is_one_sentence(copied: Path, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.csv", toy_rows(4))
    shutil.rmtree(copied / "best" / "members" / "2")
    message = r"members/2/prompt\.json: expected member 2 of \d of a committee, found none"
    refused(command("predict", copied, rows, "--out", tmp_path / "out.csv"), message)
    refused(command("export", copied, tmp_path / "out"), message)
    assert not (tmp_path / "out.csv").exists() and not (tmp_path / "out").exists()
    assert len(probabilities(copied, use="single")) == len(ROWS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.update(schema=2), "expected a committee saved by evolm with schema 1, found schema 2"),
        (lambda r: r.pop("members"), "'members' is required and missing"),
        (
            lambda r: r.update(members=r["members"][:1]),
            "expected at least 2 values",
        ),
        (
            lambda r: r["members"][0].update(weight=0),
            r"members\.0\.weight' is 0: expected at least 1",
        ),
        (
            lambda r: r["members"][0].update(folder="../../single"),
            r"members\.0\.folder' is .*: expected string",
        ),
    ],
)
def test_a_damaged_committee_is_one_sentence(
    copied: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    path = copied / "best" / "committee.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    change(record)
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(EvolmError, match=message), saved_prompt(copied):
        pass


def test_members_of_different_tasks_are_refused(copied: Path) -> None:
    path = copied / "best" / "members" / "2" / "prompt.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["task"]["labels"] = {"ham": "ham", "spam": "junk"}
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(RunError, match=r"members/2/prompt\.json: expected the task and the model of .*members/1"):
        export(copied, copied.parent / "out")


def test_a_member_s_damaged_readout_is_one_sentence(copied: Path) -> None:
    readouts = sorted((copied / "best").rglob("readout.safetensors"))
    assert readouts
    readouts[0].write_bytes(b"{}")
    with pytest.raises(RunError, match=r"readout\.safetensors: expected a readout"), saved_prompt(copied):
        pass


def test_one_prompt_of_a_committee_is_asked_for_in_vain(run: Path) -> None:
    with saved_prompt(run) as opened, pytest.raises(ConfigError, match="found a committee of"):
        opened.genome  # noqa: B018


# -- the folder ----------------------------------------------------------------------------------------------


def test_a_folder_is_of_one_kind(tmp_path: Path) -> None:
    folder = tmp_path / "best"
    one = {"prompt.txt": "a", "prompt.json": "{}", "readout.safetensors": b"x"}
    two = committee_folder((2, 1), [one, {"prompt.json": "{}"}])

    def names() -> set[str]:
        return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}

    replace_prompts(folder, one)
    (folder / "mine.txt").write_text("kept", encoding="utf-8")
    replace_prompts(folder, two)
    assert names() == {*two, "mine.txt"} and list(two)[-1] == "committee.json"
    replace_prompts(folder, committee_folder((1, 1), [{"prompt.json": "{}"}, one]))
    assert "members/1/readout.safetensors" not in names() and "members/2/readout.safetensors" in names()
    replace_prompts(folder, {"prompt.json": "{}"})
    assert names() == {"prompt.json", "mine.txt"} and not (folder / "members").exists()
    (folder / "mine.txt").unlink()
    replace_prompts(folder, {})
    assert not folder.exists()


# -- committees of other kinds -------------------------------------------------------------------------------


def committee_of(places: list[Path], target: Path) -> Path:
    """Write a committee of saved prompts into a new folder; the last has two seats."""
    folders = [{path.name: path.read_bytes() for path in place.iterdir() if path.is_file()} for place in places]
    replace_prompts(target, committee_folder([*(1 for _ in places[1:]), 2], folders))
    return target


def with_instruction(place: Path, target: Path, instruction: str) -> Path:
    """Copy a saved prompt, and change its instruction."""
    shutil.copytree(place, target)
    record = json.loads((target / "prompt.json").read_text(encoding="utf-8"))
    record["genome"]["instruction"] = instruction
    (target / "prompt.json").write_text(json.dumps(record), encoding="utf-8")
    return target


def test_members_with_and_without_a_delta_share_the_model(finished_run: Callable[..., Path], tmp_path: Path) -> None:
    run = finished_run("delta", write=write_delta_campaign)
    places = [run / "best", run / "baselines" / "founder"]
    assert (places[0] / "delta.safetensors").exists() and not (places[1] / "delta.safetensors").exists()
    first, second = (probabilities(place) for place in places)
    committee = committee_of(places, tmp_path / "committee")
    assert probabilities(committee) == pytest.approx((first + 2 * second) / 3)
    refused(command("export", committee, tmp_path / "out", "--to", "peft"), "expected a single prompt")


def test_options_of_a_choice_have_a_committee(finished_run: Callable[..., Path], tmp_path: Path) -> None:
    run = finished_run("choice", write=write_kind)
    other = with_instruction(run / "best", tmp_path / "other", "Name the animal.")
    committee = committee_of([run / "best", other], tmp_path / "committee")
    items = task_of(run).test
    found = []
    for place in (run / "best", other, committee):
        with saved_prompt(place) as opened:
            answered = opened._answer(items, gold=True).evaluation.label_logprobs
            assert answered is not None
            found.append(np.exp(answered))
    assert found[2] == pytest.approx((found[0] + 2 * found[1]) / 3)
