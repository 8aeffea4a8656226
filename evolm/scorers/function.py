"""A user's own Python function as a scorer: from an item and the model's prediction to a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from evolm.models import Answer, LogLikelihood
from evolm.scorers.base import Evaluation
from evolm.scorers.likelihood import LabelLikelihood
from evolm.tasks import Item

# (item, predicted label, {label: probability}) -> score, higher is better
ScoreFunction = Callable[[Item, str, dict[str, float]], float]


class FunctionScorer:
    """Scores each item by a function of the model's prediction; the objective is the mean.

    The model is asked what :class:`LabelLikelihood` asks, so both read the same answers. Where the function
    raises an ``Exception``, the item is NaN with the reason and the individual is recorded as failed.

    Args:
        function: see :data:`ScoreFunction`.
        likelihood: asks the model and predicts.
    """

    needs_gold = False

    def __init__(self, function: ScoreFunction, likelihood: LabelLikelihood) -> None:
        self.function = function
        self.likelihood = likelihood

    def describe(self) -> dict[str, Any]:
        """Return the function's name and how labels are normalised."""
        return {
            "function": getattr(self.function, "__qualname__", repr(self.function)),
            **self.likelihood.describe(),
        }

    def requests(self, genome: Any, items: Sequence[Item]) -> list[LogLikelihood]:
        """Return one request per item."""
        return self.likelihood.requests(genome, items)

    def score(self, genome: Any, answers: Sequence[Answer], items: Sequence[Item]) -> Evaluation:
        """Apply the function to every item."""
        base = self.likelihood.score(genome, answers, items)
        labels = self.likelihood.task.labels
        scores = np.full(len(items), np.nan)
        failures = dict(base.failures)
        for index, item in enumerate(items):
            if index in failures:
                continue
            probabilities = dict(zip(labels, np.exp(base.label_logprobs[index]).tolist(), strict=True))
            try:
                scores[index] = float(self.function(item, labels[base.predictions[index]], probabilities))
            except Exception as error:  # a user's function may raise anything; the campaign survives it
                failures[index] = f"{type(error).__name__}: {error}"
            else:
                if not np.isfinite(scores[index]):
                    failures[index] = f"the function returned {scores[index]}"
        objective = float("nan") if failures else float(scores.mean())
        metric = base.score if self.likelihood.task.has_gold else objective
        return replace(base, scores=scores, objective=objective, score=metric, tie_break=0.0, failures=failures)
