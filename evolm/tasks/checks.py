"""Checks before a task is used: settings agree with each other, and templates render every row."""

from __future__ import annotations

from collections.abc import Sequence

from evolm.config import TaskSection
from evolm.errors import ConfigError, nearest
from evolm.tasks.bins import check_bins
from evolm.tasks.items import LABEL, OPTIONS, Item
from evolm.tasks.kinds import KINDS, Form, Kind, kinds_with
from evolm.tasks.metrics import METRICS
from evolm.tasks.template import Template
from evolm.wording import listed


def check_settings(section: TaskSection) -> None:
    """Check ``[task]`` beyond the types of its values.

    Raises:
        ConfigError: for an unknown kind or metric, no field, or settings that contradict each other or the kind.
    """
    if section.kind not in KINDS:
        raise ConfigError(
            f"task.kind: expected {listed(KINDS)}, found {section.kind!r}{nearest(section.kind, KINDS)}"
        )
    kind = KINDS[section.kind]
    _check_metric(section.metric, kind)
    _check_columns(section, kind)
    if kind.labels:
        _check_bins(section)
        _check_where_labels_come_from(section)
    elif section.labels or section.bins:
        key, found = ("labels", section.labels) if section.labels else ("bins", section.bins)
        raise ConfigError(f"task.{key}: expected none for {kind.name}, found {listed(found)}")
    if section.gold == "audit" and LABEL not in section.columns:
        raise ConfigError("task.gold: 'audit' needs gold, but task.columns maps no `label`")
    if section.answer_key != "auto" and not kind.options:
        raise ConfigError(
            f"task.answer_key: expected 'auto' where rows bring no options, found {section.answer_key!r}"
        )


def _check_metric(name: str, kind: Kind) -> None:
    known = [metric.name for metric in METRICS.values() if kind.form in metric.forms]
    if name and name not in known:
        raise ConfigError(
            f"task.metric: expected {listed(known)} for {kind.name}, found {name!r}{nearest(name, known)}"
        )


def _check_columns(section: TaskSection, kind: Kind) -> None:
    special = {LABEL, OPTIONS} if kind.options else {LABEL}
    if not set(section.columns) - special:
        raise ConfigError(f"task.columns: expected a field besides `{'`, `'.join(sorted(special))}`, found none")
    if kind.options and OPTIONS not in section.columns:
        raise ConfigError("task.columns: expected a column, or a list of columns, for `options`, found none")
    for name, column in section.columns.items():
        if isinstance(column, list) and not (kind.options and name == OPTIONS):
            raise ConfigError(
                f"task.columns.{name}: expected one column, found {listed(column)}; "
                f"only `options` of a {kinds_with(Form.OPTIONS)[0]} task may be a list"
            )
        if isinstance(column, list) and len(column) < 2:
            raise ConfigError(f"task.columns.{name}: expected several columns in a list, found {listed(column)}")


def _check_where_labels_come_from(section: TaskSection) -> None:
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


def _check_bins(section: TaskSection) -> None:
    if not section.bins:
        return
    if section.labels:
        raise ConfigError("task.bins: expected no task.labels with it: both name the words of the labels; remove one")
    if LABEL not in section.columns:
        raise ConfigError("task.bins: expected a column of numbers for `label` in task.columns, found none")
    check_bins(section.bins)


def check_rendering(template: Template, labels: Sequence[str], items: Sequence[Item]) -> None:
    """Render every item and answer once, so that failures come before a model is loaded.

    Raises:
        ConfigError: if two labels, or two options of an item, have the same answer, or one has none.
        DataError: if a template fails on a row.
    """
    if labels:
        _check_answers(template, labels, "label")
    for item in items:
        template.item(item.fields, item.options)
        if item.options:
            _check_answers(template, item.options, "option")
        elif not labels and item.gold is not None:
            _check_answers(template, [item.gold], "target")


def _check_answers(template: Template, words: Sequence[str], noun: str) -> None:
    answers = [template.answer(word, index) for index, word in enumerate(words)]
    for word, answer in zip(words, answers, strict=True):
        if not answer.strip() or answers.count(answer) > 1:
            raise ConfigError(
                f"template.answer: expected a different text for each {noun}, found {answer!r} for {word!r}"
            )
