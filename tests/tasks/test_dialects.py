"""Files as programs and people write them: read right, with what is unusual told, or refused with what to do."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from evolm.config import ReadSection, TaskSection
from evolm.errors import ConfigError, DataError, EvolmError
from evolm.tasks import How, NewRows, Table, read_items, read_table

ROWS = [("win a prize", "spam"), ("see you, at one", "ham"), ("cash; now | or later", "spam"), ("mum says hi", "ham")]
WANTED = ("text", "label")


def delimited(separator: str = ",", end: str = "\n", header: bool = True, rows: list[Any] = ROWS) -> str:
    """Return rows as a careful program writes them."""
    lines = [separator.join(WANTED)] if header else []
    for row in rows:
        lines.append(separator.join(f'"{cell}"' if separator in cell or "\n" in cell else cell for cell in row))
    return end.join(lines) + end


def read(folder: Path, name: str, content: str | bytes, **how: Any) -> Table:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(name, How(**how), root=folder)


def pairs(table: Table) -> list[tuple[Any, ...]]:
    cells = table.frame.astype(object).where(table.frame.notna(), None)
    return list(cells.itertuples(index=False, name=None))


FRENCH = [(f"café à la crème {n}", label) for n, (_, label) in enumerate(ROWS)]
PLAIN: list[str] = []
OPEN_QUOTE = "a cell that begins with a quote and does not end with one (first: line 2): its quotes are text"
# name: (file, content, rows, notes, keys of task.read that describe it)
FILES: dict[str, tuple[str, str | bytes, list[tuple[str, str]], list[str], dict[str, Any]]] = {
    "comma": ("a.csv", delimited(), ROWS, PLAIN, {}),
    "tab": ("a.tsv", delimited("\t"), ROWS, PLAIN, {}),
    "semicolon": (
        "a.csv",
        delimited(";"),
        ROWS,
        ["read with separator ';' (semicolon)"],
        {"separator": ";"},
    ),
    "tab in .csv": ("a.csv", delimited("\t"), ROWS, ["read with separator tab"], {"separator": "\t"}),
    "comma in .tsv": ("a.tsv", delimited(), ROWS, ["read with separator ',' (comma)"], {"separator": ","}),
    "pipe": ("a.csv", delimited("|"), ROWS, ["read with separator '|' (vertical bar)"], {"separator": "|"}),
    "sep= line, comma": (
        "a.csv",
        "sep=,\r\n" + delimited(end="\r\n"),
        ROWS,
        ["read with a first line sep=, which is no row"],
        {},
    ),
    "sep= line, other": (
        "a.csv",
        "\ufeffsep=^\n" + delimited("^"),
        ROWS,
        ["read with separator '^', a first line sep=, which is no row"],
        {"separator": "^"},
    ),
    "UTF-8 with BOM": ("a.csv", "\ufeff" + delimited(), ROWS, PLAIN, {}),
    "UTF-16 with BOM, as Excel writes text": (
        "a.csv",
        delimited("\t", "\r\n").encode("utf-16"),
        ROWS,
        ["read with separator tab, encoding utf-16"],
        {"separator": "\t", "encoding": "utf-16"},
    ),
    "UTF-16 without BOM": (
        "a.csv",
        delimited().encode("utf-16-le"),
        ROWS,
        ["read with encoding utf-16-le"],
        {"encoding": "utf-16-le"},
    ),
    "cp1252": (
        "a.csv",
        delimited(";", rows=FRENCH).encode("cp1252"),
        FRENCH,
        ["read with separator ';' (semicolon), encoding cp1252 (a guess: the file is not UTF-8)"],
        {"separator": ";", "encoding": "cp1252"},
    ),
    "CRLF": ("a.csv", delimited(end="\r\n"), ROWS, PLAIN, {}),
    "CR": ("a.csv", delimited(end="\r"), ROWS, PLAIN, {}),
    "no last line end": ("a.csv", delimited().rstrip("\n"), ROWS, PLAIN, {}),
    "a carriage return in a text": (
        "a.csv",
        'text,label\na\rb,spam\n"c\r",ham\n',
        [("a\rb", "spam"), ("c\r", "ham")],
        PLAIN,
        {},
    ),
    "several lines in a cell": (
        "a.csv",
        'text,label\n"a\r\nb, c",spam\nd,ham\n',
        [("a\r\nb, c", "spam"), ("d", "ham")],
        PLAIN,
        {},
    ),
    "compressed": ("a.csv.gz", gzip.compress(delimited().encode()), ROWS, PLAIN, {}),
    "quotes within a text": (
        "a.csv",
        'text,label\nsay "hi",ham\nb,spam\n',
        [('say "hi"', "ham"), ("b", "spam")],
        PLAIN,
        {},
    ),
    "doubled quotes": (
        "a.csv",
        'text,label\n"say ""hi""",ham\nb,spam\n',
        [('say "hi"', "ham"), ("b", "spam")],
        PLAIN,
        {},
    ),
    "a quote that is not closed": (
        "a.csv",
        'text,label\n"5 rows,ham\nb,spam\n"c" d,ham\n',
        [('"5 rows', "ham"), ("b", "spam"), ('"c" d', "ham")],
        ["2 rows with " + OPEN_QUOTE],
        {},
    ),
    "a quote at each end of two rows": (
        "a.csv",
        'text,label\nx,spam\ny,ham\n"a,ham\nit is 5",spam\n',
        [("x", "spam"), ("y", "ham"), ("a,ham\nit is 5", "spam")],
        [
            "1 row may be hidden in cells with line breaks, since a quote was left open: 3 rows read, 4 if quotes "
            "are text (task.read.quoting = 'none')"
        ],
        {},
    ),
    "backslashes before quotes": (
        "a.csv",
        'text,label\n"say \\"hi\\", C:\\new",ham\n"a, b",spam\n',
        [('say "hi", C:\\new', "ham"), ("a, b", "spam")],
        ["read with backslashes before quotes"],
        {"quoting": "backslash"},
    ),
    "spaces before quotes": (
        "a.csv",
        '"text", "label"\n"a, b", "ham"\n"c", "spam"\n',
        [("a, b", "ham"), ("c", "spam")],
        PLAIN,
        {},
    ),
    "blank lines": (
        "a.csv",
        "\ntext,label\na,ham\n\n  \nb,spam\n\n",
        [("a", "ham"), ("b", "spam")],
        ["2 blank lines skipped (first: line 4)"],
        {},
    ),
    "NUL": ("a.csv", "text,label\na\0b,ham\nc,spam\n", [("a\0b", "ham"), ("c", "spam")], PLAIN, {}),
    "200,000 characters": (
        "a.csv",
        f"text,label\n{'x' * 200_000},ham\nb,spam\n",
        [("x" * 200_000, "ham"), ("b", "spam")],
        PLAIN,
        {},
    ),
    "semicolons in every text": (
        "a.csv",
        delimited(rows=[("a; b", "spam"), ("c; d", "ham")]),
        [("a; b", "spam"), ("c; d", "ham")],
        PLAIN,
        {},
    ),
    "a comma beside a semicolon in the header": (
        "a.csv",
        "text, all of it;label\na, b, c;spam\nd;ham\n",
        [("a, b, c", "spam"), ("d", "ham")],
        ["read with separator ';' (semicolon)"],
        {"separator": ";"},
    ),
    "empty cells behind the last": (
        "a.csv",
        "text,label\na,ham,\nb,spam,\n",
        [("a", "ham"), ("b", "spam")],
        PLAIN,
        {},
    ),
    "the header again": (
        "a.csv",
        delimited() + "text,label\n",
        [*ROWS, WANTED],
        ["the header occurs again as a row (line 6)"],
        {},
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_is_read_as_it_was_meant_and_what_is_unusual_is_told(tmp_path: Path, case: str) -> None:
    name, content, rows, notes, keys = FILES[case]
    for wanted in ((), WANTED):
        if set(wanted) <= set(read(tmp_path, name, content).frame.columns):
            table = read(tmp_path, name, content, wanted=wanted)
            assert pairs(table) == rows
            assert table.notes == notes
            assert dict(table.read) == keys


@pytest.mark.parametrize("case", FILES)
def test_the_keys_that_describe_a_file_read_it_alike(tmp_path: Path, case: str) -> None:
    name, content, rows, _, keys = FILES[case]
    again = read(tmp_path, name, content, read=ReadSection(**keys))
    assert pairs(again) == rows and dict(again.read) == keys


# name: (file, content, words of the sentence)
REFUSED: dict[str, tuple[str, str | bytes, str]] = {
    "no header": (
        "a.csv",
        delimited(header=False),
        r"found a first row with 'spam', which is also a value .*--no-header .*--set task\.read\.header=true",
    ),
    "Cyrillic in cp1251": (
        "a.csv",
        delimited(rows=[("привет мир", "spam")] * 2).encode("cp1251"),
        r"task\.read\.enco",
    ),
    "Polish in cp1250": (
        "a.csv",
        delimited(rows=[("gęś i łąka", "spam")] * 2).encode("cp1250"),
        r"task\.read\.encod",
    ),
    "Czech in cp1250": ("a.csv", delimited(rows=[("kůň žluťoučký", "x")] * 2).encode("cp1250"), r"task\.read\.encod"),
    "French in Mac Roman": ("a.csv", delimited(rows=FRENCH).encode("mac_roman"), r"task\.read\.encoding"),
    "French in cp437": ("a.csv", delimited(rows=[("très réussi", "x")] * 2).encode("cp437"), r"task\.read\.encoding"),
    "Turkish in cp1254": (
        "a.csv",
        delimited(rows=[("teşekkürler", "x")] * 2).encode("cp1254"),
        r"task\.read\.encoding",
    ),
    "Japanese in Shift JIS": (
        "a.csv",
        delimited(rows=[("とても良い", "x")] * 2).encode("shift_jis"),
        r"task\.read\.enc",
    ),
    "half of UTF-16": ("a.csv", delimited().encode("utf-16")[:-1], "expected utf-16"),
    "a workbook": ("a.csv", b"PK\x03\x04....", "Excel workbook; save the table as CSV"),
    "Parquet named .csv": ("a.csv", b"PAR1....", r"a Parquet file; give it a name that ends in \.parquet"),
    "gzip named .csv": ("a.csv", gzip.compress(b"text,label\n"), r"gzip data; give it a name that ends in \.gz"),
    "text named .gz": ("a.csv.gz", delimited(), "expected gzip data"),
    "cut gzip": ("a.csv.gz", gzip.compress(delimited().encode())[:-9], "expected gzip data"),
    "too many cells": (
        "a.csv",
        "text,label\na,ham\nb, c,spam\n",
        r"found 3 in line 3 .*double quotes.*task\.read\.sep",
    ),
    "a quote left open in a text of several lines": (
        "a.csv",
        'text,label\n"a,\nb,\nc,ham\nd,spam\n"x" y\n',
        r"found one that is left open in line 2; .*task\.read\.quoting to 'none'",
    ),
    "a sep= line alone": ("a.csv", "sep=;\n", "expected rows, found none"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_says_what_to_do(tmp_path: Path, case: str) -> None:
    name, content, words = REFUSED[case]
    with pytest.raises(DataError, match=words) as caught:
        read(tmp_path, name, content)
    assert str(caught.value).startswith(f"{name}: expected") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "été déjà créée, où ça ?",
        "«Über» die Größe: 5 £ – 3½ €",
        "jäääär öölaps, hääyö",
        "¿Qué tal? ¡Mañana! 1ª vez, col·legi, l\u2019été…",
        "São João, coração, LIÇÃO, ÁGUA",
        "smørrebrød på Ærø, å være",
    ],
)
def test_western_texts_in_cp1252_are_recognised(tmp_path: Path, text: str) -> None:
    rows = [(f"{text} {n}", "a") for n in range(3)]
    assert pairs(read(tmp_path, "a.csv", delimited("|", rows=rows).encode("cp1252"))) == rows


@pytest.mark.parametrize("encoding", ["cp1251", "koi8-r", "utf-16-be", "utf-7"])
def test_any_encoding_is_read_if_it_is_named(tmp_path: Path, encoding: str) -> None:
    rows = [("привет, мир", "да"), ("пока", "нет")]
    table = read(tmp_path, "a.csv", delimited(rows=rows).encode(encoding), read=ReadSection(encoding=encoding))
    assert pairs(table) == rows


def test_columns_without_names_are_numbered(tmp_path: Path) -> None:
    content = delimited(";", header=False)
    table = read(tmp_path, "a.csv", content, read=ReadSection(header=False))
    assert list(table.frame) == ["column_1", "column_2"] and pairs(table) == ROWS
    assert table.notes == ["read with separator ';' (semicolon), no header (columns 'column_1', 'column_2')"]
    assert pairs(read(tmp_path, "a.csv", content, wanted=("column_1",))) == ROWS


def test_names_of_columns_may_be_values_if_the_user_names_them(tmp_path: Path) -> None:
    content = "text,spam\na,spam\nb,ham\n"
    assert pairs(read(tmp_path, "a.csv", content, wanted=("spam",))) == [("a", "spam"), ("b", "ham")]
    assert pairs(read(tmp_path, "a.csv", content, read=ReadSection(header=True))) == [("a", "spam"), ("b", "ham")]


def test_quotes_are_text_if_the_user_says_so(tmp_path: Path) -> None:
    content = 'text,label\n"a,ham\nit is 5",spam\n'
    table = read(tmp_path, "a.csv", content, read=ReadSection(quoting="none"))
    assert pairs(table) == [('"a', "ham"), ('it is 5"', "spam")] and table.notes == ["read with quotes as text"]
    with pytest.raises(DataError, match=r"expected quotes in pairs: .*task\.read\.quoting = 'none'"):
        read(tmp_path, "a.csv", 'text,label\n"a" b,ham\n', read=ReadSection(quoting="quotes"))


def test_a_name_that_occurs_twice_is_kept_twice(tmp_path: Path) -> None:
    table = read(tmp_path, "a.csv", "text,x,x\na,b,c\nd,e,f\n")
    assert list(table.frame) == ["text", "x", "x"] and pairs(table) == [("a", "b", "c"), ("d", "e", "f")]


def test_names_of_columns_may_be_integers(tmp_path: Path) -> None:
    section = TaskSection(data="a.csv", columns={"text": "0", "label": "1"})
    assert new_rows(tmp_path, "a.csv", "0,1\na,b\n", section).items[0].fields == {"text": "a"}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"separator": ";;"}, "expected one character"),
        ({"separator": '"'}, "expected one character"),
        ({"encoding": "utf-9"}, "expected an encoding that Python knows"),
        ({"encoding": "base64"}, "expected an encoding that Python knows"),
        ({"quoting": "maybe"}, "'auto', 'quotes', 'backslash' or 'none'"),
        ({"seperator": ";"}, "did you mean 'separator'"),
    ],
)
def test_wrong_keys_are_refused(keys: dict[str, Any], words: str) -> None:
    from evolm.config import validate

    with pytest.raises(ConfigError, match=words):
        validate(ReadSection, keys, "task.read")


