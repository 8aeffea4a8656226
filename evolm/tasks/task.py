"""A task: labelled rows in splits, how they are written, and the metric that counts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evolm.config import DataFiles, TaskSection, TemplateSection
from evolm.errors import ConfigError, DataError, nearest
from evolm.tasks.checks import check_rendering, check_settings, distinct_labels
from evolm.tasks.rows import (
    Item,
    Row,
    label_words,
    mapped_rows,
    to_items,
    usable_rows,
    without_duplicates,
    without_leaks,
)
from evolm.tasks.sources import read_table
from evolm.tasks.splitting import SPLITS, split_items
from evolm.tasks.template import LABEL, Template
from evolm.wording import listed

_WHOLE = ""  # the name of a table that is still to be split

Frames: TypeAlias = pd.DataFrame | Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Task:
    """What a campaign works on; nothing in it changes.

    Attributes:
        name: shown in reports.
        kind: a name in ``KINDS``.
        metric: a name in ``CLASSIFICATION_METRICS``.
        labels: words in the order of ``task.labels``; a label's index is its place here.
        template: how items and answers are written.
        train, dev, validation, test: items; no text stands in two of them.
        notes: sentences about what was dropped and why.
        has_gold: whether every item has its label; otherwise none has.
    """

    name: str
    kind: str
    metric: str
    labels: tuple[str, ...]
    template: Template
    train: tuple[Item, ...]
    dev: tuple[Item, ...]
    validation: tuple[Item, ...]
    test: tuple[Item, ...]
    notes: tuple[str, ...]
    has_gold: bool

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the template's fields."""
        return self.template.fields

    @cached_property
    def label_index(self) -> dict[str, int]:
        """Word -> place in ``labels``."""
        return {word: index for index, word in enumerate(self.labels)}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the labels and every item's digest, split by split, in order."""
        digests = {name: [item.digest for item in getattr(self, name)] for name in SPLITS}
        return hashlib.sha256(json.dumps([self.labels, digests]).encode()).hexdigest()

    def splits(self) -> dict[str, int]:
        """Number of items in each split."""
        return {name: len(getattr(self, name)) for name in SPLITS}

    def gold_indices(self, items: Sequence[Item]) -> NDArray[np.int64]:
        """Return the ``(n,)`` label indices of ``items``, in their order.

        Raises:
            DataError: if an item has no gold label, or one of another task.
        """
        for item in items:
            if item.gold not in self.label_index:
                raise DataError(
                    f"item {item.digest}: expected a label among {listed(self.labels)}, found {item.gold!r}"
                )
        return np.array([self.label_index[item.gold] for item in items if item.gold is not None], dtype=np.int64)


def load_task(
    section: TaskSection,
    template: TemplateSection,
    *,
    root: Path,
    admitted: Sequence[Path] = (),
    trusted: bool = False,
    frame: Frames | None = None,
) -> Task:
    """Read, clean and split the rows of ``[task]``.

    Args:
        section, template: the two tables of campaign.toml.
        root, admitted, trusted: which files may be read, see :func:`evolm.location.locate`.
        frame: rows that stand for ``task.data``: one frame to split, or a frame per split.

    Raises:
        ConfigError: if settings are wrong or contradict each other.
        DataError: if the rows cannot be used as the settings ask.
        PermissionNeeded: if the data lies where the campaign may not read.
    """
    check_settings(section)
    rendering = Template.from_section(template, list(section.columns))
    tables, notes = _tables(section, root, admitted, trusted, frame)
    rows: dict[str, list[Row]] = {}
    for split, (source, table) in tables.items():
        mapped = mapped_rows(table, section.columns, source)
        rows[split], dropped = usable_rows(mapped, section.exclude, section.max_chars)
        if not rows[split]:
            raise DataError(f"{source}: expected usable rows, found none ({'; '.join(dropped)})")
        notes += _prefixed(split, dropped)
    words = _words(section, rows)
    labels = distinct_labels(section, words)
    items: dict[str, list[Item]] = {}
    for split, (source, _) in tables.items():
        items[split], dropped = without_duplicates(to_items(rows[split], section.kind, words, source))
        notes += _prefixed(split, dropped)
    if _WHOLE in items:
        splits = split_items(items[_WHOLE], labels if words is not None else (), section.split)
    else:
        splits, dropped = _given_splits(items, labels if words is not None else ())
        notes += dropped
    check_rendering(rendering, labels, splits)
    return Task(
        name=section.name or _name(section),
        kind=section.kind,
        metric=section.metric,
        labels=labels,
        template=rendering,
        notes=tuple(notes),
        has_gold=words is not None,
        **splits,
    )


