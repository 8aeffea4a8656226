"""What a task is made of: rows as they were read, and the items that a model is asked about."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

LABEL: Final = "label"  # the field of task.columns that holds gold
OPTIONS: Final = "options"  # the field of task.columns that holds the options of a choice task
MARKED = re.compile(r"\(?(?P<mark>\w)[.):]+\s*(?P<text>.*)", re.DOTALL)  # an option with its mark: "(a) red", "B. no"


@dataclass(frozen=True)
class Item:
    """A row that a model is asked about.

    Attributes:
        digest: 16 hexadecimal digits of the SHA-256 over kind, fields, gold and, where there are any, options.
        fields: the template's fields, in the order of ``task.columns``.
        gold: the label's word, the right option or the target text; None where it isn't known.
        options: what this row may be answered with, in order; empty where all rows share the task's labels, and
            where any text may be the answer.
    """

    digest: str
    fields: Mapping[str, str] = field(hash=False)
    gold: str | None
    options: tuple[str, ...] = ()

    @classmethod
    def of(cls, kind: str, fields: Mapping[str, str], gold: str | None, options: tuple[str, ...] = ()) -> Item:
        """Make the item with its digest; the order of the fields doesn't count, that of the options does."""
        content = [kind, dict(sorted(fields.items())), gold, *([list(options)] if options else [])]
        digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
        return cls(digest, dict(fields), gold, tuple(options))

    @cached_property
    def content_key(self) -> str:
        """16 hexadecimal digits by which the same row is known in another task.

        Only what the row says counts, in field values and options: not its gold, the names of its fields, their
        order, case or white space.
        """
        texts = sorted(map(normalised, (*self.fields.values(), *self.options)))
        return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]

    @cached_property
    def text_key(self) -> str:
        """What two items of one task share when they say the same, in the same fields and in any case."""
        fields = [normalised(text) for _, text in sorted(self.fields.items())]
        return "\n".join([*fields, *sorted(map(normalised, self.options))])


def normalised(text: str) -> str:
    """Return the text in one case, with single spaces between words and none around them."""
    return " ".join(text.casefold().split())


@dataclass(frozen=True)
class Options:
    """The options of a row, in order.

    Attributes:
        texts: what they say.
        marks: what the data calls them, ``A``, ``B`` ... unless it has names of its own; as many as texts.
    """

    texts: tuple[str, ...]
    marks: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """A row as mapped.

    Attributes:
        source: where it was read, for messages.
        number: counts from 1 below the header.
        fields: the template's fields.
        label: the gold column's cell, None where that isn't read.
        options: None where the task's kind has none.
    """

    source: str
    number: int
    fields: dict[str, str]
    label: str | None
    options: Options | None = None


@dataclass(frozen=True)
class Answers:
    """How the rows of a table may be answered, and how they should be.

    Attributes:
        labels: words that all rows share, in order; empty where rows have their own options, or any text will do.
        gold: a row's gold as items have it; raises DataError for a row whose label cannot be read.
        key: the form in which labels name options, where rows have their own.
    """

    labels: tuple[str, ...]
    gold: Callable[[Row], str | None]
    key: str = "auto"


def no_gold(row: Row) -> None:
    """Gold of a row that has none."""
