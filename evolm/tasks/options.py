"""Multiple choice: every row brings its own options, and says in one of four forms which of them is right.

Options stand in a list of texts, in a table ``{"text": [...], "label": [...]}`` as many data sets of the hub have
it, in several columns, or as lettered lines of one cell::

    A. bank          A) bank          (A) bank
    B. library       B) library       (B) library

A list whose every text begins with its letter loses the letters too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from string import ascii_uppercase as LETTERS
from typing import Any

import numpy as np

from evolm.config import TaskSection
from evolm.errors import ConfigError, DataError
from evolm.tasks.items import LABEL, Answers, Options, Row, no_gold
from evolm.tasks.sources import cell_text
from evolm.wording import listed

_MARKED = re.compile(r"\(?(?P<mark>\w)[.):]+\s*(?P<text>.*)", re.DOTALL)


def read_options(cell: Any) -> Options | None:
    """Read the options of a row from one cell, or from a list of cells.

    Blank options at the end are none: rows of one table may differ in how many they have. A text without lettered
    lines is a single option.

    Args:
        cell: a list of texts, a table with the lists ``text`` and ``label``, or a text of lettered lines.

    Returns:
        None where the cell, or an option before the last, is missing.

    Raises:
        TypeError: for any other value, or options that are no texts.
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
    """Take the letters away where each text begins with its own."""
    matches = [match for text in texts if (match := _MARKED.fullmatch(text)) is not None]
    letters = "".join(match["mark"].upper() for match in matches)
    lettered = len(matches) == len(texts) and LETTERS.startswith(letters)
    return [match["text"] for match in matches] if lettered else texts


def _lettered_lines(text: str) -> tuple[list[str], str]:
    """Cut a text before each line that begins with the letter that is due; other lines go on with their option.

    Returns:
        The options, and their letters, which begin with any. A text whose first line has no letter stays whole.
    """
    options, letters = [""], ""
    for line in text.splitlines():
        match = _MARKED.fullmatch(line.strip())
        letter = match["mark"].upper() if match is not None else ""
        if match is not None and letters + letter in LETTERS:
            options[len(letters) :] = [match["text"]]
            letters += letter
        elif letters:
            options[-1] += f"\n{line}"
        else:
            return [text], LETTERS
    return [option.strip() for option in options], letters


# -- which option is right -----------------------------------------------------------------------------------


def _by_text(label: str, options: Options) -> int | None:
    return options.texts.index(label) if label in options.texts else None


def _by_letter(label: str, options: Options) -> int | None:
    """The mark alone, or before a text; real data repeats an option there, and not always to the letter."""
    match = _MARKED.fullmatch(label)
    mark = (match["mark"] if match is not None else label).casefold()
    marks = [known.casefold() for known in options.marks]
    return marks.index(mark) if mark in marks else None


def _by_index(label: str, options: Options) -> int | None:
    return int(label) if label.isdecimal() and int(label) < len(options.texts) else None


def _by_number(label: str, options: Options) -> int | None:
    return int(label) - 1 if label.isdecimal() and 1 <= int(label) <= len(options.texts) else None


FORMS: dict[str, Callable[[str, Options], int | None]] = {
    "text": _by_text,
    "letter": _by_letter,
    "index": _by_index,
    "number": _by_number,
}


def choice_answers(section: TaskSection, rows: Sequence[Row]) -> Answers:
    """Return how a row's label becomes its right option's text, in the form that ``task.answer_key`` says.

    Raises:
        DataError: if the label of a row is none of its options.
        ConfigError: if the form is left to the data, and two forms fit but disagree.
    """
    if LABEL not in section.columns:
        return Answers((), no_gold)
    key = answer_form(section.answer_key, rows)
    place = FORMS[key]

    def gold(row: Row) -> str | None:
        index = _place(place, row)
        return None if index is None or row.options is None else row.options.texts[index]

    return Answers((), gold, key)


def answer_form(key: str, rows: Sequence[Row]) -> str:
    """Return the name in ``FORMS`` by which all labels are read; errors as for :func:`choice_answers`."""
    forms = FORMS if key == "auto" else {key: FORMS[key]}
    places = {name: [_place(form, row) for row in rows] for name, form in forms.items()}
    fitting = [name for name in forms if None not in places[name]]
    if not fitting:
        nearly = min(forms, key=lambda name: places[name].count(None))
        raise DataError(_unreadable(rows[places[nearly].index(None)], forms))
    first, *others = fitting
    for other in others:
        for row, ours, theirs in zip(rows, places[first], places[other], strict=True):
            if ours != theirs:
                raise ConfigError(
                    f"task.answer_key: expected one form that fits every label, found {first!r} and {other!r}, "
                    f"which disagree about {row.label!r} in row {row.number} of {row.source}; say which it is"
                )
    return first


def _place(form: Callable[[str, Options], int | None], row: Row) -> int | None:
    return None if row.label is None or row.options is None else form(row.label, row.options)


def _unreadable(row: Row, forms: Mapping[str, Any]) -> str:
    texts = row.options.texts if row.options is not None else ()
    return (
        f"{row.source}: expected a label that names one of the options {listed(texts)} by {' or '.join(forms)}, "
        f"found {row.label!r} in row {row.number}"
    )
