"""Guessing the role of each column (label, options, texts), and from the roles the kind of task.

A guess uses the names and the contents of columns and gives its reason; if two columns fit equally, an error asks for
an option that decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evolm.errors import DataError
from evolm.scaffold.columns import FEW_VALUES, Column, named_columns, say_the_same, series
from evolm.scaffold.hints import Hints, check_hints
from evolm.tasks import KINDS, Form, kinds_with
from evolm.wording import counted, listed

# Words in the name of a label column: the first set is preferred to the second.
_LABEL_NAMES = (
    {"label", "labels", "gold", "target", "class", "correct", "truth"},
    {
        *(
            "category",
            "sentiment",
            "intent",
            "emotion",
            "spam",
            "toxic",
            "topic",
            "polarity",
            "stance",
            "rating",
            "stars",
        ),
        *("answer", "answers", "output", "response", "completion", "summary", "translation", "reference", "y"),
    },
)
_TEXT_NAMES = {
    *("text", "sentence", "question", "premise", "hypothesis", "title", "body", "content", "message", "review"),
    *("tweet", "comment", "input", "context", "passage", "query", "prompt", "document", "article", "sms", "email"),
    *("instruction", "description", "abstract", "paragraph", "dialogue", "utterance", "statement"),
}
_OPTION_NAMES = {
    *("option", "options", "choice", "choices", "ending", "endings", "candidate", "candidates", "alternative"),
    *("alternatives", "answer", "answers", "sol", "solution", "solutions", "op", "opt"),
}
MOST_TEXTS = 4
LONG_TEXT = 50  # characters that make a column a text, whatever its name


@dataclass(frozen=True)
class Roles:
    """The role of each column.

    Attributes:
        kind: kind of task.
        label: the gold column; None for a task without gold.
        options: the column or columns of options; empty unless the kind of task has options.
        texts: columns that the model reads.
        said: one sentence for each guess.
    """

    kind: str
    label: Column | None
    options: tuple[str, ...]
    texts: tuple[Column, ...]
    said: tuple[str, ...]


def guess_roles(columns: Sequence[Column], hints: Hints) -> Roles:
    """Return the role of every column.

    Raises:
        ConfigError: if a hint names an unknown kind or column, or hints contradict each other.
        DataError: if a role cannot be guessed; the message names the option that sets it.
    """
    check_hints(columns, hints)
    options, about_options = _options(columns, hints)
    rest = [column for column in columns if column.name not in (*options, *hints.text)]
    label, about_label = _label(rest, hints)
    kind = hints.kind or _kind(label, options)
    texts, about_texts = _texts([c for c in rest if c is not label], label, named_columns(columns, hints.text))
    said = [about_label, f"kind: {kind}: {KINDS[kind].summary}", about_options, *about_texts]
    return Roles(kind, label, options, texts, tuple(sentence for sentence in said if sentence))


# -- options -------------------------------------------------------------------------------------------------


def _options(columns: Sequence[Column], hints: Hints) -> tuple[tuple[str, ...], str]:
    """Return the columns of options and a sentence about them; none unless the task may be a choice."""
    if hints.options:
        return hints.options, ""
    if hints.labels or (hints.kind and not KINDS[hints.kind].options):
        return (), ""
    free = [column for column in columns if column.name not in (hints.label, *hints.text)]
    found: list[tuple[tuple[str, ...], bool]] = [
        ((column.name,), _promises(column, _OPTION_NAMES)) for column in free if column.has_options
    ]
    found += [
        (tuple(names), not prefix or _promises(Column(prefix, ()), _OPTION_NAMES))
        for prefix, names in series(free).items()
    ]
    named = [names for names, promising in found if promising]
    candidates = named if named or not hints.kind else [names for names, _ in found]
    if len(candidates) > 1:
        raise DataError(
            f"options: expected one place, found {' and '.join(listed(names) for names in candidates)}; "
            "choose with --options COLUMN, or --options A,B,C"
        )
    if candidates:
        names = candidates[0]
        how = "lists or lettered lines" if len(names) == 1 else f"{len(names)} columns"
        return names, f"options: {listed(names)} ({how})"
    if hints.kind and KINDS[hints.kind].options:
        raise DataError(
            "options: expected a column of lists or lettered lines, or columns like A, B, C, found none; "
            "name them with --options COLUMN, or --options COLUMN,COLUMN"
        )
    return (), ""


def _promises(column: Column, names: set[str]) -> bool:
    return not names.isdisjoint(column.words)


# -- label ---------------------------------------------------------------------------------------------------


def _label(columns: Sequence[Column], hints: Hints) -> tuple[Column | None, str]:
    """Return the gold column, or None for a task without gold, and a sentence about it."""
    if hints.labels or hints.unlabelled:
        return None, "label: no row has one"
    if hints.label:
        return named_columns(columns, [hints.label])[0], ""
    possible = [column for column in columns if column.may_be_label]
    for names in _LABEL_NAMES:
        if named := _fitting(_best_named(possible, names), hints.kind):
            return _about_label(_the_one(named, columns), "by its name")
    repeating = [column for column in possible if column.has_classes]
    if repeating and not (hints.kind and KINDS[hints.kind].open):
        return _about_label(_the_one(repeating, columns), "few values, often repeated")
    if (scales := [column for column in possible if column.is_scale]) and not hints.kind:
        return _about_label(_the_one(scales, columns), "numbers on a scale")
    for column in columns:
        if len(column.distinct) == 1 and any(_promises(column, names) for names in _LABEL_NAMES):
            raise DataError(
                f"label: expected several labels, found only {column.texts[0][:60]!r} in the column {column.name!r}; "
                "name another column with --label COLUMN, or add rows of other labels"
            )
    found = f"none among {listed(column.name for column in columns)}" if columns else "no column of words"
    raise DataError(
        f"label: expected a column of labels or answers, found {found}; "
        "name it with --label COLUMN, or say --labels a,b (the words of a classification) or --no-label"
    )


def _best_named(columns: Sequence[Column], names: set[str]) -> list[Column]:
    """Return columns with one of ``names`` in their name; only those without any other word, if there are some."""
    promising = [column for column in columns if _promises(column, names)]
    return [column for column in promising if names.issuperset(column.words)] or promising


def _fitting(columns: Sequence[Column], kind: str) -> list[Column]:
    """Return the columns that look like the gold of a kind of task; all if none does or no kind is given."""
    if not kind or KINDS[kind].options:
        return list(columns)
    return [column for column in columns if column.has_classes != KINDS[kind].open] or list(columns)


def _the_one(candidates: Sequence[Column], columns: Sequence[Column]) -> Column:
    """Return the only candidate; of columns that rename each other, the one in words."""
    first, *others = sorted(candidates, key=_in_numbers)
    if all(say_the_same(first, other) for other in others):
        return next((c for c in columns if _in_numbers(first) and _names(c, first)), first)
    found = ", ".join(f"{c.name!r} ({counted(len(c.distinct), 'value')})" for c in candidates)
    raise DataError(f"label: expected one column, found {found}; choose with --label COLUMN")


def _names(words: Column, numbers: Column) -> bool:
    """Return whether a column with a label's name holds as words the classes that ``numbers`` holds as numbers."""
    promising = any(_promises(words, names) for names in _LABEL_NAMES)
    return promising and not _in_numbers(words) and say_the_same(words, numbers)


