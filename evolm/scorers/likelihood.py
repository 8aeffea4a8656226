"""Scores computed from the probabilities of labels or options: the task's metric, and the margin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from evolm.collapse import LARGEST
from evolm.genomes import Phenotype, mixture
from evolm.scorers.base import (
    FLOOR,
    Dialogue,
    Evaluation,
    ItemTerms,
    MeanOfItems,
    Scorer,
    Scoring,
    Weighted,
    mean_or_nan,
)
from evolm.tasks import CLOSED, METRICS, Form, Item, Task


def predicted(logprobs: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
    """Return the likeliest option of each of ``(n, n_options)`` rows; -1 and a reason if the row is not finite."""
    broken = np.isnan(logprobs).any(axis=1) | np.isneginf(logprobs).all(axis=1)
    failures = {int(i): "the model's log-probabilities are not finite" for i in np.flatnonzero(broken)}
    return np.where(broken, -1, np.where(np.isnan(logprobs), -np.inf, logprobs).argmax(axis=1)), failures


def label_entropy(logprobs: np.ndarray) -> float:
    """Return the entropy (nats) of the mean of ``(n, n_labels)`` log-probabilities' distributions."""
    mean = np.exp(logprobs).mean(axis=0)
    return float(-np.sum(mean * np.log(np.where(mean > 0, mean, 1.0))))


def evaluate_labels(task: Task, logprobs: np.ndarray, items: Sequence[Item]) -> Evaluation:
    """Return the evaluation of label predictions: outcomes, the task's metric, their distribution over the labels.

    A classification has two measures: ``largest_share`` of predictions, that of the label predicted most often, and
    ``label_entropy`` (nats) of the mean over items of the label probabilities: 0 if the model always gives one label
    probability 1, ln(labels) if no label is preferred over all items.

    ``score`` and ``objective`` are the metric (NaN without gold); the per-item score is the probability of the gold
    label, or of the predicted one without gold.

    Args:
        logprobs: ``(n, n_options)`` nats.
    """
    outcomes, failures = predicted(logprobs)
    rows = np.arange(len(items))
    measures: dict[str, float] = {}
    if task.labels:
        shares = np.bincount(outcomes[outcomes >= 0], minlength=len(task.labels)) / len(items)
        measures = {LARGEST: float(shares.max()), "label_entropy": label_entropy(logprobs)}
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


def joint_evaluation(
    task: Task, evaluations: Sequence[Evaluation], weights: Sequence[int], items: Sequence[Item]
) -> Evaluation:
    """Return the evaluation of a committee's label predictions; see :func:`evaluate_labels`.

    Args:
        task: the task.
        evaluations: of each member, with its label log-probabilities.
        weights: of each member.
        items: what was evaluated.
    """
    logprobs = [evaluation.label_logprobs for evaluation in evaluations if evaluation.label_logprobs is not None]
    return evaluate_labels(task, mixture(logprobs, weights), items)


class LabelLikelihood(Scorer):
    """The task's metric when the likeliest label or option is predicted.

    Ties are broken by the mean log-probability of the gold label, each class with equal weight.
    """

    forms: ClassVar[tuple[Form, ...]] = CLOSED
    needs_gold = True
    limits = (0.0, 1.0)

    def __init__(self, scoring: Scoring, params: Weighted) -> None:
        super().__init__(scoring, params)
        assert scoring.labels is not None
        self.task, self.labels = scoring.task, scoring.labels

    def describe(self) -> dict[str, Any]:
        """Return how labels are compared."""
        return self.labels.describe()

    @property
    def decomposable(self) -> bool:
        """Whether the task's metric is a weighted mean over items."""
        return METRICS[self.task.metric].weights is not None

    def item_terms(self, evaluation: Evaluation, items: Sequence[Item], all_items: Sequence[Item]) -> ItemTerms:
        """Return the weight of each right answer, 0 for a wrong one."""
        weights_of = METRICS[self.task.metric].weights
        assert weights_of is not None
        weights = weights_of(np.bincount(self.task.gold_indices(all_items), minlength=self.task.n_options))
        gold = self.task.gold_indices(items)
        return ItemTerms(np.where(evaluation.outcomes == gold, weights[gold], 0.0), 0.0, float(weights.max()))

    def dialogue(self, shown: Phenotype, items: Sequence[Item]) -> Dialogue:
        """See the class."""
        logprobs = yield from self.labels.ask(shown, items)
        return self.evaluate(logprobs, items)

    def evaluate(self, logprobs: np.ndarray, items: Sequence[Item]) -> Evaluation:
        """Evaluate ``(n, n_options)`` log-probabilities against the items' gold labels."""
        predictions = evaluate_labels(self.task, logprobs, items)
        gold = self.task.gold_indices(items)
        of_gold = logprobs[np.arange(len(items)), gold]
        classes = np.unique(gold) if self.task.labels else [slice(None)]
        groups = [of_gold[gold == c] if self.task.labels else of_gold for c in classes]
        means = [np.maximum(group, FLOOR).mean() for group in groups]
        measures = {**predictions.measures, "gold_probability": float(np.exp(of_gold).mean())}
        return replace(predictions, tie_break=float(np.mean(means)), measures=measures)


class Margin(MeanOfItems):
    """Mean difference of the gold label's probability and the highest of the others; without gold, of the likeliest.

    In [-1, 1] with gold labels, in [0, 1] without. Without gold it is the model's confidence, and a prompt for which
    the model always gives the same answer can reach 1 (see ``mutual_information``).
    """

    forms: ClassVar[tuple[Form, ...]] = CLOSED
    limits = (-1.0, 1.0)

    def __init__(self, scoring: Scoring, params: Weighted) -> None:
        super().__init__(scoring, params)
        assert scoring.labels is not None
        self.task, self.labels = scoring.task, scoring.labels

    @property
    def needs_gold(self) -> bool:
        """Whether the search sees gold labels."""
        return self.task.has_gold

    def describe(self) -> dict[str, Any]:
        """Return whether the margin is that of the gold or of the predicted label."""
        return {"from": "gold" if self.needs_gold else "prediction", **self.labels.describe()}

    def dialogue(self, shown: Phenotype, items: Sequence[Item]) -> Dialogue:
        """See the class."""
        logprobs = yield from self.labels.ask(shown, items)
        predictions = evaluate_labels(self.task, logprobs, items)
        probabilities = np.exp(logprobs)
        rows = np.arange(len(items))
        chosen = self.task.gold_indices(items) if self.needs_gold else predictions.outcomes
        mine = probabilities[rows, chosen].copy()
        probabilities[rows, chosen] = 0.0
        scores = mine - probabilities.max(axis=1)
        scores[list(predictions.failures)] = np.nan
        return replace(predictions, scores=scores, objective=mean_or_nan(scores, predictions.failures))
