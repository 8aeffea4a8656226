"""The options of a row, read from its cells.

Four forms are read: a list of texts, a table ``{"text": [...], "label": [...]}`` as in many data sets of the hub,
several columns, and lettered lines in one cell::

    A. bank          A) bank          (A) bank
    B. library       B) library       (B) library

Letters are also removed from a list if every text begins with its letter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_uppercase as LETTERS
from typing import Any

import numpy as np

from evolm.tasks.items import MARKED, Options
from evolm.tasks.tables.cells import cell_text
from evolm.wording import listed


def read_options(cell: Any) -> Options | None:
    """Read the options of a row from one cell, or from a list of cells.

    Blank options at the end are ignored: rows of one table may differ in their number of options. A text without
    lettered lines is a single option.

    Args:
        cell: a list of texts, a table with the lists ``text`` and ``label``, or a text of lettered lines.

    Returns:
        The options; None if the cell, or an option before the last, is missing.

    Raises:
        TypeError: for any other value, or options that are not texts.
        ValueError: for lists of unequal length, or more options than letters.
    """
    if isinstance(cell, Mapping):
        return _from_table(cell)
    if isinstance(cell, (list, tuple, np.ndarray)):
        texts = _without_letters(_texts(cell))
        return _options(texts, LETTERS)
    text = cell_text(cell)
    return None if text is None else _options(*_lettered_lines(text.strip()))


def _from_table(cell: Mapping[Any, Any]) -> Options | None:
    if not {"text", "label"} <= set(cell):
        raise TypeError(f"expected a table with 'text' and 'label', found {listed(cell)}")
    if cell["text"] is None or cell["label"] is None:
        return None
    texts, marks = _texts(cell["text"]), _texts(cell["label"])
    if len(texts) != len(marks):
        raise ValueError(f"expected as many texts as labels, found {len(texts)} and {len(marks)}")
    return _options(texts, marks)


def _texts(cells: Any) -> list[str]:
    return [(cell_text(cell) or "").strip() for cell in cells]


def _options(texts: Sequence[str], marks: Sequence[str]) -> Options | None:
    number = max((place for place, text in enumerate(texts, 1) if text), default=0)
    if number > len(LETTERS):
        raise ValueError(f"expected at most {len(LETTERS)} options, found {number}")
    return Options(tuple(texts[:number]), tuple(marks[:number])) if number and all(texts[:number]) else None


def _without_letters(texts: list[str]) -> list[str]:
    """Return the texts without their letters, if each begins with its own."""
    matches = [match for text in texts if (match := MARKED.fullmatch(text)) is not None]
    letters = "".join(match["mark"].upper() for match in matches)
    lettered = len(matches) == len(texts) and LETTERS.startswith(letters)
    return [match["text"] for match in matches] if lettered else texts


def _lettered_lines(text: str) -> tuple[list[str], str]:
    """Cut a text before each line that begins with the next letter; other lines continue the option before.

    Returns:
        The options and their letters, which may begin with any letter. A text whose first line has no letter is one
        option.
    """
    options, letters = [""], ""
    for line in text.splitlines():
        match = MARKED.fullmatch(line.strip())
        letter = match["mark"].upper() if match is not None else ""
        if match is not None and letters + letter in LETTERS:
            options[len(letters) :] = [match["text"]]
            letters += letter
        elif letters:
            options[-1] += f"\n{line}"
        else:
            return [text], LETTERS
    return [option.strip() for option in options], letters
