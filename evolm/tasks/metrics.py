"""Metrics of a task: pure functions of outcomes and gold.

Every metric lies in [0, 1], and higher is better. An *outcome* is the result on one item: for closed answers the
index of the predicted label or option, for open ones a number that rates the text. The index -1 means "no
prediction": it is wrong for its row and belongs to no class, so it lowers recall but no class's precision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from evolm.tasks.kinds.base import CLOSED, OPEN, Form
from evolm.tasks.text_metrics import chrf, exact_match, rouge_l, token_f1

ACCURACY = "accuracy"
RATES = ("precision", "recall", "f1")
Indices = NDArray[np.integer]
Outcomes = NDArray[Any]


@dataclass(frozen=True)
class Metric:
    """A metric that a task may be scored by.

    Attributes:
        name: the value of ``task.metric``.
        forms: the forms of answers that it fits.
        summary: one sentence for users.
        function: of ``(n,)`` outcomes, ``(n,)`` gold indices (zeros for open answers) and the number of labels;
            returns a number in [0, 1].
        compare: of a generated text and its target; returns the item's outcome. None if outcomes are not of texts.
        worst: the outcome of an item that could not be answered.
        balanced: whether every label counts alike, however many rows have it.
        weights: where the metric is a mean over items of a right answer's weight: from ``(n_labels,)`` counts of gold
            over all items to ``(n_labels,)`` weights by gold label. None of other metrics.
    """

    name: str
    forms: tuple[Form, ...]
    summary: str
    function: Callable[[Outcomes, Indices, int], float]
    compare: Callable[[str, str], float] | None = None
    worst: float = -1
    balanced: bool = False
    weights: Callable[[Indices], NDArray[np.float64]] | None = None


class ClassScores(TypedDict):
    """Scores of one label; ``support`` is the number of rows with this gold label."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


def confusion_matrix(predicted: Indices, gold: Indices, n_labels: int) -> NDArray[np.int64]:
    """Count rows by gold and predicted label.

    Args:
        predicted: ``(n,)`` label indices, -1 for no prediction.
        gold: ``(n,)`` label indices, in the same order.
        n_labels: number of labels.

    Returns:
        ``(n_labels, n_labels + 1)`` counts: a row per gold label, a column per predicted label, and a last
        column for rows without a prediction.

    Raises:
        ValueError: if the arrays are empty, differ in shape or hold an index of no label.
    """
    predicted, gold = np.asarray(predicted), np.asarray(gold)
    _check(predicted, gold, n_labels)
    columns = np.where(predicted == -1, n_labels, predicted)
    cells = np.bincount(gold * (n_labels + 1) + columns, minlength=n_labels * (n_labels + 1))
    return cells.reshape(n_labels, n_labels + 1).astype(np.int64)


def _check(predicted: Indices, gold: Indices, n_labels: int) -> None:
    if predicted.ndim != 1 or predicted.shape != gold.shape or not len(gold):
        raise ValueError(
            "predicted, gold: expected two arrays of one shape (n,) with n > 0, "
            f"found {predicted.shape} and {gold.shape}"
        )
    for name, indices, lowest in (("predicted", predicted, -1), ("gold", gold, 0)):
        if not np.issubdtype(indices.dtype, np.integer):
            raise ValueError(f"{name}: expected integers, found {indices.dtype}")
        if indices.min() < lowest or indices.max() >= n_labels:
            raise ValueError(
                f"{name}: expected indices from {lowest} to {n_labels - 1}, found {indices.min()} to {indices.max()}"
            )


def accuracy(predicted: Indices, gold: Indices, n_labels: int) -> float:
    """Return the fraction of the ``(n,)`` rows whose prediction is the gold label."""
    matrix = confusion_matrix(predicted, gold, n_labels)
    return float(np.trace(matrix) / matrix.sum())


def equal_weights(counts: Indices) -> NDArray[np.float64]:
    """Return the weights of right answers whose mean over items is :func:`accuracy`: all 1."""
    return np.ones(len(counts))


def balanced_weights(counts: Indices) -> NDArray[np.float64]:
    """Return the weights of right answers whose mean over items is :func:`balanced_accuracy`: n / (K n_k)."""
    known = counts > 0
    return np.where(known, np.sum(counts) / (np.count_nonzero(known) * np.maximum(counts, 1)), 0.0)


def balanced_accuracy(predicted: Indices, gold: Indices, n_labels: int) -> float:
    """Return the mean recall over the labels that occur in ``gold``; other labels are left out."""
    _, recall, _, support = _rates(confusion_matrix(predicted, gold, n_labels))
    return float(recall[support > 0].mean())