def read_items(
    source: str | pd.DataFrame,
    section: TaskSection,
    *,
    root: Path,
    admitted: Sequence[Path] = (),
    trusted: bool = False,
    gold: bool = False,
) -> tuple[pd.DataFrame, list[Item | None]]:
    """Read rows to be answered, dropping none of them.

    Args:
        source: a frame, or a file found with root, admitted, trusted as in :func:`evolm.location.locate`.
        section: the task whose columns and labels apply; ``exclude``, ``max_chars`` and ``split`` don't.
        gold: whether the label column is needed and read.

    Returns:
        The rows as read, all columns kept, and an item for each: None where a mapped cell is missing.

    Raises:
        ConfigError: if settings are wrong, or gold is wanted of a task without a label column.
        DataError, PermissionNeeded: as for :func:`load_task`.
    """
    check_settings(section)
    if gold and LABEL not in section.columns:
        raise ConfigError("task.columns: expected a column for `label` to read gold labels, found none")
    columns = {name: column for name, column in section.columns.items() if gold or name != LABEL}
    where = "frame"
    if isinstance(source, pd.DataFrame):
        table = source
    else:
        where = source
        table, _ = read_table(
            source,
            pattern=section.pattern,
            root=root,
            admitted=admitted,
            trusted=trusted,
            keep_unmatched=True,
        )
    rows = mapped_rows(table, columns, where)
    present = [row for row in rows if row is not None]
    labels = section.labels if isinstance(section.labels, dict) else {}
    words = label_words(labels, present) if gold else None
    items = iter(to_items(present, section.kind, words, where))
    return table, [None if row is None else next(items) for row in rows]


def _tables(
    section: TaskSection, root: Path, admitted: Sequence[Path], trusted: bool, frame: Frames | None
) -> tuple[dict[str, tuple[str, pd.DataFrame]], list[str]]:
    """Source and rows of each split in the order of ``SPLITS``, or of the whole."""
    if isinstance(frame, pd.DataFrame):
        return {_WHOLE: ("frame", frame)}, []
    if frame is not None:
        for name in frame:
            if name not in SPLITS:
                raise ConfigError(
                    f"frame: expected splits among {listed(SPLITS)}, found {name!r}{nearest(name, SPLITS)}"
                )
        return {name: (f"frame[{name!r}]", frame[name]) for name in SPLITS if name in frame}, []
    tables, notes = {}, []
    for split, source in _sources(section).items():
        table, left_out = read_table(source, pattern=section.pattern, root=root, admitted=admitted, trusted=trusted)
        tables[split] = source, table
        notes += _prefixed(split, left_out)
    return tables, notes


def _sources(section: TaskSection) -> dict[str, str]:
    if isinstance(section.data, DataFiles):
        return {name: source for name in SPLITS if (source := getattr(section.data, name, ""))}
    return {_WHOLE: section.data}


def _prefixed(split: str, notes: Sequence[str]) -> list[str]:
    return [f"{split}: {note}" if split else note for note in notes]


def _words(section: TaskSection, rows: Mapping[str, Sequence[Row]]) -> dict[str, str] | None:
    """Raw value -> word, or None for a task without gold."""
    if isinstance(section.labels, list):
        return None
    return label_words(section.labels, (row for split in rows.values() for row in split))


def _given_splits(
    items: Mapping[str, Sequence[Item]], labels: Sequence[str]
) -> tuple[dict[str, tuple[Item, ...]], list[str]]:
    """Splits as the user made them, in file order, without texts that a later split has too."""
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
    return PurePosixPath(source).stem
