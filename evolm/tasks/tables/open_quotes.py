"""Delimited text whose quotes do not come in pairs, or are escaped: what the ``csv`` module would misread."""

from __future__ import annotations

import re
from typing import Final

QUOTE: Final = '"'
ESCAPED_QUOTE: Final = r"\""


def lenient(text: str, end: str, cells: Cells) -> tuple[list[list[str]], list[int], list[int]]:
    """Return rows, the lines in which they begin, and places of rows with a quote that is left open."""
    rows: list[list[str]] = []
    starts: list[int] = []
    open_quotes: list[int] = []
    place, line = 0, 1
    while place < len(text):
        starts.append(line)
        stop = text.find(end, place)
        stop = len(text) if stop < 0 else stop
        if text.find(QUOTE, place, stop) < 0:
            row, after = text[place:stop].removesuffix("\r").split(cells.separator), stop + 1
        else:
            row, after, is_open = cells.row(place)
            open_quotes += [len(rows)] if is_open else []
        rows.append([] if row == [""] and after - place <= 2 else row)
        line += text.count(end, place, after)
        place = after
    return rows, starts, open_quotes


class Cells:
    """Cuts rows with quotes: a cell is quoted if its quote is closed before a separator or an end of line.

    Args:
        text: the whole text.
        separator: the character between cells.
        escaped: whether a quote within a cell is written with a backslash before it, else it is doubled.
    """

    def __init__(self, text: str, separator: str, escaped: bool) -> None:
        around = "" if separator == " " else " *"
        mark = re.escape(separator)
        after = rf"{mark}|\r?\n|\r|\Z"
        inner = r'[^"\\]|\\.' if escaped else '[^"]|""'
        self.separator, self._text = separator, text
        self._doubled = ESCAPED_QUOTE if escaped else QUOTE * 2
        self._cell = re.compile(
            rf'(?:{around}"(?P<quoted>(?:{inner})*+)"{around}(?={after})|(?P<bare>[^{mark}\r\n]*))(?P<after>{after})',
            re.DOTALL,
        )

    def row(self, place: int) -> tuple[list[str], int, bool]:
        """Return the cells of a row, where the next one begins, and whether a quote is left open."""
        row, is_open = [], False
        while True:
            found = self._cell.match(self._text, place)
            assert found is not None  # the pattern matches everywhere
            if found["quoted"] is not None:
                row.append(found["quoted"].replace(self._doubled, QUOTE))
            else:
                row.append(found["bare"])
                is_open = is_open or found["bare"].lstrip(" ").startswith(QUOTE)
            place = found.end()
            if found["after"] != self.separator:
                return row, place, is_open
