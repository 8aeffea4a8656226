"""The most frequent label of dev, named for every test item."""

from __future__ import annotations

import numpy as np

from evolm.baselines.base import Baseline, Contest


def majority_predictions(gold_dev: np.ndarray, n: int) -> np.ndarray:
    """Return ``(n,)`` predictions of the label that is most frequent in ``(n_dev,)`` label indices."""
    return np.full(n, np.bincount(gold_dev).argmax())


def _contestants(contest: Contest) -> list[np.ndarray]:
    task = contest.task
    return [majority_predictions(task.gold_indices(task.dev), len(task.test))] if task.labels else []


MAJORITY = Baseline(
    name="majority",
    title="always the commonest label",
    phrase="always naming the most frequent label",
    summary="the label that is most frequent on dev, for every item",
    contestants=_contestants,
    prompts=0,
    switchable=False,
    plotted=False,
)
