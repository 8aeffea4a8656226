"""Multiple choice: how options are read from cells, and how labels name the right one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evolm.config import TaskSection, TemplateSection
from evolm.errors import ConfigError, DataError
from evolm.tasks import SPLITS, Task, load_task, read_items
from evolm.tasks.items import Options
from evolm.tasks.options import read_options

COLUMNS = {"q": "q", "options": "o", "label": "y"}


def options_of(cell: Any) -> tuple[str, ...]:
    options = read_options(cell)
    assert options is not None
    return options.texts


@pytest.mark.parametrize(
    "cell",
    [
        ["bank", " library "],
        np.array(["bank", "library"], dtype=object),
        ("bank", "library", None, " "),
        {"text": ["bank", "library"], "label": ["A", "B"]},
        ["A) bank", "B) library"],
        ["A)bank", "B)library"],
        "A. bank\nB. library",
        "\n\nA) bank\n  B) library\n",
        "(A) bank\n(B) library",
        "a: bank\r\nb: library",
    ],
)
def test_options_are_read_from_every_form_of_a_cell(cell: Any) -> None:
    assert read_options(cell) == Options(("bank", "library"), ("A", "B"))


def test_a_table_brings_its_own_marks_and_lettered_lines_may_begin_anywhere() -> None:
    assert read_options({"text": ["x", "y"], "label": [1, 2]}) == Options(("x", "y"), ("1", "2"))
    assert read_options("C. x\nD. y") == Options(("x", "y"), ("C", "D"))


def test_only_the_letter_that_is_due_begins_an_option() -> None:
    assert options_of("A. first\nC. elegans, a worm\nB. second\nA. gain") == (
        "first\nC. elegans, a worm",
        "second\nA. gain",
    )


@pytest.mark.parametrize("texts", [["A. Miller", "C. Smith"], ["A. Miller", "Smith"], ["AB: x", "C: y"]])
def test_letters_that_do_not_run_from_a_belong_to_the_text(texts: list[str]) -> None:
    assert options_of(texts) == tuple(texts)


def test_numbers_are_options_too() -> None:
    assert options_of([1, 2.5, True]) == ("1", "2.5", "true")


@pytest.mark.parametrize(
    "cell", [None, "", " \n", [], [None], ["a", None, "c"], "A.\nB. b", {"text": None, "label": []}, float("nan")]
)
def test_a_missing_cell_or_a_gap_before_the_last_option_is_none(cell: Any) -> None:
    assert read_options(cell) is None


def test_a_text_without_lettered_lines_is_a_single_option() -> None:
    assert options_of("bank or library") == ("bank or library",)
    assert options_of("ab: bank\nc: library") == ("ab: bank\nc: library",)
    assert options_of("Choose:\nA. bank\nB. library") == ("Choose:\nA. bank\nB. library",)


@pytest.mark.parametrize(
    ("cell", "error", "named"),
    [
        ([["a"], ["b"]], TypeError, "expected text or a number, found list"),
        ({"choices": ["a"]}, TypeError, "expected a table with 'text' and 'label', found 'choices'"),
        ({"text": ["a", "b"], "label": ["A"]}, ValueError, "as many texts as labels, found 2 and 1"),
        ([str(n) for n in range(27)], ValueError, "at most 26 options, found 27"),
        (b"\xff", TypeError, "found bytes"),
    ],
)
def test_what_cannot_be_options_is_refused(cell: Any, error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        read_options(cell)


# -- whole tasks ---------------------------------------------------------------------------------------------


def table(labels: list[str], n_options: int = 3) -> pd.DataFrame:
    """A row for each label; row ``i`` has the options ``i.0``, ``i.1`` ..."""
    rows = range(len(labels))
    return pd.DataFrame(
        {
            "q": [f"question {row}" for row in rows],
            "o": [[f"{row}.{place}" for place in range(n_options)] for row in rows],
            "y": labels,
        }
    )


def load(frame: pd.DataFrame, template: TemplateSection | None = None, **settings: Any) -> Task:
    section = TaskSection(**{"kind": "choice", "data": "frame.csv", "columns": COLUMNS, **settings})
    return load_task(section, template or TemplateSection(), root=Path(), frame=frame)


def golds(task: Task) -> dict[str, str | None]:
    items = [item for name in SPLITS for item in getattr(task, name)]
    return {item.fields["q"].split()[1]: item.gold for item in items}


@pytest.mark.parametrize(
    ("labels", "key"),
    [
        ([f"{row}.{row % 3}" for row in range(12)], "text"),
        (["ABC"[row % 3] for row in range(12)], "letter"),
        (["abc"[row % 3] for row in range(12)], "letter"),
        (["(A)", "B.", "c)"] * 4, "letter"),
        ([f"{'ABC'[row % 3]}. {row}.{row % 3}" for row in range(12)], "letter"),
        (["ABC"[row % 3] + ". not quite the option" for row in range(12)], "letter"),
        ([str(row % 3) for row in range(12)], "index"),
        ([str(row % 3 + 1) for row in range(12)], "number"),
    ],
)
def test_labels_name_the_right_option_in_each_form(labels: list[str], key: str) -> None:
    expected = {str(row): f"{row}.{row % 3}" for row in range(12)}
    assert golds(load(table(labels))) == golds(load(table(labels), answer_key=key)) == expected


def test_a_row_of_one_table_may_have_marks_of_its_own() -> None:
    """As in ARC, where some rows call their options 1 to 4 and the others A to D."""
    frame = table(["A", "2", "C", "3"] * 3)
    frame["o"] = [
        {"text": texts, "label": ["A", "B", "C"] if label.isalpha() else ["1", "2", "3"]}
        for texts, label in zip(frame["o"], frame["y"], strict=True)
    ]
    assert golds(load(frame)) == {str(row): f"{row}.{[0, 1, 2, 2][row % 4]}" for row in range(12)}


def test_two_forms_that_fit_every_row_but_disagree_are_named() -> None:
    with pytest.raises(ConfigError) as caught:
        load(table(["1", "2"] * 6))
    assert str(caught.value) == (
        "task.answer_key: expected one form that fits every label, found 'index' and 'number', "
        "which disagree about '1' in row 1 of frame; say which it is"
    )
    assert golds(load(table(["1", "2"] * 6), answer_key="number"))["0"] == "0.0"


def test_forms_that_agree_on_every_row_need_no_choice() -> None:
    frame = table(["0", "1", "2"] * 4).assign(o=[["0", "1", "2"]] * 12)
    assert golds(load(frame)) == {str(row): str(row % 3) for row in range(12)}


def test_a_label_among_none_of_its_options_is_named_with_its_row() -> None:
    with pytest.raises(DataError) as caught:
        load(table(["0", "1", "2", "3"] * 3))
    assert str(caught.value) == (
        "frame: expected a label that names one of the options '3.0', '3.1', '3.2' "
        "by text or letter or index or number, found '3' in row 4"
    )
    with pytest.raises(DataError, match="by letter, found '0' in row 1"):
        load(table(["0", "1", "2"] * 4), answer_key="letter")


def test_rows_without_a_choice_are_dropped_and_counted() -> None:
    frame = table(["0"] * 12).assign(y=["0", "1", "2"] * 4)
    frame["o"] = [["one"], ["same", "same", "x"], ["a", None, "c"], None, *frame["o"][4:]]
    task = load(frame)
    assert task.notes == (
        "2 rows dropped: a mapped cell is missing",
        "1 row dropped: fewer than two options",
        "1 row dropped: an option occurs twice",
    )
    assert sum(task.splits().values()) == 8


def test_options_in_several_columns_end_with_the_last_that_is_given() -> None:
    frame = pd.DataFrame(
        {
            "q": [f"question {row}" for row in range(10)],
            "a": [f"{row}.0" for row in range(10)],
            "b": [f"{row}.1" for row in range(10)],
            "c": [f"{row}.2" if row % 2 else "" for row in range(10)],
            "y": ["B"] * 10,
        }
    )
    task = load(frame, columns={"q": "q", "options": ["a", "b", "c"], "label": "y"})
    assert golds(task) == {str(row): f"{row}.1" for row in range(10)}
    assert {len(item.options) for name in SPLITS for item in getattr(task, name)} == {2, 3} and task.n_options == 3


def test_exclude_and_max_chars_see_the_options() -> None:
    frame = table(["0", "1", "2"] * 4)
    assert load(frame, exclude=r"^3\.1$").notes == ("1 row dropped: match `exclude`",)
    frame["o"] = [["x" * 40, "y", "z"], *frame["o"][1:]]
    assert load(frame, max_chars=30).notes == ("1 row dropped: a field is longer than 30 characters",)


def test_the_same_question_with_other_options_is_another_row() -> None:
    frame = table(["0", "1", "2"] * 4).assign(q="the same question 0")
    assert sum(load(frame).splits().values()) == 12


def test_the_same_options_in_another_order_make_no_other_row() -> None:
    frame = table([f"{row}.0" for row in range(12)])
    turned = frame.assign(o=[texts[::-1] for texts in frame["o"]])
    assert load(pd.concat([frame, turned])).notes == ("12 rows dropped: same text as an earlier row",)
    wrong = turned.assign(y=[f"{row}.1" for row in range(12)])
    task = load(pd.concat([frame, wrong.iloc[:3]]))
    assert task.notes == ("6 rows dropped: same text with different labels",)


def test_a_choice_task_counts_its_options_by_item() -> None:
    task = load(table(["0", "1", "2"] * 4))
    assert (task.kind, task.metric, task.labels, task.fields) == ("choice", "accuracy", (), ("q",))
    assert task.options_of(task.dev[0]) == task.dev[0].options and len(task.dev[0].options) == 3
    gold = task.gold_indices(task.dev)
    assert gold.tolist() == [item.options.index(item.gold) for item in task.dev]
    assert task.metric_of(gold, task.dev) == task.metric_function(gold, gold) == 1.0
    assert task.metric_of(np.full(len(gold), -1), task.dev) == 0.0
    assert task.template.item(task.dev[0].fields, task.dev[0].options).endswith("\nAnswer:")


def test_a_choice_task_needs_no_labels_to_be_answered() -> None:
    task = load(table(["?"] * 10), columns={"q": "q", "options": "o"})
    assert not task.has_gold and not task.knows_gold and {item.gold for item in task.dev} == {None}
    with pytest.raises(DataError, match="found None"):
        task.gold_indices(task.dev)


def test_answers_of_one_item_must_differ() -> None:
    frame = table(["0", "1", "2"] * 4)
    load(frame, TemplateSection(item="{{ q }} {{ options|join('/') }}", answer=" {{ letter }}"))
    with pytest.raises(ConfigError, match="a different text for each option, found ' [0-9]' for"):
        load(frame, TemplateSection(answer=" {{ label|first }}"))


def test_new_rows_are_read_with_their_options_and_none_is_dropped() -> None:
    section = TaskSection(kind="choice", data="x", columns=COLUMNS, answer_key="index")
    frame = table(["2", "0", "1"]).assign(o=[["a", "b", "c"], ["same", "same"], ["x", "y"]])
    items = read_items(frame, section, root=Path()).items
    assert [item and (item.options, item.gold) for item in items] == [
        (("a", "b", "c"), None),
        None,
        (("x", "y"), None),
    ]
    items = read_items(frame, section, root=Path(), gold=True).items
    assert [item and item.gold for item in items] == ["c", None, "y"]


def test_options_come_as_lists_from_jsonl_and_parquet(tmp_path: Path) -> None:
    frame = table(["0", "1", "2"] * 4)
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    frame.assign(o=[{"text": o, "label": ["A", "B", "C"]} for o in frame["o"]]).to_parquet(tmp_path / "a.parquet")
    tasks = [
        load_task(TaskSection(kind="choice", data=name, columns=COLUMNS), TemplateSection(), root=tmp_path)
        for name in ("a.jsonl", "a.parquet")
    ]
    assert golds(tasks[0]) == golds(tasks[1]) == {str(row): f"{row}.{row % 3}" for row in range(12)}


def test_a_cell_that_cannot_be_options_is_named() -> None:
    with pytest.raises(DataError, match="frame: options in 'o', row 1: expected a table with 'text' and 'label'"):
        load(table(["0"] * 10).assign(o=[{"a": 1}] * 10))
    with pytest.raises(DataError, match=r"expected one column 'z' \(task.columns.options\)"):
        load(table(["0"] * 10), columns={"q": "q", "options": ["o", "z"], "label": "y"})
