"""Whatever stands in a file: a reader returns the rows or one sentence, and rows that were written come back."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evolm.config import ReadSection
from evolm.errors import EvolmError
from evolm.tasks import READERS, How, Table, read_table
from tests.support.tiers import slow

TIERS = (25, slow(600))  # examples
UNICODE = st.characters(exclude_categories=["Cs"])
TEXT = st.text(UNICODE, max_size=12)
# Pieces of which files are made: separators, quotes, line ends, marks, and what looks like a row.
PIECES = st.sampled_from(
    [
        *',;|\t"\r\n \0\\',
        r"\"",
        "\r\n",
        '""',
        '","',
        "text",
        "label",
        "text,label\n",
        "sep=;\n",
        "{",
        "}",
        '{"text": "a"}\n',
        "é",
    ]
)
BYTES = st.one_of(
    st.binary(max_size=200),
    st.lists(PIECES | TEXT, max_size=30).map(lambda pieces: "".join(pieces).encode()),
    st.tuples(
        st.lists(PIECES, max_size=30), st.sampled_from(["cp1252", "utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
    ).map(lambda made: "".join(made[0]).encode(made[1])),
)
READ = st.builds(
    ReadSection,
    separator=st.sampled_from(["", "", ",", ";", "\t", " ", "a", "é"]),
    encoding=st.sampled_from(["", "", "utf-8", "cp1252", "utf-16", "utf-7", "unicode_escape", "idna", "hz"]),
    header=st.sampled_from(["auto", True, False]),
    quoting=st.sampled_from(["auto", "quotes", "backslash", "none"]),
)
HOW = st.builds(
    How,
    READ,
    st.sampled_from([(), ("text",), ("text", "label"), ("column_1",), ("column_1", "column_2")]),
    st.sampled_from([frozenset(ReadSection.model_fields), frozenset(), frozenset(["header"])]),
    st.booleans(),
    st.sampled_from(["(?P<text>.*)", "(?P<label>[^,]*),(?P<text>.*)"]),
)


def run(examples: int, test: Callable[..., None], *strategies: Any) -> None:
    """Run a property with a number of examples."""
    quick = settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    quick(given(*strategies)(test))()


def read(name: str, content: bytes, how: How) -> Table:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, name).write_bytes(content)
        return read_table(name, how, root=Path(folder))


@pytest.mark.parametrize("examples", TIERS)
@pytest.mark.parametrize("name", [*(f"a{ending}" for ending in READERS), "a.csv.gz", "a.log"])
def test_any_bytes_are_rows_or_one_sentence(name: str, examples: int) -> None:
    def check(content: bytes, how: How) -> None:
        try:
            table = read(name, gzip.compress(content) if name.endswith(".gz") else content, how)
        except EvolmError as error:
            assert "\n" not in str(error) and str(error).startswith((name, "task."))
            return
        assert len(table.frame) and all("\n" not in note for note in table.notes)
        for place in range(table.frame.shape[1]):
            for cell in table.frame.iloc[:, place].dropna():
                assert not isinstance(cell, str) or cell.encode() is not None

    run(examples, check, BYTES, HOW)


ROWS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=6)


@pytest.mark.parametrize("examples", TIERS)
@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_rows_that_were_written_come_back(ending: str, examples: int) -> None:
    def check(rows: list[tuple[str, str]], separator: str, end: str, encoding: str, pinned: bool) -> None:
        stream = io.StringIO(newline="")
        writer = csv.writer(stream, delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL)
        writer.writerows([("text", "label"), *rows])
        keys = ReadSection(separator=separator, header=True, quoting="quotes") if pinned else ReadSection()
        table = read(f"a{ending}", stream.getvalue().encode(encoding), How(keys, ("text", "label")))
        found = [tuple(cell if isinstance(cell, str) else "" for cell in row) for row in table.frame.to_numpy()]
        assert found == rows

    run(
        examples,
        check,
        ROWS,
        st.sampled_from([",", ";", "\t", "|"]),
        st.sampled_from(["\n", "\r\n", "\r"]),
        st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
        st.booleans(),
    )


@pytest.mark.parametrize("examples", TIERS)
def test_json_lines_that_were_written_come_back(examples: int) -> None:
    def check(rows: list[tuple[str, str]], ascii_only: bool) -> None:
        lines = [json.dumps(dict(zip(("text", "label"), row, strict=True)), ensure_ascii=ascii_only) for row in rows]
        table = read("a.jsonl", "\n".join(lines).encode(), How())
        assert [tuple(row) for row in table.frame.to_numpy()] == rows

    run(examples, check, ROWS, st.booleans())


VALUES = st.one_of(
    TEXT,
    st.none(),
    st.integers(-(2**62), 2**62),
    st.booleans(),
    st.floats(),
    st.binary(max_size=4),
    st.lists(TEXT, max_size=2),
)


@pytest.mark.parametrize("examples", (6, slow(100)))  # a process decodes each
def test_any_parquet_column_is_text_or_nested_values(examples: int) -> None:
    def check(name: str, values: list[Any]) -> None:
        try:
            array = pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            return
        stream = io.BytesIO()
        pq.write_table(pa.Table.from_arrays([array, array], names=[name, name]), stream)
        frame = read("a.parquet", stream.getvalue(), How()).frame
        assert list(frame) == [name, name] and len(frame) == len(values)
        for before, after in zip(values, frame.iloc[:, 0], strict=True):
            assert not isinstance(before, str) or pa.types.is_binary(array.type) or after == before

    run(examples, check, TEXT, st.lists(VALUES, min_size=1, max_size=3))


@pytest.mark.parametrize("examples", TIERS)
def test_lines_come_back_one_by_one(examples: int) -> None:
    def check(lines: list[str]) -> None:
        table = read("a.log", "".join(f"{line}\n" for line in lines).encode(), How(pattern="(?P<text>.+)", new=True))
        assert [cell if isinstance(cell, str) else "" for cell in table.frame["text"]] == [
            line if line.strip() else "" for line in lines
        ]

    printable = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
    run(examples, check, st.lists(printable, max_size=8).map(lambda lines: [*lines, "end"]))
