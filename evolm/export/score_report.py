"""How a prompt fared on labelled rows, with what must be known about the number."""

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
    """How a prompt fared on labelled rows.

    Attributes:
        metric: its name.
        value: what it is.
        interval: 95 % bootstrap interval over rows.
        scored: rows that were.
        left_out: why -> how many were not.
        unanswered: scored rows that the model gave no finite probabilities for; they count as wrong.
        seen: scored rows that the prompt's run selected on or learned from; None where no run is around to tell.
        per_class: of a classification, precision, recall, F1 and support of each label.
        confusion: of a classification, rows by gold label and by predicted label, and a last column without one.
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
            task: its test split are the rows that were scored.
            evaluation: what its own scorer said about them.
            left_out: why -> how many other rows there were.
            seen: content keys of what the prompt's run has seen.

        Raises:
            DataError: if the rows are fewer than two, so that no interval can be given, or none got an answer.
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
        """Rows that were read."""
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
        about_classes = {"per_class": list(self.per_class), "confusion": [list(counts) for counts in self.confusion]}
        return record | (about_classes if self.per_class else {})


def reasons(left_out: Mapping[str, int]) -> str:
    """Return ``"; 2 rows left out: ..."`` for every reason."""
    return "".join(f"; {counted(number, 'row')} left out: {why}" for why, number in left_out.items())
