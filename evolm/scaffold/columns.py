"""What the columns of a table look like: classes, texts, identifiers, options. Pure functions of their cells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from statistics import median
from string import ascii_lowercase, ascii_uppercase
from typing import Any

import pandas as pd

from evolm.tasks.bins import number_of
from evolm.tasks.items import canonical
from evolm.tasks.options import read_options
from evolm.tasks.tables.cells import cell_text

NEARLY_ALL = 0.95  # of the cells that are there
ROWS_PER_CLASS = 3  # a column of classes repeats its values at least this often
MOST_CLASSES = 300
CLASS_LENGTH = 60  # characters of the longest name of a class
FEW_VALUES = "few different values"

_NUMBER = re.compile(r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?%?")
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ].*)?")
_LINK = re.compile(r"(?:https?://|www\.)\S+")
_MARKED = re.compile(r"(?P<before>.*?)(?P<mark>\d{1,2}|[A-Za-z])")
_RUNS = (
    tuple(map(str, range(26))),
    tuple(map(str, range(1, 27))),
    tuple(ascii_lowercase),
    tuple(ascii_uppercase),
)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")
_SCALES = {"star", "stars", "rating", "ratings", "score", "scores", "grade", "polarity", "sentiment", "points"}
_TARGETS = {"label", "labels", "gold", "target", "class", "y"}
_NUMBERING = {"id", "ids", "idx", "index", "uid", "uuid", "guid", "unnamed", "no", "nr", "row", "key", "hash"}


@dataclass(frozen=True)
class Column:
    """A column's name and its raw cells, one per row."""

    name: str
    cells: tuple[Any, ...]

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Words of the name in lower case: ``"correctAnswer_text"`` has three."""
        return tuple(word.lower() for word in _WORDS.findall(self.name))

    @cached_property
    def stripped(self) -> tuple[str, ...]:
        """Text of each cell, empty if it is missing; no texts at all if a cell is not a scalar."""
        try:
            return tuple(canonical(cell_text(cell) or "") for cell in self.cells)
        except TypeError:
            return ()

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The texts that are not empty."""
        return tuple(filter(None, self.stripped))

    @cached_property
    def distinct(self) -> frozenset[str]:
        """The distinct texts."""
        return frozenset(self.texts)

    @property
    def typical_length(self) -> float:
        """Median number of characters of a text; 0 without texts."""
        return median(map(len, self.texts)) if self.texts else 0.0

    @property
    def has_classes(self) -> bool:
        """Whether a few short values repeat, as the labels of a classification do."""
        most = min(MOST_CLASSES, len(self.texts) // ROWS_PER_CLASS)
        return 2 <= len(self.distinct) <= most and max(map(len, self.distinct)) <= CLASS_LENGTH

    @cached_property
    def has_options(self) -> bool:
        """Whether nearly every cell holds two options or more, as a list or as lettered lines."""
        return bool(self.cells) and sum(map(_brings_options, self.cells)) >= NEARLY_ALL * len(self.cells)

    @cached_property
    def shape(self) -> str:
        """``"an identifier"``, ``"numbers"``, ``"dates"`` or ``"links"`` if nearly all texts are, else ``""``."""
        if self._is_numbering():
            return "an identifier"
        shapes = ((_NUMBER, "numbers"), (_DATE, "dates"), (_LINK, "links"))
        return next((shape for expression, shape in shapes if self._nearly_all(expression)), "")

    @property
    def may_be_label(self) -> bool:
        """Whether it may hold labels: several values, and no identifiers, dates or links."""
        return len(self.distinct) > 1 and self.shape in ("", "numbers")

    @property
    def is_scale(self) -> bool:
        """Whether it holds numbers that say how much: a rating by its name, or a label of numbers not all whole."""
        if len(self.numbers) < 3:
            return False
        broken = any(number != int(number) for number in self.numbers)
        return not _SCALES.isdisjoint(self.words) or (broken and not _TARGETS.isdisjoint(self.words))

    @cached_property
    def numbers(self) -> tuple[float, ...]:
        """The distinct numbers, in order; none if a text is no number."""
        try:
            return tuple(sorted({number_of(text) for text in self.texts}))
        except ValueError:
            return ()

    @property
    def why_no_text(self) -> str:
        """Why the column is no input of a model, or ``""`` if it may be one."""
        if not self.texts:
            return "lists or tables" if any(isinstance(cell, (list, dict)) for cell in self.cells) else "empty"
        if len(self.texts) < NEARLY_ALL * len(self.cells):
            return "often empty"
        if len(self.distinct) == 1:
            return "always the same"
        return self.shape or (FEW_VALUES if self.has_classes else "")

    def _is_numbering(self) -> bool:
        single = not any(" " in text for text in self.texts)
        return single and len(self.distinct) == len(self.texts) and not _NUMBERING.isdisjoint(self.words)

    def _nearly_all(self, expression: re.Pattern[str]) -> bool:
        matching = sum(expression.fullmatch(text) is not None for text in self.texts)
        return bool(self.texts) and matching >= NEARLY_ALL * len(self.texts)


def _brings_options(cell: Any) -> bool:
    try:
        options = read_options(cell)
    except (TypeError, ValueError):
        return False
    return options is not None and len(options.texts) > 1


def columns_of(frame: pd.DataFrame) -> list[Column]:
    """Return the columns of a table as :func:`evolm.tasks.read_table` reads it."""
    return [Column(str(name), tuple(frame.iloc[:, place].tolist())) for place, name in enumerate(frame.columns)]


def named_columns(columns: Sequence[Column], names: Sequence[str]) -> list[Column]:
    """Return the columns of these names, in the order of the names."""
    return [column for name in names for column in columns if column.name == name]


def say_the_same(one: Column, other: Column) -> bool:
    """Return whether two columns rename each other: each value of one occurs with one value of the other."""
    if len(one.texts) != len(other.texts) or len(one.distinct) != len(other.distinct):
        return False
    return len(set(zip(one.texts, other.texts, strict=True))) == len(one.distinct)


def series(columns: Sequence[Column]) -> dict[str, list[str]]:
    """Return beginning -> names of columns that only a number or letter at the end tells apart.

    A series has two columns or more and counts without a gap from 0, 1, a or A: ``A``, ``B``, ``C`` or ``option1``,
    ``option2``.
    """
    groups: dict[str, dict[str, str]] = {}
    for column in columns:
        if match := _MARKED.fullmatch(column.name):
            groups.setdefault(match["before"], {})[match["mark"]] = column.name
    found: dict[str, list[str]] = {}
    for before, members in groups.items():
        longest = max((list(takewhile(members.__contains__, run)) for run in _RUNS), key=len)
        if len(longest) > 1:
            found[before] = [members[mark] for mark in longest]
    return found
