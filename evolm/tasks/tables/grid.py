"""Delimited text as rows of cells, with what is unsure about its quotes."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from evolm.tasks.tables.open_quotes import ESCAPED_QUOTE, QUOTE, Cells, lenient

if TYPE_CHECKING:
    from _csv import Reader

_LONGEST_CELL = 2**31 - 1  # the csv module's own limit is 131,072 characters
_FIRST_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True)
class Grid:
    """The rows of a delimited text, blank lines left out.

    Attributes:
        separator: the character between cells.
        rows: the cells of each row.
        starts: the number of the line in which each row begins, counted from 1.
        lines: the lines of the text, without their ends.
        open_quotes: places in ``rows`` with a cell that begins with a quote that is not closed; it was read as text.
        blank: numbers of blank lines between rows.
        escaped: whether a quote within a cell is written with a backslash before it.
        error: what is wrong with the quotes if they may not be read as text; ``""`` if nothing is.
    """

    separator: str
    rows: list[list[str]]
    starts: list[int]
    lines: list[str]
    open_quotes: list[int]
    blank: list[int] = field(default_factory=list)
    escaped: bool = False
    error: str = ""

    @property
    def width(self) -> int:
        """The number of cells of the first row."""
        return len(self.rows[0]) if self.rows else 0

    @cached_property
    def even(self) -> bool:
        """Whether all rows, two or more, have as many cells as the first."""
        return len(self.rows) > 1 and len(set(map(len, self.rows))) == 1

    def glued(self) -> int:
        """Return how many rows seem to be hidden in cells with line breaks.

        A row that takes several lines is suspected if every one of them, cut by itself, has the first row's width and
        in some column a value that other rows have there.
        """
        if len(self.lines) == len(self.rows):
            return 0
        known, found = self._values(), 0
        for place, row in enumerate(self.rows):
            if any("\n" in cell or "\r" in cell for cell in row):
                lines = self.lines[self.starts[place] - 1 : self._end(place)]
                found += (len(lines) - 1) * all(self._looks_whole(line, known) for line in lines)
        return found

    def _values(self) -> list[set[str]]:
        """Return the values of each column in cells without line breaks, the first row's left out."""
        known: list[set[str]] = [set() for _ in range(self.width)]
        for row in self.rows[1:]:
            for values, cell in zip(known, row, strict=False):
                if cell.strip() and "\n" not in cell and "\r" not in cell:
                    values.add(cell)
        return known

    def _end(self, place: int) -> int:
        following = self.starts[place + 1] - 1 if place + 1 < len(self.starts) else len(self.lines)
        return next((number for number in range(following, 0, -1) if self.lines[number - 1].strip()), following)

    def _looks_whole(self, line: str, known: list[set[str]]) -> bool:
        cells = line.removesuffix("\r").split(self.separator)
        return len(cells) == self.width > 1 and any(cell in values for cell, values in zip(cells, known, strict=True))


def line_end(text: str) -> str:
    """Return what ends the lines of a text: a carriage return if the first one ends so, else a line feed."""
    first = _FIRST_END.search(text)
    return "\r" if first is not None and first.group() == "\r" else "\n"


