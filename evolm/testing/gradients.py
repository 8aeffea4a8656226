"""Access to a model whose gradients are invented, for strategies whose steps matter and whose values do not."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from evolm.models import Dialogue, GradientRequest, GradientResult, Result
from evolm.models.deltas import factors
from evolm.operators import ModelAccess, Reward, Spent
from evolm.scorers import Scoring
from evolm.tasks import Item

if TYPE_CHECKING:
    from evolm.evaluation.engine import Engine


class InventedGradients(ModelAccess):
    """Answers every gradient request from its own content, in no time: the same request, the same gradient.

    Args:
        scoring, train, reward: see :class:`~evolm.operators.ModelAccess`. A reward that asks the model cannot be
            given.
    """

    engine: Engine

    def __init__(self, scoring: Scoring, train: Sequence[Item], reward: Reward | None = None) -> None:
        super().__init__(None, scoring, train, reward=reward)  # type: ignore[arg-type]

    def hold_dialogues(self, dialogues: Sequence[Dialogue[Result]]) -> list[Result | None]:
        """Return the results of dialogues that ask nothing."""
        return [_result(dialogue) for dialogue in dialogues]

    def learn(self, requests: Sequence[GradientRequest]) -> list[GradientResult | None]:
        """Return a gradient that depends on the delta's numbers and on the texts of the request."""
        self._spent += Spent(3 * sum(len(request.examples) for request in requests))
        return [_invented(request) for request in requests]


def _result(dialogue: Dialogue[Result]) -> Result:
    try:
        asked = next(dialogue)
    except StopIteration as end:
        result: Result = end.value
        return result
    raise TypeError(f"expected a dialogue without requests, found {len(asked)} requests")


def _invented(request: GradientRequest) -> GradientResult:
    delta = request.examples[0].delta
    texts = repr([(example.item, example.continuations) for example in request.examples])
    shift = int.from_bytes(hashlib.sha256(texts.encode()).digest()[:4]) / 2**32
    changes = {} if delta is None else delta.changes
    gradients = {
        name: tuple(np.cos(array.astype(float) + 6 * shift) for array in factors(change))
        for name, change in changes.items()
    }
    return GradientResult(shift, gradients)
