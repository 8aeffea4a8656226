"""The parts of a task: rows as read from a file, and items, which a model is asked about."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

LABEL: Final = "label"  # the field of task.columns that holds gold
OPTIONS: Final = "options"  # the field of task.columns that holds the options of a choice task
MARKED = re.compile(r"\(?(?P<mark>\w)[.):]+\s*(?P<text>.*)", re.DOTALL)  # an option with its mark: "(a) red", "B. no"


@dataclass(frozen=True)
class Item:
    """A question to the model: a row's fields, with its gold answer if that is known.

    Attributes:
        digest: 16 hexadecimal digits of the SHA-256 over kind, fields, gold and, if there are any, options.
        fields: the template's fields, in the order of ``task.columns``.
        gold: the label's word, the right option or the target text; None if it is unknown.
        options: the row's own options, in order; empty if all rows share the task's labels, or if any text may be the
            answer.
    """

    digest: str
    fields: Mapping[str, str] = field(hash=False)
    gold: str | None
    options: tuple[str, ...] = ()

    @classmethod
    def of(cls, kind: str, fields: Mapping[str, str], gold: str | None, options: tuple[str, ...] = ()) -> Item:
        """Return the item with its digest; the order of options changes the digest, that of fields does not."""
        content = [kind, dict(sorted(fields.items())), gold, *([list(options)] if options else [])]
        digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
        return cls(digest, dict(fields), gold, tuple(options))

    def hidden(self, kind: str) -> Item:
        """Return the item of a task of this kind without its gold."""
        return Item.of(kind, self.fields, None, self.options)

    @property
    def text(self) -> str:
        """All text of the row: its fields and options, each on lines of its own."""
        return "\n".join((*self.fields.values(), *self.options))

    @cached_property
    def content_key(self) -> str:
        """16 hexadecimal digits that identify the same row in another task.

        They depend on the texts of fields and options alone: not on gold, names or order of fields, case or white
        space.
        """
        texts = sorted(map(normalised, (*self.fields.values(), *self.options)))
        return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]

    @cached_property
    def text_key(self) -> str:
        """A text that is equal for two items of one task with the same text in the same fields, in any case."""
        fields = [normalised(text) for _, text in sorted(self.fields.items())]
        return "\n".join([*fields, *sorted(map(normalised, self.options))])


def normalised(text: str) -> str:
    """Return the text in one case, in the form NFC, with single spaces between words and none around them."""
    return " ".join(_composed(_composed(text).casefold()).split())


def canonical(text: str) -> str:
    """Return the form in which labels, options and names of columns are compared: NFC, without white space around."""
    return _composed(text).strip()


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


@dataclass(frozen=True)
class Options:
    """The options of a row, in order.

    Attributes:
        texts: the options themselves.
        marks: their marks in the data, as many as ``texts``: ``A``, ``B`` ..., or the data's own.
    """

    texts: tuple[str, ...]
    marks: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """A row of the data, its columns mapped to fields.

    Attributes:
        source: the file or frame that it was read from, for messages.
        number: its place below the header, counted from 1.
        fields: the template's fields.
        label: the cell of the gold column; None if that is not read.
        options: the row's own options; None if the task's kind has none.
    """

    source: str
    number: int
    fields: dict[str, str]
    label: str | None
    options: Options | None = None


@dataclass(frozen=True)
class Answers:
    """The possible answers to the rows of a table, and their gold.

    Attributes:
        labels: words that all rows share, in order; empty if rows have their own options, or any text may be right.
        gold: function that returns a row's gold; raises DataError for a row whose label cannot be read.
        key: how labels name options (a value of ``task.answer_key``), if rows have their own.
    """

    labels: tuple[str, ...]
    gold: Callable[[Row], str | None]
    key: str = "auto"


def no_gold(row: Row) -> None:
    """Return None, the gold of a row without gold."""
