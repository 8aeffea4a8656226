"""A two-way model of item scores: what an individual would score on new items, its luck on those it saw taken out.

PromptEval (Maia Polo 2024, "Efficient multi-prompt evaluation of LLMs", https://arxiv.org/abs/2405.17202, section 3)
models the correctness of prompt i on example j by the Rasch model, ``P(Y_ij = 1) = logistic(theta_i - beta_j)``, and
lets prompts that saw few examples borrow strength from all others. Here the same two effects are added on the scale
of the score itself, so that real-valued item scores fit too and the solution is a linear system:

    y_ij = mu + a_i + b_j + e_ij,   a_i ~ N(0, var_individuals), b_j ~ N(0, var_items), e_ij ~ N(0, var_noise)

With effects drawn from populations, ``mu + a_i`` given all answers is the best linear unbiased prediction of an
individual's score on new items: its own mean, corrected for the difficulty of the items that it saw, and shrunk
towards the mean of all individuals. The highest of many observed means is too high on average; the shrunk one is not,
as long as all individuals that it was chosen from are in the model. Of individuals that saw the same items the order
stays that of their means.

Effects solve Henderson's mixed-model equations (Henderson 1975, https://doi.org/10.2307/2529430), from which the
items are eliminated; variances maximise the restricted likelihood (Patterson & Thompson 1971,
https://doi.org/10.1093/biomet/58.3.545). A few dozen individuals tell little about their spread, and an estimate of 0
would make all alike; so means and errors are averages over a grid of ``sqrt(var_individuals)``, weighted by their
restricted likelihood, which is the posterior under a flat prior (Gelman 2006, https://doi.org/10.1214/06-BA117A).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import scipy  # scipy.optimize and scipy.stats are loaded at their first use
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Floats = NDArray[np.float64]

# Natural logarithms of var_noise / var_individuals and var_noise / var_items: from "no noise" to "no effect".
LOWEST, HIGHEST = float(np.log(1e-6)), float(np.log(1e6))
GRID = np.linspace(LOWEST, HIGHEST, 7)
REACH, POINTS = 5.0, 24  # of the grid of spreads: standard errors of an individual's mean, and number
NONE = 1e-5  # of the variance of all scores: noise below is none, and an effect below is none


@dataclass(frozen=True)
class TwoWayFit:
    """The model after all answers.

    Attributes:
        means: ``(individuals,)`` posterior means of ``mu + a_i``, the expected scores on new items.
        errors: ``(individuals,)`` posterior standard deviations of the same.
        var_individuals, var_items, var_noise: of the highest restricted likelihood; see the module.
        spreads: ``(k,)`` standard deviations of individuals that are averaged over, ascending.
        weights: ``(k,)`` their posterior probabilities.
    """

    means: Floats
    errors: Floats
    var_individuals: float
    var_items: float
    var_noise: float
    spreads: Floats
    weights: Floats

    def forecast_error(self, individual: int, items: int) -> float:
        """Return the standard deviation of an individual's mean over so many new items around ``means``."""
        return float(np.sqrt(self.errors[individual] ** 2 + (self.var_items + self.var_noise) / items))

    def reliability(self, items: int) -> float:
        """Return the reliability of so many items; see :func:`reliability`."""
        return float(reliability(self.var_individuals, self.var_noise, items))


def reliability(var_individuals: float | Floats, var_noise: float, items: int) -> Floats:
    """Return the share of the variance of individuals' means over the same items that is their own, in [0, 1].

    This is the reliability of a test of so many items (Cronbach 1951, https://doi.org/10.1007/BF02310555): the
    squared correlation of observed means and expected scores. The difficulty of items is the same for all.

    Args:
        var_individuals: of individuals, or several such variances.
        var_noise: of the noise of an item.
        items: number of items.
    """
    own = np.asarray(var_individuals, dtype=np.float64)
    whole = own + var_noise / items
    return np.where(whole > 0, own / np.where(whole > 0, whole, 1.0), 0.0)


def fit_two_way(scores: np.ndarray) -> TwoWayFit:
    """Fit the model; equal scores give equal bits, whatever the number of threads.

    With a single individual or a single item the variances cannot be told apart: all variance is noise then.

    Args:
        scores: ``(individuals, items)`` item scores; NaN for an item that an individual did not see.

    Raises:
        ValueError: if fewer than two scores are known.
    """
    seen = ~np.isnan(scores)
    if seen.sum() < 2:
        raise ValueError(f"scores: expected at least two known ones, found {int(seen.sum())}")
    level, spread = float(scores[seen].mean()), float(scores[seen].std())
    if spread <= 1e-12 * abs(level):
        zero, one = np.zeros(1), np.ones(1)
        return TwoWayFit(np.full(len(scores), level), np.zeros(len(scores)), 0.0, 0.0, 0.0, zero, one)
    equations = _Equations(np.where(seen, (scores - level) / spread, 0.0), seen.astype(np.float64))
    # The number of threads decides the bits of matrix products.
    with threadpool_limits(1, user_api="blas"):
        fit = _fit(equations, confounded=min(scores.shape) < 2)
    return TwoWayFit(
        level + spread * fit.means,
        spread * fit.errors,
        spread**2 * fit.var_individuals,
        spread**2 * fit.var_items,
        spread**2 * fit.var_noise,
        spread * fit.spreads,
        fit.weights,
    )


