"""Ridge regression on labels, with exact leave-one-out predictions of every strength from one decomposition.

Rows have weights ``w``, the intercept is not penalised: minimise ``sum_i w_i |y_i - x_i B - b|^2 + strength |B|^2``.
With ``A = sqrt(w) (X - mean)`` and ``A A' = U S U'``, the hat matrix in weighted coordinates is
``H = U S / (S + strength) U' + q q'`` with ``q = sqrt(w / sum w)``, and a row's prediction by the other rows is
``y_i - (y_i - fitted_i) / (1 - H_ii)`` (Hastie 2009, The Elements of Statistical Learning, eq. 7.64 for a linear
smoother). Probabilities are a softmax of the scores times a scale that minimises the log-loss of these predictions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Floats = NDArray[np.float64]

LOG_SCALES = np.linspace(-1.5, 3.0, 19)  # natural logarithms of the scales that are tried
RANK_TOLERANCE = 1e-10  # of the largest squared singular value


@dataclass(frozen=True)
class RidgeFit:
    """A fitted map from features to label scores, and how well it predicts rows that it was not fitted on.

    Attributes:
        weights: ``(k, d)`` float32.
        intercepts: ``(k,)`` float32.
        strength: of the penalty.
        loss: weighted mean log-loss (nats) of the leave-one-out predictions.
    """

    weights: np.ndarray
    intercepts: np.ndarray
    strength: float
    loss: float


def fit_ridge(
    x: np.ndarray, gold: np.ndarray, n_labels: int, w: np.ndarray, strengths: tuple[float, ...]
) -> RidgeFit:
    """Fit with the strength that predicts left-out rows best.

    Args:
        x: ``(n, d)`` finite features; they are standardised.
        gold: ``(n,)`` label indices.
        n_labels: number of labels, ``k``.
        w: ``(n,)`` weights of the rows, above 0.
        strengths: at least one, above 0, in units of the mean squared length of a standardised row.
    """
    # The number of threads decides the bits of matrix products.
    with threadpool_limits(1, user_api="blas"):
        return _fit(x.astype(np.float64), gold, n_labels, w / w.mean(), strengths)


def _fit(x: Floats, gold: np.ndarray, n_labels: int, w: Floats, strengths: tuple[float, ...]) -> RidgeFit:
    mean = w @ x / w.sum()
    spread = np.sqrt(w @ (x - mean) ** 2 / w.sum())
    spread = np.where(spread > 0, spread, 1.0) * np.sqrt(x.shape[1])
    root = np.sqrt(w)[:, None]  # (n, 1)
    a = root * (x - mean) / spread  # (n, d)
    y = np.eye(n_labels)[gold]  # (n, k)
    centred = root * (y - w @ y / w.sum())
    u, s = _left_factors(a)
    projected = u.T @ centred  # (r, k)
    left_out = [_left_out_scores(u, s, projected, centred, root, y, strength) for strength in strengths]
    losses = [_losses(scores, gold, w) for scores in left_out]  # (scales,) each
    place = int(np.argmin([each.min() for each in losses]))
    strength, (loss, scale) = strengths[place], _refined(left_out[place], gold, w, losses[place])
    b = a.T @ (u @ (projected / (s + strength)[:, None]))  # (d, k), for standardised features
    slopes = scale * b / spread[:, None]
    intercepts = scale * (w @ y / w.sum()) - mean @ slopes
    # In row order: the bits of sums over an array follow how it lies in memory.
    return RidgeFit(np.ascontiguousarray(slopes.T, np.float32), intercepts.astype(np.float32), strength, loss)


def _left_factors(a: Floats) -> tuple[Floats, Floats]:
    """Return left singular vectors ``(n, r)`` and squared singular values ``(r,)``, from the smaller Gram matrix."""
    wide = a.shape[0] <= a.shape[1]
    s, vectors = np.linalg.eigh(a @ a.T if wide else a.T @ a)
    kept = s > RANK_TOLERANCE * max(s[-1], np.finfo(float).tiny)
    s, vectors = s[kept], vectors[:, kept]
    return (vectors if wide else a @ vectors / np.sqrt(s)), s


def _left_out_scores(
    u: Floats, s: Floats, projected: Floats, centred: Floats, root: Floats, y: Floats, strength: float
) -> Floats:
    """Return ``(n, k)``: each row's scores by the fit on the other rows."""
    shrink = s / (s + strength)
    share = (u**2) @ shrink + root[:, 0] ** 2 / (root**2).sum()  # (n,), the diagonal of H
    residual = (centred - u @ (shrink[:, None] * projected)) / np.maximum(1 - share, 1e-12)[:, None]
    return y - residual / root


def _losses(scores: Floats, gold: np.ndarray, w: Floats) -> Floats:
    """Return ``(scales,)``: the log-loss of ``softmax(scale * scores)`` for all scales that are tried."""
    logits = np.exp(LOG_SCALES)[:, None, None] * (scores - scores.max(axis=1, keepdims=True))  # (scales, n, k)
    of_gold = logits[:, np.arange(len(gold)), gold] - np.log(np.exp(logits).sum(axis=2))
    losses: Floats = -of_gold @ w / w.sum()
    return losses


def _refined(scores: Floats, gold: np.ndarray, w: Floats, losses: Floats) -> tuple[float, float]:
    """Return the lowest log-loss near the best of the scales that were tried, and its scale."""
    from scipy.optimize import minimize_scalar  # takes half a second, which commands without a model save

    best, last = int(np.argmin(losses)), len(LOG_SCALES) - 1
    bounds = LOG_SCALES[max(best - 1, 0)], LOG_SCALES[min(best + 1, last)]
    found = minimize_scalar(
        lambda log_scale: log_loss(np.exp(log_scale) * scores, gold, w), bounds=bounds, options={"xatol": 1e-3}
    )
    return float(found.fun), float(np.exp(found.x))


def log_loss(logits: Floats, gold: np.ndarray, w: Floats) -> float:
    """Return the weighted mean log-loss (nats) of ``(n, k)`` logits."""
    return float(w @ -normalised(logits)[np.arange(len(gold)), gold] / w.sum())


def normalised(logits: Floats) -> Floats:
    """Return log-probabilities of ``(n, k)`` logits, which may be -inf but not in a whole row."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
