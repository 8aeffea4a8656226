"""Classification: the answer to every row is one of the same few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from evolm.config import TaskSection
from evolm.errors import ConfigError, DataError
from evolm.tasks.bins import binned
from evolm.tasks.items import LABEL, Answers, Row, canonical, no_gold
from evolm.tasks.kinds.base import Form, Kind
from evolm.wording import listed


def classification_answers(section: TaskSection, rows: Sequence[Row]) -> Answers:
    """Return the labels' words, in the order of ``task.labels``, and how a row's label becomes its word.

    If ``task.labels`` is empty, the words are the raw values of ``rows``, sorted. Several values may share a word. A
    task without a label column lists its words. With ``task.bins``, a number's word is that of its range.
    """
    if LABEL not in section.columns:
        return Answers(tuple(section.labels), no_gold)
    if section.bins:
        return Answers(section.words, partial(binned, section.bins))
    words = {canonical(raw): word for raw, word in section.labels.items()} if isinstance(section.labels, dict) else {}
    words = words or {raw: raw for raw in sorted({row.label for row in rows if row.label is not None})}
    return Answers(tuple(dict.fromkeys(words.values())), partial(_word, words))


def _word(words: Mapping[str, str], row: Row) -> str:
    if row.label is None or row.label not in words:
        raise DataError(
            f"{row.source}: expected a label among {listed(words)}, found {row.label!r} in row {row.number} "
            "(labels are compared as text: '1' is not '1.0')"
        )
    return words[row.label]


def check_labels(labels: Sequence[str]) -> None:
    """Check the labels' words.

    Raises:
        ConfigError: for an empty word, or a word given twice to a task without gold.
        DataError: if there are fewer than two labels.
    """
    if any(not word.strip() for word in labels):
        raise ConfigError("task.labels: expected words, found an empty one")
    if len(set(labels)) < len(labels):
        raise ConfigError(f"task.labels: expected each word once, found {listed(labels)}")
    if len(labels) < 2:
        raise DataError(f"task.labels: expected at least two labels, found {listed(labels)}")


CLASSIFICATION = Kind(
    name="classification",
    summary="The answer is one of a fixed set of labels.",
    form=Form.LABELS,
    metric="balanced_accuracy",
    scorer="label_likelihood",
    unlabelled_scorer="mutual_information",
    normalization="tokens",
    ending="Label:",
    instructions=(
        "",
        "Classify the {thing} as {labels}.",
        "Read the {thing} and decide which label fits: {labels}.",
        "Every {thing} below belongs to one of these classes: {labels}. Name the class.",
        "Answer with one of {labels}, and nothing else.",
        "Decide: {labels}?",
    ),
    long_instructions=(
        "",
        "Classify the {thing}.",
        "Read the {thing} and name the class it belongs to.",
        "Every {thing} below is followed by its label.",
        "Answer with the label alone.",
    ),
    answers=classification_answers,
)
