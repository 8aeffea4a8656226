"""Intervals for differences on the same items."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

RESAMPLES = 2000
CONFIDENCE = 0.95


def paired_bootstrap(
    metric: Callable[[np.ndarray, np.ndarray], float],
    gold: np.ndarray,
    first: np.ndarray,
    others: Sequence[np.ndarray],
    seed: int = 0,
) -> tuple[float, float]:
    """Return the 95 % interval of ``metric(first) - mean(metric(others))`` over resampled items.

    Items are resampled, and with them all predictions on them, so what makes an item easy for both cancels
    (percentile bootstrap; Efron & Tibshirani 1993, chapter 13).

    Args:
        metric: of predicted and gold indices.
        gold: ``(n,)`` label indices.
        first: ``(n,)`` predictions.
        others: one or more ``(n,)`` predictions.
        seed: of the resampling.
    """

    def difference(indices: np.ndarray) -> float:
        chosen = indices.astype(int)
        truth = gold[chosen]
        return metric(first[chosen], truth) - float(np.mean([metric(o[chosen], truth) for o in others]))

    result = stats.bootstrap(
        (np.arange(len(gold)),),
        difference,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=False,
        rng=np.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def smallest_visible_gain(counts: Sequence[int], balanced: bool, disagreement: float = 0.2) -> float:
    """Return the smallest gain whose 95 % interval would exclude 0 on a test split.

    Two classifiers that disagree on a share d of n items have a paired difference of standard error about
    sqrt(d / n) (McNemar); balanced metrics average that over classes.

    Args:
        counts: test items of each label.
        balanced: whether every class counts alike.
        disagreement: assumed share d.
    """
    if not counts or min(counts) < 1:
        return float("nan")
    if balanced:
        error = np.sqrt(sum(disagreement / n for n in counts)) / len(counts)
    else:
        error = np.sqrt(disagreement / sum(counts))
    return float(stats.norm.ppf(0.5 + CONFIDENCE / 2) * error)
