"""From a table to items: map columns, drop what cannot be used, name the labels, remove duplicates.

Pure functions on small records; each that drops something also says so in sentences for people.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from evolm.errors import ConfigError, DataError, nearest
from evolm.tasks.sources import cell_text
from evolm.tasks.template import LABEL
from evolm.wording import counted, listed


@dataclass(frozen=True)
class Item:
    """A row that a model is asked about.

    Attributes:
        digest: 16 hexadecimal digits of the SHA-256 over kind, fields and gold.
        fields: the template's fields, in the order of ``task.columns``.
        gold: the label's word, or None where it isn't known.
    """

    digest: str
    fields: Mapping[str, str] = field(hash=False)
    gold: str | None

    @classmethod
    def of(cls, kind: str, fields: Mapping[str, str], gold: str | None) -> Item:
        """Make the item with its digest; the order of the fields doesn't count."""
        content = json.dumps([kind, dict(sorted(fields.items())), gold])
        return cls(hashlib.sha256(content.encode()).hexdigest()[:16], dict(fields), gold)


@dataclass(frozen=True)
class Row:
    """A row as mapped: ``number`` counts from 1 below the header, ``label`` is the raw value."""

    number: int
    fields: dict[str, str]
    label: str | None


def mapped_rows(frame: pd.DataFrame, columns: Mapping[str, str], where: str) -> list[Row | None]:
    """Return a row per row of ``frame``, in order; None where a mapped cell is missing or blank.

    Surrounding white space is stripped from every cell.

    Raises:
        DataError: if a column is missing, occurs twice or holds values that are no text or number.
    """
    cells = {name: _cells(frame, column, name, where) for name, column in columns.items()}
    rows: list[Row | None] = []
    for number, values in enumerate(zip(*cells.values(), strict=True), start=1):
        if not all(values):
            rows.append(None)
            continue
        fields = {name: value for name, value in zip(cells, values, strict=True) if value is not None}
        label = fields.pop(LABEL, None)
        rows.append(Row(number, fields, label))
    return rows


def _cells(frame: pd.DataFrame, column: str, name: str, where: str) -> list[str | None]:
    known = [str(existing) for existing in frame.columns]
    if known.count(column) != 1:
        found = "it twice" if column in known else listed(known) + nearest(column, known)
        raise DataError(f"{where}: expected one column {column!r} (task.columns.{name}), found {found}")
    cells: list[str | None] = []
    for number, value in enumerate(frame.iloc[:, known.index(column)].tolist(), start=1):
        try:
            text = cell_text(value)
        except TypeError as error:
            raise DataError(f"{where}: column {column!r}, row {number}: {error}") from None
        cells.append(text.strip() if text is not None else None)
    return cells


def usable_rows(rows: Sequence[Row | None], exclude: str, max_chars: int) -> tuple[list[Row], list[str]]:
    """Drop rows with missing cells, that match ``exclude``, or that have a field above ``max_chars``.

    ``exclude`` is searched in every mapped field, the raw label included; an empty one matches nothing.

    Raises:
        ConfigError: if ``exclude`` is not a regular expression.
    """
    whole = [row for row in rows if row is not None]
    expression = _expression(exclude)
    wanted = [row for row in whole if not (exclude and _matches(row, expression))]
    short = [row for row in wanted if not max_chars or max(map(len, row.fields.values())) <= max_chars]
    notes = [
        *_dropped(len(rows) - len(whole), "a mapped cell is missing"),
        *_dropped(len(whole) - len(wanted), "match `exclude`"),
        *_dropped(len(wanted) - len(short), f"a field is longer than {max_chars} characters"),
    ]
    return short, notes


def _expression(exclude: str) -> re.Pattern[str]:
    try:
        return re.compile(exclude)
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigError(f"task.exclude: expected a regular expression: {error}") from None


def _matches(row: Row, expression: re.Pattern[str]) -> bool:
    mapped = [*row.fields.values(), *([] if row.label is None else [row.label])]
    return any(expression.search(text) for text in mapped)


def _dropped(number: int, why: str) -> list[str]:
    return [f"{counted(number, 'row')} dropped: {why}"] if number else []


def label_words(labels: Mapping[str, str], rows: Iterable[Row]) -> dict[str, str]:
    """Return raw value -> word; where ``labels`` is empty, the raw values are the words, sorted."""
    if labels:
        return dict(labels)
    return {raw: raw for raw in sorted({row.label for row in rows if row.label is not None})}


def to_items(rows: Iterable[Row], kind: str, words: Mapping[str, str] | None, where: str) -> list[Item]:
    """Return an item per row, with the label's word, or without gold where ``words`` is None.

    Raises:
        DataError: for a raw label that ``words`` doesn't have.
    """
    return [Item.of(kind, row.fields, None if words is None else _word(row, words, where)) for row in rows]


def _word(row: Row, words: Mapping[str, str], where: str) -> str:
    if row.label is None or row.label not in words:
        raise DataError(
            f"{where}: expected a label among {listed(words)}, found {row.label!r} in row {row.number} "
            "(labels are compared as text: '1' is not '1.0')"
        )
    return words[row.label]


def text_key(item: Item) -> str:
    """Return what two items share when they say the same: case and white space don't count."""
    return "\n".join(" ".join(text.casefold().split()) for _, text in sorted(item.fields.items()))


def without_duplicates(items: Sequence[Item]) -> tuple[list[Item], list[str]]:
    """Keep the first item of each text; a text that occurs with several gold labels is dropped altogether."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(text_key(item), []).append(item)
    kept, repeated, contradicting = [], 0, 0
    for group in groups.values():
        if len({item.gold for item in group}) > 1:
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
        kept[split] = [item for item in splits[split] if text_key(item) not in seen]
        removed = len(splits[split]) - len(kept[split])
        notes += [f"{split}: {note}" for note in _dropped(removed, "same text as a row of a later split")]
        seen.update(text_key(item) for item in splits[split])
    return {split: kept[split] for split in splits}, notes
