"""Drafting a campaign from a data file and hints: tables of campaign.toml that run as they are, and founders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evolm.choices import Size
from evolm.config import FILE_NAME, CampaignConfig, ReadSection, overlay, strategy_settings, validate
from evolm.errors import ConfigError
from evolm.founders.generated import target_name, written_founders
from evolm.scaffold.column_roles import guess_roles
from evolm.scaffold.columns import Column, columns_of
from evolm.scaffold.hints import Hints
from evolm.scaffold.scales import proposed_bins
from evolm.scaffold.suggestions import (
    Guess,
    about_columns,
    about_demonstrations,
    about_labels,
    about_model,
    about_reading,
    about_search,
    about_split,
    about_template,
    about_texts,
    too_rare,
)
from evolm.tasks import Form, How, Task, kinds_with, load_task, read_table
from evolm.tasks.outlook import outlook

MOST_LABELS_SHOWN = 8
_EITHER = {"task.labels": "bins", "task.bins": "labels"}  # a guess, and the key of [task] that takes its place


@dataclass(frozen=True)
class Draft:
    """A drafted campaign.

    Attributes:
        tables: keys of campaign.toml that were guessed or given; together a valid campaign.
        guesses: the guesses that the user's changes left as they were.
        examples: dotted key -> a value to show in a comment if the key keeps its default.
        founders: records for founders.jsonl.
        said: sentences about columns, and about rows that are left out.
        outlook: sentences about the splits and the gains that they can show.
    """

    tables: dict[str, Any]
    guesses: tuple[Guess, ...]
    examples: dict[str, Any]
    founders: list[dict[str, Any]]
    said: tuple[str, ...]
    outlook: tuple[str, ...]


def draft(
    source: str, data: str, hints: Hints, model: str, changes: Mapping[str, Any], size: Size = "medium"
) -> Draft:
    """Draft a campaign from a data file.

    Args:
        source: the data: a path, or ``package:DIST/FILE``.
        data: its name in campaign.toml.
        hints: the user's options about its columns.
        model: name of the model.
        changes: keys of campaign.toml that the user set; they override guesses.
        size: of the budget.

    Raises:
        EvolmError: if the data cannot be read or used, or a guess fails.
    """
    if changes.get("task", {}).get("bins") and not hints.kind:
        hints = replace(hints, kind=kinds_with(Form.LABELS)[0])
    table = read_table(source, _how(hints, changes.get("task", {})), root=Path(), trusted=True)
    roles = guess_roles(columns_of(table.frame), hints)
    first, texts = (
        [
            *about_model(model),
            *about_columns(roles, data),
            *about_reading(table.read, changes.get("task", {}).get("read", {})),
        ],
        about_texts(roles),
    )
    guesses = [*first, *about_labels(roles, hints), *texts]
    rows = _task(tables_of(guesses, changes), source, whole=True)
    if rare := too_rare(roles, rows, tables_of(guesses, changes)["task"]):
        guesses = [*first, *about_labels(roles, hints, rare), *texts]
        rows = _task(tables_of(guesses, changes), source, whole=True)
    guesses += [*about_split(rows), *about_template(roles, rows), *about_search(rows, size)]
    tables = tables_of(guesses, changes)
    task = _task(tables, source)
    config = validate(CampaignConfig, tables, FILE_NAME)
    demonstrations, fitting = about_demonstrations(config, task)
    tables = tables_of([*guesses, *fitting], changes)
    target = target_name(roles.label.name) if roles.label else "answer"
    return Draft(
        tables=tables,
        guesses=tuple(guess for guess in [*guesses, *fitting] if _stands(tables_of([guess]), tables)),
        examples=_examples(task, roles.label),
        founders=written_founders(task.kind, task.fields, task.labels, target, demonstrations),
        said=(*roles.said, *(f"rows: {note}" for note in task.notes)),
        outlook=outlook(task, config.space),
    )


def _how(hints: Hints, task: Mapping[str, Any]) -> How:
    """Return how the data are read: as the user's keys of ``[task]`` say, with the columns that the hints name."""
    read = validate(ReadSection, task.get("read", {}), "--set task.read")
    return How(read, (*hints.text, *hints.options, *filter(None, [hints.label])), pattern=task.get("pattern", ""))


def tables_of(guesses: Iterable[Guess], changes: Mapping[str, Any] = {}) -> dict[str, Any]:
    """Return the tables of guesses and the user's changes; ``scorers`` and ``strategy`` are replaced as a whole."""
    tables: dict[str, Any] = {}
    changes = {**changes, "strategy": strategy_settings(changes["strategy"])} if "strategy" in changes else changes
    for guess in guesses:
        if guess.key in ("scorers", "strategy") and guess.key in changes:
            continue
        if guess.key == "strategy" and "stage" in changes:
            continue
        if _EITHER.get(guess.key) in changes.get("task", {}):
            continue
        if guess.key == "task.split" and _has_fractions(changes.get("task", {}).get("split", {})):
            continue
        value = guess.value
        for part in reversed(guess.key.split(".")):
            value = {part: value}
        overlay(tables, value)
    return overlay(tables, changes)


def _has_fractions(split: Mapping[str, Any]) -> bool:
    """Return whether the user's sizes of splits are fractions, which no counts may stand beside."""
    given = [split.get(name) for name in ("train", "dev", "test", "validation")]
    return any(isinstance(size, float) and 0 < size < 1 for size in given)


def _stands(guessed: Any, actual: Any) -> bool:
    """Return whether the user's changes left a guess as it was."""
    if isinstance(guessed, Mapping):
        return isinstance(actual, Mapping) and all(_stands(v, actual.get(k)) for k, v in guessed.items())
    return bool(guessed == actual)


def _task(tables: Mapping[str, Any], source: str, whole: bool = False) -> Task:
    """Load the task from ``source``; ``whole`` = all usable rows as dev."""
    config = validate(CampaignConfig, tables, FILE_NAME)
    section = config.task.model_copy(update={"data": source})
    try:
        return load_task(section, config.template, root=Path(), trusted=True, whole=whole)
    except ConfigError as error:
        key, colon, _ = str(error).partition(":")
        known = colon and re.fullmatch(r"(task|template)\.[\w.]+", key)
        raise ConfigError(f"{error} (--set {key}=...)" if known else str(error)) from None


def _examples(task: Task, label: Column | None) -> dict[str, Any]:
    """Return values that explain more than the defaults: the template, labels if they are few, ranges of a scale."""
    labels = {label: label for label in task.labels}
    shown: dict[str, Any] = {"task.labels": labels} if 0 < len(labels) <= MOST_LABELS_SHOWN else {}
    if labels and label is not None and label.is_scale and (bins := proposed_bins(label)):
        shown["task.bins"] = bins
    return {"template.item": task.template.item_source, **shown}
