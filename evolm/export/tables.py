"""Predictions as the content of a table's file, whose ending says its format.

If the rows were read from a file of the same format, their own columns are copied from it: a row of JSON lines gets
new keys at its end, a Parquet table new columns, so that numbers, times and nested values stay what they were.
Otherwise cells are text, as they were read.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from evolm.data_access import locate
from evolm.export.predicted_rows import PredictedRows


def table_bytes(table: PredictedRows, ending: str, source: str) -> bytes:
    """Return rows and answers as the content of a file.

    Args:
        table: the rows.
        ending: of the file, one of ``TABLE_ENDINGS``.
        source: what the rows were read from: a path or ``package:DIST/FILE``.
    """
    if source.lower().endswith(ending) and ending in EXTENDED:
        data = locate(source, Path(), trusted=True).read_bytes()
        extended = EXTENDED[ending](data, table)
        if extended is not None:
            return extended
    return WRITERS[ending](table.frame())


# -- formats -------------------------------------------------------------------------------------------------


class _Lines:
    """Takes a writer's rows, each with ``\\\\r\\\\n`` at its end, as lines with ``\\\\n``.

    Before Python 3.11.9 and 3.12.3, ``csv`` quotes a carriage return only if it is part of the line's end.
    """

    def __init__(self) -> None:
        self.text = io.StringIO(newline="")

    def write(self, row: str) -> None:
        self.text.write(row.removesuffix("\r\n") + "\n")


def _delimited(frame: pd.DataFrame, separator: str) -> bytes:
    lines: Any = _Lines()
    frame.map(_plain).to_csv(lines, sep=separator, index=False, lineterminator="\r\n")
    return lines.text.getvalue().encode()


def _csv(frame: pd.DataFrame) -> bytes:
    return _delimited(frame, ",")


def _tsv(frame: pd.DataFrame) -> bytes:
    return _delimited(frame, "\t")


def _jsonl(frame: pd.DataFrame) -> bytes:
    names = [str(column) for column in frame.columns]
    rows = zip(*(frame.iloc[:, place].tolist() for place in range(len(names))), strict=True)
    return "".join(_json(dict(zip(names, map(_json_value, row), strict=True))) + "\n" for row in rows).encode()


def _parquet(frame: pd.DataFrame) -> bytes:
    names = [str(column) for column in frame.columns]
    columns = [_arrow(frame.iloc[:, place].tolist()) for place in range(len(names))]
    return _parquet_bytes(pa.Table.from_arrays(columns, names=names))


WRITERS: dict[str, Callable[[pd.DataFrame], bytes]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}


# -- the input's own format ----------------------------------------------------------------------------------


def _extended_jsonl(data: bytes, table: PredictedRows) -> bytes | None:
    """Return the lines of a file with the answers' keys at their ends; None if they are not the rows."""
    try:
        lines = [line.strip() for line in data.decode("utf-8-sig").split("\n") if line.strip()]
    except UnicodeDecodeError:  # another encoding was recognised
        return None
    if len(lines) != len(table.rows):
        return None
    cells = [dict(zip(table.answers, row, strict=True)) for row in zip(*table.answers.values(), strict=True)]
    pairs = [_json({name: _json_value(cell) for name, cell in row.items()})[1:] for row in cells]
    starts = [line[:-1].rstrip() for line in lines]
    return "".join(
        f"{start}{', ' if start != '{' else ''}{pair}\n" for start, pair in zip(starts, pairs, strict=True)
    ).encode()


def _extended_parquet(data: bytes, table: PredictedRows) -> bytes | None:
    """Return the table of a file with columns of answers; None if its rows are others."""
    found = pq.ParquetFile(io.BytesIO(data)).read()  # a data set would refuse names that occur twice
    if found.num_rows != len(table.rows):
        return None
    for name, cells in table.answers.items():
        found = found.append_column(name, _arrow(cells.tolist()))
    return _parquet_bytes(found)


EXTENDED: Mapping[str, Callable[[bytes, PredictedRows], bytes | None]] = {
    ".jsonl": _extended_jsonl,
    ".parquet": _extended_parquet,
}


# -- cells ---------------------------------------------------------------------------------------------------


def _missing(cell: Any) -> bool:
    return cell is None or cell is pd.NA or (isinstance(cell, float | np.floating) and bool(np.isnan(cell)))


def _plain(cell: Any) -> Any:
    """Return a cell for a format without nested values: lists and tables as JSON."""
    return _json(cell) if isinstance(cell, list | dict) else cell


def _json_value(cell: Any) -> Any:
    return None if _missing(cell) else cell


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _arrow(cells: list[Any]) -> pa.Array:
    values = [_json_value(cell) for cell in cells]
    try:
        return pa.array(values, type=pa.string() if all(value is None for value in values) else None)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # lists in some rows, text in others
        return pa.array([None if value is None else str(_plain(value)) for value in values])


def _parquet_bytes(table: pa.Table) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream)
    return stream.getvalue()
