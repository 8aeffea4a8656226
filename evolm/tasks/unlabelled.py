"""Rows without gold, for self-training: those of ``task.unlabelled``, and rows of the data whose label is empty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from evolm.config import TaskSection
from evolm.errors import DataError
from evolm.tasks.items import LABEL, Item, Row, no_gold
from evolm.tasks.kinds import Kind
from evolm.tasks.rows import mapped_rows, to_items, usable_rows, without_duplicates
from evolm.tasks.tables import How, read_table
from evolm.wording import counted

NAME = "unlabelled"  # of these rows in notes


def columns_without_label(section: TaskSection) -> dict[str, str | list[str]]:
    """Return ``task.columns`` without the label."""
    return {field: column for field, column in section.columns.items() if field != LABEL}


def read_unlabelled(
    section: TaskSection, kind: Kind, *, root: Path, admitted: Sequence[Path] = (), trusted: bool = False
) -> tuple[list[Item], list[str]]:
    """Return the items of ``task.unlabelled``, whose label column, if any, is not read, and sentences about its rows.

    Raises:
        DataError, PermissionNeeded: if the file cannot be read, or has no usable row.
    """
    if not section.unlabelled:
        return [], []
    columns = columns_without_label(section)
    wanted = section.model_copy(update={"columns": columns}).column_names
    how = How(section.read, wanted, pattern=section.pattern)
    table = read_table(section.unlabelled, how, root=root, admitted=admitted, trusted=trusted)
    rows = mapped_rows(table.frame, columns, kind, section.unlabelled)
    usable, dropped = usable_rows(rows, section.exclude, section.max_chars)
    if not usable:
        raise DataError(
            f"task.unlabelled: {section.unlabelled}: expected usable rows, found none: "
            f"{'; '.join(dropped) or 'it has no rows'}"
        )
    return to_items(usable, kind, no_gold), [*table.notes, *dropped]


def rows_apart(
    section: TaskSection, kind: Kind, frame: pd.DataFrame, where: str
) -> tuple[list[Row | None], list[Row]]:
    """Return the rows of a table as :func:`mapped_rows` does, and those in which only the label's cell is empty.

    An open task has none of the latter: its empty targets are refused, since they are more often a mistake.
    """
    known = mapped_rows(frame, section.columns, kind, where)
    if LABEL not in section.columns or kind.open or None not in known:
        return known, []
    shown = mapped_rows(frame, columns_without_label(section), kind, where)
    blank = {place for place, row in enumerate(known) if row is None and shown[place] is not None}
    rest = [row for place, row in enumerate(known) if place not in blank]
    return rest, [row for place in sorted(blank) if (row := shown[place]) is not None]


def kept_unlabelled(
    items: Sequence[Item], kind: Kind, splits: Mapping[str, Sequence[Item]]
) -> tuple[tuple[Item, ...], list[str]]:
    """Return unlabelled items whose texts occur once and in no split, and sentences about them."""
    once, notes = without_duplicates(items, kind)
    taken = {item.text_key for members in splits.values() for item in members}
    kept = tuple(item for item in once if item.text_key not in taken)
    if removed := len(once) - len(kept):
        notes.append(f"{counted(removed, 'row')} dropped: same text as a row of a split")
    return kept, [*notes, f"{counted(len(kept), 'row')} without a label"] if kept else notes
