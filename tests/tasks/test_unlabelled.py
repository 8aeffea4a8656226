"""Rows without a label: kept for self-training, apart from the splits, and their gold is never known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from evolm.config import SplitSection, TaskSection, TemplateSection
from evolm.errors import DataError, PermissionNeeded
from evolm.tasks import SPLITS, Task, load_task

SPLIT = SplitSection(train=6, dev=6, test=8)


def table(n: int = 20) -> pd.DataFrame:
    return pd.DataFrame({"text": [f"row {i}" for i in range(n)], "y": [["no", "yes"][i % 2] for i in range(n)]})


def load(frame: pd.DataFrame | None, root: Path = Path(), **settings: Any) -> Task:
    section = TaskSection(**{"data": "frame", "columns": {"text": "text", "label": "y"}, "split": SPLIT, **settings})
    return load_task(section, TemplateSection(), root=root, frame=frame)


def texts(items: Any) -> list[str]:
    return [item.fields["text"] for item in items]


def test_rows_of_the_data_without_a_label_are_unlabelled_and_change_no_split() -> None:
    blank = pd.DataFrame({"text": ["more a", "row 3", None], "y": [None, "", None]})
    words = {"labels": {"no": "no", "yes": "yes"}}  # else empty labels of a frame may be a lost one, like NA
    task, plain = load(pd.concat([table(), blank]), **words), load(table(), **words)
    assert texts(task.unlabelled) == ["more a"]
    assert all(getattr(task, name) == getattr(plain, name) for name in SPLITS)
    assert "1 row dropped: a mapped cell is missing" in task.notes
    assert "unlabelled: 1 row dropped: same text as a row of a split" in task.notes
    assert "unlabelled: 1 row without a label" in task.notes
    assert task.fingerprint != plain.fingerprint
    assert task.without_gold == task.unlabelled


def test_a_file_of_more_rows_is_read_without_its_labels(tmp_path: Path) -> None:
    more = pd.DataFrame({"text": ["row 1", "new", "NEW ", "newer"], "y": ["yes", "yes", "no", "never heard of"]})
    more.to_csv(tmp_path / "more.csv", index=False)
    task = load(table(), tmp_path, unlabelled="more.csv")
    assert texts(task.unlabelled) == ["new", "newer"]
    assert {item.gold for item in task.unlabelled} == {None}
    more.drop(columns="y").to_csv(tmp_path / "other.csv", index=False)
    assert load(table(), tmp_path, unlabelled="other.csv").unlabelled == task.unlabelled


def test_hidden_gold_makes_train_rows_unlabelled_for_operators() -> None:
    task = load(table(), gold="audit")
    assert texts(task.without_gold) == texts(task.train)
    assert {item.gold for item in task.train} == {"no", "yes"}
    assert {item.gold for item in task.without_gold} == {None}
    unlabelled = {item.digest for item in task.without_gold}
    assert not unlabelled & {item.digest for item in task.train}  # a digest tells no gold either


def test_an_open_task_refuses_an_empty_target_and_takes_a_file(tmp_path: Path) -> None:
    pd.DataFrame({"text": ["a", "b"]}).to_csv(tmp_path / "more.csv", index=False)
    task = load(table(), tmp_path, kind="generation", unlabelled="more.csv")
    assert texts(task.unlabelled) == ["a", "b"]
    with pytest.raises(DataError, match="target"):
        load(pd.concat([table(), pd.DataFrame({"text": ["x"], "y": [""]})]), kind="generation")


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    pd.DataFrame({"text": [None, ""], "z": [1, 2]}).to_csv(tmp_path / "empty.csv", index=False)
    with pytest.raises(DataError, match=r"task.unlabelled: empty.csv: expected usable rows, found none: 2 rows"):
        load(table(), tmp_path, unlabelled="empty.csv")
    with pytest.raises(DataError, match=r"none.csv"):
        load(table(), tmp_path, unlabelled="none.csv")
    with pytest.raises(PermissionNeeded, match="found one outside"):
        load(table(), tmp_path, unlabelled="/etc/passwd.csv")
