"""Rows from Python, and labels and names as users bring them: used as meant, or refused with what to type."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evolm.config import TaskSection, TemplateSection, validate
from evolm.errors import ConfigError, DataError
from evolm.tasks import Task, load_task, read_items
from evolm.tasks.tables.frames import mapped_texts

N = 40
LABELS = ("ham", "spam")
DECOMPOSED = unicodedata.normalize("NFD", "é")


def rows(labels: tuple[Any, ...] = LABELS) -> pd.DataFrame:
    return pd.DataFrame(
        {"text": [f"row {i}" for i in range(N)], "label": [labels[i % len(labels)] for i in range(N)]}
    )


def load(frame: pd.DataFrame | None, root: Path = Path(), **settings: Any) -> Task:
    settings = {"data": "frame", "columns": {"text": "text", "label": "label"}, **settings}
    return load_task(validate(TaskSection, settings, "task"), TemplateSection(), root=root, frame=frame)


def renamed(*names: Any) -> pd.DataFrame:
    return rows().set_axis(pd.Index(names), axis=1)


BY_NUMBER: dict[str, Any] = {"columns": {"text": 0, "label": np.int64(1)}}
TRUTHS: dict[str, Any] = {"labels": {True: "spam", np.False_: "ham"}}
USED: dict[str, tuple[Callable[[], pd.DataFrame], dict[str, Any]]] = {
    "integer names": (lambda: renamed(0, 1), BY_NUMBER),
    "names in another Unicode form": (
        lambda: renamed(f"t{DECOMPOSED}xt ", "label"),
        {"columns": {"text": "téxt", "label": "label"}},
    ),
    "a repeated index": (lambda: rows().set_axis([0] * N), {}),
    "an index of two levels": (lambda: rows().set_axis(pd.MultiIndex.from_product([range(2), range(N // 2)])), {}),
    "categories": (lambda: rows().astype("category"), {}),
    "Arrow": (lambda: rows().convert_dtypes(dtype_backend="pyarrow"), {}),
    "objects": (lambda: rows().astype(object), {}),
    "truth values": (lambda: rows((False, True)), TRUTHS),
    "nullable truth values": (lambda: rows((False, True)).astype({"label": "boolean"}), TRUTHS),
    "nullable integers": (lambda: rows((0, 1)).astype({"label": "Int64"}), {"labels": {0: "ham", 1: "spam"}}),
    "bytes": (lambda: rows().map(str.encode), {}),
    "an unused column twice": (
        lambda: pd.concat([rows(), rows().assign(text="x").set_axis(["x", "x"], axis=1)], axis=1),
        {},
    ),
}


@pytest.mark.parametrize("case", USED)
def test_frames_of_every_kind_are_the_same_task_also_after_a_resumed_run_read_them(case: str) -> None:
    make, settings = USED[case]
    frame = make()
    task, plain = load(frame, **settings), load(rows(), labels={"ham": "ham", "spam": "spam"})
    assert [item.fields["text"] for item in task.test] == [item.fields["text"] for item in plain.test]
    assert set(task.labels) == set(LABELS) and task.notes == ()
    columns = validate(TaskSection, {"data": "frame", "columns": plain_columns(), **settings}, "task").column_names
    stored = pd.read_parquet(io.BytesIO(mapped_texts(frame, columns).to_parquet()))
    assert load(stored, **settings).fingerprint == task.fingerprint


def plain_columns() -> dict[str, str]:
    return {"text": "text", "label": "label"}


def test_times_are_shown_as_in_iso_8601_and_missing_cells_of_any_kind_are_missing() -> None:
    frame = rows((0, 1)).assign(text=pd.date_range("2020", periods=N)).astype({"label": "Int64"})
    frame.loc[0, "text"], frame.loc[1, "label"] = pd.NaT, pd.NA
    task = load(frame)
    assert task.notes == ("1 row dropped: a mapped cell is missing", "unlabelled: 1 row without a label")
    assert {item.fields["text"][:10] for item in task.dev} <= {f"{day:%Y-%m-%d}" for day in frame["text"].dropna()}


def lost(**options: Any) -> pd.DataFrame:
    """Rows of the labels NA, EU and US after a round trip through a CSV file."""
    return pd.read_csv(io.StringIO(rows(("NA", "EU", "US")).to_csv(index=False)), **options)


REFUSED: dict[str, tuple[Callable[[], Any], dict[str, Any], str]] = {
    "names of two levels": (
        lambda: renamed(("a", "text"), ("a", "label")),
        {},
        r"MultiIndex of 2 levels; join them first: frame\.columns =",
    ),
    "no rows": (lambda: rows().iloc[:0], {}, "it has no rows"),
    "no columns": (pd.DataFrame, {}, "expected one column '(text|label)' .*found none"),
    "a column twice": (
        lambda: pd.concat([rows(), rows()], axis=1),
        {},
        r"found it twice \(columns 1 and 3\)|found it twice \(columns 2 and 4\)",
    ),
    "half a character": (
        lambda: rows().assign(text=pd.Series(["a \ud83d"] * N, dtype=object)),
        {},
        "'text', row 1: expected Unicode text, found half of a surrogate pair",
    ),
    "bytes of no text": (
        lambda: rows().assign(text=[b"\xff"] * N),
        {},
        "row 1: expected text, found bytes that are not UTF-8",
    ),
    "a label that pandas lost": (lost, {}, r"found 14 rows without one in 'label', .*keep_default_na=False"),
    "a named label that pandas lost": (
        lost,
        {"labels": {"NA": "north", "EU": "europe", "US": "states"}},
        r"none with 'NA', which task\.labels names; pandas reads",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_frame_that_cannot_be_meant_is_refused_with_what_to_type(case: str) -> None:
    make, settings, words = REFUSED[case]
    with pytest.raises(DataError, match=words) as caught:
        load(make(), **settings)
    assert str(caught.value).startswith("frame: ") and "\n" not in str(caught.value)


def test_a_label_named_like_a_missing_value_is_kept_if_pandas_kept_it() -> None:
    assert load(lost(keep_default_na=False)).labels == ("EU", "NA", "US")
    few = rows()
    few.loc[3, "label"] = np.nan
    assert load(few).notes == ("unlabelled: 1 row without a label",)
    assert load(lost(), labels={"EU": "europe", "US": "states"}).labels == ("europe", "states")


def test_only_frames_are_taken_where_rows_are_to_be_answered() -> None:
    section = TaskSection(data="frame", columns=plain_columns())
    with pytest.raises(DataError, match="expected a pandas DataFrame, found ndarray"):
        read_items(rows().to_numpy(), section, root=Path())  # type: ignore[arg-type]
    with pytest.raises(DataError, match="MultiIndex"):
        read_items(renamed(("a", "text"), ("a", "label")), section, root=Path())


# -- Unicode forms and labels that look alike --------------------------------------------------------------------


def test_the_same_text_in_two_unicode_forms_is_one_row_and_is_shown_as_it_came() -> None:
    frame = rows().assign(text=[f"{DECOMPOSED if i % 2 else 'é'} {i // 2}" for i in range(N)])
    frame["label"] = [LABELS[i // 2 % 2] for i in range(N)]
    task = load(frame)
    assert task.notes == (f"{N // 2} rows dropped: same text as an earlier row",)
    only = load(rows().assign(text=[f"{DECOMPOSED} {i}" for i in range(N)]))
    assert all(item.fields["text"].startswith(DECOMPOSED) for item in only.dev)


@pytest.mark.parametrize("labels", [{}, {"café": "café", "thé": "thé"}, {f"caf{DECOMPOSED}": "café", "thé": "thé"}])
def test_labels_in_two_unicode_forms_are_one_label(labels: dict[str, str]) -> None:
    assert load(rows(("café", "thé", f"caf{DECOMPOSED}", f"th{DECOMPOSED}")), labels=labels).labels == ("café", "thé")


def test_options_and_their_label_are_compared_in_one_unicode_form() -> None:
    frame = pd.DataFrame({"text": [f"q {i}" for i in range(N)], "a": "thé", "b": "lait", "label": f"th{DECOMPOSED}"})
    columns = {"text": "text", "options": ["a", "b"], "label": "label"}
    assert {item.gold for item in load(frame, kind="choice", columns=columns).dev} == {"thé"}
    frame["b"] = f"th{DECOMPOSED}"
    with pytest.raises(DataError, match="an option occurs twice"):
        load(frame, kind="choice", columns=columns)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (("Spam", "spam", "ham"), "'Spam', 'spam'"),
        (("spam", "sp\u200bam", "ham"), "'spam', 'sp\\u200bam'"),
        (("ｓpam", "spam", "ham"), "'spam', 'ｓpam'"),
        (("0", "0.0", False, "1"), "'0', '0.0', 'false'"),
        (("a  b", "a b", "c"), "'a  b', 'a b'"),
    ],
)
def test_labels_that_look_alike_are_told(labels: tuple[Any, ...], said: str) -> None:
    [note] = load(rows(labels)).notes
    assert note.startswith(f"labels {said} look alike but are different; if they are meant to be one, write them")
    assert load(rows()).notes == ()


# -- Parquet -----------------------------------------------------------------------------------------------------


def stored(folder: Path, *columns: tuple[str, Any]) -> str:
    table = pa.Table.from_arrays([pa.array(cells) for _, cells in columns], names=[name for name, _ in columns])
    pq.write_table(table, folder / "a.parquet")
    return "a.parquet"


def test_parquet_texts_as_bytes_are_text(tmp_path: Path) -> None:
    texts = [text.encode() for text in rows()["text"]]
    task = load(None, tmp_path, data=stored(tmp_path, ("text", texts), ("label", rows()["label"])))
    assert {item.fields["text"] for item in task.dev} <= set(rows()["text"])


def test_parquet_columns_of_one_name_are_named_only_if_one_is_needed(tmp_path: Path) -> None:
    text, label = ("text", rows()["text"]), ("label", rows()["label"])
    assert load(None, tmp_path, data=stored(tmp_path, text, label, ("x", text[1]), ("x", text[1]))).labels == LABELS
    with pytest.raises(
        DataError, match=r"one column 'text' \(task\.columns\.text\), found it twice \(columns 1 and 3\)"
    ):
        load(None, tmp_path, data=stored(tmp_path, text, label, text))


def test_a_time_that_python_cannot_hold_does_not_make_other_columns_unreadable(tmp_path: Path) -> None:
    times = pa.array([2**62] * N, pa.timestamp("us"))
    data = stored(tmp_path, ("text", rows()["text"]), ("label", rows()["label"]), ("when", times))
    assert load(None, tmp_path, data=data).labels == LABELS


# -- links -------------------------------------------------------------------------------------------------------


def test_a_symbolic_link_out_of_the_campaigns_folder_is_named_as_one(tmp_path: Path) -> None:
    rows().to_csv(tmp_path / "real.csv", index=False)
    (tmp_path / "campaign").mkdir()
    (tmp_path / "campaign" / "link.csv").symlink_to(tmp_path / "real.csv")
    with pytest.raises(ConfigError, match=r"found one outside \('link\.csv' is a symbolic link to .*real\.csv\)"):
        load(None, tmp_path / "campaign", data="link.csv")
