"""An affine map of the labels' log-probabilities, fitted on train rows.

Linear probe calibration, Abbas et al. 2024, https://arxiv.org/abs/2401.12406: ``p = softmax(A log q + b)``. Here the
map is penalised towards the model's own probabilities: ``strength (|A - I|^2 + |b|^2 / 10) / n`` is added to the mean
log-loss, and the strength is chosen by cross-validation; a high one leaves little but the intercepts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from threadpoolctl import threadpool_limits

from evolm.models import Request
from evolm.readouts.base import Fit, FittedReader
from evolm.readouts.ridge import Floats, log_loss, normalised
from evolm.tasks import Item

STRENGTHS = (0.01, 0.1, 1.0, 10.0)
FOLDS = 5
BIAS_SHARE = 0.1  # of the penalty on the intercepts
FLOOR = -30.0  # nats; a probability of 0 has no finite logarithm
FULL = 16  # with more labels than these the matrix is diagonal


class Linear(FittedReader):
    """An affine map of the labels' log-probabilities, penalised towards the model's own (Abbas 2024)."""

    arrays: ClassVar[Mapping[str, str]] = {"matrix": "kk", "intercepts": "k"}

    def requests(self, items: Sequence[Item]) -> Sequence[Request]:
        """Return the requests of the labels' words."""
        return self.words.requests(self.prompt, items)

    def _logprobs(self, answers: Sequence[Any], items: Sequence[Item]) -> Floats:
        return np.maximum(self.words.read(self.prompt, answers, items), FLOOR)

    def fit(self, answers: Sequence[Any], rows: Sequence[Item]) -> Fit:
        """Return ``matrix`` ``(k, k)`` and ``intercepts`` ``(k,)``."""
        logprobs = self._logprobs(answers, rows)
        gold, weights = self.task.gold_indices(rows), self.task.row_weights(rows)
        strengths = (self.genes.strength,) if self.genes.strength else STRENGTHS
        with threadpool_limits(1, user_api="blas"):
            losses = [_cross_validated(logprobs, gold, weights, strength) for strength in strengths]
            _, strength = min(zip(losses, strengths, strict=True))
            matrix, intercepts = _fitted(logprobs, gold, weights, strength)
        arrays = {"matrix": np.ascontiguousarray(matrix, np.float32), "intercepts": intercepts.astype(np.float32)}
        return Fit(self.genes.fitted(strength), arrays)

    def read(self, fit: Fit, answers: Sequence[Any], items: Sequence[Item]) -> np.ndarray:
        """See the base class."""
        matrix, intercepts = (fit.arrays[name].astype(np.float64) for name in ("matrix", "intercepts"))
        return normalised(np.einsum("nj,kj->nk", self._logprobs(answers, items), matrix) + intercepts)


def _cross_validated(logprobs: Floats, gold: np.ndarray, w: Floats, strength: float) -> float:
    """Return the log-loss of rows that were left out, over folds of every ``FOLDS``-th row."""
    folds = np.arange(len(gold)) % min(FOLDS, len(gold))
    logits = np.empty_like(logprobs)
    for fold in np.unique(folds):
        out = folds == fold
        matrix, intercepts = _fitted(logprobs[~out], gold[~out], w[~out], strength)
        logits[out] = logprobs[out] @ matrix.T + intercepts
    return log_loss(logits, gold, w)


def _fitted(logprobs: Floats, gold: np.ndarray, w: Floats, strength: float) -> tuple[Floats, Floats]:
    """Return ``(k, k)`` and ``(k,)`` that minimise the penalised log-loss, which is convex."""
    from scipy.optimize import minimize  # takes half a second, which commands without a model save

    n, k = logprobs.shape
    diagonal = k > FULL
    w = w / w.sum()
    onehot = np.eye(k)[gold]
    start = np.zeros(k + (k if diagonal else k * k))  # A - I, then b

    def parts(flat: Floats) -> tuple[Floats, Floats]:
        change = np.diag(flat[:-k]) if diagonal else flat[:-k].reshape(k, k)
        return np.eye(k) + change, flat[-k:]

    def value(flat: Floats) -> tuple[float, Floats]:
        matrix, intercepts = parts(flat)
        logq = normalised(logprobs @ matrix.T + intercepts)
        error = w[:, None] * (np.exp(logq) - onehot)  # (n, k)
        by_matrix = np.einsum("nk,nk->k", error, logprobs) if diagonal else (error.T @ logprobs).ravel()
        penalty = np.concatenate([np.ones(len(flat) - k), np.full(k, BIAS_SHARE)]) * strength / max(n, 1)
        loss = float(-(w * logq[np.arange(n), gold]).sum() + (penalty * flat**2).sum())
        return loss, np.concatenate([by_matrix, error.sum(0)]) + 2 * penalty * flat

    return parts(minimize(value, start, jac=True, method="L-BFGS-B").x)
