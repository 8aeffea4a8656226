"""What a user may say about the columns of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evolm.errors import ConfigError, DataError, nearest
from evolm.scaffold.columns import Column, named_columns
from evolm.tasks import KINDS, Form, kinds_with
from evolm.wording import listed


@dataclass(frozen=True)
class Hints:
    """What the user said about the data; what is empty is guessed.

    Attributes:
        kind: a name in ``KINDS``.
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


def check_hints(columns: Sequence[Column], wishes: Hints) -> None:
    """Check wishes against the columns and each other.

    Raises:
        ConfigError: for an unknown kind or column, or wishes that contradict each other.
        DataError: for a column of texts or labels without any.
    """
    if wishes.kind and wishes.kind not in KINDS:
        raise ConfigError(f"--kind: expected {listed(KINDS)}, found {wishes.kind!r}{nearest(wishes.kind, KINDS)}")
    label = (wishes.label,) if wishes.label else ()
    for option, names in (("--label", label), ("--text", wishes.text), ("--options", wishes.options)):
        _check_columns(columns, option, names)
    _check_agreement(wishes)


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


def _check_agreement(wishes: Hints) -> None:
    if wishes.label and (wishes.labels or wishes.unlabelled):
        raise ConfigError(
            "--label: expected neither --labels nor --no-label beside it: they say that there is no gold"
        )
    if wishes.label in (*wishes.text, *wishes.options):
        raise ConfigError(f"--label: expected a column of its own, found {wishes.label!r} named twice")
    with_labels, with_options = kinds_with(Form.LABELS), kinds_with(Form.OPTIONS)
    if wishes.options and wishes.kind not in ("", *with_options):
        raise ConfigError(f"--options: expected a {with_options[0]} task, found --kind {wishes.kind}")
    if wishes.labels and (wishes.options or wishes.kind not in ("", *with_labels)):
        raise ConfigError(f"--labels: expected a {with_labels[0]}, found another kind")
    if wishes.unlabelled and not wishes.labels and wishes.kind in ("", *with_labels) and not wishes.options:
        others = " or ".join(kinds_with(Form.OPTIONS, Form.TEXT))
        raise ConfigError(f"--no-label: expected --kind {others}, or --labels a,b for a {with_labels[0]}")
