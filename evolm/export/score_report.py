"""The score of a prompt on labelled rows, with interval, coverage and per-class figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evolm.errors import DataError
from evolm.scorers import Evaluation
from evolm.statistics import bootstrap
from evolm.tasks import Task
from evolm.tasks.metrics import ClassScores, confusion_matrix, per_class
from evolm.wording import counted


@dataclass(frozen=True)
class ScoreReport:
    """The score of a prompt on labelled rows.

    Attributes:
        metric: name of the metric.
        value: of the metric.
        interval: 95 % bootstrap interval over rows.
        scored: number of scored rows.
        left_out: reason -> number of rows that were not scored.
        unanswered: scored rows for which the model gave no finite probabilities; they count as wrong.
        seen: scored rows that the prompt's run selected on or learned from; None if the run is not known.
        per_class: precision, recall, F1 and support of each label; empty if the task has no labels.
        confusion: rows by gold label and by predicted label, the last column = no prediction; empty without labels.
    """

    metric: str
    value: float
    interval: tuple[float, float]
    scored: int
    left_out: Mapping[str, int]
    unanswered: int = 0
    seen: int | None = None
    per_class: Sequence[ClassScores] = ()
    confusion: Sequence[Sequence[int]] = ()

    @classmethod
    def of(
        cls, task: Task, evaluation: Evaluation, left_out: Mapping[str, int], seen: frozenset[str] | None = None
    ) -> ScoreReport:
        """Return the score of a task's test split.

        Args:
            task: its test split has the scored rows.
            evaluation: the task scorer's evaluation of them.
            left_out: reason -> number of other rows.
            seen: content keys of the items that the prompt's run has seen.

        Raises:
            DataError: if there are fewer than two rows, so that the score has no interval, or none was answered.
        """
        outcomes, gold = evaluation.outcomes, task.gold_indices(task.test)
        assert outcomes is not None
        if len(gold) < 2:
            raise DataError(f"expected at least two rows to score, found 1{reasons(left_out)}")
        value = task.metric_function(outcomes, gold)
        if not math.isfinite(value):
            raise DataError(f"expected answers to score, found none: {next(iter(evaluation.failures.values()))}")
        return cls(
            metric=task.metric,
            value=value,
            interval=bootstrap(task.metric_function, gold, outcomes),
            scored=len(gold),
            left_out=left_out,
            unanswered=len(evaluation.failures),
            seen=None if seen is None else sum(item.content_key in seen for item in task.test),
            per_class=per_class(outcomes, gold, task.labels) if task.labels else (),
            confusion=confusion_matrix(outcomes, gold, len(task.labels)).tolist() if task.labels else (),
        )

    @property
    def rows(self) -> int:
        """Number of rows that were read."""
        return self.scored + sum(self.left_out.values())

    def to_record(self) -> dict[str, Any]:
        """Return JSON values."""
        record = {
            "metric": self.metric,
            "score": self.value,
            "interval": list(self.interval),
            "rows": self.rows,
            "scored": self.scored,
            "left_out": dict(self.left_out),
            "unanswered": self.unanswered,
            "seen": self.seen,
        }
        classes = {"per_class": list(self.per_class), "confusion": [list(counts) for counts in self.confusion]}
        return record | (classes if self.per_class else {})


def reasons(left_out: Mapping[str, int]) -> str:
    """Return ``"; 2 rows left out: REASON"`` for every reason."""
    return "".join(f"; {counted(number, 'row')} left out: {why}" for why, number in left_out.items())
