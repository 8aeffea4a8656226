"""Hints: the user's options about the columns of a data file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evolm.errors import ConfigError, DataError, nearest
from evolm.scaffold.columns import Column, named_columns
from evolm.tasks import KINDS, Form, kinds_with
from evolm.wording import listed


@dataclass(frozen=True)
class Hints:
    """The user's options about the data; empty ones are guessed.

    Attributes:
        kind: kind of task, a name in ``KINDS``.
        label: the gold column.
        labels: words of a classification without gold.
        unlabelled: whether there is no gold column.
        text: columns that the model reads.
        options: the column or columns of a choice task's options.
    """

    kind: str = ""
    label: str = ""
    labels: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    unlabelled: bool = False


def check_hints(columns: Sequence[Column], hints: Hints) -> None:
    """Check hints against the columns and against each other.

    Raises:
        ConfigError: for an unknown kind or column, or hints that contradict each other.
        DataError: for a column of texts or labels that holds none.
    """
    if hints.kind and hints.kind not in KINDS:
        raise ConfigError(f"--kind: expected {listed(KINDS)}, found {hints.kind!r}{nearest(hints.kind, KINDS)}")
    label = (hints.label,) if hints.label else ()
    for option, names in (("--label", label), ("--text", hints.text), ("--options", hints.options)):
        _check_columns(columns, option, names)
    _check_agreement(hints)


def _check_columns(columns: Sequence[Column], option: str, names: Sequence[str]) -> None:
    known = [column.name for column in columns]
    for name in names:
        if name not in known:
            raise ConfigError(
                f"{option}: expected a column among {listed(known)}, found {name!r}{nearest(name, known)}"
            )
    for column in named_columns(columns, names):
        if not column.texts and option != "--options":
            raise DataError(f"{option}: expected a column of texts, found {column.name!r} ({column.why_no_text})")


def _check_agreement(hints: Hints) -> None:
    if hints.label and (hints.labels or hints.unlabelled):
        raise ConfigError(
            "--label: expected neither --labels nor --no-label with it: they mean that no column holds labels"
        )
    if hints.label in (*hints.text, *hints.options):
        raise ConfigError(f"--label: expected a column of its own, found {hints.label!r} named twice")
    with_labels, with_options = kinds_with(Form.LABELS), kinds_with(Form.OPTIONS)
    if hints.options and hints.kind not in ("", *with_options):
        raise ConfigError(f"--options: expected a {with_options[0]} task, found --kind {hints.kind}")
    if hints.labels and (hints.options or hints.kind not in ("", *with_labels)):
        raise ConfigError(f"--labels: expected a {with_labels[0]}, found another kind")
    if hints.unlabelled and not hints.labels and hints.kind in ("", *with_labels) and not hints.options:
        others = " or ".join(kinds_with(Form.OPTIONS, Form.TEXT))
        raise ConfigError(f"--no-label: expected --kind {others}, or --labels a,b for a {with_labels[0]}")
