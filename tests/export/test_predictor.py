"""A saved prompt on new rows: it says what it said in its campaign, wherever it lies, and counts what it left out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evolm.errors import ConfigError, DataError, EvolmError, RunError
from evolm.export.predictor import Predictor, saved_prompt
from evolm.genomes import READOUT
from evolm.readouts import refitted
from tests.support.kinds_of_campaigns import KINDS, components_of, frame_of, write_kind
from tests.support.toy_campaign import ToyCampaign, result_of, toy_rows


@pytest.fixture(scope="module")
def run_of(finished_run: Callable[..., Path]) -> Callable[[str], Path]:
    """Return ``run(kind) -> directory`` of a finished run, changed by no test."""
    return lambda kind: finished_run(kind, write=write_kind)


@pytest.fixture(scope="module")
def opened(run_of: Callable[[str], Path]) -> Iterator[Predictor]:
    """The saved prompt of the classification."""
    with saved_prompt(run_of("classification")) as prompt:
        yield prompt


def rows_of(run: Path, split: str = "test") -> pd.DataFrame:
    """Return the rows of a run's split, gold included."""
    parts = components_of(run)
    parts.engine.close()
    return frame_of(getattr(parts.task, split), parts.config.task.columns)


# -- predictions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_the_campaign_to_the_last_bit(run_of: Callable[[str], Path], kind: str) -> None:
    run = run_of(kind)
    with saved_prompt(run) as prompt:
        answers = prompt.answer(rows_of(run)).answers
    found = pd.DataFrame({name.removeprefix("predicted_"): cells for name, cells in answers.items()})
    parts = components_of(run)
    items = parts.task.test
    readout = prompt.readout if READOUT in parts.space.parts and not prompt.fit else None
    genome = refitted(parts.space.completed({"prompt": prompt.genome, **({READOUT: readout} if readout else {})}))
    (judged,) = parts.evaluator.task_evaluations([genome], items)
    assert not isinstance(judged, str)
    recorded = json.loads((run / "test.json").read_text(encoding="utf-8"))
    assert judged.outcomes.tolist() == recorded["outcomes"]["best"][0]
    assert (prompt.readout.kind == "contextual") == (kind.startswith("calibrated") or kind == "chat")
    if kind == "perplexity":  # it judges the target's probability, but predictions are still written
        assert found["output"].notna().all()
    elif kind == "generation":
        assert found["output"].tolist() == list(judged.texts) == recorded["predictions"]["best"]
    else:
        options = [parts.task.options_of(item) for item in items]
        assert found["label"].tolist() == [o[i] for o, i in zip(options, judged.outcomes, strict=True)]
        names = [f"p_{label}" for label in parts.task.labels] or ["p"]
        probabilities = np.exp(judged.label_logprobs)
        expected = probabilities if parts.task.labels else probabilities.max(axis=1, keepdims=True)
        assert found[names].to_numpy().tolist() == expected.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_prompt_that_is_written_again_has_the_same_bytes(run_of: Callable[[str], Path], kind: str) -> None:
    run = run_of(kind)
    with saved_prompt(run) as prompt:
        files = prompt.files()
    found = {name: content.encode() if isinstance(content, str) else content for name, content in files.items()}
    assert found == {path.name: path.read_bytes() for path in (run / "best").iterdir()}


def test_rows_that_cannot_be_asked_about_stay_in_place_without_an_answer(opened: Predictor) -> None:
    rows = pd.DataFrame({"text": ["win cash", None, "so " * 600, "see you"], "id": list("abcd")}, index=[9, 8, 7, 6])
    found = opened.predict(rows)
    assert found["id"].tolist() == list("abcd") and found.index.tolist() == [9, 8, 7, 6]
    assert found["label"].notna().tolist() == [True, False, False, True]
    assert found["p_spam"].notna().tolist() == [True, False, False, True]
    alone = opened.predict(rows.iloc[[0]])
    assert alone.loc[9, "p_spam"] == found.loc[9, "p_spam"]


def test_a_choice_without_two_different_options_gets_no_answer(run_of: Callable[[str], Path]) -> None:
    rows = pd.DataFrame({"q": ["who?", "who?"], "A": ["cat", "cat"], "B": ["dog", "cat"], "C": ["hen", "hen"]})
    with saved_prompt(run_of("choice")) as prompt:
        found = prompt.predict(rows)
        assert found["label"].notna().tolist() == [True, False]
        score = prompt.score(pd.concat([rows, rows.iloc[[0]]]).assign(y="cat"))
    assert (score.rows, score.scored) == (3, 2)
    assert score.left_out == {"an empty cell, or fewer than two different options": 1}


def test_rows_none_of_which_can_be_asked_about_are_refused(opened: Predictor) -> None:
    rows = pd.DataFrame({"text": [None, "so " * 600]})
    with pytest.raises(
        DataError, match=r"found none; 1 row left out: an empty cell; 1 row left out: longer than the"
    ):
        opened.predict(rows)


