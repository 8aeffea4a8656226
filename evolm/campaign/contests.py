"""What the winner of a search may be beside a single individual, and how such a form wins its place.

A form (a committee, a soup) is made of a search's best individuals by their answers to dev rows and meets the winner
so far on validation rows. The log-loss decides, which is less noisy than the metric on a hundred rows, then the
metric; of equals the simpler winner stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evolm.campaign.build import Components
from evolm.genomes import Winner
from evolm.scorers import Evaluation
from evolm.scorers.base import FLOOR
from evolm.scorers.likelihood import evaluate_labels
from evolm.tasks import Item, Task

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Contention:
    """The contest of a form with the winner so far.

    Attributes:
        winner: the form.
        standing: on validation rows.
        record: its part of the journal's entry; its ``"won"`` says whether it takes the winner's place.
    """

    winner: Winner
    standing: Standing
    record: dict[str, Any]

    @property
    def won(self) -> bool:
        """Whether the form takes the place of the winner so far."""
        return bool(self.record["won"])


def contestable(parts: Components) -> bool:
    """Return whether the winner of a search may be another form than a single individual.

    Answers must be distributions over labels or options, the search must maximise the task's metric, and there must
    be validation rows.
    """
    return (
        parts.scoring.labels is not None
        and parts.task.has_gold
        and bool(parts.task.validation)
        and parts.evaluator.maximises_metric
    )


def log_loss(of_gold: Floats, row_weights: Floats) -> Floats:
    """Return the weighted mean over items of minus the log-probability (nats) of gold, at most ``-FLOOR`` an item.

    Losses that are equal on paper differ in their last bits; rounded, they tie as they should.

    Args:
        of_gold: ``(..., n_items)`` probabilities of gold.
        row_weights: ``(n_items,)`` weights.
    """
    floored = np.log(np.maximum(of_gold, np.exp(FLOOR)))
    return np.round(-(floored * row_weights).sum(axis=-1) / row_weights.sum(), 12)


def answers(winners: Sequence[Winner], parts: Components, rows: Sequence[Item]) -> list[Floats | None]:
    """Return each winner's ``(n, n_options)`` log-probabilities (nats) about rows; None if it cannot answer all."""
    said = parts.evaluator.task_evaluations(winners, rows)
    return [_logprobs(each) for each in said]


def _logprobs(said: Evaluation | str) -> Floats | None:
    return None if isinstance(said, str) or said.failures else said.label_logprobs


def gold_probabilities(logprobs: Floats, task: Task, rows: Sequence[Item]) -> Floats:
    """Return the ``(n,)`` probabilities of the gold label or option."""
    return np.exp(logprobs[np.arange(len(rows)), task.gold_indices(rows)])


@dataclass(frozen=True, order=True)
class Standing:
    """How a winner stands on rows; the greater is better.

    Attributes:
        gain: minus the log-loss (nats).
        score: the task's metric.
    """

    gain: float = -np.inf
    score: float = -np.inf

    @classmethod
    def of(cls, logprobs: Floats | None, task: Task, rows: Sequence[Item]) -> Standing:
        """Return the standing of ``(n, n_options)`` log-probabilities; the lowest one of None."""
        if logprobs is None:
            return cls()
        of_gold = gold_probabilities(logprobs, task, rows)
        score = evaluate_labels(task, logprobs, rows).score
        return cls(-float(log_loss(of_gold, task.row_weights(rows))), score)

    def to_record(self) -> dict[str, float | None]:
        """Return JSON values; None if it could not answer every row."""
        whole = bool(np.isfinite(self.gain))
        return {"validation": self.score if whole else None, "log_loss": -self.gain if whole else None}