def macro_f1(predicted: Indices, gold: Indices, n_labels: int) -> float:
    """Return the mean F1 over the labels that occur in ``gold`` or in ``predicted``.

    A label that is predicted but is gold of no row counts with an F1 of 0. A label that occurs in neither is left
    out: otherwise a perfect prediction would not score 1.
    """
    matrix = confusion_matrix(predicted, gold, n_labels)
    _, _, f1, _ = _rates(matrix)
    occurs = _occurs(matrix)
    return float(f1[occurs].mean()) if occurs.any() else 0.0


def per_class(predicted: Indices, gold: Indices, labels: Sequence[str]) -> list[ClassScores]:
    """Return precision, recall, F1 and support of each label, in the order of ``labels``.

    A rate whose denominator is 0 (a label never predicted, or never gold) is 0.
    """
    precision, recall, f1, support = _rates(confusion_matrix(predicted, gold, len(labels)))
    return [
        ClassScores(label=label, precision=float(p), recall=float(r), f1=float(f), support=int(n))
        for label, p, r, f, n in zip(labels, precision, recall, f1, support, strict=True)
    ]


def averages(predicted: Indices, gold: Indices, n_labels: int) -> dict[str, float]:
    """Return accuracy, and the means of precision, recall and F1 over the labels that :func:`macro_f1` counts."""
    matrix = confusion_matrix(predicted, gold, n_labels)
    precision, recall, f1, _ = _rates(matrix)
    occurs = _occurs(matrix)
    means = {name: float(rate[occurs].mean()) for name, rate in zip(RATES, (precision, recall, f1), strict=True)}
    return {ACCURACY: accuracy(predicted, gold, n_labels), **means}


def _occurs(matrix: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return ``(n_labels,)``, whether a label is gold of a row or predicted for one."""
    return (matrix.sum(axis=1) > 0) | (matrix[:, : len(matrix)].sum(axis=0) > 0)


def _rates(
    matrix: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return precision, recall, F1 and support, each ``(n_labels,)``."""
    hits = matrix.diagonal()
    support = matrix.sum(axis=1)
    predicted = matrix[:, : len(matrix)].sum(axis=0)
    return _ratio(hits, predicted), _ratio(hits, support), _ratio(2 * hits, predicted + support), support


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(whole > 0, part / np.maximum(whole, 1), 0.0)


def mean_outcome(outcomes: Outcomes, gold: Indices, n_labels: int) -> float:
    """Return the mean of the ``(n,)`` outcomes, which were computed from gold."""
    _check_numbers(outcomes)
    return float(np.mean(outcomes))


def inverse_perplexity(outcomes: Outcomes, gold: Indices, n_labels: int) -> float:
    """Return exp of the mean of ``(n,)`` log-probabilities (nats) per target token: 1 / perplexity."""
    _check_numbers(outcomes)
    return float(np.exp(np.mean(outcomes)))


def _check_numbers(outcomes: Outcomes) -> None:
    if np.ndim(outcomes) != 1 or not len(outcomes):
        raise ValueError(f"outcomes: expected an array (n,) with n > 0, found {np.shape(outcomes)}")


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "balanced_accuracy",
            (Form.LABELS,),
            "Mean recall of the labels.",
            balanced_accuracy,
            balanced=True,
            weights=balanced_weights,
        ),
        Metric("accuracy", CLOSED, "Share of right answers.", accuracy, weights=equal_weights),
        Metric("macro_f1", (Form.LABELS,), "Mean F1 of the labels.", macro_f1, balanced=True),
        Metric("chrf", OPEN, "Mean chrF of the texts, by sacrebleu, from 0 to 1.", mean_outcome, chrf, 0.0),
        Metric(
            "exact_match",
            OPEN,
            "Share of texts that equal their target but for case and white space.",
            mean_outcome,
            exact_match,
            0.0,
        ),
        Metric(
            "token_f1",
            OPEN,
            "Mean F1 of the texts' words, as in SQuAD: case, punctuation and articles do not count.",
            mean_outcome,
            token_f1,
            0.0,
        ),
        Metric(
            "rouge_l",
            OPEN,
            "Mean ROUGE-L of the texts, by rouge-score: F1 of their longest common subsequence of word stems.",
            mean_outcome,
            rouge_l,
            0.0,
        ),
        Metric(
            "perplexity",
            OPEN,
            "Inverse perplexity of the targets, the geometric mean probability of their tokens: higher is better.",
            inverse_perplexity,
            worst=-12.0,
        ),
    )
}
