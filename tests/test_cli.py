"""The command line, in this process: what its verbs do, and how they refuse what cannot work."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from typer.testing import CliRunner

from evolm import __version__
from evolm.cli import app
from evolm.cli.parsers import strategies, task_kinds
from evolm.config import load
from evolm.tasks import load_task
from tests.support.command_line import evolm, refused
from tests.support.toy_campaign import (
    DEV,
    TEST,
    ToyCampaign,
    bytes_of,
    entries,
    result_of,
    toy_rows,
    write_rows,
)

QUICK = ("--set", "baselines.random_search=false", "--set", "baselines.few_shot=false")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in the test's own folder, on a wide line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")


# -- run -----------------------------------------------------------------------------------------------------


def test_run_writes_a_run_and_ends_with_the_claim_and_where_things_are(
    toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    toy()
    said = evolm("run", "toy", "--out", "out")
    assert said.exit_code == 0, said.output
    result = result_of(tmp_path / "out")
    assert result["claim"] in " ".join(said.stdout.split())
    strongest = result["test"]["strongest_baseline"]
    kept = result["test"]["interval"][0] <= 0 and (tmp_path / "out" / "baselines" / strongest).exists()
    assert (f"Apply it: evolm predict out ROWS --use {strongest} --out FILE.csv" in said.stdout) == kept
    assert "Best prompt: out/best/prompt.txt" in said.stdout
    assert "Report: out/report.html" in said.stdout
    assert load(tmp_path / "out" / "campaign.toml").name == "toy"
    assert "search, generation 0: best" in said.stdout
    assert "\x1b" not in said.stdout


def test_options_override_the_file_and_the_run_is_named_by_default(
    toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    toy(name="My mail / 2")
    said = evolm(
        "run", "toy", "--seed", 7, "--n-jobs", 1, *QUICK, "--founder", "Spam?", "--set", "budget.evaluations=6"
    )
    assert said.exit_code == 0, said.output
    (out,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"My-mail-2-\d{8}-\d{6}", out.name)
    assert result_of(out)["seed"] == 7
    assert result_of(out)["budget"]["evaluations"] == 6
    first = entries(out, "individual", "main")[0]
    assert first["genome"]["prompt"]["instruction"] == "Spam?"
    assert first["operators"] == ["--founder 1"]
    timing = [json.loads(line) for line in (out / "timing.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {entry["n_jobs"] for entry in timing} == {1}
    assert {e.get("search") for e in entries(out)} == {"main", None}


def test_another_strategy_takes_none_of_the_first_one_s_keys(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    toy(strategy={"name": "genetic", "population_size": 5, "elites": 1})
    said = evolm("run", "toy", "--out", "out", *QUICK, "--set", "strategy.name=random_search")
    assert said.exit_code == 0, said.output
    assert entries(tmp_path / "out", "run")[0]["strategy"]["name"] == "random_search"


def test_a_dry_run_estimates_shows_the_scored_tokens_and_writes_nothing(
    toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    toy()
    before = sorted(tmp_path.rglob("*"))
    said = evolm("run", "toy", "--out", "out", "--dry-run")
    assert said.exit_code == 0, said.output
    assert f"dev {DEV}" in said.stdout
    assert f"test {TEST}" in said.stdout
    assert "⟵scored" in said.stdout
    assert "minutes" in said.stdout
    assert "random search" in said.stdout
    assert re.search(
        rf"Smallest gain that {TEST} test items can show: about 0\.\d{{3}} balanced_accuracy", said.stdout
    )
    assert (
        f"On {DEV} dev items the balanced_accuracy of a prompt has a standard error of at most 0.158" in said.stdout
    )
    assert sorted(tmp_path.rglob("*")) == before


# -- resume and report ---------------------------------------------------------------------------------------


def test_resume_adds_to_the_budget_and_opens_the_test_split_again(finished: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    said = evolm("resume", out, "--add", "evaluations=8")
    assert said.exit_code == 0, said.output
    assert result_of(out)["test"]["openings"] == 2
    assert len(entries(out, "individual", "main")) == 14 + 8


def test_resume_of_a_finished_run_shows_it_and_changes_nothing(finished: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    before = bytes_of(out)
    said = evolm("resume", out)
    assert said.exit_code == 0
    assert result_of(out)["claim"] in " ".join(said.stdout.split())
    assert bytes_of(out) == before


def test_report_is_written_anew(finished: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    (out / "report.html").unlink()
    assert evolm("report", out).exit_code == 0
    assert (out / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resume", "OUT", "--add", "evaluations"], r"--add': expected limit=number.*found 'evaluations'"),
        (["resume", "OUT", "--add", "evaluations=many"], r"--add': expected limit=number.*found 'evaluations=many'"),
        (["resume", "OUT", "--add", "evaluatons=5"], r"'evaluatons' is no limit.*did you mean 'evaluations'"),
        (["resume", "OUT", "--add", "tokens=5"], r"no limit on tokens"),
        (["resume", "OUT", "--add", "evaluations=inf"], r"evaluations"),
        (["resume", "OUT", "--n-jobs", "0"], r"n-jobs': expected .*'auto', found '0'"),
        (["resume", "OUT", "--n-jobs", "two"], r"n-jobs': expected .*'auto', found 'two'"),
        (["resume", "nowhere"], r"nowhere: expected a run's directory"),
        (["report", "nowhere"], r"nowhere: expected a run's directory"),
        (["predict", "nowhere", "OUT/campaign.toml", "--out", "p.csv"], r"nowhere: expected a run, a folder with pr"),
        (["predict", "OUT", "missing.csv", "--out", "p.csv"], r"missing.csv: expected a file, found none"),
        (["predict", "OUT", "OUT/timing.jsonl", "--out", "p.csv"], r"expected one column 'text'"),
        (["predict", "OUT", "NEW", "--out", "p.csv", "--n-jobs", "0"], r"n-jobs': expected .*at least 1"),
        (["score", "nowhere", "NEW"], r"nowhere: expected a run, a folder with prompt.json or that file"),
        (["score", "OUT", "NEW", "--label", "lable"], r"expected one column 'lable' .*did you mean 'label'"),
        (["score", "OUT", "NEW", "--out", "NEW"], r"new.csv: expected a new file, found an existing file or folder"),
        (["score", "OUT", "NEW", "--use", "majority"], r"expected a prompt 'majority', found 'best'"),
        (["score", "OUT/best", "NEW", "--use", "founder"], r"expected a run to take 'founder' from"),
        (["export", "OUT", "p", "--to", "lora"], r"'lora' is not one of 'prompt', 'peft', 'merged', 'population'"),
        (["export", "OUT", "p", "--to", "peft"], r"out/best: expected a prompt with a delta"),
        (["export", "OUT", "OUT"], r"out: expected a new folder, found an existing file or folder"),
        (["export", "OUT/best", "p", "--to", "population"], r"out/best: expected a run's directory"),
    ],
)
def test_what_cannot_work_on_a_run_is_refused_and_changes_nothing(
    finished: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    write_rows(tmp_path / "new.csv", toy_rows(4))
    named = {"OUT": "out", "NEW": "new.csv"}
    refused(evolm(*[re.sub("OUT|NEW", lambda found: named[found[0]], text) for text in arguments]), message)
    kept = {path: path.read_bytes() for path in before if path.suffix not in (".sqlite", ".sqlite-shm")}
    assert all(before[path] == content for path, content in kept.items())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.csv", "out"]


def test_a_second_process_on_the_same_run_is_refused(finished: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    with FileLock(out / "lock"):
        refused(evolm("resume", out), "another process working on this run")


# -- predict -------------------------------------------------------------------------------------------------


def test_predict_labels_new_rows_and_leaves_rows_with_empty_cells_blank(finished: Path, tmp_path: Path) -> None:
    rows = [("win cash now", "a"), ("", "b"), ("see you at home", "c")]
    write_rows(tmp_path / "new.csv", rows, ("text", "id"))
    said = evolm("predict", finished, "new.csv", "--out", "deep/labels.csv")
    assert said.exit_code == 0, said.output
    assert "3 rows written to deep/labels.csv" in said.stdout
    found = pd.read_csv("deep/labels.csv")
    assert list(found.columns) == ["text", "id", "label", "p_ham", "p_spam"]
    assert found["id"].tolist() == list("abc")
    assert found.loc[1, ["label", "p_ham", "p_spam"]].isna().all()
    whole = found.drop(index=1)
    assert np.allclose(whole["p_ham"] + whole["p_spam"], 1)
    assert whole["label"].tolist() == whole[["p_ham", "p_spam"]].idxmax(axis=1).str.removeprefix("p_").tolist()


def test_predict_agrees_with_the_recorded_confusion_on_test(finished: Path, tmp_path: Path) -> None:
    config = load(finished / "campaign.toml")
    task = load_task(config.task, config.template, root=finished, trusted=True)
    rows = [(item.fields["text"], item.gold) for item in task.test]
    write_rows(tmp_path / "test.csv", rows, ("text", "gold"))
    assert evolm("predict", finished, "test.csv", "--out", "labels.csv", "--n-jobs", 1).exit_code == 0
    found = pd.read_csv("labels.csv")
    confusion = pd.crosstab(found["gold"], found["label"]).reindex(
        index=["ham", "spam"], columns=["ham", "spam"], fill_value=0
    )
    assert confusion.to_numpy().tolist() == result_of(finished)["test"]["confusion"]


def test_predict_takes_auto_as_number_of_workers(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 1)
    write_rows(tmp_path / "new.csv", [("win cash now", "")])
    said = evolm("predict", finished, "new.csv", "--out", "labels.csv", "--n-jobs", "auto")
    assert said.exit_code == 0, said.output


def test_how_new_rows_are_read_is_said_and_can_be_set(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("id;text\n1;привет, win\n2;\n", encoding="cp1251")
    refused(evolm("predict", finished, "new.csv", "--out", "a.csv"), "--set task.read.encoding=cp1251")
    said = evolm("predict", finished, "new.csv", "--out", "a.csv", "--set", "task.read.encoding=cp1251")
    assert said.exit_code == 0, said.output
    assert said.stdout.splitlines() == [
        "read with separator ';' (semicolon), encoding cp1251",
        "2 rows written to a.csv",
        "1 row without an answer: an empty cell.",
    ]
    assert pd.read_csv("a.csv")["text"][0] == "привет, win"
    other = evolm("predict", finished, "new.csv", "--out", "b.csv", "--set", "task.split.dev=3")
    refused(other, "--set task.split: expected a key of task.read here")


def test_a_file_of_texts_without_a_header_is_answered_line_by_line(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text('win cash\n\nsee "you"\n', encoding="utf-8")
    refused(evolm("predict", finished, "new.csv", "--out", "a.csv"), "name 'text', found 'win cash'; .*--no-header")
    assert evolm("predict", finished, "new.csv", "--out", "a.csv", "--no-header").exit_code == 0
    assert pd.read_csv("a.csv", keep_default_na=False)["text"].tolist() == ["win cash", "", 'see "you"']
    refused(evolm("score", finished, "new.csv", "--no-header"), "names 'text', 'label', found none")


def test_predict_never_overwrites(finished: Path, tmp_path: Path) -> None:
    write_rows(tmp_path / "new.csv", toy_rows(4))
    refused(evolm("predict", finished, "new.csv", "--out", "new.csv"), "new.csv: expected a new file")
    (tmp_path / "link.csv").symlink_to("nowhere.csv")
    refused(evolm("predict", finished, "new.csv", "--out", "link.csv"), "link.csv: expected a new file")
    assert len(pd.read_csv("new.csv")) == 4


# -- score and export ----------------------------------------------------------------------------------------


def test_score_shows_the_metric_its_interval_every_label_and_what_was_left_out(
    finished: Path, tmp_path: Path
) -> None:
    write_rows(tmp_path / "gold.csv", [*toy_rows(20), ("", "ham"), ("so " * 600, "spam")], ("text", "truth"))
    said = evolm("score", finished, "gold.csv", "--label", "truth", "--out", "deep/score.json", "--n-jobs", 1)
    assert said.exit_code == 0, said.output
    record = json.loads((tmp_path / "deep" / "score.json").read_text(encoding="utf-8"))
    low, high = record["interval"]
    assert re.search(rf"^ *{record['score']:.3f} +{low:.3f} to {high:.3f}$", said.stdout, re.MULTILINE)
    assert "balanced accuracy, 20 rows" in said.stdout
    for row in record["per_class"]:
        shown = [f"{row[rate]:.3f}" for rate in ("precision", "recall", "f1")]
        assert re.search(rf"^{row['label']} +{' +'.join(shown)} +10$", said.stdout, re.MULTILINE)
    assert "1 row of 22 left out: an empty cell\n" in said.stdout
    assert "1 row of 22 left out: longer than the model's context\n" in said.stdout
    assert f"{record['seen']} of the rows scored are among those that the prompt was selected on" in said.stdout
    assert (record["rows"], record["scored"], sum(map(sum, record["confusion"]))) == (22, 20, 20)
    assert "Written to deep/score.json" in said.stdout


def test_an_exported_prompt_is_applied_and_scored_like_its_run(finished: Path, tmp_path: Path) -> None:
    write_rows(tmp_path / "new.csv", toy_rows(6))
    said = evolm("export", finished, "--to", "prompt", "taken", "--use", "founder")
    assert said.exit_code == 0, said.output
    assert "Next: evolm score taken ROWS, or evolm predict taken ROWS --out FILE.csv" in said.stdout
    for place, out in ((finished, "a"), ("taken", "b")):
        use = ("--use", "founder") if place is finished else ()
        assert evolm("predict", place, "new.csv", "--out", f"{out}.csv", *use).exit_code == 0
        assert evolm("score", place, "new.csv", "--out", f"{out}.json", *use).exit_code == 0
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    mine, theirs = (json.loads((tmp_path / name).read_text(encoding="utf-8")) for name in ("a.json", "b.json"))
    assert {**mine, "seen": None, "use": "best", "prompt": "taken"} == theirs


def test_an_exported_population_is_run_or_starts_another_run(
    toy: Callable[..., ToyCampaign], finished: Path, tmp_path: Path
) -> None:
    said = evolm("export", finished, "--to", "population", "taken", "--copy")
    assert said.exit_code == 0, said.output
    assert "Next: evolm run taken\n" in said.stdout
    few = (*QUICK, "--set", "budget.evaluations=2", "--set", "strategy.population_size=2", "--n-jobs", 1)
    said = evolm("run", "taken", "--out", "again", *few)
    assert said.exit_code == 0, said.output
    assert entries(tmp_path / "again", "individual", "main")[0]["operators"][0].startswith(f"{finished.name} #")
    toy()
    said = evolm("run", "toy", "--out", "warm", *few, "--warm-start", "taken", "--warm-start", "again")
    assert said.exit_code == 0, said.output
    assert evolm("run", "toy", "--dry-run", "--warm-start", finished).exit_code == 0
    refused(
        evolm("run", "toy", "--out", "out", "--warm-start", "again", "--set", "task.split.seed=1"),
        r"founders from again: their lineage has seen \d+ items? of the 14 in the test split",
    )
    assert not (tmp_path / "out").exists()


# -- bad input -----------------------------------------------------------------------------------------------

Change = Callable[[Path], None]


def rows(rows: list[tuple[str, str]], header: tuple[str, str] = ("text", "label")) -> Change:
    """Replace the data."""
    return lambda folder: write_rows(folder / "toy.csv", rows, header) and None


def file(name: str, content: bytes) -> Change:
    """Write a file."""
    return lambda folder: (folder / name).write_bytes(content) and None


LONG = [(f"{text} {'so ' * 250}", label) for text, label in toy_rows()]

BAD: dict[str, tuple[dict[str, Any], Change | None, list[str], str]] = {
    "unknown key": ({"budget__evaluatons": 3}, None, [], r"unknown key 'budget.evaluatons'; did you mean 'evaluat"),
    "unknown key of a strategy": ({"strategy__elite": 3}, None, [], r"unknown key 'elite'; did you mean 'elites'"),
    "wrong type": ({"budget__evaluations": "many"}, None, [], r"'budget.evaluations' is 'many': "),
    "wrong choice": ({"model__dtype": "float8"}, None, [], r"'model.dtype' is 'float8'"),
    "no TOML": ({}, file("campaign.toml", b"[model"), [], r"campaign.toml: expected TOML"),
    "no model named": ({}, file("campaign.toml", b"[task]\ndata='toy.csv'\ncolumns={}"), [], r"'model' is required"),
    "missing data": ({"task__data": "toys.csv"}, None, [], r"toys.csv: expected a file, found none.*'toy.csv'"),
    "empty data": ({}, file("toy.csv", b""), [], r"toy.csv: expected rows, found an empty file"),
    "header only": ({}, rows([]), [], r"toy.csv: expected rows, found none"),
    "missing column": ({}, rows(toy_rows(), ("texts", "label")), [], r"expected one column 'text'.*'texts'"),
    "a label seen once": ({}, rows([*toy_rows(), ("odd one", "eggs")]), [], r"label 'eggs': expected .*, found 1"),
    "fewer rows than splits need": ({}, rows(toy_rows(20)), [], r"expected 42 usable rows for the splits, found 20"),
    "rows longer than the context": (
        {"founders": []},
        rows(LONG),
        [],
        r"prompt of \d+ tokens is \d+ longer than the context",
    ),
    "missing model": ({"model__name": "no/such/model"}, None, [], r"model 'no/such/model': expected a folder"),
    "missing gguf": (
        {"model__name": "tiny.gguf"},
        None,
        [],
        r"tiny.gguf': expected a .gguf file, found none of that name",
    ),
    "truncated gguf": (
        {"model__name": "m.gguf"},
        file("m.gguf", b"GGUF\3\0\0\0\0"),
        [],
        r"truncated or damaged GGUF",
    ),
    "not a gguf": (
        {"model__name": "m.gguf"},
        file("m.gguf", b"PK not this"),
        [],
        r"expected a GGUF file, found another format",
    ),
    "outside strategy": ({"strategy__name": "os:system"}, None, [], r"'os:system' is code outside evolm"),
    "no strategy": (
        {"strategy__name": "json:JSONDecoder"},
        None,
        ["--allow", "json"],
        r"'json:JSONDecoder': expected a subclass of evolm.strategies.Strategy",
    ),
    "outside scorer": (
        {"scorers": {"os:system": 1.0}},
        None,
        [],
        r"scorers: 'os:system' is code outside.*--allow os",
    ),
    "missing scorer": ({"scorers": {"os:sistem": 1.0}}, None, ["--allow", "os"], r"'os:sistem' cannot be imported"),
    "data outside": ({"task__data": "../far/toy.csv"}, None, [], r"expected a path in the campaign's folder"),
    "founders outside": ({"founders": ["../far/f.jsonl"]}, None, [], r"expected a path in the campaign's folder"),
    "founders missing": ({"founders": ["f.jsonl"]}, None, [], r"f.jsonl: expected a file of founders"),
    "founders no JSON": ({}, file("founders.jsonl", b"{'a'}\n"), [], r"founders.jsonl:1: expected a JSON object"),
    "founders no object": ({}, file("founders.jsonl", b"\n[1]\n"), [], r"founders.jsonl:2: .* found list"),
    "founders unknown key": ({}, file("founders.jsonl", b'{"instructoin": "x"}'), [], r"did you mean 'instruction'"),
    "founders empty": ({}, file("founders.jsonl", b"\n"), [], r"founders.jsonl: expected founders, found none"),
    "no warm start": ({}, None, ["--warm-start", "runs/x"], r"runs/x: expected a file of founders, a run or a found"),
    "founder too long": (
        {"space__prompt__max_tokens": 5},
        None,
        [],
        r"founders.jsonl:1: \d+ tokens, expected at most 5",
    ),
    "demonstrations no list": ({}, file("founders.jsonl", b'{"demonstrations": "x"}'), [], r"founders.jsonl:1"),
    "verbalizers no table": ({}, file("founders.jsonl", b'{"verbalizers": ["x"]}'), [], r"founders.jsonl:1"),
    "unknown strategy": ({"strategy__name": "genetics"}, None, [], r"'genetics' is unknown.*did you mean 'genetic'"),
    "unknown operator": (
        {"operators": {"instruction_drop": 1.0}},
        None,
        [],
        r"\[operators\]: unknown key 'instruction_drop'",
    ),
    "negative operator": (
        {"operators": {"instruction_swap": -1.0}},
        None,
        [],
        r"'instruction_swap' is -1.0: expected at least 0",
    ),
    "unknown scorer": ({"scorers": {"likelihood": 1.0}}, None, [], r"'likelihood' is unknown.*'label_likelihood'"),
    "unknown metric": ({"task__metric": "acuracy"}, None, [], r"found 'acuracy'; did you mean 'accuracy'"),
    "unknown verbalizer": ({"space__prompt__verbalizers": {"hm": ["x"]}}, None, [], r"'hm' is no label"),
    "demonstrations": (
        {"space__prompt__demonstrations": [3, 1]},
        None,
        [],
        r"expected \[fewest, most\], found \[3, 1",
    ),
    "no workers": ({}, None, ["--n-jobs", "0"], r"n-jobs': expected .*'auto', found '0'"),
    "workers in words": ({}, None, ["--n-jobs", "two"], r"n-jobs': expected .*'auto', found 'two'"),
    "set without value": (
        {},
        None,
        ["--set", "budget.evaluations"],
        r"--set 'budget.evaluations': expected key=value",
    ),
    "set of nothing": ({}, None, ["--set", "=3"], r"--set '=3': expected key=value"),
    "set of an unknown key": ({}, None, ["--set", "buget.items=3"], r"unknown key 'buget'; did you mean 'budget'"),
    "set below a value": ({}, None, ["--set", "seed.deep=3"], r"'seed' is \{'deep': 3\}"),
    "set against itself": ({}, None, ["--set", "seed=1", "--set", "seed.deep=3"], r"seed"),
    "set a table": ({}, None, ["--set", "task=3"], r"'task' is 3"),
    "set a strategy": ({}, None, ["--set", "strategy=genetik"], r"strategy.name: .genetik. is unknown"),
    "set the data's table": ({}, None, ["--set", "task.data.dev=toy.csv", "--set", "task.data.x=1"], r"task.data"),
}


@pytest.mark.parametrize(("changes", "change", "options", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_sentence_and_leaves_nothing(
    toy: Callable[..., ToyCampaign],
    tmp_path: Path,
    changes: dict[str, Any],
    change: Change | None,
    options: list[str],
    message: str,
) -> None:
    folder = toy(**changes).folder
    if change:
        change(folder)
    (tmp_path / "far").mkdir()
    write_rows(tmp_path / "far" / "toy.csv", toy_rows())
    refused(evolm("run", folder, "--out", "out", *options), message)
    assert not (tmp_path / "out").exists()


def test_a_label_whose_answer_is_empty_is_refused(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    toy(template={"answer": "{% if label == 'spam' %}{{ label }}{% endif %}"})
    refused(evolm("run", "toy", "--out", "out"), r"found '' for 'ham'")
    assert not (tmp_path / "out").exists()


def test_data_outside_the_folder_is_read_where_the_user_says_so(
    toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    toy(task__data="../far/toy.csv")
    (tmp_path / "far").mkdir()
    write_rows(tmp_path / "far" / "toy.csv", toy_rows())
    assert evolm("run", "toy", "--dry-run", "--data-root", "far").exit_code == 0
    assert evolm("run", "toy", "--dry-run", "--set", "task.data=../far/toy.csv").exit_code == 0


def test_an_admitted_package_s_function_scores(
    toy: Callable[..., ToyCampaign], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_scorers.py").write_text("def short(item, label, p):\n    return p[item.gold]\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    toy(scorers={"my_scorers:short": 1.0})
    said = evolm("run", "toy", "--out", "out", *QUICK, "--allow", "my_scorers")
    assert said.exit_code == 0, said.output
    refused(evolm("resume", "out"), "admit it with --allow my_scorers")
    assert evolm("resume", "out", "--allow", "my_scorers").exit_code == 0


def test_an_admitted_package_s_strategy_is_imported_or_the_advice_to_admit_it_is_not_given(
    toy: Callable[..., ToyCampaign],
) -> None:
    toy(strategy={"name": "evolm.strategies.genetic:Genetic", "population_size": 5})
    said = evolm("run", "toy", "--dry-run", "--allow", "evolm")
    assert said.exit_code == 0 or "--allow" not in said.stderr, said.stderr


def test_an_output_directory_that_holds_another_run_or_files_is_left_alone(
    toy: Callable[..., ToyCampaign], finished: Path, tmp_path: Path
) -> None:
    toy()
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    before = bytes_of(out)
    refused(evolm("run", "toy", "--out", "out"), r"found another run; continue it with 'evolm resume out'")
    assert bytes_of(out) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work", encoding="utf-8")
    refused(evolm("run", "toy", "--out", "mine"), r"expected a new or empty directory, found 'thesis.txt' in it")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_place_that_cannot_be_written_is_refused(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    toy()
    (tmp_path / "file").touch()
    refused(evolm("run", "toy", "--out", "file/run"), r"file/run: cannot be written: Not a directory")
    refused(evolm("run", "toy", "--out", "file"), r"file: cannot be written: Not a directory")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sms-spa", r"population 'sms-spa': expected .*; did you mean 'sms-spam'"),
        ("empty", r"empty: expected a campaign.toml in this folder, found none"),
    ],
)
def test_a_population_that_is_not_there_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    refused(evolm("run", name), message)
    assert not (tmp_path / "runs").exists()


def test_python_runs_the_package_and_both_say_their_version() -> None:
    module = subprocess.run(
        [sys.executable, "-m", "evolm", "--version"], capture_output=True, text=True, check=True, encoding="utf-8"
    )
    assert module.stdout == f"evolm {__version__}\n"
    assert CliRunner().invoke(app, ["--version"]).output == module.stdout


def test_evolm_alone_and_its_help_begin_with_the_three_commands_that_a_newcomer_needs() -> None:
    for said in (evolm(), evolm("--help")):
        head = said.output.partition("Options:")[0]
        assert re.findall(r"^ +evolm (\w+) ", head, re.MULTILINE) == ["init", "run", "predict"]
        assert "evolm run sms-spam" in head


class Browser(webbrowser.GenericBrowser):
    """A browser that remembers what it was asked to open."""

    def __init__(self, opens: bool) -> None:
        super().__init__("browser")
        self.opens, self.addresses = opens, list[str]()

    def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
        self.addresses.append(url)
        return self.opens


@pytest.mark.parametrize("opens", [True, False])
def test_report_opens_in_the_browser_or_says_that_there_is_none(
    opens: bool, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished, tmp_path / "run")
    monkeypatch.setattr(webbrowser, "_browsers", {})
    monkeypatch.setattr(webbrowser, "_tryorder", [])
    browser = Browser(opens)
    webbrowser.register("browser", None, browser, preferred=True)
    (tmp_path / "run" / "report.html").unlink()
    said = evolm("report", tmp_path / "run", "--open")
    assert browser.addresses == [(tmp_path / "run" / "report.html").as_uri()]
    assert (tmp_path / "run" / "report.html").exists()
    if opens:
        assert said.exit_code == 0, said.output
    else:
        refused(said, "report.html: expected a browser .* found none")


def test_help_lists_choices_and_shells_complete_them() -> None:
    assert "<prompt|peft|merged|population>" in evolm("export", "--help").stdout
    assert "<auto|float32|bfloat16>" in evolm("tune", "--help").stdout
    assert task_kinds("c") == ["classification", "choice"]
    assert strategies("genetic,hill") == ["genetic,hill_climb"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict"], "Missing argument 'PROMPT'; see evolm predict --help"),
        (["rnu", "x"], "No such command 'rnu'. Did you mean 'run'?; see evolm --help"),
        (["run", "x", "--sede", "1"], "No such option: --sede .*--seed"),
    ],
)
def test_wrong_usage_is_one_sentence(arguments: list[str], message: str) -> None:
    refused(evolm(*arguments), message.replace("?", r"\?"))
