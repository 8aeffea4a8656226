"""evolm from Python: ``evolve`` and its result."""

from __future__ import annotations

import doctest
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import evolm
from evolm.api import Result, arguments, evolve, load_result, observers
from evolm.campaign import Observer, Phase, RunInfo, continue_run
from evolm.errors import ConfigError, DataError, EvolmError, GenomeError, RunError
from tests.support.toy_campaign import entries, toy_rows

SPLIT = {"train": 10, "dev": 10, "test": 14, "validation": 0}
OPTIONS = {
    "baselines": {"random_search": False, "few_shot": False},
    "finals": {"committee": 0, "soup": 0, "relearn": False},
}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return pd.DataFrame(toy_rows(), columns=["text", "label"])


@pytest.fixture(scope="module")
def settings(tiny_model_folder: Path) -> dict[str, Any]:
    return {
        "model": {"name": str(tiny_model_folder), "dtype": "float32", "chat_template": "off"},
        "space": {"prompt": {"demonstrations": [0, 2], "max_tokens": 240}},
        "strategy": {"name": "genetic", "population_size": 4},
        "budget": 8,
        "n_jobs": 1,
        "options": OPTIONS,
    }


@pytest.fixture(scope="module")
def result(frame: pd.DataFrame, settings: dict[str, Any]) -> Result:
    """A finished campaign on a frame, in a temporary directory."""
    return evolve(frame, **settings)


def test_a_frame_alone_is_a_task(result: Result) -> None:
    assert result.directory.is_dir()
    assert result.record["task"]["name"] == "frame"
    assert result.test is not None
    assert result.test["openings"] == 1
    assert result.best.keys() == {"prompt", "readout"}
    assert result.claim == result.record["claim"]
    assert result.prompt.endswith("Label:")
    assert repr(result).startswith("Result(")


def test_the_history_has_a_row_per_individual_in_the_order_of_asking(result: Result) -> None:
    history = result.history
    assert history["id"].tolist() == list(range(8))
    assert history["score"].between(0, 1).all()
    assert history["digest"].is_unique


def test_predict_takes_a_frame_or_a_file(result: Result, frame: pd.DataFrame, tmp_path: Path) -> None:
    rows = pd.DataFrame({"text": ["win cash now", None, "see you"], "id": [1, 2, 3]}, index=[7, 8, 9])
    found = result.predict(rows)
    assert found["id"].tolist() == [1, 2, 3]
    assert found.index.tolist() == [7, 8, 9]
    assert found.loc[8, "label"] is None or pd.isna(found.loc[8, "label"])
    assert np.allclose(found.loc[[7, 9], ["p_ham", "p_spam"]].sum(axis=1), 1)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    again = result.predict(tmp_path / "rows.csv")
    assert np.allclose(again["p_spam"], found["p_spam"], equal_nan=True)
    with pytest.raises(DataError, match="'text'"):
        result.predict(pd.DataFrame({"body": ["x"]}))


def test_export_copies_the_best_and_never_overwrites(result: Result, tmp_path: Path) -> None:
    target = result.export(tmp_path / "deep" / "best")
    assert {path.name for path in target.iterdir()} == {"prompt.txt", "prompt.json"}
    assert (target / "prompt.txt").read_text(encoding="utf-8") == result.prompt
    with pytest.raises(RunError, match="expected a new folder"):
        result.export(target)


def test_score_takes_a_frame_or_a_file_and_the_name_of_the_gold_column(
    result: Result, frame: pd.DataFrame, tmp_path: Path
) -> None:
    score = result.score(frame)
    assert score.metric == result.record["task"]["metric"]
    assert score.interval[0] <= score.value <= score.interval[1]
    seen = sum(result.record["task"]["splits"][split] for split in ("train", "dev", "validation"))
    assert (score.rows, score.scored, score.seen) == (60, 60, seen)
    frame.rename(columns={"label": "truth"}).to_csv(tmp_path / "gold.csv", index=False)
    assert result.score(tmp_path / "gold.csv", label="truth") == score
    with pytest.raises(DataError, match="at least two rows"):
        result.score(frame.head(1))


def test_a_population_of_a_temporary_run_outlives_it_with_its_rows(
    frame: pd.DataFrame, settings: dict[str, Any], tmp_path: Path
) -> None:
    found = evolve(frame, **{**settings, "budget": 2}, founders=["Spam or ham?"])
    winner = found.best
    target = found.export(tmp_path / "population", to="population", copy=True)
    bare = found.export(tmp_path / "bare", to="population", without_examples=True)
    assert "demonstrations" not in (bare / "founders.jsonl").read_text(encoding="utf-8")
    del found
    again = evolve(frame, **{**settings, "budget": 2}, warm_start=[target], out=tmp_path / "again")
    assert entries(tmp_path / "again", "individual", "main")[0]["genome"] == winner
    assert again.front is None


