"""The task of a saved prompt, for rows that it never saw: how they are read, and answers as columns of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from evolm.config import CampaignConfig, TaskSection
from evolm.errors import ConfigError
from evolm.scorers import Evaluation
from evolm.tasks import Item, Task, Template
from evolm.tasks.items import LABEL
from evolm.tasks.kinds import KINDS, check_labels


def task_with_test(config: CampaignConfig, items: Sequence[Item], gold: bool) -> Task:
    """Return the task of a saved prompt with ``items`` as its test split, and no others.

    Args:
        config: the prompt's campaign.
        items: with gold, if ``gold``.
        gold: whether gold labels are known.

    Raises:
        ConfigError, DataError: if the prompt's record does not name the labels that its task needs.
    """
    section = config.task
    if KINDS[section.kind].labels:
        check_labels(section.words)
    return Task(
        name=section.name,
        kind=section.kind,
        metric=section.metric,
        labels=section.words,
        template=Template.from_section(config.template, list(section.columns), section.kind),
        train=(),
        dev=(),
        validation=(),
        test=tuple(items),
        notes=(),
        has_gold=gold,
        answer_key=section.answer_key,
    )


def with_gold(section: TaskSection, label: str | None) -> TaskSection:
    """Return the section that reads labelled rows; labels may be raw values, as the campaign's, or words.

    Args:
        section: the campaign's.
        label: the column of gold labels; None = the campaign's.

    Raises:
        ConfigError: if neither names a column.
    """
    columns = section.columns | ({LABEL: label} if label else {})
    if LABEL not in columns:
        raise ConfigError("the prompt was evolved without gold labels: expected the name of their column (--label)")
    if section.bins:
        return section.model_copy(update={"columns": columns})
    raw = {} if isinstance(section.labels, list) else section.labels
    return section.model_copy(update={"columns": columns, "labels": {word: word for word in section.words} | raw})


def answer_columns(task: Task, evaluation: Evaluation) -> dict[str, Sequence[Any]]:
    """Return column -> value for each item of the test split.

    Args:
        task: its test split was evaluated.
        evaluation: of these items.
    """
    logprobs, outcomes = evaluation.label_logprobs, evaluation.outcomes
    if logprobs is None or outcomes is None:
        return {"output": list(evaluation.texts)}
    options = [task.options_of(item) for item in task.test]
    chosen = [None if best < 0 else known[best] for known, best in zip(options, outcomes, strict=True)]
    probabilities = np.exp(logprobs)
    columns = {f"p_{label}": probabilities[:, index] for index, label in enumerate(task.labels)}
    return {"label": chosen, **(columns or {"p": probabilities.max(axis=1)})}