def test_a_tab_may_be_typed() -> None:
    assert {ReadSection(separator=typed).separator for typed in ("\t", r"\t", "tab")} == {"\t"}


# -- rows to be answered ---------------------------------------------------------------------------------------

SECTION = TaskSection(data="a.csv", columns={"text": "text", "label": "label"})


def new_rows(
    folder: Path, name: str, content: str | bytes, section: TaskSection = SECTION, **options: Any
) -> NewRows:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_items(name, section, root=folder, **options)


def texts(rows: NewRows) -> list[str | None]:
    return [item and item.fields["text"] for item in rows.items]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text\na\n\nb\n  \n\nc\n\n"),
        ("a.csv", 'text\na\n""\nb\n  \n""\nc\n\n'),
        ("a.csv", "text\r\na\r\n\r\nb\r\n\r\n\r\nc\r\n\r\n"),
        ("a.csv", "text,x\na,\n,\nb,\n,\n,\nc,\n,\n"),
        ("a.txt", "a\n\nb\n  \n\nc\n\n"),
    ],
)
def test_blank_rows_come_back_where_rows_are_to_be_answered(tmp_path: Path, name: str, content: str) -> None:
    rows = new_rows(tmp_path, name, content, SECTION.model_copy(update={"pattern": "(?P<text>.+)"}))
    found = texts(rows)
    assert [text for text in found if text != ""] == ["a", None, "b", None, None, "c", None]
    assert len(rows.frame) == 7


