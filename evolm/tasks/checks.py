"""What must hold before a task is used: settings that agree, labels that differ, templates that render."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evolm.config import TaskSection
from evolm.errors import ConfigError, DataError, nearest
from evolm.tasks.metrics import CLASSIFICATION_METRICS
from evolm.tasks.rows import Item
from evolm.tasks.template import LABEL, Template
from evolm.wording import listed

KINDS = {"classification": "the answer is one of a fixed set of labels"}


def check_settings(section: TaskSection) -> None:
    """Check ``[task]`` for what its types alone don't say.

    Raises:
        ConfigError: for an unknown kind or metric, no field, or columns and labels that disagree about gold.
    """
    if section.kind not in KINDS:
        raise ConfigError(
            f"task.kind: expected {listed(KINDS)}, found {section.kind!r}{nearest(section.kind, KINDS)}"
        )
    if section.metric not in CLASSIFICATION_METRICS:
        near = nearest(section.metric, CLASSIFICATION_METRICS)
        raise ConfigError(f"task.metric: expected {listed(CLASSIFICATION_METRICS)}, found {section.metric!r}{near}")
    if not set(section.columns) - {LABEL}:
        raise ConfigError("task.columns: expected a field besides `label`, found none")
    if LABEL in section.columns and isinstance(section.labels, list):
        raise ConfigError(
            "task.labels: a list means a task without gold, but task.columns maps `label`; "
            "write labels as a table (raw value = word) or remove the column"
        )
    if LABEL not in section.columns and not isinstance(section.labels, list):
        raise ConfigError(
            "task.columns: expected a column for `label`; "
            "a task without gold gives its words as a list in task.labels"
        )


def distinct_labels(section: TaskSection, words: Mapping[str, str] | None) -> tuple[str, ...]:
    """Return the labels' words in order, each once.

    Args:
        section: its ``labels`` count where ``words`` is None (a task without gold).
        words: raw value -> word; several values may share a word.

    Raises:
        ConfigError: for an empty word, or a word given twice to a task without gold.
        DataError: if there are fewer than two labels.
    """
    given = list(section.labels) if words is None else list(words.values())
    if any(not word.strip() for word in given):
        raise ConfigError("task.labels: expected words, found an empty one")
    labels = tuple(dict.fromkeys(given))
    if words is None and len(labels) < len(given):
        raise ConfigError(f"task.labels: expected each word once, found {listed(given)}")
    if len(labels) < 2:
        raise DataError(f"task.labels: expected at least two labels, found {listed(labels)}")
    return labels


def check_rendering(template: Template, labels: Sequence[str], splits: Mapping[str, Sequence[Item]]) -> None:
    """Render every answer and item once, so that what fails does so before a model is loaded.

    Raises:
        ConfigError: if two labels have the same answer, or one has none.
        DataError: if the item template fails on a row.
    """
    answers = [template.answer(label) for label in labels]
    for label, answer in zip(labels, answers, strict=True):
        if not answer.strip() or answers.count(answer) > 1:
            raise ConfigError(
                f"template.answer: expected a different text for each label, found {answer!r} for {label!r}"
            )
    for items in splits.values():
        for item in items:
            template.item(item.fields)
