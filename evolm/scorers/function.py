"""A user's own Python function as a scorer: from an item and the model's answer to a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import Field, FiniteFloat, field_validator

from evolm.genomes import Phenotype
from evolm.scorers.base import (
    UNBOUNDED,
    Dialogue,
    Evaluation,
    MeanOfItems,
    Rewards,
    Scoring,
    Weighted,
    flat,
    grouped,
    mean_or_nan,
)
from evolm.scorers.generation import generate_texts
from evolm.scorers.likelihood import evaluate_labels
from evolm.tasks import EVERY_FORM, Item

# (item, predicted label or generated text, {label: probability}) -> score, higher is better
ScoreFunction = Callable[[Item, str, dict[str, float]], float]


class FunctionParams(Weighted):
    range: tuple[FiniteFloat, FiniteFloat] | None = Field(
        None, description="lowest and highest score of an item; a score outside is a failure. Racing needs it"
    )

    @field_validator("range")
    @classmethod
    def _lowest_first(cls, ends: tuple[float, float] | None) -> tuple[float, float] | None:
        if ends is not None and ends[0] >= ends[1]:
            raise ValueError(f"expected [lowest, highest], found {list(ends)}")
        return ends


class FunctionScorer(MeanOfItems):
    """Scores each item by a function of the model's prediction; the objective is the mean.

    For a generation task the prediction is the generated text and there are no probabilities; a single label that is
    rewarded has none either. If the function raises an ``Exception``, the item is NaN with the reason and the
    individual is recorded as failed.

    Args:
        function: see :data:`ScoreFunction`.
        scoring: see :class:`Scoring`.
        params: the function's table in ``[scorers]``.
    """

    Params = FunctionParams
    reward_forms = EVERY_FORM

    def __init__(self, function: ScoreFunction, scoring: Scoring, params: FunctionParams = FunctionParams()) -> None:
        super().__init__(scoring, params)
        self.function = function
        self.range = params.range

    def describe(self) -> dict[str, Any]:
        """Return the function's name, and its range if the campaign gives one."""
        known = {"range": list(self.range)} if self.range else {}
        return {"function": getattr(self.function, "__qualname__", repr(self.function)), **known}

    @property
    def decomposable(self) -> bool:
        """Whether the campaign gives the range of the scores."""
        return self.range is not None

    @property
    def limits(self) -> tuple[float, float]:
        """The range if the campaign gives one."""
        return self.range or UNBOUNDED

    def dialogue(self, shown: Phenotype, items: Sequence[Item]) -> Dialogue:
        """Apply the function to every item."""
        task = self.scoring.task
        if self.scoring.labels is None:
            texts = yield from generate_texts(self.scoring, shown.prompt, items)
            predictions = Evaluation(np.zeros(len(items)), 0.0, texts=texts)
            answers: list[tuple[str, dict[str, float]]] = [(text, {}) for text in texts]
        else:
            logprobs = yield from self.scoring.labels.ask(shown, items)
            predictions = evaluate_labels(task, logprobs, items)
            options = [task.options_of(item) for item in items]
            answers = [
                (names[max(best, 0)], dict(zip(names, np.exp(row).tolist(), strict=False)))
                for names, best, row in zip(options, np.asarray(predictions.outcomes), logprobs, strict=True)
            ]
        scores, failures = np.full(len(items), np.nan), dict(predictions.failures)
        for index, item in enumerate(items):
            if index not in failures:
                scores[index], reason = self._apply(item, *answers[index])
                failures.update({index: reason} if reason else {})
        objective = mean_or_nan(scores, failures)
        return replace(predictions, scores=scores, objective=objective, tie_break=0.0, failures=failures)

    def rewards(self, items: Sequence[Item], answers: Sequence[Sequence[str]]) -> Rewards:
        """Apply the function to every answer."""
        yield from ()  # a dialogue without requests
        scores = [self._apply(item, answer, {})[0] for item, answer in zip(*flat(items, answers), strict=True)]
        return grouped(np.array(scores), answers)

    def _apply(self, item: Item, predicted: str, probabilities: dict[str, float]) -> tuple[float, str]:
        """Return the function's score, or NaN and why it has none."""
        try:
            score = float(self.function(item, predicted, probabilities))
        except Exception as error:  # a user's function may raise anything; only its item fails
            return float("nan"), f"{type(error).__name__}: {error}"
        lowest, highest = self.range or (-np.inf, np.inf)
        if not (np.isfinite(score) and lowest <= score <= highest):
            return float("nan"), f"the function returned {score}"
        return score, ""
