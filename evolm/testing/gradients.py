"""Access to a model whose gradients are invented, for strategies whose steps matter and whose values do not."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from evolm.models import Dialogue, GradientRequest, GradientResult, LogLikelihood, LogProbs, Result
from evolm.models.deltas import Delta, factors
from evolm.operators import ModelAccess, Reward, Spent
from evolm.scorers import Scoring
from evolm.tasks import Item

if TYPE_CHECKING:
    from evolm.evaluation.engine import Engine


class InventedGradients(ModelAccess):
    """Answers every gradient request from its own content, in no time: the same request, the same gradient.

    Args:
        scoring, train, reward, unlabelled: see :class:`~evolm.operators.ModelAccess`. A reward that asks the model
            for texts cannot be given.
    """

    engine: Engine

    def __init__(
        self, scoring: Scoring, train: Sequence[Item], reward: Reward | None = None, unlabelled: Sequence[Item] = ()
    ) -> None:
        super().__init__(None, scoring, train, reward=reward, unlabelled=unlabelled)  # type: ignore[arg-type]

    def hold_dialogues(
        self, dialogues: Sequence[Dialogue[Result]], deltas: Sequence[Delta | None] = ()
    ) -> list[Result | None]:
        """Answer log-likelihoods by numbers that depend on texts and delta; other requests are not known."""
        return [
            self._held(dialogue, delta)
            for dialogue, delta in zip(dialogues, deltas or [None] * len(dialogues), strict=True)
        ]

    def _held(self, dialogue: Dialogue[Result], delta: Delta | None) -> Result:
        answers: list[LogProbs] | None = None
        while True:
            try:
                asked = dialogue.send(answers)
            except StopIteration as end:
                return cast(Result, end.value)
            assert all(isinstance(request, LogLikelihood) for request in asked)
            self._spent += Spent(len(asked))
            answers = [_answer(request, delta) for request in asked if isinstance(request, LogLikelihood)]

    def learn(self, requests: Sequence[GradientRequest]) -> list[GradientResult | None]:
        """Return a gradient that depends on the delta's numbers and on the texts of the request."""
        self._spent += Spent(3 * sum(len(request.examples) for request in requests))
        return [_invented(request) for request in requests]


def _answer(request: LogLikelihood, delta: Delta | None) -> LogProbs:
    numbers = [_number(repr((request.item, text, delta.digest if delta else ""))) for text in request.continuations]
    return LogProbs(np.array([-5 * number], np.float32) for number in numbers)


def _number(text: str) -> float:
    """Return a number in [0, 1) that depends on the text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) / 2**32


def _invented(request: GradientRequest) -> GradientResult:
    delta = request.examples[0].delta
    texts = repr([(example.item, example.continuations) for example in request.examples])
    shift = _number(texts)
    changes = {} if delta is None else delta.changes
    gradients = {
        name: tuple(np.cos(array.astype(float) + 6 * shift) for array in factors(change))
        for name, change in changes.items()
    }
    return GradientResult(shift, gradients)
