"""Rows from files: CSV, TSV, JSONL, Parquet, lines of text cut by a regular expression, and data sets of the hub.

Every cell becomes its text in the file: ``1`` is never ``1.0``, and ``NA`` is a word. Missing cells stay missing;
:mod:`evolm.tasks.rows` decides about their rows.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, time
from numbers import Number
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from evolm.data_access import locate
from evolm.errors import ConfigError, DataError, nearest
from evolm.tasks.hub import DATASETS, read_dataset
from evolm.wording import counted, listed

__all__ = ["cell_text", "locate", "read_table"]


def read_table(
    source: str,
    *,
    pattern: str,
    root: Path,
    admitted: Sequence[Path] = (),
    trusted: bool = False,
    keep_unmatched: bool = False,
) -> tuple[pd.DataFrame, list[str]]:
    """Read a file, or a data set of the hub, as a table of text.

    Args:
        source, root, admitted, trusted: as for :func:`evolm.data_access.locate`, or for
            :func:`evolm.tasks.hub.read_dataset` if ``source`` begins with ``datasets:``.
        pattern: regular expression with named groups, which must match whole lines of a file whose ending is not
            that of a table. Blank lines are skipped.
        keep_unmatched: keep a line that does not match as a row of missing cells.

    Returns:
        The rows in the file's order (``str`` columns; a column with nested values stays ``object``), and
        sentences about lines that were left out.

    Raises:
        DataError: if the file is missing, empty, without rows or unreadable.
        ConfigError: if the pattern is wrong; ``locate`` and ``read_dataset`` raise further errors.
    """
    if source.startswith(DATASETS):
        columns = read_dataset(source, trusted)
        frame, notes = _frame(columns, max(map(len, columns.values()), default=0)), _unused(pattern, "data sets")
    else:
        frame, notes = _read_file(source, locate(source, root, admitted, trusted), pattern, keep_unmatched)
    if not len(frame):
        raise DataError(f"{source}: expected rows, found none")
    return frame, notes


def _read_file(source: str, path: Path, pattern: str, keep_unmatched: bool) -> tuple[pd.DataFrame, list[str]]:
    ending = PurePosixPath(source).suffix.lower()
    if ending not in READERS and not pattern:
        raise DataError(f"{source}: expected {listed(READERS)}, or task.pattern for lines of text, found {ending!r}")
    data = _bytes(source, path)
    if ending not in READERS:
        return _read_lines(source, data, pattern, keep_unmatched)
    frame, notes = READERS[ending](source, data)
    return frame, [*notes, *_unused(pattern, f"{ending} files")]


def _unused(pattern: str, what: str) -> list[str]:
    return [f"`pattern` not used: {what} are read as tables"] if pattern else []


def _bytes(source: str, path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"{source}: expected a file, found none{nearest(path.name, siblings)}") from None
    except OSError as error:
        raise DataError(f"{source}: expected a readable file: {error.strerror}") from None
    if not data.strip():
        raise DataError(f"{source}: expected rows, found an empty file")
    return data


def _decoded(source: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{source}: expected UTF-8, found byte 0x{data[error.start]:02x} in line {line}") from None


def _read_delimited(source: str, data: bytes, delimiter: str) -> tuple[pd.DataFrame, list[str]]:
    text = io.StringIO(_decoded(source, data))
    try:
        frame = pd.read_csv(text, sep=delimiter, dtype=str, keep_default_na=False, na_values=[""])
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        reason = str(error).strip().removeprefix("Error tokenizing data. C error: ")
        raise DataError(f"{source}: expected rows like the header: {reason}") from None
    # pandas takes the surplus cells of rows longer than the header as an index, silently.
    if not isinstance(frame.index, pd.RangeIndex):
        raise DataError(f"{source}: expected {counted(frame.shape[1], 'cell')} a row as in the header, found more")
    return frame, []


def _read_csv(source: str, data: bytes) -> tuple[pd.DataFrame, list[str]]:
    return _read_delimited(source, data, ",")


def _read_tsv(source: str, data: bytes) -> tuple[pd.DataFrame, list[str]]:
    frame, notes = _read_delimited(source, data, "\t")
    glued = sum(isinstance(cell, str) and "\n" in cell and "\t" in cell for cell in frame.to_numpy().ravel())
    if glued:
        notes.append(f"{counted(glued, 'cell')} with tabs and line breaks: a quote may have been left open")
    return frame, notes


def _read_jsonl(source: str, data: bytes) -> tuple[pd.DataFrame, list[str]]:
    records = [
        _json_object(source, number, line)
        for number, line in enumerate(_decoded(source, data).split("\n"), start=1)
        if line.strip()
    ]
    names = list(dict.fromkeys(name for record in records for name in record))
    return _frame({name: [record.get(name) for record in records] for name in names}, len(records)), []


def _json_object(source: str, number: int, line: str) -> dict[str, Any]:
    try:
        # Numbers keep their text in the file; Python writes a missing number as NaN.
        record = json.loads(line, parse_int=str, parse_float=str, parse_constant=lambda _: None)
        if "\\u" in line:
            json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise DataError(f"{source}: expected Unicode text in line {number}, found half a surrogate pair") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{source}: expected a JSON object in line {number}: {error}") from None
    if not isinstance(record, dict):
        raise DataError(f"{source}: expected a JSON object in line {number}, found {line.strip()[:40]!r}")
    return record


def _read_parquet(source: str, data: bytes) -> tuple[pd.DataFrame, list[str]]:
    try:
        table = pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{source}: expected a Parquet file: {str(error).splitlines()[0]}") from None
    columns = {name: table.column(index).to_pylist() for index, name in enumerate(table.column_names)}
    return _frame(columns, table.num_rows), []


def _read_lines(source: str, data: bytes, pattern: str, keep_unmatched: bool) -> tuple[pd.DataFrame, list[str]]:
    try:
        expression = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigError(f"task.pattern: expected a regular expression: {error}") from None
    names = list(expression.groupindex)
    if not names:
        raise ConfigError(f"task.pattern: expected named groups like (?P<text>.+), found none in {pattern!r}")
    lines = [line.removesuffix("\r") for line in _decoded(source, data).split("\n")]
    matches = [(number, expression.fullmatch(line)) for number, line in enumerate(lines, 1) if line.strip()]
    unmatched = [number for number, match in matches if match is None]
    if len(unmatched) == len(matches):
        raise DataError(f"{source}: expected lines that match task.pattern, found none of {len(matches)}")
    rows = [match for _, match in matches if match is not None or keep_unmatched]
    frame = _frame({name: [match and match[name] for match in rows] for name in names}, len(rows))
    if not unmatched or keep_unmatched:
        return frame, []
    return frame, [f"{counted(len(unmatched), 'line')} dropped: no match for `pattern` (first: line {unmatched[0]})"]


def _frame(columns: Mapping[str, list[Any]], n_rows: int) -> pd.DataFrame:
    series = {name: _column(values) for name, values in columns.items()}
    return pd.DataFrame(series, index=pd.RangeIndex(n_rows))


def _column(values: list[Any]) -> pd.Series:
    try:
        return pd.Series([cell_text(value) for value in values], dtype="str")
    except TypeError:
        return pd.Series(values, dtype=object)


def cell_text(value: Any) -> str | None:
    """Return a scalar as text (``True`` as ``"true"``), or None if it is missing.

    Raises:
        TypeError: for a list, a table, bytes or any other value that is not a scalar.
    """
    if isinstance(value, str):
        return value
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, Number):
        return None if pd.isna(value) else str(value)
    if isinstance(value, (date, time)):
        return value.isoformat()
    raise TypeError(f"expected text or a number, found {type(value).__name__}")


READERS: dict[str, Callable[[str, bytes], tuple[pd.DataFrame, list[str]]]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
