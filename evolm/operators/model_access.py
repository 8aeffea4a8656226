"""Operators' access to the model: through the campaign's engine, charged to the search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evolm.errors import DataError, Unanswerable
from evolm.evaluation.dialogue import hold
from evolm.models import Dialogue, GradientRequest, GradientResult, Result
from evolm.scorers import Scoring
from evolm.tasks import Item

if TYPE_CHECKING:
    from evolm.evaluation.engine import Engine


class ModelAccess:
    """The model, the task and the train items, as operators may use them.

    Args:
        engine: answers requests.
        scoring: the task, and the probabilities of its labels.
        train: items whose gold labels operators may see; empty if the search has none.
    """

    def __init__(self, engine: Engine, scoring: Scoring, train: Sequence[Item]) -> None:
        self.engine = engine
        self.scoring = scoring
        self.train = train
        self._tokens = 0

    def hold_dialogues(self, dialogues: Sequence[Dialogue[Result]]) -> list[Result | None]:
        """Hold dialogues side by side, with one batch per round, and count their tokens.

        Returns:
            The result of each dialogue, in order; None if it failed, because a request does not fit the model's
            context or the template fails on an item.

        Raises:
            Interrupted: if a stop was requested.
        """
        outcomes = hold(dialogues, self.engine)
        self._tokens += sum(outcome.tokens for outcome in outcomes)
        return [outcome.result for outcome in outcomes]

    def learn(self, requests: Sequence[GradientRequest]) -> list[GradientResult | None]:
        """Return the value and the gradient of every request, in order, and count their tokens.

        The result is None for a request that the model cannot be asked, such as one that does not fit its context.

        Raises:
            Interrupted: if a stop was requested.
        """
        before = self.engine.usage.tokens_charged
        fits = [self._fits(request) for request in requests]
        fitting = [request for request, fit in zip(requests, fits, strict=True) if fit]
        results = iter(self.engine.learn(fitting) if fitting else [])
        self._tokens += self.engine.usage.tokens_charged - before
        return [next(results) if fit else None for fit in fits]

    def _fits(self, request: GradientRequest) -> bool:
        try:
            self.engine.tokenize(request.examples)
        except (Unanswerable, DataError):
            return False
        return True

    def spent(self) -> int:
        """Return the tokens charged since the last call."""
        tokens, self._tokens = self._tokens, 0
        return tokens
