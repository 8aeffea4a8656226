"""What the splits of a task can show, in sentences for users: known before a model is loaded."""

from __future__ import annotations

import numpy as np

from evolm.statistics import DISAGREEMENT, smallest_visible_gain
from evolm.tasks.metrics import METRICS
from evolm.tasks.task import Task
from evolm.wording import counted


def outlook(task: Task) -> tuple[str, str]:
    """Return a sentence about the sizes of the splits, and one about the gains that the test split can show."""
    sizes = ", ".join(f"{name} {count}" for name, count in task.splits().items())
    return f"Splits: {sizes}", _about_gains(task)


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
