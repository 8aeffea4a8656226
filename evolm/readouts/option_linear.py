"""The same few weights for every option of a choice task, fitted on train rows.

A conditional logit (McFadden 1974, "Conditional logit analysis of qualitative choice behavior"): an option's
probability is ``softmax(w · x)`` over its item's options. ``x`` is its log-probability, summed over its tokens, as
their mean, and less that behind the empty item (Holtzman 2021, https://arxiv.org/abs/2104.08315). The penalty
``strength |w|^2 / n``, in units of the features' spread, is added to the mean log-loss; the strength is chosen by
cross-validation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from threadpoolctl import threadpool_limits

from evolm.genomes.readout import Readout
from evolm.models import LogProbs, Request
from evolm.readouts.base import Fit, FittedReader
from evolm.readouts.ridge import Floats, log_loss, normalised
from evolm.tasks import Item

STRENGTHS = (0.1, 1.0, 10.0, 100.0)
FOLDS = 5
FEATURES = 3
LEAST = -1000.0  # nats; a probability of 0 has no finite logarithm


class OptionLinear(FittedReader):
    """A weighted sum of an option's summed, mean and premise-corrected log-probability, fitted on train rows."""

    arrays: ClassVar[Mapping[str, str]] = {"weights": "f"}

    @classmethod
    def check_arrays(cls, arrays: Mapping[str, np.ndarray], genes: Readout, n_labels: int, width: int) -> None:
        """See the base class; there is a weight for each feature."""
        super().check_arrays(arrays, genes, n_labels, width)
        if arrays["weights"].shape != (FEATURES,):
            raise ValueError(f"weights of the shape {arrays['weights'].shape}")

    def requests(self, items: Sequence[Item]) -> Sequence[Request]:
        """Return one request per item, then one per item for its options behind the empty item."""
        return [*self.words.requests(self.prompt, items), *self.words.prior_requests(self.prompt, items)]

    def fit(self, answers: Sequence[Any], rows: Sequence[Item]) -> Fit:
        """Return ``weights`` ``(3,)`` of the summed, mean and premise-corrected log-probability."""
        x, asked = self._features(answers, len(rows))
        x = np.where(asked[:, :, None], x - _mean(x, asked), 0.0)
        spread = np.sqrt((x**2).sum(axis=(0, 1)) / asked.sum())
        x = x / np.where(spread > 0, spread, 1.0)
        gold = self.task.gold_indices(rows)
        strengths = (self.genes.strength,) if self.genes.strength else STRENGTHS
        with threadpool_limits(1, user_api="blas"):
            losses = [_cross_validated(x, asked, gold, strength) for strength in strengths]
            _, strength = min(zip(losses, strengths, strict=True))
            weights = _fitted(x, asked, gold, strength) / np.where(spread > 0, spread, 1.0)
        arrays = {"weights": np.ascontiguousarray(weights, np.float32)}
        return Fit(self.genes.fitted(strength), arrays)

    def read(self, fit: Fit, answers: Sequence[Any], items: Sequence[Item]) -> np.ndarray:
        """See the base class."""
        x, asked = self._features(answers, len(items))
        return normalised(_logits(x, asked, fit.arrays["weights"].astype(np.float64)))

    def _features(self, answers: Sequence[LogProbs], count: int) -> tuple[Floats, np.ndarray]:
        """Return ``(n, n_options, 3)`` features, and ``(n, n_options)`` whether an item has the option."""
        x = np.zeros((count, self.task.n_options, FEATURES))
        asked = np.zeros(x.shape[:2], dtype=bool)
        for index, (own, premise) in enumerate(zip(answers[:count], answers[count:], strict=True)):
            sums, without = (np.array([np.sum(each, dtype=np.float64) for each in one]) for one in (own, premise))
            lengths = [len(tokens) for tokens in own]
            x[index, : len(own)] = np.maximum(np.stack([sums, sums / lengths, sums - without], axis=1), LEAST)
            asked[index, : len(own)] = True
        return x, asked


def _mean(x: Floats, asked: np.ndarray) -> Floats:
    """Return the mean features ``(n, 1, f)`` of each item's options."""
    counted: Floats = (x * asked[:, :, None]).sum(axis=1, keepdims=True) / asked.sum(axis=1)[:, None, None]
    return counted


def _logits(x: Floats, asked: np.ndarray, weights: Floats) -> Floats:
    return np.where(asked, np.einsum("nkf,f->nk", x, weights), -np.inf)


def _cross_validated(x: Floats, asked: np.ndarray, gold: np.ndarray, strength: float) -> float:
    """Return the log-loss of rows that were left out, over folds of every ``FOLDS``-th row."""
    folds = np.arange(len(gold)) % min(FOLDS, len(gold))
    logits = np.empty(asked.shape)
    for fold in np.unique(folds):
        out = folds == fold
        logits[out] = _logits(x[out], asked[out], _fitted(x[~out], asked[~out], gold[~out], strength))
    return log_loss(logits, gold, np.ones(len(gold)))


def _fitted(x: Floats, asked: np.ndarray, gold: np.ndarray, strength: float) -> Floats:
    """Return the ``(f,)`` weights that minimise the penalised log-loss, which is convex."""
    from scipy.optimize import minimize  # takes half a second, which commands without a model save

    rows, penalty = np.arange(len(gold)), strength / max(len(gold), 1)

    def value(weights: Floats) -> tuple[float, Floats]:
        logq = normalised(_logits(x, asked, weights))
        error = np.exp(logq)
        error[rows, gold] -= 1
        loss = float(penalty * (weights**2).sum() - logq[rows, gold].mean())
        return loss, np.einsum("nk,nkf->f", error, x) / len(gold) + 2 * penalty * weights

    found: Floats = minimize(value, np.zeros(x.shape[2]), jac=True, method="L-BFGS-B").x
    return found