def test_new_rows_may_be_written_otherwise_than_the_tasks_own_and_it_is_told(tmp_path: Path) -> None:
    read_as = ReadSection(separator=";", encoding="cp1252")
    section = SECTION.model_copy(update={"read": read_as})
    rows = new_rows(tmp_path, "a.csv", "text,other\nprêt; déjà,1\nb,2\n", section)
    assert texts(rows) == ["prêt; déjà", "b"]
    assert rows.notes == (
        "read as usual; the campaign's task.read, separator = ';', encoding = 'cp1252', does not fit this file",
    )
    rows = new_rows(tmp_path, "a.csv", "text;other\nprêt, déjà;1\n".encode("cp1252"), section)
    assert texts(rows) == ["prêt, déjà"]
    assert rows.notes == ("read with separator ';' (semicolon), encoding cp1252",)


def test_the_wanted_column_decides_about_the_separator(tmp_path: Path) -> None:
    rows = new_rows(tmp_path, "a.csv", "a, b;text\n1, 2;x\n3, 4;y\n")
    assert texts(rows) == ["x", "y"]
    assert texts(new_rows(tmp_path, "a.csv", "text\nx; y\nz; w\n")) == ["x; y", "z; w"]


def test_the_only_column_without_a_header_is_the_only_wanted_one(tmp_path: Path) -> None:
    content = "hello\nyou; win\n\nbye\n"
    with pytest.raises(DataError, match=r"expected a first line with the name 'text', found 'hello'.*--no-header"):
        new_rows(tmp_path, "a.csv", content)
    assert texts(new_rows(tmp_path, "a.csv", content, own={"header": False})) == ["hello", "you; win", None, "bye"]


