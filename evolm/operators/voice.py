"""How operators ask the model: through the campaign's engine, at the search's expense."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evolm.errors import ContextExceeded
from evolm.evaluation.engine import Engine
from evolm.models import Generate, charge
from evolm.scorers import Scoring
from evolm.tasks import Item


class Voice:
    """The model as operators know it.

    Args:
        engine: answers requests.
        scoring: the task, and how its labels are asked for.
        train: items whose gold labels operators may see; empty where the search has none.
    """

    def __init__(self, engine: Engine, scoring: Scoring, train: Sequence[Item]) -> None:
        self.engine = engine
        self.scoring = scoring
        self.train = train
        self._tokens = 0

    def ask(self, requests: Sequence[Any]) -> list[Any]:
        """Answer requests, in order, and remember what they cost.

        Raises:
            ContextExceeded: if a request does not fit the model.
            Interrupted: if a stop was requested.
        """
        tokenized = self.engine.tokenize(requests)
        answers = self.engine.answer_tokenized(tokenized)
        self._tokens += sum(charge(request, answer) for request, answer in zip(tokenized, answers, strict=True))
        return answers

    def write(self, requests: Sequence[Generate]) -> list[str]:
        """Return the written text of each request; empty for one that does not fit the model."""
        fitting = [index for index, request in enumerate(requests) if self._fits(request)]
        texts = [""] * len(requests)
        for index, answer in zip(fitting, self.ask([requests[i] for i in fitting]), strict=True):
            texts[index] = answer.text
        return texts

    def _fits(self, request: Generate) -> bool:
        try:
            self.engine.tokenize([request])
        except ContextExceeded:
            return False
        return True

    def spent(self) -> int:
        """Return the tokens asked for since the last call."""
        tokens, self._tokens = self._tokens, 0
        return tokens
