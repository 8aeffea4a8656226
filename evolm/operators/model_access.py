"""How operators ask the model: through the campaign's engine, at the search's expense."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, TypeAlias

from evolm.errors import ContextExceeded, DataError
from evolm.evaluation.engine import Engine
from evolm.models import Answer, GradientRequest, GradientResult, Request, Tokenized, charge
from evolm.scorers import Scoring
from evolm.tasks import Item

# Yields requests, is sent their answers, may ask again, returns what came of it.
Dialogue: TypeAlias = Generator[Sequence[Request], Any, Any]


class ModelAccess:
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

    def hold_dialogues(self, conversations: Sequence[Dialogue]) -> list[Any | None]:
        """Hold conversations side by side, a round of all of them in one batch.

        Returns:
            What each returns at its end, in order; None for one that asks what cannot be asked, because it does not
            fit the model or the template fails on an item.

        Raises:
            Interrupted: if a stop was requested.
        """
        results: list[Any | None] = [None] * len(conversations)
        heard: dict[int, list[Any] | None] = dict.fromkeys(range(len(conversations)))
        while heard:
            asked: dict[int, list[Tokenized]] = {}
            for index, answers in heard.items():
                try:
                    asked[index] = self.engine.tokenize(conversations[index].send(answers))
                except StopIteration as end:
                    results[index] = end.value
                except (ContextExceeded, DataError):
                    conversations[index].close()
            told = iter(self._answers([request for own in asked.values() for request in own]))
            heard = {index: [next(told) for _ in own] for index, own in asked.items()}
        return results

    def _answers(self, requests: Sequence[Tokenized]) -> list[Answer]:
        """Answer requests, in order, and remember what they cost."""
        answers = self.engine.answer_tokenized(requests) if requests else []
        self._tokens += sum(charge(request, answer) for request, answer in zip(requests, answers, strict=True))
        return answers

    def learn(self, lessons: Sequence[GradientRequest]) -> list[GradientResult | None]:
        """Return the value and the gradient of every lesson, in order, and remember what they cost.

        Nothing is learnt from a lesson that does not fit the model: None.

        Raises:
            Interrupted: if a stop was requested.
        """
        before = self.engine.usage.tokens_charged
        fits = [self._fits(lesson) for lesson in lessons]
        fitting = [lesson for lesson, fit in zip(lessons, fits, strict=True) if fit]
        learnt = iter(self.engine.learn(fitting) if fitting else [])
        self._tokens += self.engine.usage.tokens_charged - before
        return [next(learnt) if fit else None for fit in fits]

    def _fits(self, lesson: GradientRequest) -> bool:
        try:
            self.engine.tokenize(lesson.examples)
        except (ContextExceeded, DataError):
            return False
        return True

    def spent(self) -> int:
        """Return the tokens asked for since the last call."""
        tokens, self._tokens = self._tokens, 0
        return tokens