def _in_numbers(column: Column) -> bool:
    return column.shape == "numbers"


def _about_label(label: Column, why: str) -> tuple[Column, str]:
    return label, f"label: {label.name!r}, {counted(len(label.distinct), 'different value')} ({why})"


# -- kind and texts ------------------------------------------------------------------------------------------


def _kind(label: Column | None, options: Sequence[str]) -> str:
    """Return the first kind in the catalogue whose form of answers fits the columns."""
    if options:
        return kinds_with(Form.OPTIONS)[0]
    classes = label is None or label.has_classes or label.is_scale
    return kinds_with(Form.LABELS if classes else Form.TEXT)[0]


def _texts(
    columns: Sequence[Column], label: Column | None, wanted: Sequence[Column]
) -> tuple[tuple[Column, ...], list[str]]:
    """Return the columns that the model reads, and sentences about them and the columns that are left out."""
    if wanted:
        return tuple(wanted), []
    reasons = {column.name: _why_left_out(column, label) for column in columns}
    texts = [column for column in columns if not reasons[column.name]]
    promising = [column for column in texts if _promises(column, _TEXT_NAMES)]
    if promising:
        promising += [c for c in texts if c not in promising and c.typical_length >= LONG_TEXT]
        reasons |= {c.name: "short, and not named like a text" for c in texts if c not in promising}
        texts = [column for column in texts if column in promising]
    if not texts or len(texts) > MOST_TEXTS:
        found = "none" if not texts else listed(column.name for column in texts)
        raise DataError(
            f"text: expected 1 to {MOST_TEXTS} columns of text, found {found}; name them with --text COLUMN "
            f"(columns: {_left_out(reasons) or 'none'})"
        )
    said = [f"text: {listed(column.name for column in texts)}"]
    return tuple(texts), said + ([f"left out: {left_out}"] if (left_out := _left_out(reasons)) else [])


def _why_left_out(column: Column, label: Column | None) -> str:
    if label is not None and say_the_same(column, label) and label.has_classes:
        return "same as the label"
    named_well = _promises(column, _TEXT_NAMES) and column.why_no_text == FEW_VALUES
    return "" if named_well else column.why_no_text


def _left_out(reasons: dict[str, str]) -> str:
    return ", ".join(f"{name!r} ({why})" for name, why in reasons.items() if why)
