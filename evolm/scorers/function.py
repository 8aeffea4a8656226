"""A user's own Python function as a scorer: from an item and what the model made of it to a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, FiniteFloat, field_validator

from evolm.scorers.base import (
    UNKNOWN,
    Dialogue,
    Evaluation,
    PartsOf,
    Scoring,
    Weighted,
    mean_or_nan,
    scores_within,
)
from evolm.scorers.generation import written
from evolm.scorers.likelihood import about_labels
from evolm.tasks import EVERY_FORM, Form, Item

# (item, predicted label or written text, {label: probability}) -> score, higher is better
ScoreFunction = Callable[[Item, str, dict[str, float]], float]


class FunctionParams(Weighted):
    range: tuple[FiniteFloat, FiniteFloat] | None = Field(
        None, description="lowest and highest score of an item; another one is a failure. Racing needs to know them"
    )

    @field_validator("range")
    @classmethod
    def _lowest_first(cls, ends: tuple[float, float] | None) -> tuple[float, float] | None:
        if ends is not None and ends[0] >= ends[1]:
            raise ValueError(f"expected [lowest, highest], found {list(ends)}")
        return ends


class FunctionScorer:
    """Scores each item by a function of the model's prediction; the objective is the mean.

    For a generation task the prediction is the written text and there are no probabilities. Where the function
    raises an ``Exception``, the item is NaN with the reason and the individual is recorded as failed.

    Args:
        function: see :data:`ScoreFunction`.
        scoring: what the model is asked with.
        params: the function's table in ``[scorers]``.
    """

    forms: ClassVar[tuple[Form, ...]] = EVERY_FORM
    needs_gold = False
    Params = FunctionParams

    def __init__(self, function: ScoreFunction, scoring: Scoring, params: FunctionParams = FunctionParams()) -> None:
        self.function = function
        self.scoring = scoring
        self.range = params.range

    def describe(self) -> dict[str, Any]:
        """Return the function's name, and its range where one was named."""
        known = {"range": list(self.range)} if self.range else {}
        return {"function": getattr(self.function, "__qualname__", repr(self.function)), **known}

    @property
    def parts(self) -> PartsOf | None:
        """The scores, where their range was named."""
        return scores_within(*self.range) if self.range else None

    @property
    def limits(self) -> tuple[float, float]:
        """The range, where it was named."""
        return self.range or UNKNOWN

    def dialogue(self, genome: Any, items: Sequence[Item]) -> Dialogue:
        """Apply the function to every item."""
        task = self.scoring.task
        if self.scoring.labels is None:
            texts = yield from written(self.scoring, genome, items)
            about = Evaluation(np.zeros(len(items)), 0.0, texts=texts)
            shown: list[tuple[str, dict[str, float]]] = [(text, {}) for text in texts]
        else:
            logprobs = yield from self.scoring.labels.ask(genome, items)
            about = about_labels(task, logprobs, items)
            options = [task.options_of(item) for item in items]
            shown = [
                (names[max(best, 0)], dict(zip(names, np.exp(row).tolist(), strict=False)))
                for names, best, row in zip(options, np.asarray(about.outcomes), logprobs, strict=True)
            ]
        scores, failures = np.full(len(items), np.nan), dict(about.failures)
        for index, item in enumerate(items):
            if index not in failures:
                scores[index], reason = self._apply(item, *shown[index])
                failures.update({index: reason} if reason else {})
        objective = mean_or_nan(scores, failures)
        return replace(about, scores=scores, objective=objective, tie_break=0.0, failures=failures)

    def _apply(self, item: Item, predicted: str, probabilities: dict[str, float]) -> tuple[float, str]:
        """Return the function's score, or NaN and the reason why there is none."""
        try:
            score = float(self.function(item, predicted, probabilities))
        except Exception as error:  # a user's function may raise anything; the campaign survives it
            return float("nan"), f"{type(error).__name__}: {error}"
        lowest, highest = self.range or (-np.inf, np.inf)
        if not (np.isfinite(score) and lowest <= score <= highest):
            return float("nan"), f"the function returned {score}"
        return score, ""
