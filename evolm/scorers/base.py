"""The seam between answers and fitness.

A scorer says what to ask the model about a genome and some items, and turns the answers into an
:class:`Evaluation`. Its contract:

- higher is better, for per-item scores and objectives alike;
- ``requests`` returns the same number of requests for every item, items in order; equal requests of several
  scorers are asked and charged once;
- an item that cannot be scored gets NaN and a reason in ``failures``; the individual is then invalid, the
  campaign goes on. What makes every item fail (a missing model, a missing file) raises;
- neither genome nor items are changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from evolm.models import Answer, LogLikelihood
from evolm.tasks import Item


@dataclass(frozen=True)
class Evaluation:
    """What a scorer says about one genome on ``n`` items.

    Attributes:
        scores: ``(n,)`` per-item scores; NaN where the item failed.
        predictions: ``(n,)`` label indices, -1 where there is none.
        label_logprobs: ``(n, n_labels)`` normalised log-probabilities (nats).
        objective: what the campaign maximises; NaN if any item failed.
        score: the task's metric.
        tie_break: decides between equal objectives.
        measures: named numbers for people and archives.
        failures: item index -> reason.
    """

    scores: np.ndarray
    predictions: np.ndarray
    label_logprobs: np.ndarray
    objective: float
    score: float
    tie_break: float = 0.0
    measures: Mapping[str, float] = field(default_factory=dict)
    failures: Mapping[int, str] = field(default_factory=dict)


class Scorer(Protocol):
    """See the module's contract."""

    needs_gold: bool

    def describe(self) -> dict[str, Any]:
        """Return settings for the journal and for people."""

    def requests(self, genome: Any, items: Sequence[Item]) -> list[LogLikelihood]:
        """Return what to ask the model."""

    def score(self, genome: Any, answers: Sequence[Answer], items: Sequence[Item]) -> Evaluation:
        """Turn the answers to :meth:`requests`, in their order, into an evaluation."""