def _fit(equations: _Equations, confounded: bool) -> TwoWayFit:
    """Fit standardised scores."""
    ratio_a, ratio_b = _ratios(equations, confounded)
    best = equations.solve(ratio_a, ratio_b)
    if best.noise <= NONE:
        return _without_noise(best)
    var_a, var_b = (value if value > NONE else 0.0 for value in (best.noise / ratio_a, best.noise / ratio_b))
    highest = 0.0 if confounded else 3 / np.sqrt(ratio_a) + REACH / np.sqrt(equations.of_individuals.max())
    shares = np.unique(np.linspace(0.0, highest, POINTS))  # sqrt(var_individuals / var_noise)
    solved = [equations.solve(min(1 / max(share, 1e-9) ** 2, np.exp(HIGHEST)), ratio_b) for share in shares]
    weights = np.exp(-0.5 * (np.array([each.criterion for each in solved]) - min(e.criterion for e in solved)))
    weights /= weights.sum()
    means = np.array([each.mean + each.individuals for each in solved])  # (k, I)
    variances = np.array([each.variances() for each in solved])  # (k, I)
    mean = weights @ means
    errors = np.sqrt(weights @ (variances + (means - mean) ** 2))  # law of total variance
    spreads = shares * np.sqrt([each.noise for each in solved])
    return TwoWayFit(mean, errors, var_a, var_b, best.noise, spreads, weights)


def _without_noise(effects: _Effects) -> TwoWayFit:
    """Return the fit if mu + a + b is every score: only the choice of the items is by chance."""
    var_a, var_b = (float(each.var(ddof=1)) for each in (effects.individuals, effects.items))
    errors = np.sqrt(var_b / np.maximum(effects.counts, 1))
    spread = np.array([np.sqrt(var_a)])
    return TwoWayFit(effects.mean + effects.individuals, errors, var_a, var_b, 0.0, spread, np.ones(1))


@dataclass(frozen=True)
class _Effects:
    """Effects at some ratios of variances, and what their precision follows from.

    Attributes:
        mean, individuals, items: mu, ``(I,)`` a and ``(J,)`` b.
        noise: its variance, y'Py / (N - 1).
        factor: ``(1 + I, 1 + I)``, the Cholesky factor of the equations of mu and a.
        counts: ``(I,)`` items that each individual saw.
        criterion: -2 times the restricted log-likelihood, less a constant.
    """

    mean: float
    individuals: Floats
    items: Floats
    noise: float
    factor: Floats
    counts: Floats
    criterion: float

    def variances(self) -> Floats:
        """Return ``(I,)`` variances of mu + a given all scores."""
        halved = np.linalg.inv(self.factor)  # inverse of the equations = halved' halved
        return np.asarray(self.noise * ((halved[:, [0]] + halved[:, 1:]) ** 2).sum(axis=0))


class _Equations:
    """Henderson's equations of ``(I, J)`` scores, 0 where ``seen`` is 0."""

    def __init__(self, scores: Floats, seen: Floats) -> None:
        self.seen = seen
        self.of_individuals, self.of_items = seen.sum(axis=1), seen.sum(axis=0)  # (I,), (J,) counts
        self.sums, self.item_sums = scores.sum(axis=1), scores.sum(axis=0)  # (I,), (J,)
        self.count, self.total, self.squares = seen.sum(), scores.sum(), (scores**2).sum()
        self.joined = np.vstack([self.of_items, seen])  # (1 + I, J): X'Z_b over Z_a'Z_b

    def solve(self, ratio_a: float, ratio_b: float) -> _Effects:
        """Solve for mu and a, items eliminated; ratios are of the noise's variance to those of a and b."""
        inverse = 1 / (self.of_items + ratio_b)  # (J,), of the items' diagonal block
        left = -(self.joined * inverse) @ self.joined.T  # (1 + I, 1 + I)
        left[0, 0] += self.count
        left[0, 1:] += self.of_individuals
        left[1:, 0] += self.of_individuals
        left[1:, 1:] += np.diag(self.of_individuals + ratio_a)
        right = np.concatenate([[self.total], self.sums]) - self.joined @ (inverse * self.item_sums)
        factor = np.linalg.cholesky(left)
        mean, *individuals = scipy.linalg.cho_solve((factor, True), right)
        a = np.array(individuals)
        b = inverse * (self.item_sums - mean * self.of_items - a @ self.seen)
        residual = self.squares - mean * self.total - a @ self.sums - b @ self.item_sums  # y'Py
        noise = max(float(residual / (self.count - 1)), np.finfo(float).tiny)
        determinant = 2 * np.log(np.diag(factor)).sum() - np.log(inverse).sum()
        criterion = (self.count - 1) * np.log(noise) + determinant
        criterion -= len(a) * np.log(ratio_a) + len(b) * np.log(ratio_b)
        return _Effects(float(mean), a, b, noise, factor, self.of_individuals, float(criterion))


def _ratios(equations: _Equations, confounded: bool) -> tuple[float, float]:
    """Return the ratios of the highest restricted likelihood; no effects at all if they are confounded."""
    if confounded:
        return float(np.exp(HIGHEST)), float(np.exp(HIGHEST))

    def criterion(logs: Sequence[float] | Floats) -> float:
        ratio_a, ratio_b = np.exp(logs)
        return equations.solve(ratio_a, ratio_b).criterion

    start = min(product(GRID, GRID), key=criterion)
    found = scipy.optimize.minimize(
        criterion, start, method="Nelder-Mead", bounds=[(LOWEST, HIGHEST)] * 2, options={"xatol": 0.01, "fatol": 1e-4}
    )
    ratio_a, ratio_b = np.exp(found.x)
    return float(ratio_a), float(ratio_b)