def test_a_warm_start_is_a_result_or_a_place_and_keeps_the_split(
    result: Result, frame: pd.DataFrame, settings: dict[str, Any], tmp_path: Path
) -> None:
    few = {**settings, "budget": 2}
    evolve(frame, **few, warm_start=[result, str(result.directory)], out=tmp_path / "run")
    assert entries(tmp_path / "run", "individual", "main")[0]["genome"] == result.best
    other = {**OPTIONS, "task": {"split": {"seed": 1}}}
    with pytest.raises(GenomeError, match="their lineage has seen"):
        evolve(frame, **{**few, "options": other}, warm_start=[result])
    with pytest.raises(GenomeError, match="expected a file of founders, a run or a founding population, found none"):
        evolve(frame, **few, warm_start=[tmp_path / "nowhere"])


def test_a_generation_task_is_predicted_and_scored(frame: pd.DataFrame, settings: dict[str, Any]) -> None:
    targets = frame.assign(label=[text.split()[-1] for text in frame["text"]]).rename(columns={"label": "number"})
    task = {"kind": "generation", "data": targets, "columns": {"text": "text", "label": "number"}}
    options = {**OPTIONS, "generation": {"max_new_tokens": 4}}
    found = evolve(task, **{**settings, "budget": 2, "options": options}, founders=["Which number?"])
    written = found.predict(targets.drop(columns="number"))["output"]
    assert written.map(type).eq(str).all()
    score = found.score(targets)
    assert (score.metric, score.per_class) == ("chrf", ())
    assert "chrf" in found._repr_html_()


def test_a_front_is_a_list_of_its_members(frame: pd.DataFrame, settings: dict[str, Any]) -> None:
    many = {"strategy": "nsga2", "options": {**OPTIONS, "fitness": {"combine": "pareto"}}}
    scorers = {"label_likelihood": 1.0, "prompt_length": 1.0}
    found = evolve(frame, **{**settings, **many}, scorers=scorers)
    assert found.front is not None
    assert all(member["objectives"].keys() == scorers.keys() for member in found.front)
    assert found.record["best"]["id"] in {member["id"] for member in found.front}
    assert "<table>" in found._repr_html_()


def test_a_notebook_shows_claim_scores_and_prompt_as_text(frame: pd.DataFrame, settings: dict[str, Any]) -> None:
    shown = evolve(frame, **{**settings, "budget": 2}, founders=["<b>Spam</b> & ham?"])._repr_html_()
    assert "<table>" in shown
    assert "always the commonest label" in shown
    assert "<b>Spam</b>" not in shown.split("<pre")[1]


def test_a_temporary_run_lives_as_long_as_its_result(frame: pd.DataFrame, settings: dict[str, Any]) -> None:
    found = evolve(frame, **{**settings, "budget": 2})
    directory = found.directory
    assert directory.exists()
    del found
    assert not directory.exists()


def test_out_keeps_the_run_which_can_be_loaded_and_continued(
    frame: pd.DataFrame, settings: dict[str, Any], tmp_path: Path
) -> None:
    found = evolve(frame, **settings, out=tmp_path / "run")
    loaded = load_result(tmp_path / "run")
    assert loaded.record == found.record
    assert loaded.prompt == found.prompt
    assert continue_run(tmp_path / "run", add={"evaluations": 2}).result["budget"]["evaluations"] == 10
    with pytest.raises(RunError, match="another run"):
        evolve(frame, **settings, out=tmp_path / "run")


def test_load_result_wants_a_finished_run(tmp_path: Path, result: Result) -> None:
    with pytest.raises(RunError, match=r"no campaign\.toml"):
        load_result(tmp_path)
    import shutil

    run = Path(shutil.copytree(result.directory, tmp_path / "run"))
    (run / "result.json").unlink()
    with pytest.raises(RunError, match="evolm resume"):
        load_result(run)


