"""Delimited text as rows of cells, with what is unsure about its quotes."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from evolm.errors import DataError

QUOTE: Final = '"'
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
    """

    separator: str
    rows: list[list[str]]
    starts: list[int]
    lines: list[str]
    open_quotes: list[int]
    blank: list[int]

    @property
    def width(self) -> int:
        """The number of cells of the first row."""
        return len(self.rows[0]) if self.rows else 0

    @property
    def even(self) -> bool:
        """Whether all rows, two or more, have as many cells as the first."""
        return len(self.rows) > 1 and all(len(row) == self.width for row in self.rows)

    def glued(self) -> int:
        """Return how many rows seem to be hidden in cells with line breaks.

        A row that takes several lines is suspected if every one of them, cut by itself, has the first row's width and
        in some column a value that other rows have there.
        """
        known = self._values()
        found = 0
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


def grid(source: str, text: str, separator: str, quoting: str, blank_rows: bool = True) -> Grid:
    """Cut text into rows and cells.

    Rows end where the first one does, with a line feed (a carriage return before it belongs to the end) or with a
    carriage return alone; the other character is text.

    Args:
        source: the file's name in messages.
        text: the file's content.
        separator: the character between cells.
        quoting: a value of ``task.read.quoting``. With ``"auto"``, an opening quote without a closing one before a
            separator or an end of line is text.
        blank_rows: whether a blank line is a row of a table with a single column.

    Raises:
        DataError: if ``quoting`` is ``"quotes"`` and a quote is left open or followed by text.
    """
    first = _FIRST_END.search(text)
    end = "\r" if first is not None and first.group() == "\r" else "\n"
    text, other = _protected(text, end)
    lines = text.split(end)
    if not lines[-1]:
        lines.pop()
    with _long_cells():
        try:
            rows, starts = _strict(lines, end, separator, quoting)
            open_quotes: list[int] = []
        except csv.Error as error:
            if quoting != "auto":
                raise DataError(
                    f"{source}: expected quotes in pairs: {error}; double or remove the quote, or say "
                    "task.read.quoting = 'none' to read quotes as text"
                ) from None
            rows, starts, open_quotes = _lenient(text, end, separator)
    if other:
        rows = [[cell.replace(*other) for cell in row] for row in rows]
    return _without_blank_lines(Grid(separator, rows, starts, lines, open_quotes, []), blank_rows)


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


def _strict(lines: list[str], end: str, separator: str, quoting: str) -> tuple[list[list[str]], list[int]]:
    """Return rows and the lines in which they begin; ``csv.Error`` for a quote that is not closed as it should be."""
    ended = (line + end for line in lines)
    if quoting == "none":
        reader = csv.reader(ended, delimiter=separator, strict=True, quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(ended, delimiter=separator, strict=True)
    rows, starts, line = [], [], 1
    for row in reader:
        rows.append(row)
        starts.append(line)
        line = reader.line_num + 1
    return rows, starts


def _lenient(text: str, end: str, separator: str) -> tuple[list[list[str]], list[int], list[int]]:
    """Return rows, the lines in which they begin, and places of rows with a quote that is left open."""
    around = "" if separator == " " else " *"
    after = rf"{re.escape(separator)}|\r?\n|\r|\Z"
    cell = re.compile(
        rf'{around}"(?P<quoted>(?:[^"]|"")*+)"{around}(?={after})|(?P<bare>[^{re.escape(separator)}\r\n]*)'
    )
    rows: list[list[str]] = []
    starts: list[int] = []
    open_quotes: list[int] = []
    row: list[str] = []
    place, line = 0, 1
    while place < len(text) or row:
        if not row:
            starts.append(line)
        found, ends = _next(cell, re.compile(after), text, place)
        if found["quoted"] is not None:
            row.append(found["quoted"].replace(QUOTE * 2, QUOTE))
        else:
            row.append(found["bare"])
            if found["bare"].lstrip(" ").startswith(QUOTE) and open_quotes[-1:] != [len(rows)]:
                open_quotes.append(len(rows))
        line += text.count(end, place, ends.end())
        place = ends.end()
        if ends.group() != separator:
            rows.append([] if row == [""] and found["quoted"] is None else row)
            row = []
    return rows, starts, open_quotes


def _next(
    cell: re.Pattern[str], after: re.Pattern[str], text: str, place: int
) -> tuple[re.Match[str], re.Match[str]]:
    """Return the match of a cell and of what ends it; both patterns match everywhere."""
    found = cell.match(text, place)
    assert found is not None
    ends = after.match(text, found.end())
    assert ends is not None
    return found, ends


def _without_blank_lines(whole: Grid, blank_rows: bool) -> Grid:
    """Leave out blank lines, except those below the first row of a single column if ``blank_rows``."""
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
