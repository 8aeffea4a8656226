"""From a table to items: map columns, drop unusable rows, name labels, remove duplicates.

Pure functions on small records. A function that drops rows also returns sentences about them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from evolm.errors import DataError
from evolm.tasks.bins import Bins, binned
from evolm.tasks.expressions import Expression
from evolm.tasks.items import LABEL, OPTIONS, Item, Options, Row, canonical
from evolm.tasks.kinds import Kind
from evolm.tasks.options import read_options
from evolm.tasks.tables.cells import cell_text
from evolm.tasks.tables.frames import cells_of
from evolm.wording import counted, listed


def mapped_rows(
    frame: pd.DataFrame, columns: Mapping[str, str | list[str]], kind: Kind, where: str
) -> list[Row | None]:
    """Return one row per row of ``frame``, in order; None if a mapped cell is missing or blank.

    Surrounding white space is stripped from every cell, and a label that is compared with others is brought to one
    Unicode form. A row of an open task with a blank label is kept, and refused
    when its gold is read: an empty target is more often a mistake than a row to leave out.

    Raises:
        DataError: if a column is missing, occurs twice, or holds values that are neither text nor number.
    """
    texts = {
        name: _texts(frame, column, name, where)
        for name, column in columns.items()
        if isinstance(column, str) and not (kind.options and name == OPTIONS)
    }
    labels = texts.pop(LABEL, None)
    options = _options(frame, columns[OPTIONS], where) if kind.options else None
    rows: list[Row | None] = []
    for index in range(len(frame)):
        fields = {name: cell for name, cells in texts.items() if (cell := cells[index])}
        label = None if labels is None else _label(labels[index] or "", kind)
        shown = None if options is None else options[index]
        blank = label == "" and not kind.open
        whole = len(fields) == len(texts) and not blank and (options is None or shown is not None)
        rows.append(Row(where, index + 1, fields, label, shown) if whole else None)
    return rows


def _label(text: str, kind: Kind) -> str:
    """Return a label in the form in which labels are compared; the target of an open task stays as it is."""
    return text if kind.open else canonical(text)


def _texts(frame: pd.DataFrame, column: str, name: str, where: str) -> list[str | None]:
    texts: list[str | None] = []
    for number, value in enumerate(cells_of(frame, column, where, f"task.columns.{name}"), start=1):
        try:
            text = cell_text(value)
        except TypeError as error:
            raise DataError(f"{where}: column {column!r}, row {number}: {error}") from None
        texts.append(text.strip() if text is not None else None)
    return texts


def _options(frame: pd.DataFrame, column: str | list[str], where: str) -> list[Options | None]:
    """Read the options of each row from one column, or from several columns with one option each."""
    names = [column] if isinstance(column, str) else column
    columns = [cells_of(frame, name, where, f"task.columns.{OPTIONS}") for name in names]
    cells = columns[0] if isinstance(column, str) else list(zip(*columns, strict=True))
    options: list[Options | None] = []
    for number, cell in enumerate(cells, start=1):
        try:
            options.append(read_options(cell))
        except (TypeError, ValueError) as error:
            raise DataError(f"{where}: options in {listed(names)}, row {number}: {error}") from None
    return options


def usable_rows(
    rows: Sequence[Row | None], exclude: str, max_chars: int, bins: Bins = {}
) -> tuple[list[Row], list[str]]:
    """Drop rows with missing cells, bad options, a match of ``exclude``, a label in no bin, or a too long text.

    Args:
        rows: from :func:`mapped_rows`.
        exclude: regular expression that is searched in every mapped field, in options and the raw label; ``""``
            matches nothing.
        max_chars: longest text of a field or option, in characters; 0 = no limit.
        bins: ranges of numeric labels; empty = labels are texts.

    Returns:
        The other rows, and sentences about the dropped ones.

    Raises:
        ConfigError: if ``exclude`` is not a regular expression, or takes too long.
        DataError: if there are bins and a label is no number.
    """
    whole = [row for row in rows if row is not None]
    several = [row for row in whole if not _too_few(row)]
    distinct = [row for row in several if not _repeating(row)]
    expression = Expression("task.exclude", exclude)
    wanted = [row for row in distinct if not (exclude and _matches(row, expression))]
    inside = [row for row in wanted if not bins or binned(bins, row) is not None]
    short = [row for row in inside if not max_chars or max(map(len, _shown(row))) <= max_chars]
    notes = [
        *_dropped(len(rows) - len(whole), "a mapped cell is missing"),
        *_dropped(len(whole) - len(several), "fewer than two options"),
        *_dropped(len(several) - len(distinct), "an option occurs twice"),
        *_dropped(len(distinct) - len(wanted), "match `exclude`"),
        *_dropped(len(wanted) - len(inside), f"label in no bin of `bins` ({_labels_outside(wanted, inside)})"),
        *_dropped(len(inside) - len(short), f"a field is longer than {max_chars} characters"),
    ]
    return short, notes


def _labels_outside(rows: Sequence[Row], inside: Sequence[Row]) -> str:
    kept = {row.label for row in inside}
    return listed(sorted({row.label or "" for row in rows if row.label not in kept}), most=4)


def answerable(row: Row) -> bool:
    """Return whether the model can be asked about a row: its options, if any, are several and all different."""
    return not _too_few(row) and not _repeating(row)


def _too_few(row: Row) -> bool:
    return row.options is not None and len(row.options.texts) < 2


def _repeating(row: Row) -> bool:
    return row.options is not None and len(set(map(canonical, row.options.texts))) < len(row.options.texts)


def _shown(row: Row) -> list[str]:
    return [*row.fields.values(), *(row.options.texts if row.options is not None else ())]


def _matches(row: Row, expression: Expression) -> bool:
    mapped = [*_shown(row), *([] if row.label is None else [row.label])]
    return any(map(expression.found_in, mapped))


def _dropped(number: int, why: str) -> list[str]:
    return [f"{counted(number, 'row')} dropped: {why}"] if number else []


def to_items(rows: Sequence[Row], kind: Kind, gold: Callable[[Row], str | None]) -> list[Item]:
    """Return one item per row, its gold from ``gold``, whose errors are passed on."""
    return [
        Item.of(kind.name, row.fields, gold(row), row.options.texts if row.options is not None else ())
        for row in rows
    ]


def without_duplicates(items: Sequence[Item], kind: Kind) -> tuple[list[Item], list[str]]:
    """Keep the first item of each text.

    All items of a text that occurs with several gold answers are dropped, unless the task is open: then several
    answers may be right.
    """
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.text_key, []).append(item)
    kept, repeated, contradicting = [], 0, 0
    for group in groups.values():
        if len({item.gold for item in group}) > 1 and not kind.open:
            contradicting += len(group)
        else:
            kept.append(group[0])
            repeated += len(group) - 1
    return kept, [
        *_dropped(repeated, "same text as an earlier row"),
        *_dropped(contradicting, "same text with different labels"),
    ]


def without_leaks(splits: Mapping[str, Sequence[Item]]) -> tuple[dict[str, list[Item]], list[str]]:
    """Remove from each split the texts of the splits named after it; the last one keeps all of its items."""
    kept: dict[str, list[Item]] = {}
    notes: list[str] = []
    seen: set[str] = set()
    for split in reversed(list(splits)):
        kept[split] = [item for item in splits[split] if item.text_key not in seen]
        removed = len(splits[split]) - len(kept[split])
        notes += [f"{split}: {note}" for note in _dropped(removed, "same text as a row of a later split")]
        seen.update(item.text_key for item in splits[split])
    return {split: kept[split] for split in splits}, notes
