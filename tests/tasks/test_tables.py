"""Reading rows: what stands in the file is what comes out, and what cannot be read is named."""

import json
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from evolm.errors import ConfigError, DataError
from evolm.tasks import How, read_table


def read(tmp_path: Path, name: str, content: str | bytes, **how):
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    table = read_table(name, How(**how), root=tmp_path)
    return table.frame, table.notes


def cells(frame: pd.DataFrame) -> dict[str, list]:
    return {name: [None if pd.isna(cell) else cell for cell in frame[name]] for name in frame}


def test_csv_cells_stay_the_text_that_they_are(tmp_path: Path) -> None:
    content = '\ufefftext,n\nNA,01\nnull,1.0\n"two\nlines, one cell",\n,1e3\n'
    frame, notes = read(tmp_path, "a.csv", content)
    assert cells(frame) == {
        "text": ["NA", "null", "two\nlines, one cell", None],
        "n": ["01", "1.0", None, "1e3"],
    }
    assert notes == []


def test_tsv_is_cut_at_tabs_and_glued_cells_are_reported(tmp_path: Path) -> None:
    frame, notes = read(tmp_path, "a.TSV", 'label\ttext\nham\ta, b\nspam\t"open\nham\tnext"\n')
    assert cells(frame) == {"label": ["ham", "spam"], "text": ["a, b", "open\nham\tnext"]}
    assert notes == [
        "1 row may be hidden in cells with line breaks, since a quote was left open: 2 rows read, 3 if quotes are "
        "text (task.read.quoting = 'none')"
    ]


def test_jsonl_scalars_become_text(tmp_path: Path) -> None:
    lines = [
        '{"t": "a\\u2028b", "n": 1, "b": true}',
        "",
        '{"t": null, "n": 1.10, "x": NaN}',
        '{"n": 12345678901234567890}',
    ]
    frame, _ = read(tmp_path, "a.jsonl", "\ufeff" + "\r\n".join(lines))
    assert cells(frame) == {
        "t": ["a\u2028b", None, None],
        "n": ["1", "1.10", "12345678901234567890"],
        "b": ["true", None, None],
        "x": [None, None, None],
    }


def test_jsonl_keeps_nested_values_so_that_only_mapped_ones_are_refused(tmp_path: Path) -> None:
    frame, _ = read(tmp_path, "a.jsonl", '{"t": "a", "meta": {"k": [1]}}\n')
    assert frame["meta"].tolist() == [{"k": ["1"]}] and cells(frame[["t"]]) == {"t": ["a"]}


def test_parquet_integers_with_gaps_do_not_become_floats(tmp_path: Path) -> None:
    table = pd.DataFrame({"n": pd.array([1, None], dtype="Int64"), "b": [True, False], "t": ["x", None]})
    table["d"] = [Decimal("1.50"), None]
    table.to_parquet(tmp_path / "a.parquet")
    table = read_table("a.parquet", root=tmp_path)
    assert cells(table.frame) == {"n": ["1", None], "b": ["true", "false"], "t": ["x", None], "d": ["1.50", None]}


def test_lines_are_cut_by_named_groups_and_the_rest_is_counted(tmp_path: Path) -> None:
    content = "ham\tone\r\n\nnonsense\nspam\ttwo \u2028 still two\nham\t\n"
    pattern = r"(?P<label>ham|spam)\t(?P<text>.+)?"
    frame, notes = read(tmp_path, "a.txt", content, pattern=pattern)
    assert cells(frame) == {"label": ["ham", "spam", "ham"], "text": ["one", "two \u2028 still two", None]}
    assert notes == ["1 line dropped: no match for `pattern` (first: line 3)"]
    frame, notes = read(tmp_path, "a.txt", content, pattern=pattern, new=True)
    assert cells(frame)["label"] == ["ham", None, None, "spam", "ham"] and notes == []


def test_a_pattern_matches_whole_lines(tmp_path: Path) -> None:
    frame, notes = read(tmp_path, "a.txt", "ab\nabc\n", pattern="(?P<text>ab)")
    assert len(frame) == 1 and "1 line dropped" in notes[0]


def test_a_pattern_beside_a_table_is_said_to_be_unused(tmp_path: Path) -> None:
    frame, notes = read(tmp_path, "a.csv", "text\nx\n", pattern="(?P<text>.)")
    assert cells(frame) == {"text": ["x"]} and "`pattern` not used" in notes[0]


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("a.csv", "", "empty file"),
        ("a.csv", " \n\n", "empty file"),
        ("a.csv", "text,label\n", "expected rows, found none"),
        ("a.csv", "a,b\n1,2\n3,4,5\n", "line 3"),
        ("a.csv", "a,b\n1,2,3\n3,4,5\n", "expected 2 cells a row as in the header, found 3 in line 2"),
        ("a.csv", 'a,b\n1,"2 and\nmore\n', "expected quotes in pairs, found one that is left open in line 2"),
        ("a.csv", "a\nb\nпривет\n".encode("cp1251"), "expected UTF-8, found byte 0xef in line 3; save the file as"),
        ("a.jsonl", b'{"a": "\xff\xf0"}\n{"a": "\x81"}', "0xff in line 1"),
        ("a.jsonl", '{"a": 1}\n{"a": \n', "JSON object in line 2"),
        ("a.jsonl", '{"a": 1}\n\n[1]\n', "JSON object in line 3, found '[1]'"),
        ("a.jsonl", "[" * 100_000, "JSON object in line 1"),
        ("a.jsonl", '{"a": "\\ud83d"}', "line 1, found half a surrogate pair"),
        ("a.parquet", "no parquet", "expected a Parquet file"),
        ("a.dat", "x\n", "expected '.csv', '.tsv', '.jsonl', '.parquet', or task.pattern"),
        ("noending", "x\n", "found ''"),
    ],
)
def test_unreadable_files_are_named_with_what_was_expected(
    tmp_path: Path, name: str, content: str | bytes, named: str
) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, name, content)
    assert named in str(caught.value) and str(caught.value).startswith(name)
    assert str(tmp_path) not in str(caught.value)


def test_an_empty_parquet_file_has_no_rows(tmp_path: Path) -> None:
    pd.DataFrame({"a": pd.Series([], dtype="str")}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: expected rows, found none"):
        read_table("a.parquet", root=tmp_path)


def test_a_missing_file_comes_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("a\n1\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"review\.csv: expected a file, found none; did you mean 'reviews\.csv'\?"):
        read_table("review.csv", root=tmp_path)


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "d.csv").mkdir()
    with pytest.raises(DataError, match=r"d\.csv: expected a readable file"):
        read_table("d.csv", root=tmp_path)


@pytest.mark.parametrize(
    ("pattern", "error", "named"),
    [
        ("(?P<a>", ConfigError, "task.pattern: expected a regular expression"),
        ("(a)", ConfigError, "task.pattern: expected named groups"),
        ("(?P<a>z+)", DataError, "found none of 2"),
    ],
)
def test_wrong_patterns_are_refused(tmp_path: Path, pattern: str, error: type[Exception], named: str) -> None:
    with pytest.raises(error) as caught:
        read(tmp_path, "a.log", "x\ny\n", pattern=pattern)
    assert named in str(caught.value)


def test_jsonl_written_by_python_reads_back(tmp_path: Path) -> None:
    texts = ["é\U0001f600", 'quote " and \\', "line\nbreak"]
    content = "\n".join(json.dumps({"t": text}) for text in texts)
    assert cells(read(tmp_path, "a.jsonl", content)[0]) == {"t": texts}
