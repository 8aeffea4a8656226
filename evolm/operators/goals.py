"""What learning aims at: a loss of gold answers, or a reward of the model's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evolm.scorers.base import Rewards, Scorer
from evolm.tasks import Item


@dataclass(frozen=True)
class SupervisedLoss:
    """The loss of gold answers.

    Attributes:
        name: in :data:`evolm.models.losses.LOSSES`.
        margin: of the loss ``"margin"``, in nats.
    """

    name: str = "cross_entropy"
    margin: float = 1.0


@dataclass(frozen=True)
class Reward:
    """The reward of an answer to an item: a weighted sum over scorers, less a penalty.

    The scorers judge with the unchanged model: a judge that changed with the policy would add a term to the gradient.

    Attributes:
        scorers: each with its weight, at least one.
        samples: answers that are drawn for an item of a generation task, at least two.
        kl: weight of the log-likelihood ratio (nats) of an answer under the changed and the unchanged model, whose
            mean over samples estimates their divergence.
    """

    scorers: tuple[tuple[Scorer, float], ...]
    samples: int = 4
    kl: float = 0.0

    def of(self, items: Sequence[Item], answers: Sequence[Sequence[str]]) -> Rewards:
        """Return the weighted sum of rewards without the penalty; see :meth:`evolm.scorers.Scorer.rewards`."""
        total: list[np.ndarray] = []
        for scorer, weight in self.scorers:
            rewards = yield from scorer.rewards(items, answers)
            weighted = [weight * own for own in rewards]
            total = [before + own for before, own in zip(total, weighted, strict=True)] if total else weighted
        return total
