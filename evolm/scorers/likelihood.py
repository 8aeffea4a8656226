"""Scores read off the probabilities of labels or options: the task's metric, and the margin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from evolm.scorers.base import (
    FLOOR,
    Dialogue,
    Evaluation,
    ItemTerms,
    PartsOf,
    Scoring,
    Weighted,
    mean_or_nan,
    scores_within,
)
from evolm.tasks import CLOSED, METRICS, Form, Item, Task


def predicted(logprobs: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
    """Return the likeliest option of each of ``(n, n_options)`` rows, -1 and a reason where there is none."""
    broken = np.isnan(logprobs).any(axis=1) | np.isneginf(logprobs).all(axis=1)
    failures = {int(i): "the model's log-probabilities are not finite" for i in np.flatnonzero(broken)}
    return np.where(broken, -1, np.where(np.isnan(logprobs), -np.inf, logprobs).argmax(axis=1)), failures


def label_entropy(logprobs: np.ndarray) -> float:
    """Return the entropy (nats) of the mean of ``(n, n_labels)`` log-probabilities' distributions."""
    mean = np.exp(logprobs).mean(axis=0)
    return float(-np.sum(mean * np.log(np.where(mean > 0, mean, 1.0))))


def about_labels(task: Task, logprobs: np.ndarray, items: Sequence[Item]) -> Evaluation:
    """Return what predictions say by themselves: outcomes, the task's metric, how they spread over the labels.

    Of a classification the measures are ``largest_share``, that of the label which is predicted most often, and
    ``label_entropy`` (nats), that of the mean of all items' label probabilities: 0 where the model is sure of one
    and the same label throughout, ln(labels) where none is preferred over all items.

    ``score`` and ``objective`` are the metric (NaN without gold); the per-item score is the probability of the gold
    label, or of the predicted one.
    """
    outcomes, failures = predicted(logprobs)
    rows = np.arange(len(items))
    measures: dict[str, float] = {}
    if task.labels:
        shares = np.bincount(outcomes[outcomes >= 0], minlength=len(task.labels)) / len(items)
        measures = {"largest_share": float(shares.max()), "label_entropy": label_entropy(logprobs)}
    chosen = task.gold_indices(items) if task.knows_gold else np.maximum(outcomes, 0)
    # Means of recalls that are equal on paper differ in their last bits; rounded, they tie as they should.
    score = round(task.metric_of(outcomes, items), 12) if task.knows_gold else float("nan")
    return Evaluation(
        scores=np.exp(logprobs[rows, chosen]),
        objective=float("nan") if failures else score,
        outcomes=outcomes,
        score=score,
        label_logprobs=logprobs,
        measures=measures,
        failures=failures,
    )


class LabelLikelihood:
    """The task's metric when the likeliest label or option is predicted.

    Equal metrics are told apart by the mean log-probability of the gold label, each class counting alike.
    """

    Params = Weighted
    forms: ClassVar[tuple[Form, ...]] = CLOSED
    needs_gold = True
    limits = (0.0, 1.0)

    def __init__(self, scoring: Scoring, params: Weighted) -> None:
        assert scoring.labels is not None
        self.task, self.labels = scoring.task, scoring.labels

    def describe(self) -> dict[str, Any]:
        """Return how labels are compared."""
        return self.labels.describe()

    @property
    def parts(self) -> PartsOf | None:
        """What right answers count, where the task's metric is a mean over items."""
        return self._right_answers if METRICS[self.task.metric].weights else None

    def _right_answers(self, evaluation: Evaluation, items: Sequence[Item], everything: Sequence[Item]) -> ItemTerms:
        weights_of = METRICS[self.task.metric].weights
        assert weights_of is not None
        weights = weights_of(np.bincount(self.task.gold_indices(everything), minlength=self.task.n_options))
        gold = self.task.gold_indices(items)
        return ItemTerms(np.where(evaluation.outcomes == gold, weights[gold], 0.0), 0.0, float(weights.max()))

    def dialogue(self, genome: Any, items: Sequence[Item]) -> Dialogue:
        """See the class."""
        logprobs = yield from self.labels.ask(genome, items)
        return self.judge(logprobs, items)

    def judge(self, logprobs: np.ndarray, items: Sequence[Item]) -> Evaluation:
        """Evaluate ``(n, n_options)`` log-probabilities against the items' gold labels."""
        about = about_labels(self.task, logprobs, items)
        gold = self.task.gold_indices(items)
        of_gold = logprobs[np.arange(len(items)), gold]
        classes = np.unique(gold) if self.task.labels else [slice(None)]
        groups = [of_gold[gold == c] if self.task.labels else of_gold for c in classes]
        means = [np.maximum(group, FLOOR).mean() for group in groups]
        measures = {**about.measures, "gold_probability": float(np.exp(of_gold).mean())}
        return replace(about, tie_break=float(np.mean(means)), measures=measures)


class Margin:
    """How far the gold label's probability lies above the next one's; without gold, the likeliest one's.

    In [-1, 1] with gold labels, in [0, 1] without: there it is the model's confidence, and a prompt that makes it
    always say the same can reach 1 (see ``mutual_information``).
    """

    Params = Weighted
    forms: ClassVar[tuple[Form, ...]] = CLOSED
    limits = (-1.0, 1.0)
    parts = staticmethod(scores_within(*limits))

    def __init__(self, scoring: Scoring, params: Weighted) -> None:
        assert scoring.labels is not None
        self.task, self.labels = scoring.task, scoring.labels
        self.needs_gold = scoring.task.has_gold

    def describe(self) -> dict[str, Any]:
        """Return what the margin is measured from."""
        return {"from": "gold" if self.needs_gold else "prediction", **self.labels.describe()}

    def dialogue(self, genome: Any, items: Sequence[Item]) -> Dialogue:
        """See the class."""
        logprobs = yield from self.labels.ask(genome, items)
        about = about_labels(self.task, logprobs, items)
        probabilities = np.exp(logprobs)
        rows = np.arange(len(items))
        chosen = self.task.gold_indices(items) if self.needs_gold else about.outcomes
        mine = probabilities[rows, chosen].copy()
        probabilities[rows, chosen] = 0.0
        scores = mine - probabilities.max(axis=1)
        scores[list(about.failures)] = np.nan
        return replace(about, scores=scores, objective=mean_or_nan(scores, about.failures))
