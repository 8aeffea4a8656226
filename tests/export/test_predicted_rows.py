"""Predictions as files and frames: every row comes back in order, and the user's own columns as they were."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evolm.api import load_result
from evolm.export.predicted_rows import PredictedRows, free_names
from evolm.export.tables import WRITERS, table_bytes
from tests.support.command_line import evolm, refused
from tests.support.tiers import slow
from tests.support.toy_campaign import toy_rows

PREDICTED = ["label", "p_ham", "p_spam"]
ODD = [
    "win\rcash",
    "a\r\nb",
    "c\nd",
    'say "hi", you',
    "tab\there",
    "\r",
    "=cmd|' /C calc'!A0",
    "nul\x00inside",
    "  kept  ",
    "sep=;",
    "\u2028line\u0085end",
    "emoji 🙂 e\u0301",
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write_jsonl(path: Path, texts: Sequence[Any]) -> list[str]:
    lines = [json.dumps({"text": text, "id": number}) for number, text in enumerate(texts)]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return lines


def predict(run: Path, source: str, out: str) -> str:
    said = evolm("predict", run, source, "--out", out)
    assert said.exit_code == 0, said.output
    return said.stdout


def delimited(path: Path, separator: str = ",") -> list[dict[str, str]]:
    csv.field_size_limit(2**20)
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream, delimiter=separator))


# -- every row, in order -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("out", "separator"), [("out.csv", ","), slow("out.TSV", "\t")])
def test_texts_with_line_ends_and_quotes_come_back_as_they_were(
    finished: Path, tmp_path: Path, out: str, separator: str
) -> None:
    write_jsonl(tmp_path / "rows.jsonl", ODD)
    assert f"{len(ODD)} rows written to {out}" in predict(finished, "rows.jsonl", out)
    found = delimited(tmp_path / out, separator)
    assert [row["text"] for row in found] == ODD
    assert [row["id"] for row in found] == [str(number) for number in range(len(ODD))]
    assert list(found[0]) == ["text", "id", *PREDICTED]
    assert b"\r\n" not in (tmp_path / out).read_bytes().replace(b'"a\r\nb"', b"")  # rows end in LF


def test_a_carriage_return_is_quoted_on_every_python() -> None:
    rows = PredictedRows.of(pd.DataFrame({"text": ["win\rcash", "\n"]}), {}, {})
    assert table_bytes(rows, ".csv", "frame") == b'text\n"win\rcash"\n"\n"\n'


@pytest.mark.parametrize("ending", [".csv", *map(slow, list(WRITERS)[1:])])
def test_rows_that_cannot_be_asked_about_stay_in_place_and_are_counted_with_their_reasons(
    finished: Path, tmp_path: Path, ending: str
) -> None:
    write_jsonl(tmp_path / "rows.jsonl", ["win cash", "", None, "so " * 70_000, "see you"])
    said = predict(finished, "rows.jsonl", f"out{ending}")
    assert "2 rows without an answer: an empty cell; 1 row without an answer: longer than the model's" in said
    labels = {
        ".csv": lambda: [row["label"] or None for row in delimited(Path("out.csv"))],
        ".tsv": lambda: [row["label"] or None for row in delimited(Path("out.tsv"), "\t")],
        ".jsonl": lambda: [
            json.loads(line)["label"] for line in Path("out.jsonl").read_text(encoding="utf-8").splitlines()
        ],
        ".parquet": lambda: pq.read_table("out.parquet")["label"].to_pylist(),
    }[ending]()
    assert [label is not None for label in labels] == [True, False, False, False, True]


def test_rows_none_of_which_can_be_asked_about_are_one_sentence_and_no_file(finished: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", ["", None])
    refused(
        evolm("predict", finished, "rows.jsonl", "--out", "out.csv"), "found none; 2 rows left out: an empty cell"
    )
    (tmp_path / "none.csv").write_text("text\n", encoding="utf-8")
    refused(evolm("predict", finished, "none.csv", "--out", "out.csv"), "none.csv: expected rows, found none")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["none.csv", "rows.jsonl"]


# -- the user's columns --------------------------------------------------------------------------------------


def test_a_column_named_like_a_prediction_is_kept_and_predictions_get_other_names(
    finished: Path, tmp_path: Path
) -> None:
    frame = pd.DataFrame(toy_rows(4), columns=["text", "label"])
    frame.to_csv("rows.csv", index=False)
    said = predict(finished, "rows.csv", "out.csv")
    new = [f"predicted_{name}" for name in PREDICTED]
    assert f"The rows have a column 'label' of their own: predictions are in {', '.join(map(repr, new))}." in said
    found = pd.read_csv("out.csv")
    assert list(found) == ["text", "label", *new]
    assert found[["text", "label"]].equals(frame)
    predict(finished, "out.csv", "again.csv")
    again = pd.read_csv("again.csv")
    assert list(again) == [*found, *(f"predicted_2_{name}" for name in PREDICTED)]
    assert again[list(found)].equals(found)
    assert again["predicted_2_label"].tolist() == found["predicted_label"].tolist()


def test_new_names_are_free_together() -> None:
    assert free_names(["label", "p_a"], ["text"]) == ["label", "p_a"]
    assert free_names(["label", "p_a"], ["p_a"]) == ["predicted_label", "predicted_p_a"]
    assert free_names(["label", "p_a"], ["label", "predicted_p_a"]) == ["predicted_2_label", "predicted_2_p_a"]


def test_a_frame_keeps_its_columns_and_the_new_names_are_logged(
    finished: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frame = pd.DataFrame([*toy_rows(4), ("", "ham")], columns=["text", "label"], index=[3, 3, 1, 0, 2])
    before = frame.copy()
    with caplog.at_level(logging.WARNING, "evolm"):
        found = load_result(finished).predict(frame)
    assert found[["text", "label"]].equals(before) and frame.equals(before)
    assert list(found)[2:] == [f"predicted_{name}" for name in PREDICTED]
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "The rows have a column 'label' of their own",
        "1 row without an answer",
    ]


def test_json_lines_keep_their_own_text(finished: Path, tmp_path: Path) -> None:
    lines = [
        '{"text": "win cash", "n": 1.10, "big": 12345678901234567890, "tags": ["a", {"b": null}]}',
        '  {"n": 1e400, "text":"see you"  }  ',
        '{"text": null}',
        "{}",
    ]
    (tmp_path / "rows.jsonl").write_bytes(b"\xef\xbb\xbf" + "\n\n".join(lines).encode() + b"\r\n")
    predict(finished, "rows.jsonl", "out.jsonl")
    found = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [line.startswith(own.strip()[:-1].rstrip()) for line, own in zip(found, lines, strict=True)] == [True] * 4
    assert [list(json.loads(line))[-3:] for line in found] == [PREDICTED] * 4
    assert json.loads(found[3]) == dict.fromkeys(PREDICTED)


def test_parquet_columns_keep_their_types(finished: Path) -> None:
    times = pd.to_datetime(["2026-01-02 03:04:05.678", "2026-01-02 00:00:00.001"])
    own = pa.table({"text": ["win cash", None], "n": [1, None], "at": times, "tags": [["a"], []], "b": [b"x", b""]})
    pq.write_table(own, "rows.parquet")
    predict(finished, "rows.parquet", "out.parquet")
    found = pq.read_table("out.parquet")
    assert found.select(own.column_names).equals(own)
    assert found.column_names[-3:] == PREDICTED
    assert found["p_spam"].to_pylist()[1] is None


def test_a_parquet_file_can_be_made_from_rows_of_another_format(finished: Path, tmp_path: Path) -> None:
    lines = [{"text": "win cash", "odd": ["a"]}, {"text": "see you", "odd": "b"}, {"text": "hello", "empty": None}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    predict(finished, "rows.jsonl", "out.parquet")
    found = pq.read_table("out.parquet").to_pydict()
    assert found["odd"] == ['["a"]', "b", None] and found["empty"] == [None] * 3
    predict(finished, "rows.jsonl", "out.csv")
    assert [row["odd"] for row in delimited(tmp_path / "out.csv")] == ['["a"]', "b", ""]


# -- the file ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("out", ["out.xlsx", "out", "out.csv.gz", ".csv"])
def test_another_ending_is_refused_before_any_work(tmp_path: Path, out: str) -> None:
    refused(
        evolm("predict", "no run", "no rows", "--out", out),
        r"'--out': .*: expected a name that ends in \.csv or \.tsv or \.jsonl or \.parquet, found",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("out", "message"),
    [("x" * 300 + ".csv", "File name too long"), ("rows/out.csv", "Not a directory"), ("link.csv", "expected a new")],
)
def test_a_place_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path, out: str, message: str) -> None:
    (tmp_path / "rows").touch()
    (tmp_path / "link.csv").symlink_to("rows")
    refused(evolm("predict", "no run", "rows", "--out", out), message)
