"""Multiple choice: every row brings its own options, and its label names the right one in one of four forms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evolm.config import TaskSection
from evolm.errors import ConfigError, DataError
from evolm.tasks.items import LABEL, MARKED, Answers, Options, Row, canonical, no_gold
from evolm.tasks.kinds.base import Form, Kind
from evolm.wording import listed


def _by_text(label: str, options: Options) -> int | None:
    texts = list(map(canonical, options.texts))
    return texts.index(label) if label in texts else None


def _by_letter(label: str, options: Options) -> int | None:
    """Read a mark, alone or before a text: real data repeats the option's text behind it, often inexactly."""
    match = MARKED.fullmatch(label)
    mark = (match["mark"] if match is not None else label).casefold()
    marks = [known.casefold() for known in options.marks]
    return marks.index(mark) if mark in marks else None


def _by_index(label: str, options: Options) -> int | None:
    return int(label) if label.isdecimal() and int(label) < len(options.texts) else None


def _by_number(label: str, options: Options) -> int | None:
    return int(label) - 1 if label.isdecimal() and 1 <= int(label) <= len(options.texts) else None


KEYS: dict[str, Callable[[str, Options], int | None]] = {
    "text": _by_text,
    "letter": _by_letter,
    "index": _by_index,
    "number": _by_number,
}


def choice_answers(section: TaskSection, rows: Sequence[Row]) -> Answers:
    """Return the function from a row's label to the text of its right option, as ``task.answer_key`` tells.

    Raises:
        DataError: if the label of a row names none of its options.
        ConfigError: if the key is ``"auto"``, and two keys fit but disagree.
    """
    if LABEL not in section.columns:
        return Answers((), no_gold)
    key = answer_key(section.answer_key, rows)
    reader = KEYS[key]

    def gold(row: Row) -> str | None:
        index = _place(reader, row)
        return None if index is None or row.options is None else row.options.texts[index]

    return Answers((), gold, key)


def answer_key(key: str, rows: Sequence[Row]) -> str:
    """Return the name in ``KEYS`` that fits all labels; errors as for :func:`choice_answers`."""
    readers = KEYS if key == "auto" else {key: KEYS[key]}
    places = {name: [_place(reader, row) for row in rows] for name, reader in readers.items()}
    fitting = [name for name in readers if None not in places[name]]
    if not fitting:
        nearly = min(readers, key=lambda name: places[name].count(None))
        raise DataError(_unreadable(rows[places[nearly].index(None)], readers))
    first, *others = fitting
    for other in others:
        for row, ours, theirs in zip(rows, places[first], places[other], strict=True):
            if ours != theirs:
                raise ConfigError(
                    f"task.answer_key: expected one form that fits every label, found {first!r} and {other!r}, "
                    f"which disagree about {row.label!r} in row {row.number} of {row.source}; say which it is"
                )
    return first


def _place(reader: Callable[[str, Options], int | None], row: Row) -> int | None:
    return None if row.label is None or row.options is None else reader(row.label, row.options)


def _unreadable(row: Row, readers: Mapping[str, Any]) -> str:
    texts = row.options.texts if row.options is not None else ()
    return (
        f"{row.source}: expected a label that names one of the options {listed(texts)} by {' or '.join(readers)}, "
        f"found {row.label!r} in row {row.number}"
    )


CHOICE = Kind(
    name="choice",
    summary="The answer is one of the options that each row brings.",
    form=Form.OPTIONS,
    metric="accuracy",
    scorer="label_likelihood",
    unlabelled_scorer="self_consistency",
    normalization="characters",
    ending="Answer:",
    instructions=(
        "",
        "Choose the option that fits the {thing}.",
        "Read the {thing} and all of its options, then give the right one.",
        "Only one of the options is right. Which one?",
        "Every {thing} below is followed by its options and the right answer.",
        "Answer with the right option, and nothing else.",
    ),
    answers=choice_answers,
)