# -- scores --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_score_on_the_test_rows_is_the_one_in_the_result(run_of: Callable[[str], Path], kind: str) -> None:
    run = run_of(kind)
    test = result_of(run)["test"]
    with saved_prompt(run) as prompt:
        score = prompt.score(rows_of(run))
    assert score.value == test["best"]
    assert score.interval[0] <= score.value <= score.interval[1]
    assert (score.rows, score.scored, score.left_out, score.seen) == (test["items"], test["items"], {}, 0)
    assert list(score.per_class) == test.get("per_class", [])
    assert [counts[:2] for counts in score.confusion] == test.get("confusion", [])
    assert json.loads(json.dumps(score.to_record()))["score"] == score.value


def test_rows_that_the_prompt_was_selected_on_are_counted_where_its_run_is_around(
    run_of: Callable[[str], Path], tmp_path: Path
) -> None:
    run = run_of("classification")
    rows = pd.concat([rows_of(run, split) for split in ("train", "dev", "test")])
    with saved_prompt(run) as prompt:
        assert prompt.score(rows).seen == len(rows) - result_of(run)["test"]["items"]
    with saved_prompt(run / "best" / "prompt.json") as prompt:
        assert prompt.score(rows).seen == len(rows) - result_of(run)["test"]["items"]
    shutil.copytree(run / "best", tmp_path / "elsewhere")
    with saved_prompt(tmp_path / "elsewhere") as prompt:
        assert prompt.score(rows).seen is None


def test_every_row_counts_and_what_is_left_out_is_counted(opened: Predictor) -> None:
    rows = pd.DataFrame([*toy_rows(4), *toy_rows(1), ("", "ham"), ("so " * 600, "ham"), ("hello", "")])
    score = opened.score(rows.set_axis(["text", "label"], axis=1))
    assert (score.rows, score.scored) == (8, 5)
    assert score.left_out == {"an empty cell": 2, "longer than the model's context": 1}
    assert sum(row["support"] for row in score.per_class) == 5


def test_a_target_that_is_longer_than_the_context_is_left_out(run_of: Callable[[str], Path]) -> None:
    rows = pd.DataFrame({"text": ["one", "two", "three"], "summary": ["1", "so " * 600, "3"]})
    with saved_prompt(run_of("perplexity")) as prompt:
        score = prompt.score(rows)
    assert (score.scored, score.left_out) == (2, {"longer than the model's context": 1})


def test_gold_is_read_from_the_column_that_is_named(opened: Predictor) -> None:
    frame = pd.DataFrame(toy_rows(8), columns=["text", "label"])
    wanted = opened.score(frame)
    assert opened.score(frame.rename(columns={"label": "truth"}), label="truth") == wanted
    with pytest.raises(DataError, match="expected one column 'label'"):
        opened.score(frame.rename(columns={"label": "truth"}))
    with pytest.raises(DataError, match="expected a label among 'ham', 'spam', found 'eggs' in row 2"):
        opened.score(frame.assign(label=["ham", "eggs", *["spam"] * 6]))