def test_several_columns_without_a_header_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="expected a first line with the names 'text', found none: .* 2 columns and 4"
    ):
        new_rows(tmp_path, "a.csv", delimited(header=False), own={"header": False})


def test_a_key_for_this_file_is_obeyed(tmp_path: Path) -> None:
    rows = new_rows(tmp_path, "a.csv", "text\nпривет\n".encode("cp1251"), own={"encoding": "cp1251"})
    assert texts(rows) == ["привет"] and rows.notes == ("read with encoding cp1251",)
    with pytest.raises(EvolmError, match="expected an encoding"):
        new_rows(tmp_path, "a.csv", "text\na\n", own={"encoding": "x"})


def test_keys_that_do_not_apply_are_told(tmp_path: Path) -> None:
    table = read(tmp_path, "a.jsonl", '{"text": "a"}\n', read=ReadSection(separator=";", encoding="utf-8"))
    assert table.notes == ["`read.separator` not used: .jsonl files are read as tables"]
    pd.DataFrame({"text": ["a"]}).to_parquet(tmp_path / "a.parquet")
    table = read_table("a.parquet", How(ReadSection(header=False)), root=tmp_path)
    assert table.notes == ["`read.header` not used: .parquet files are read as tables"]


def test_json_lines_may_have_another_encoding(tmp_path: Path) -> None:
    table = read(tmp_path, "a.jsonl", '{"text": "été"}\n{"text": "à vous"}\n'.encode("utf-16"))
    assert table.frame["text"].tolist() == ["été", "à vous"] and dict(table.read) == {"encoding": "utf-16"}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_of_every_format_may_end_in_three_ways(tmp_path: Path, end: str) -> None:
    lines = read(tmp_path, "a.log", end.join(["a b", "c", ""]), pattern="(?P<text>.+)")
    objects = read(tmp_path, "a.jsonl", end.join(['{"text": "a b"}', '{"text": "c"}', ""]))
    assert pairs(lines) == pairs(objects) == [("a b",), ("c",)]


def test_a_key_that_occurs_twice_in_a_json_object_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a JSON object in line 2: the key 'text' occurs twice"):
        read(tmp_path, "a.jsonl", '{"text": "a"}\n{"text": "b", "x": 1, "text": "c"}\n')