def test_a_table_names_columns_and_labels_of_a_frame(frame: pd.DataFrame, settings: dict[str, Any]) -> None:
    numbers = frame.assign(label=(frame["label"] == "spam").astype(int)).rename(columns={"text": "sms"})
    task = {
        "data": numbers,
        "columns": {"message": "sms", "label": "label"},
        "labels": {0: "ham", 1: "spam"},
        "split": SPLIT,
    }
    found = evolve(task, **{**settings, "budget": 2})
    assert found.record["task"]["labels"] == ["ham", "spam"]
    assert "Message: {{ message }}" in found.prompt
    assert found.predict(pd.DataFrame({"sms": ["win"]}))["label"].tolist()[0] in ("ham", "spam")


def test_a_frame_s_mixed_columns_do_no_harm(frame: pd.DataFrame, settings: dict[str, Any], tmp_path: Path) -> None:
    mixed = frame.assign(note=[1, "two"] * 30)
    assert evolve(mixed, **{**settings, "budget": 2}, out=tmp_path / "a").record["budget"]["evaluations"] == 2
    numbers = frame.assign(text=[i if i % 2 else f"{t}" for i, t in enumerate(frame["text"])])
    evolve(numbers, **{**settings, "budget": 2}, out=tmp_path / "b")


def test_functions_score(frame: pd.DataFrame, settings: dict[str, Any], tmp_path: Path) -> None:
    def length(item: Any, label: str, probabilities: dict[str, float]) -> float:
        assert label in ("ham", "spam")
        assert abs(sum(probabilities.values()) - 1) < 1e-6
        return float(len(item.fields["text"])) * probabilities[label]

    evolve(frame, **settings, scorers={"length": length, "label_likelihood": 0.5}, out=tmp_path / "run")
    head = entries(tmp_path / "run", "run")[0]
    assert head["scorers"].keys() == {"length", "label_likelihood"}
    assert head["scorers"]["label_likelihood"]["weight"] == 0.5