def test_a_prompt_that_was_evolved_without_gold_is_scored_on_a_named_column(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    task = {
        "data": "toy.csv",
        "columns": {"text": "text"},
        "labels": ["spam", "ham"],
        "split": {"train": 0, "dev": 10, "test": 0},
    }
    campaign = write_kind(
        tmp_path / "toy",
        tiny_model_folder,
        "classification",
        task=task,
        scorers={"margin": 1.0},
        founders=[],
        budget={"evaluations": 2},
    )
    run = campaign.run(tmp_path / "run").directory
    frame = pd.DataFrame(toy_rows(20), columns=["text", "gold"])
    with saved_prompt(run) as prompt:
        predicted = prompt.predict(frame)
        assert [name for name in predicted if name.startswith("p_")] == ["p_spam", "p_ham"]
        with pytest.raises(ConfigError, match=r"evolved without gold labels: expected the name of their column"):
            prompt.score(frame)
        score = prompt.score(frame, label="gold")
    recalls = [(predicted["label"] == frame["gold"])[frame["gold"] == label].mean() for label in ("spam", "ham")]
    assert score.value == pytest.approx(np.mean(recalls))
    assert [row["label"] for row in score.per_class] == ["spam", "ham"]


def test_gold_may_be_raw_values_or_words(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    small = toy(task__labels={"1": "spam", "0": "ham"}, baselines={"random_search": False}, founders=[])
    frame = pd.DataFrame(toy_rows(), columns=["text", "label"])
    numbers = frame.assign(label=(frame["label"] == "spam").astype(int))
    numbers.to_csv(small.folder / "toy.csv", index=False)
    with saved_prompt(small.run(tmp_path / "run").directory) as prompt:
        assert prompt.score(numbers) == prompt.score(frame)
        assert [row["label"] for row in prompt.score(frame).per_class] == ["spam", "ham"]


def test_few_labels_of_options_are_read_in_the_form_that_the_campaign_found(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    campaign = write_kind(tmp_path / "toy", tiny_model_folder, "choice")
    rows = pd.read_csv(campaign.folder / "rows.csv")
    rows = rows.assign(y=[list(row[["A", "B", "C"]]).index(row["y"]) + 1 for _, row in rows.iterrows()])
    rows.to_csv(campaign.folder / "rows.csv", index=False)
    run = campaign.run(tmp_path / "run").directory
    assert json.loads((run / "best" / "prompt.json").read_text(encoding="utf-8"))["task"]["answer_key"] == "number"
    few = rows[rows["y"] < 3].head(4)  # indices from 0 would fit these, too
    with saved_prompt(run) as prompt:
        answers = prompt.predict(few)["label"]
        right = [row[list("ABC")].iloc[row["y"] - 1] for _, row in few.iterrows()]
        assert prompt.score(few).value == (answers.to_numpy() == right).mean()


def test_one_row_is_too_few_for_a_score(opened: Predictor) -> None:
    rows = pd.DataFrame({"text": ["win cash", None], "label": ["spam", "ham"]})
    with pytest.raises(DataError, match="at least two rows to score, found 1; 1 row left out: an empty cell"):
        opened.score(rows)


# -- where it lies -------------------------------------------------------------------------------------------


def test_a_prompt_lies_in_a_run_a_folder_or_a_file(run_of: Callable[[str], Path], tmp_path: Path) -> None:
    run, rows = run_of("calibrated classification"), pd.DataFrame({"text": ["win cash", "see you"]})
    (tmp_path / "mine.json").write_bytes((run / "best" / "prompt.json").read_bytes())
    found = []
    for place in (run, run / "best", run / "best" / "prompt.json", tmp_path / "mine.json"):
        with saved_prompt(place) as prompt:
            found.append(prompt.predict(rows)["p_spam"].tolist())
    assert found == found[:1] * 4
    with saved_prompt(run, use="founder") as prompt:
        assert prompt.genome.instruction == "Which one?"


def test_a_model_that_the_campaign_names_relative_to_itself_is_found_from_anywhere(
    tiny_model_folder: Path, toy: Callable[..., ToyCampaign], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = toy(model__name="tiny", baselines={"random_search": False}, budget={"evaluations": 2})
    shutil.copytree(tiny_model_folder, small.folder / "tiny")
    run = small.run(tmp_path / "run").directory
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with saved_prompt(run) as prompt:
        assert len(prompt.predict(pd.DataFrame({"text": ["win cash"]}))) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda r: r.update(schema=1),
            r"prompt\.json: expected a prompt saved by evolm with schema 3, found schema 1",
        ),
        (lambda r: r.pop("task"), r"prompt\.json: 'task' is required and missing"),
        (lambda r: r.update(tusk={}), r"prompt\.json: unknown key 'tusk'; did you mean 'task'"),
        (lambda r: r["model"].pop("fingerprint"), r"'model\.fingerprint' is required and missing"),
        (
            lambda r: r["model"].update(fingerprint="0" * 64),
            r"it changed since the run: expected 0{16}, found",
        ),
        (lambda r: r["model"].update(name="no/model"), r"model 'no/model'"),
        (lambda r: r["genome"].pop("instruction"), r"prompt's record is damaged"),
        (lambda r: r.update(readout="probes"), r"expected a kind of readout among 'words', .* found 'probes'"),
        (lambda r: r.update(readout="probe"), r"expected a readout saved by evolm"),
        (lambda r: r["task"].pop("labels"), r"task\.labels: expected at least two labels, found none"),
        (lambda r: r["task"].update(kind="riddle"), r"expected 'classification', 'choice', 'generation'"),
    ],
)
def test_a_damaged_prompt_is_one_sentence(
    run_of: Callable[[str], Path], tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    record = json.loads((run_of("classification") / "best" / "prompt.json").read_text(encoding="utf-8"))
    change(record)
    (tmp_path / "prompt.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(EvolmError, match=message), saved_prompt(tmp_path) as prompt:
        prompt.predict(pd.DataFrame({"text": ["win cash"]}))


@pytest.mark.parametrize("content", [b"", b"[1]", b"{'a'}", b"\xff"])
def test_a_file_that_is_no_prompt_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "prompt.json").write_bytes(content)
    with pytest.raises(RunError, match="expected a prompt saved by evolm"):
        Predictor(tmp_path / "prompt.json")


def test_a_place_without_that_prompt_is_refused(run_of: Callable[[str], Path], tmp_path: Path) -> None:
    run = run_of("classification")
    with pytest.raises(
        RunError, match=r"expected a run, a folder with prompt\.json or that file, found none of them"
    ):
        Predictor(tmp_path)
    with pytest.raises(RunError, match="expected a prompt 'foundr', found 'best', .*did you mean 'founder'"):
        Predictor(run, use="foundr")
    with pytest.raises(RunError, match="expected a run to take 'founder' from, found a single prompt"):
        Predictor(run / "best", use="founder")
