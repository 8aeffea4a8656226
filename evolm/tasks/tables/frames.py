"""Frames that come from Python: their names and cells, and what a frame must not be."""

from __future__ import annotations

from typing import Any

import pandas as pd

from evolm.errors import DataError, nearest
from evolm.tasks.items import canonical
from evolm.tasks.tables.cells import cell_text, frame_of_pairs
from evolm.wording import listed


def checked_frame(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return the frame.

    Raises:
        DataError: if it is no frame, or its columns have several levels of names.
    """
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"{where}: expected a pandas DataFrame, found {type(frame).__name__}")
    if frame.columns.nlevels > 1:
        raise DataError(
            f"{where}: expected one name for each column, found a MultiIndex of {frame.columns.nlevels} levels; "
            "join them first: frame.columns = ['_'.join(map(str, names)) for names in frame.columns]"
        )
    return frame


def cells_of(frame: pd.DataFrame, column: str, where: str, key: str) -> list[Any]:
    """Return the cells of a column, found by its name as text: the name of column 0 is "0".

    Names that differ only in their Unicode form or in white space around them are the same if none fits exactly.

    Args:
        frame: the rows.
        column: the name.
        where, key: the table, and the key of campaign.toml that names the column, for messages.

    Raises:
        DataError: if no column, or more than one, has this name.
    """
    names = [str(name) for name in frame.columns]
    places = [place for place, name in enumerate(names) if name == column]
    places = places or [place for place, name in enumerate(names) if canonical(name) == canonical(column)]
    if not places:
        raise DataError(
            f"{where}: expected one column {column!r} ({key}), found {listed(names)}{nearest(column, names)}"
        )
    if len(places) > 1:
        raise DataError(
            f"{where}: expected one column {column!r} ({key}), found it twice (columns "
            f"{' and '.join(str(place + 1) for place in places)}); give each column a name of its own"
        )
    return frame.iloc[:, places[0]].tolist()


def mapped_texts(frame: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    """Return some columns with every cell as text, or a list of texts, so that a file can hold them."""
    cells = [[_storable(cell) for cell in cells_of(frame, name, "frame", "task.columns")] for name in columns]
    return frame_of_pairs(list(columns), cells, len(frame))


def _storable(cell: Any) -> Any:
    return cell if isinstance(cell, list | tuple) else cell_text(cell)
