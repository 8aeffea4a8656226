"""Cells as text, and columns of cells as a frame."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from evolm.errors import DataError
from evolm.wording import truth_word


def cell_text(value: Any) -> str | None:
    """Return a scalar as text (``True`` as ``"true"``, bytes as UTF-8), or None if it is missing.

    Raises:
        TypeError: for a list, a table or any other value that is not a scalar, for bytes that are not UTF-8, and for
            text that is not Unicode (half of a surrogate pair).
    """
    if isinstance(value, str):
        return _unicode(value)
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, (bool, np.bool_)):
        return truth_word(bool(value))
    if isinstance(value, Number):
        return None if pd.isna(value) else str(value)
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return _decoded(bytes(value))
    raise TypeError(f"expected text or a number, found {type(value).__name__}")


def _unicode(text: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise TypeError("expected Unicode text, found half of a surrogate pair") from None
    return text


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise TypeError(f"expected text, found bytes that are not UTF-8: {data[:20]!r}") from None


def frame_of(columns: Mapping[str, list[Any]], n_rows: int) -> pd.DataFrame:
    """Return columns of cells as a frame: ``str`` columns, or ``object`` if a cell is not a scalar.

    Args:
        columns: name -> ``n_rows`` cells.
        n_rows: number of rows, which a table without columns would not tell.
    """
    return frame_of_pairs(list(columns), list(columns.values()), n_rows)


def frame_of_pairs(names: list[str], columns: list[list[Any]], n_rows: int) -> pd.DataFrame:
    """Return columns of cells as a frame whose names may occur twice; see :func:`frame_of`."""
    return _named(names, list(map(_column, columns)), n_rows)


def text_frame(names: list[str], columns: list[list[str | None]], n_rows: int) -> pd.DataFrame:
    """Return columns of texts as a frame; see :func:`frame_of_pairs`, which looks at every cell."""
    return _named(names, [pd.Series(column, dtype="str") for column in columns], n_rows)


def _named(names: list[str], columns: list[pd.Series], n_rows: int) -> pd.DataFrame:
    frame = pd.DataFrame(dict(enumerate(columns)), index=pd.RangeIndex(n_rows))
    frame.columns = pd.Index(names, dtype=object)
    return frame


def _column(values: list[Any]) -> pd.Series:
    try:
        return pd.Series([cell_text(value) for value in values], dtype="str")
    except TypeError:
        return pd.Series(values, dtype=object)


def arrow_cells(source: str, name: str, column: pa.ChunkedArray) -> list[Any]:
    """Return the cells of a column of Arrow; times that Python cannot hold are numbers.

    Args:
        source, name: the table and the column, for messages.
        column: the column.

    Raises:
        DataError: if it holds other values that Python cannot hold.
    """
    try:
        cells: list[Any] = column.to_pylist()
    except (pa.ArrowException, ValueError, OverflowError) as error:
        try:
            cells = column.cast(pa.int64()).to_pylist()
        except pa.ArrowException:
            raise DataError(f"{source}: expected values that Python can hold in {name!r}: {error}") from None
    return cells
