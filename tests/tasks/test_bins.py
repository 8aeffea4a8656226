"""Words for ranges of a numeric label (``task.bins``), from rows to predictions and scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import evolm
from evolm.config import TaskSection, TemplateSection
from evolm.errors import ConfigError, DataError
from evolm.tasks import Task, load_task, read_items

BINS = {"negative": [1, 2], "positive": [4, 5]}
COLUMNS = {"text": "text", "label": "stars"}
STARS: dict[str, list[Any]] = {
    "whole numbers": [1, 2, 3, 4, 5],
    "numbers with a point": [1.0, 1.5, 3.25, 4.5, 5.0],
    "texts": ["1", " 2.0 ", "3", "4e0", "+5"],
    "words among them": ["1", "negative", "3", "positive", "5"],
}


def frame(stars: list[Any], times: int = 8) -> pd.DataFrame:
    cells = stars * times
    return pd.DataFrame({"text": [f"row {n}" for n in range(len(cells))], "stars": pd.Series(cells)})


def load(rows: pd.DataFrame, **settings: Any) -> Task:
    section = TaskSection(**{"data": "frame.csv", "columns": COLUMNS, "bins": BINS, **settings})
    return load_task(section, TemplateSection(), root=Path(), frame=rows)


@pytest.mark.parametrize("stars", STARS.values(), ids=STARS.keys())
def test_a_number_has_the_word_of_its_range_and_those_between_are_left_out(stars: list[Any]) -> None:
    task = load(frame(stars))
    assert task.labels == ("negative", "positive")
    assert task.notes == (f"8 rows dropped: label in no bin of `bins` ('{stars[2]!s}')",)
    golds = {item.fields["text"]: item.gold for split in (task.train, task.dev, task.test) for item in split}
    assert golds == {f"row {n}": "negative" if n % 5 < 2 else "positive" for n in range(40) if n % 5 != 2}


def test_a_row_is_excluded_before_its_label_is_read_as_a_number() -> None:
    rows = frame(["1", "2", "n/a", "4", "5"])
    assert load(rows, exclude="^n/a$").labels == ("negative", "positive")
    with pytest.raises(DataError, match=r"frame: expected a number, found 'n/a' as the label of row 3, .*exclude"):
        load(rows)


@pytest.mark.parametrize("cell", ["nan", "inf", "1_0", "4 stars", "1,5", "0x4"])
def test_what_only_looks_like_a_number_is_refused(cell: str) -> None:
    with pytest.raises(DataError, match=f"expected a number, found '{cell}'"):
        load(frame(["1", "2", "4", "5", cell]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": {"1": "bad", "5": "good"}}, "task.bins: expected no task.labels with it"),
        ({"bins": {"bad": [1, 2]}}, "task.bins: expected at least two words, found 1"),
        ({"bins": {"bad": [2, 1], "good": [4, 5]}}, r"task.bins.bad: expected \[lowest, highest\], found \[2, 1\]"),
        ({"bins": {"good": [3, 5], "bad": [1, 3]}}, "ranges apart .* found 3 in 'bad' and 'good'"),
        ({"bins": {"all": [1, 5], "good": [2, 3]}}, "ranges apart .* found 2 in 'all' and 'good'"),
        ({"columns": {"text": "text"}}, "task.bins: expected a column of numbers for `label`"),
        ({"kind": "generation"}, "task.bins: expected none for generation, found 'negative', 'positive'"),
    ],
)
def test_ranges_that_cannot_be_meant_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(frame([1, 2, 3, 4, 5]), **settings)


def test_new_rows_need_no_number_unless_their_gold_is_read() -> None:
    section = TaskSection(data="frame.csv", columns=COLUMNS, bins=BINS)
    rows = frame([1, 3, 5], times=1)
    found = read_items(rows, section, root=Path(), gold=True)
    assert [item and item.gold for item in found.items] == ["negative", None, "positive"]
    assert found.between == 1
    assert None not in read_items(rows[["text"]], section, root=Path()).items


def test_a_run_on_stars_predicts_words_and_scores_numbers(tiny_model_folder: Path) -> None:
    rows = frame([1.0, 2.0, 3.0, 4.0, 5.0], times=8)
    task = {"data": rows, "columns": COLUMNS, "bins": {"negative": (1, 2), "positive": (4, 5)}}
    options = {
        "baselines": {"random_search": False, "few_shot": False},
        "finals": {"committee": 0, "soup": 0, "relearn": False},
    }
    result = evolm.evolve(task, str(tiny_model_folder), budget=2, n_jobs=1, options=options)
    predicted = result.predict(rows)
    assert len(predicted) == 40 and set(predicted["label"]) <= {"negative", "positive"}
    report = result.score(rows)
    assert report.left_out == {"a label in no bin of task.bins": 8}
    assert (report.scored, len(report.per_class)) == (32, 2)
