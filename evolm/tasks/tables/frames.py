"""Frames that come from Python: their names and cells, and what a frame must not be."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from typing import Any, Final

import pandas as pd

from evolm.errors import DataError, nearest
from evolm.tasks.items import canonical
from evolm.tasks.tables.cells import cell_text, frame_of_pairs
from evolm.wording import counted, listed

# What pandas.read_csv reads as a missing value by default.
_MISSING: Final = {
    *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"),
    *("NULL", "NaN", "None", "n/a", "nan", "null"),
}


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


def refuse_lost_labels(frame: pd.DataFrame, column: str, where: str, labels: Collection[str]) -> None:
    """Refuse a frame whose missing labels seem to be a label that pandas has read as a missing value.

    So it seems if a name that pandas reads as missing is among ``labels`` but not in the column; or, if ``labels``
    is empty, if the rows without a label are as many as those of the rarest one, and labels are words.

    Raises:
        DataError: naming what to type.
    """
    cells = cells_of(frame, column, where, "task.columns.label")
    lost = sum(isinstance(cell, float) and math.isnan(cell) for cell in cells)
    texts = [cell for cell in cells if isinstance(cell, str)]
    counts = Counter(texts)
    named = [name for name in labels if name in _MISSING and name not in counts]
    rare = not labels and len(counts) > 1 and lost > 1 and lost >= min(counts.values())
    if lost and (named or rare):
        found = f"none with {listed(named)}, which task.labels names" if named else "as many as some labels have"
        raise DataError(
            f"{where}: expected a label in every row, found {counted(lost, 'row')} without one in {column!r}, "
            f"{found}; pandas reads words like NA, None and null as missing: give evolm the file's name instead, "
            "or read it with pd.read_csv(..., keep_default_na=False); rows that have no label: "
            f"frame.dropna(subset=[{column!r}])"
        )


def mapped_texts(frame: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    """Return some columns with every cell as text, or a list of texts, so that a file can hold them."""
    cells = [[_storable(cell) for cell in cells_of(frame, name, "frame", "task.columns")] for name in columns]
    return frame_of_pairs(list(columns), cells, len(frame))


def _storable(cell: Any) -> Any:
    return cell if isinstance(cell, list | tuple) else cell_text(cell)