def test_callbacks_are_called_in_order(frame: pd.DataFrame, settings: dict[str, Any]) -> None:
    heard: list[str] = []

    class Listener(Observer):
        def on_start(self, info: RunInfo) -> None:
            heard.append("start")

        def on_phase(self, phase: Phase) -> None:
            heard.append(phase.name)

        def on_generation(self, progress: Any) -> None:
            heard.append("generation")

        def on_end(self, result: dict[str, Any]) -> None:
            heard.append("end")

    evolve(frame, **settings, founders=["Spam or ham?"], callbacks=[Listener()])
    assert heard == ["start", "main", "generation", "generation", "verdict", "end"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": [1, 2]}, "task: expected a pandas DataFrame or the .task. table, found list"),
        ({"task": {"data": {"dev": pd.DataFrame()}}}, "task.data.dev: expected a file's name, found pandas"),
        ({"task": {"data": [1]}}, "task.data: expected a file's name or a pandas DataFrame, found list"),
        ({"strategy": "genetics"}, "did you mean 'genetic'"),
        ({"budget": {"evaluation": 3}}, "did you mean 'evaluations'"),
        ({"options": {"baseline": {}}}, "did you mean 'baselines'"),
        ({"n_jobs": 0}, "expected at least 1"),
        ({"task": {"data": "nowhere.csv", "columns": {"text": "text", "label": "label"}}}, "nowhere.csv"),
        ({"task": pd.DataFrame({"text": ["a"], "y": ["b"]})}, "'label'"),
    ],
)
def test_bad_arguments_are_one_sentence_and_leave_nothing(
    frame: pd.DataFrame, settings: dict[str, Any], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(EvolmError, match=message):
        evolve(**{"task": frame, **settings, **changes}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_options_that_repeat_an_argument_s_table_add_to_it(frame: pd.DataFrame, settings: dict[str, Any]) -> None:
    options = {**OPTIONS, "budget": {"plateau": 9}, "task": {"split": SPLIT}}
    found = evolve(frame, **{**settings, "budget": 2, "options": options})
    assert found.record["task"]["splits"]["test"] == 14
    assert found.record["budget"]["evaluations"] == 2
    with pytest.raises(ConfigError):
        evolve(frame, **{**settings, "options": {"task": 3}})


def test_the_package_offers_its_python_interface_and_its_examples_run() -> None:
    assert evolm.evolve is evolve
    assert evolm.load_result is load_result
    assert evolm.Result is Result
    assert doctest.testmod(evolm.api).failed == 0


# -- values of Python callers --------------------------------------------------------------------------------

TASK = {"data": "rows.csv", "columns": {"text": "text", "label": "label"}}
PLAIN: dict[str, Any] = {
    "task": TASK,
    "model": "models/tiny",
    "space": None,
    "founders": (),
    "scorers": None,
    "strategy": "genetic",
    "budget": 3,
    "seed": 0,
    "n_jobs": 1,
    "options": None,
    "warm_start": (),
}


@pytest.mark.parametrize(
    ("given", "key", "expected"),
    [
        ({"model": Path("models/tiny")}, "model.name", "models/tiny"),
        ({"model": {"name": Path("models/tiny")}}, "model.name", "models/tiny"),
        ({"task": {**TASK, "data": Path("rows.csv")}}, "task.data", "rows.csv"),
        ({"task": {**TASK, "data": {"dev": Path("dev.csv")}}}, "task.data.dev", "dev.csv"),
        ({"task": {**TASK, "max_chars": np.int64(9)}}, "task.max_chars", 9),
        ({"task": {**TASK, "split": {"dev": np.float32(0.5)}}}, "task.split.dev", 0.5),
        ({"task": {**TASK, "labels": {np.int64(0): "ham", np.int64(1): "spam"}}}, "task.labels.1", "spam"),
        ({"budget": np.int64(3)}, "budget.evaluations", 3),
        ({"budget": np.int32(3)}, "budget.evaluations", 3),
        ({"budget": {"evaluations": np.int64(3)}}, "budget.evaluations", 3),
        ({"budget": {"seconds": np.float32(2)}}, "budget.seconds", 2.0),
        ({"seed": np.uint8(1)}, "seed", 1),
        ({"n_jobs": np.int64(2)}, "evaluation.n_jobs", 2),
        ({"strategy": {"name": "genetic", "population_size": np.int64(4)}}, "strategy.population_size", 4),
        ({"scorers": {"margin": np.float64(0.5)}}, "scorers.margin", 0.5),
        ({"space": {"prompt": {"demonstrations": np.array([0, 2])}}}, "space.prompt.demonstrations", (0, 2)),
        ({"space": {"prompt": {"instruction": np.False_}}}, "space.prompt.instruction", False),
        ({"options": {"baselines": {"few_shot": np.bool_(False)}}}, "baselines.few_shot", False),
    ],
)
def test_numbers_of_numpy_and_paths_are_what_a_campaign_file_holds(
    given: dict[str, Any], key: str, expected: Any
) -> None:
    config = arguments("evolve", **{**PLAIN, **given}).config
    value: Any = config
    for part in key.split("."):
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    assert value == expected and type(value) is type(expected)
    assert tomllib.loads(config.to_toml())


@pytest.mark.parametrize(
    "founders", ["Is it spam?", ["Is it spam?"], np.array(["Is it spam?"]), pd.Series(["Is it spam?"])]
)
def test_founders_are_given_alone_or_in_any_sequence(founders: Any) -> None:
    assert arguments("evolve", **{**PLAIN, "founders": founders}).sources["instructions"] == ["Is it spam?"]


@pytest.mark.parametrize("place", [str, Path])
def test_one_warm_start_need_not_be_in_a_list(place: Callable[[Any], Any], finished: Path) -> None:
    given = arguments("evolve", **{**PLAIN, "warm_start": place(finished)})
    assert given.sources["warm_starts"] == [finished]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": 3}, r"'model.name' is 3: expected text"),
        ({"model": None}, r"'model.name' is None: expected text"),
        ({"budget": 2.5}, r"'budget.evaluations' is 2.5: expected a whole number"),
        ({"budget": None}, r"'budget.evaluations' is None: expected a whole number"),
        ({"n_jobs": None}, r"'evaluation.n_jobs' is None: expected a whole number or 'auto'"),
        ({"space": ["prompt"]}, r"'space' is \['prompt'\]: expected a table"),
        ({"scorers": ["margin"]}, r"scorers: expected a table of names, found \['margin'\]"),
        ({"options": "x"}, r"options: expected a table of names, found 'x'"),
        ({"founders": 3}, r"founders: expected a list of texts, found 3"),
        ({"founders": ["a", 3]}, r"founders: expected a list of texts, found 3 in it"),
    ],
)
def test_what_is_no_such_value_is_refused_with_its_name(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        arguments("evolve", **{**PLAIN, **given})


@pytest.mark.parametrize("callbacks", [[Observer], ["wandb"]])
def test_a_callback_that_is_no_observer_is_refused(callbacks: Any) -> None:
    with pytest.raises(ConfigError, match="callbacks: expected objects with the methods of"):
        observers(callbacks)


def test_one_observer_need_not_be_in_a_list() -> None:
    observer = Observer()
    assert observers(observer) == [observer]
