"""What the splits of a task can show, in sentences for users: known before a model is loaded."""

from __future__ import annotations

import numpy as np

from evolm.config import PromptSpaceSection, SpaceSection
from evolm.headroom import FIRST
from evolm.statistics import DISAGREEMENT, largest_standard_error, smallest_visible_gain
from evolm.tasks.metrics import METRICS
from evolm.tasks.task import Task
from evolm.wording import counted


def outlook(task: Task, space: SpaceSection) -> tuple[str, ...]:
    """Return sentences about the sizes of splits, what the test and dev splits can show, and demonstrations."""
    sizes = ", ".join(f"{name} {count}" for name, count in task.splits().items())
    said = f"Splits: {sizes}", _about_gains(task), *_about_dev(task)
    if space.prompt is None or shows_demonstrations(space.prompt, task):
        return said
    why = "space.prompt.demonstrations = [0, 0]" if not space.prompt.demonstrations[1] else "no labelled train rows"
    return *said, f"Prompts are instructions without demonstrations: {why}."


def shows_demonstrations(prompts: PromptSpaceSection, task: Task) -> bool:
    """Return whether a prompt may show demonstrations."""
    return bool(prompts.demonstrations[1] and task.demonstrable)


def _about_gains(task: Task) -> str:
    if not task.test or not task.knows_gold:
        return "There is no labelled test split, so no gain can be shown."
    balanced = METRICS[task.metric].balanced
    counts = np.bincount(task.gold_indices(task.test)) if balanced else np.array([len(task.test)])
    gain = smallest_visible_gain([int(count) for count in counts if count], balanced)
    tested = counted(len(task.test), "test item")
    chance = 1 / task.n_options if task.n_options else 0.0
    if gain >= 1 - chance:
        return (
            f"No gain can be shown: with {tested}, it would have to be {gain:.2f} {task.metric} (95 %), and a prompt "
            f"without a mistake is only {1 - chance:.2f} above chance; task.split.test needs more rows."
        )
    if gain > DISAGREEMENT:
        assumed = "if one prompt is right wherever the two disagree"
    else:
        assumed = "for two prompts that disagree on a fifth of them"
    return f"Smallest gain that {tested} can show: about {gain:.3f} {task.metric} (95 %, {assumed})"


def _about_dev(task: Task) -> tuple[str, ...]:
    """Return a sentence about the chance in dev scores, if the search sees gold and the metric is a mean over items.

    Nothing is known of how much prompts differ before some are scored, so it forecasts no gain.
    """
    metric = METRICS[task.metric]
    if not task.has_gold or metric.weights is None or not task.dev:
        return ()
    counts = np.bincount(task.gold_indices(task.dev)) if metric.balanced else np.array([len(task.dev)])
    error = largest_standard_error([int(count) for count in counts if count], metric.balanced)
    return (
        f"On {counted(len(task.dev), 'dev item')} the {task.metric} of a prompt has a standard error of at most "
        f"{error:.3f}; how much prompts differ, and so the expected gain, is told once {FIRST} are scored",
    )