class Delimited:
    """A delimited text, to be cut at one separator or another.

    Rows end where the first one does, with a line feed (a carriage return before it belongs to the end) or with a
    carriage return alone; the other character is text.

    Args:
        text: the file's content.
        quoting: a value of ``task.read.quoting``. With ``"auto"``, an opening quote without a closing one before a
            separator or an end of line is text.
        blank_rows: whether a blank line is a row of a table with a single column.
    """

    def __init__(self, text: str, quoting: str, blank_rows: bool = True) -> None:
        self.end = line_end(text)
        self.quoting, self.blank_rows = quoting, blank_rows
        self.text, self._other = _protected(text, self.end)
        self.lines = self.text.split(self.end)
        if not self.lines[-1]:
            self.lines.pop()

    def header(self, separator: str) -> list[str]:
        """Return the cells of the first row that is not blank."""
        with _long_cells():
            try:
                row: list[str] = next((row for row in self._reader(separator) if any(map(str.strip, row))), [])
            except csv.Error:
                row = next((line.split(separator) for line in self.lines if line.strip()), [])
        return self._restored([row])[0]

    def cut(self, separator: str) -> Grid:
        """Return the rows and cells, cut at a separator."""
        if self.quoting == "backslash":
            return self._lenient(separator, escaped=True)
        with _long_cells():
            try:
                rows, starts = _strict(self._reader(separator))
            except csv.Error as error:
                if self.quoting != "auto":
                    return replace(self._lenient(separator), error=str(error))
            else:
                return self._grid(separator, rows, starts, [])
        if ESCAPED_QUOTE in self.text:
            whole = self._lenient(separator, escaped=True)
            if whole.even and not whole.open_quotes:
                return whole
        return self._lenient(separator)

    def _lenient(self, separator: str, escaped: bool = False) -> Grid:
        rows, starts, open_quotes = lenient(self.text, self.end, Cells(self.text, separator, escaped))
        return self._grid(separator, rows, starts, open_quotes, escaped)

    def _grid(
        self, separator: str, rows: list[list[str]], starts: list[int], open_quotes: list[int], escaped: bool = False
    ) -> Grid:
        whole = Grid(separator, self._restored(rows), starts, self.lines, open_quotes, escaped=escaped)
        return _without_blank_lines(whole, self.blank_rows)

    def _reader(self, separator: str) -> Reader:
        ended = (line + self.end for line in self.lines)
        if self.quoting == "none":
            return csv.reader(ended, delimiter=separator, strict=True, quoting=csv.QUOTE_NONE)
        spaced = separator != " " and f"{separator} {QUOTE}" in next(filter(str.strip, self.lines), "")
        return csv.reader(ended, delimiter=separator, strict=True, skipinitialspace=spaced)

    def _restored(self, rows: list[list[str]]) -> list[list[str]]:
        return rows if self._other is None else [[cell.replace(*self._other) for cell in row] for row in rows]


def _protected(text: str, end: str) -> tuple[str, tuple[str, str] | None]:
    """Replace the character that could be an end of line but is not by one that does not occur.

    Returns:
        The text, and the replacement with what it stands for, or None.
    """
    other = re.compile(r"\r(?!\n)") if end == "\n" else re.compile("\n")
    if other.search(text) is None:
        return text, None
    free = next(letter for code in range(0xE000, 0x110000) if (letter := chr(code)) not in text)
    return other.sub(free, text), (free, "\r" if end == "\n" else "\n")


@contextmanager
def _long_cells() -> Iterator[None]:
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _strict(reader: Reader) -> tuple[list[list[str]], list[int]]:
    """Return rows and the lines in which they begin; ``csv.Error`` for a quote that is not closed as it should be."""
    rows, starts, line = [], [], 1
    for row in reader:
        rows.append(row)
        starts.append(line)
        line = reader.line_num + 1
    return rows, starts


def _without_blank_lines(whole: Grid, blank_rows: bool) -> Grid:
    """Leave out blank lines, except those below the first row of a single column if ``blank_rows``."""
    if whole.even and whole.width > 1:
        return whole
    filled = [place for place, row in enumerate(whole.rows) if len(row) > 1 or any(cell.strip() for cell in row)]
    if not filled:
        return replace(whole, rows=[], starts=[], open_quotes=[])
    first, last = filled[0], filled[-1]
    if blank_rows and all(len(whole.rows[place]) == 1 for place in filled):
        filled = list(range(first, len(whole.rows)))
    kept = dict(zip(filled, range(len(filled)), strict=True))
    return replace(
        whole,
        rows=[whole.rows[place] or [""] for place in filled],
        starts=[whole.starts[place] for place in filled],
        open_quotes=[kept[place] for place in whole.open_quotes if place in kept],
        blank=[whole.starts[place] for place in range(first, last) if place not in kept],
    )
