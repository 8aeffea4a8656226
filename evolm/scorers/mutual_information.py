"""Mutual information between items and predictions: a score for prompts that needs no gold labels.

Sorensen 2022, "An Information-theoretic Approach to Prompt Engineering Without Ground Truth Labels",
https://arxiv.org/abs/2203.11364, eq. 4. The score rewards confident answers that differ between items. Confidence or
agreement alone would be highest for a model that always gives the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from evolm.genomes import Phenotype
from evolm.scorers.base import Dialogue, Scorer, Scoring, Weighted, mean_or_nan
from evolm.scorers.likelihood import evaluate_labels
from evolm.tasks import Form, Item


def pointwise_information(logprobs: np.ndarray) -> np.ndarray:
    """Return ``(n,)`` divergences (nats) of each item's label distribution from the mean one.

    Args:
        logprobs: ``(n, n_labels)`` normalised log-probabilities.

    Returns:
        KL(p_i || mean p); their mean is H(mean p) - mean H(p_i), the mutual information.
    """
    mean = np.logaddexp.reduce(logprobs, axis=0) - np.log(len(logprobs))
    probabilities = np.exp(logprobs)
    differences = np.where(probabilities > 0, logprobs - mean, 0.0)
    return (probabilities * differences).sum(axis=1)


class MutualInformation(Scorer):
    """Entropy of the mean prediction minus the mean entropy of predictions, in nats.

    Not decomposable: an item's term is its divergence from the mean over all items.
    """

    forms: ClassVar[tuple[Form, ...]] = (Form.LABELS,)

    def __init__(self, scoring: Scoring, params: Weighted) -> None:
        super().__init__(scoring, params)
        assert scoring.labels is not None
        self.task, self.labels = scoring.task, scoring.labels

    @property
    def limits(self) -> tuple[float, float]:
        """0, and the entropy of equally frequent labels."""
        return 0.0, float(np.log(len(self.task.labels)))

    def describe(self) -> dict[str, Any]:
        """Return how labels are compared."""
        return self.labels.describe()

    def dialogue(self, shown: Phenotype, items: Sequence[Item]) -> Dialogue:
        """See the class."""
        logprobs = yield from self.labels.ask(shown, items)
        predictions = evaluate_labels(self.task, logprobs, items)
        scores = pointwise_information(logprobs)
        return replace(predictions, scores=scores, objective=mean_or_nan(scores, predictions.failures))
