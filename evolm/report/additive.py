"""An additive model of scores: what each choice adds, with all others held equal.

The score of individual i is ``y_i = mu + sum_k z_ik u_k + e_i``, where ``z_ik`` says whether it has choice k,
``u_k ~ N(0, s^2)`` and ``e_i ~ N(0, sigma^2)``: a random-effects model, which stays defined if choices outnumber
individuals or always occur together, and shrinks what few individuals tell. Effects given the ratio ``s / sigma`` are
best linear unbiased predictions (Henderson 1975, https://doi.org/10.2307/2529430); they are averaged over a grid of
the ratio, weighted by its restricted likelihood under a flat prior, since an estimate of 0 would end all effects
(Gelman 2006, https://doi.org/10.1214/06-BA117A).

The effect of a choice is a contrast: expected score with it minus without it, where a choice among several kinds of
one thing (an instruction, a layer) is compared with the others of that thing, each as often as it occurs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Floats = NDArray[np.float64]

RATIOS = np.geomspace(0.01, 30.0, 60)  # s / sigma: from "no effects" to "hardly any noise"
LEVEL = 0.95


@dataclass(frozen=True)
class Effects:
    """Effects of choices on the score.

    Attributes:
        means: ``(k,)`` effects.
        halves: ``(k,)`` half widths of their 95 % intervals.
        over_items: whether the intervals cover other items too.
    """

    means: Floats
    halves: Floats
    over_items: bool


def fit_effects(has: Floats, groups: Sequence[int], scores: Floats, items: Floats | None = None) -> Effects:
    """Fit the model; the number of threads does not change the result.

    The effects are linear in the scores, so that the scores on a single item give the effects on that item; their
    spread over items is the error from the choice of the items. It is added to the error from the choice of the
    individuals, which holds a part of it already: the intervals are rather too wide than too narrow.

    Args:
        has: ``(n, k)``, 1 if an individual has a choice, else 0; every choice is had by some and not by all.
        groups: ``(k,)`` numbers; choices of equal number exclude each other, and -1 is alone.
        scores: ``(n,)`` scores.
        items: ``(n, j)`` scores on single items, whose means are ``scores``; None = unknown.
    """
    with threadpool_limits(1, user_api="blas"):
        return _fit(has, groups, scores, items)


def _fit(has: Floats, groups: Sequence[int], scores: Floats, items: Floats | None) -> Effects:
    n = len(scores)
    z, y = has - has.mean(axis=0), scores - scores.mean()
    values, vectors = np.linalg.eigh(z.T @ z)  # (k,), (k, k)
    values = np.maximum(values, 0.0)
    projected = vectors.T @ (z.T @ y)  # (k,)
    contrasts = _contrasts(has, groups) @ vectors  # (k, k)
    logs, means, variances, inverses = [], [], [], []
    for ratio in RATIOS:
        inverse = 1 / (values + ratio**-2)  # (k,)
        noise = max(float(y @ y - projected @ (inverse * projected)) / (n - 1), np.finfo(float).tiny)
        criterion = (n - 1) * np.log(noise) + np.log1p(values * ratio**2).sum()
        logs.append(np.log(ratio) - criterion / 2)  # a flat prior on a geometric grid
        means.append(contrasts @ (inverse * projected))
        variances.append(noise * ((contrasts**2) @ inverse))
        inverses.append(inverse)
    weights = scipy.special.softmax(np.array(logs))
    mean = weights @ np.array(means)
    variance = weights @ (np.array(variances) + (np.array(means) - mean) ** 2)  # law of total variance
    if items is not None:
        each = contrasts @ ((weights @ np.array(inverses))[:, None] * (vectors.T @ (z.T @ items)))  # (k, j)
        variance = variance + each.var(axis=1, ddof=1) / items.shape[1]
    reach = float(scipy.stats.t.ppf(0.5 + LEVEL / 2, n - 1))
    return Effects(mean, reach * np.sqrt(variance), items is not None)


def _contrasts(has: Floats, groups: Sequence[int]) -> Floats:
    """Return ``(k, k)`` contrasts: a choice minus the mean of the others of its group, each as often as it occurs."""
    shares = has.mean(axis=0)
    contrasts = np.eye(len(groups))
    for place, group in enumerate(groups):
        if group >= 0:
            others = np.array([other == group for other in groups])
            others[place] = False
            contrasts[place, others] -= shares[others] / (1 - shares[place])
    return contrasts
