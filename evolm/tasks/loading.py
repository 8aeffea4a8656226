"""Loading a task from ``[task]`` and ``[template]``, and new rows as items of such a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import pandas as pd

from evolm.config import DataFiles, ReadSection, TaskSection, TemplateSection, validate
from evolm.data_access import DATASETS
from evolm.errors import ConfigError, DataError, nearest
from evolm.tasks.bins import binned
from evolm.tasks.checks import check_rendering, check_settings
from evolm.tasks.items import LABEL, Item, Row, no_gold
from evolm.tasks.kinds import KINDS, Kind, check_labels
from evolm.tasks.lookalikes import lookalikes
from evolm.tasks.rows import (
    answerable,
    mapped_rows,
    to_items,
    usable_rows,
    without_duplicates,
    without_leaks,
)
from evolm.tasks.splitting import SPLITS, split_items
from evolm.tasks.tables import How, read_table, stem_of
from evolm.tasks.tables.frames import checked_frame, refuse_lost_labels
from evolm.tasks.tables.hub import DatasetName
from evolm.tasks.task import Task
from evolm.tasks.template import Template
from evolm.tasks.unlabelled import NAME, kept_unlabelled, read_unlabelled, rows_apart
from evolm.wording import listed

_WHOLE: Final = ""  # the name of a table that is still to be split

Frames: TypeAlias = pd.DataFrame | Mapping[str, pd.DataFrame]


def load_task(
    section: TaskSection,
    template: TemplateSection,
    *,
    root: Path,
    admitted: Sequence[Path] = (),
    trusted: bool = False,
    frame: Frames | None = None,
    whole: bool = False,
) -> Task:
    """Read, clean and split the rows of ``[task]``.

    Args:
        section, template: the two tables of campaign.toml.
        root, admitted, trusted: what may be read, see :func:`~evolm.tasks.tables.read_table`.
        frame: rows that stand for ``task.data``: one frame to split, or a frame per split.
        whole: do not split: every usable row is in ``dev``, however few a label has.

    Raises:
        ConfigError: if settings are wrong or contradict each other.
        DataError: if the rows cannot be used as the settings ask.
        PermissionNeeded: if the data lies where the campaign may not read.
    """
    check_settings(section)
    kind, known, seen = KINDS[section.kind], LABEL in section.columns, section.gold == "use"
    rendering = Template.from_section(template, list(section.columns), kind.name)
    tables, notes = _tables(section, root, admitted, trusted, frame)
    if frame is not None and known and kind.labels:
        for source, table in tables.values():
            refuse_lost_labels(table, str(section.columns[LABEL]), source, section.labels)
    rows, blank, dropped = _rows(section, kind, tables)
    notes += dropped
    answers = kind.answers(section, [row for split in rows.values() for row in split])
    if kind.labels:
        check_labels(answers.labels)
        notes += lookalikes(answers.labels)
    items: dict[str, list[Item]] = {}
    for split in tables:
        items[split], dropped = without_duplicates(to_items(rows[split], kind, answers.gold), kind)
        notes += _prefixed(split, dropped)
    strata = answers.labels if known and seen else ()
    if whole:
        splits = {**dict.fromkeys(SPLITS, ()), "dev": tuple(item for split in items.values() for item in split)}
    elif _WHOLE in items:
        splits = split_items(items[_WHOLE], strata, section.split, gold=known and seen)
    else:
        splits, dropped = _given_splits(items, strata)
        notes += dropped
    more, told = read_unlabelled(section, kind, root=root, admitted=admitted, trusted=trusted)
    unlabelled, dropped = kept_unlabelled([*to_items(blank, kind, no_gold), *more], kind, splits)
    notes += _prefixed(NAME, [*told, *dropped])
    check_rendering(rendering, answers.labels, [*(item for split in splits.values() for item in split), *unlabelled])
    return Task(
        name=section.name or _name(section),
        kind=kind.name,
        metric=section.metric or kind.metric,
        labels=answers.labels,
        template=rendering,
        notes=tuple(notes),
        has_gold=known and seen,
        audited=known and not seen,
        answer_key=answers.key,
        unlabelled=unlabelled,
        **splits,
    )


def _rows(
    section: TaskSection, kind: Kind, tables: Mapping[str, tuple[str, pd.DataFrame]]
) -> tuple[dict[str, list[Row]], list[Row], list[str]]:
    """Return the usable rows of each table, those of all tables without a label, and sentences about the others."""
    rows: dict[str, list[Row]] = {}
    blank: list[Row] = []
    notes: list[str] = []
    for split, (source, table) in tables.items():
        mapped, without_label = rows_apart(section, kind, table, source)
        blank += usable_rows(without_label, section.exclude, section.max_chars)[0]
        rows[split], dropped = usable_rows(mapped, section.exclude, section.max_chars, section.bins)
        if not rows[split]:
            raise DataError(f"{source}: expected usable rows, found none: {'; '.join(dropped) or 'it has no rows'}")
        notes += _prefixed(split, dropped)
    return rows, blank, notes


@dataclass(frozen=True)
class NewRows:
    """Rows to be answered.

    Attributes:
        frame: the rows as read, with all columns.
        items: an item for each row: None if a mapped cell is missing, if the row's options are fewer than two or
            repeated, or if the label is needed and in no bin of ``task.bins``.
        between: number of rows whose label is in no bin.
        notes: sentences about how a file was read, to be told to the user.
    """

    frame: pd.DataFrame
    items: list[Item | None]
    between: int
    notes: tuple[str, ...]


def read_items(
    source: str | pd.DataFrame,
    section: TaskSection,
    *,
    root: Path,
    admitted: Sequence[Path] = (),
    trusted: bool = False,
    gold: bool = False,
    own: Mapping[str, Any] = {},
    where: str = "frame",
) -> NewRows:
    """Read rows to be answered; none is dropped.

    Args:
        source: a frame, or what :func:`~evolm.tasks.tables.read_table` reads, admitted in the same way.
        section: the task, whose columns and labels apply; ``exclude``, ``max_chars`` and ``split`` are ignored. A
            file may be written otherwise than the task's own data: then ``read`` gives way, and a note says so.
        gold: whether the label column is needed and read.
        own: keys of ``[task.read]`` that the user gives for this very file.
        where: name of a frame, for messages.

    Raises:
        ConfigError: if settings are wrong, or ``gold`` is true for a task without a label column.
        DataError, PermissionNeeded: as for :func:`load_task`.
    """
    check_settings(section)
    kind = KINDS[section.kind]
    if gold and LABEL not in section.columns:
        raise ConfigError("task.columns: expected a column for `label` to read gold labels, found none")
    columns = {name: column for name, column in section.columns.items() if gold or name != LABEL}
    if isinstance(source, str):
        wanted = section.model_copy(update={"columns": columns}).column_names
        read = validate(ReadSection, section.read.model_dump(exclude_defaults=True) | dict(own), "task.read")
        how = How(read, wanted, frozenset(own), new=True, pattern=section.pattern)
        table = read_table(source, how, root=root, admitted=admitted, trusted=trusted)
        where, frame, notes = source, table.frame, table.notes
    else:
        frame, notes = checked_frame(source, where), []
    rows = [row if row and answerable(row) else None for row in mapped_rows(frame, columns, kind, where)]
    outside = [gold and row is not None and bool(section.bins) and binned(section.bins, row) is None for row in rows]
    rows = [None if out else row for row, out in zip(rows, outside, strict=True)]
    present = [row for row in rows if row is not None]
    items = iter(to_items(present, kind, kind.answers(section, present).gold if gold else no_gold))
    return NewRows(frame, [None if row is None else next(items) for row in rows], sum(outside), tuple(notes))


def _tables(
    section: TaskSection, root: Path, admitted: Sequence[Path], trusted: bool, frame: Frames | None
) -> tuple[dict[str, tuple[str, pd.DataFrame]], list[str]]:
    """Return source and rows of each split, in the order of ``SPLITS``, or of the table that is still to be split."""
    if isinstance(frame, pd.DataFrame):
        return {_WHOLE: ("frame", checked_frame(frame, "frame"))}, []
    if frame is not None:
        for name in frame:
            if name not in SPLITS:
                raise ConfigError(
                    f"frame: expected splits among {listed(SPLITS)}, found {name!r}{nearest(name, SPLITS)}"
                )
        places = {name: f"frame[{name!r}]" for name in SPLITS if name in frame}
        return {name: (place, checked_frame(frame[name], place)) for name, place in places.items()}, []
    tables, notes = {}, []
    how = How(section.read, section.column_names, pattern=section.pattern)
    for split, source in _sources(section).items():
        table = read_table(source, how, root=root, admitted=admitted, trusted=trusted)
        tables[split] = source, table.frame
        notes += _prefixed(split, table.notes)
    return tables, notes


def _sources(section: TaskSection) -> dict[str, str]:
    if isinstance(section.data, DataFiles):
        return {name: source for name in SPLITS if (source := getattr(section.data, name, ""))}
    return {_WHOLE: section.data}


def _prefixed(split: str, notes: Sequence[str]) -> list[str]:
    return [f"{split}: {note}" if split else note for note in notes]


def _given_splits(
    items: Mapping[str, Sequence[Item]], labels: Sequence[str]
) -> tuple[dict[str, tuple[Item, ...]], list[str]]:
    """Return the user's own splits, in file order, without texts that also occur in a later split."""
    kept, notes = without_leaks(items)
    if not kept.get("dev"):
        raise DataError("dev: expected usable rows, found none")
    for split, members in kept.items():
        found = {item.gold for item in members}
        missing = [label for label in labels if label not in found]
        if missing and split == "dev":
            raise DataError(f"dev: expected rows of every label, found 0 of {listed(missing)}")
        if missing:
            notes.append(f"{split}: no row has the label {listed(missing)}")
    return {name: tuple(kept.get(name, ())) for name in SPLITS}, notes


def _name(section: TaskSection) -> str:
    source = section.data.dev if isinstance(section.data, DataFiles) else section.data
    return DatasetName.parse(source).name if source.startswith(DATASETS) else stem_of(source)
