"""The two-way model: against a dense solution by generalised least squares, against known truth, and at its edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, pearsonr

from evolm.two_way import _Equations, fit_two_way

HALVES = (slice(0, 20), slice(20, 40))


def simulated(
    rng: np.random.Generator, shape: tuple[int, int], spreads: tuple[float, float, float], missing: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(individuals, items)`` scores, some NaN, and the individuals' true expected scores."""
    a, b = rng.normal(0, spreads[0], shape[0]), rng.normal(0, spreads[1], shape[1])
    scores = 0.6 + a[:, None] + b + rng.normal(0, spreads[2], shape)
    scores[rng.random(shape) < missing] = np.nan
    return scores, 0.6 + a


def dense(scores: np.ndarray, var_a: float, var_b: float, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Return posterior means and variances of mu + a from the covariance matrix of all known scores.

    Best linear unbiased prediction (Robinson 1991, section 2): with V = cov(y) and K = cov(mu + a, y),
    mu = (X'V^-1 X)^-1 X'V^-1 y, prediction = mu + K V^-1 (y - mu), and the error's covariance is
    var_a I - K V^-1 K' + (1 - K V^-1 X) (X'V^-1 X)^-1 (1 - K V^-1 X)'.
    """
    i, j = np.nonzero(~np.isnan(scores))
    y = scores[i, j]
    v = var_a * (i[:, None] == i) + var_b * (j[:, None] == j) + noise * np.eye(len(y))
    k = var_a * (np.arange(len(scores))[:, None] == i)  # (I, N)
    inverse = np.linalg.inv(v)
    precision = inverse.sum()
    mean = inverse.sum(axis=0) @ y / precision
    rest = 1 - k @ inverse.sum(axis=1)
    covariance = var_a * np.eye(len(scores)) - k @ inverse @ k.T + np.outer(rest, rest) / precision
    return mean + k @ inverse @ (y - mean), np.diag(covariance)


def restricted_likelihood(scores: np.ndarray, var_a: float, var_b: float, noise: float) -> float:
    """Return -2 times the restricted log-likelihood, less a constant, from the dense covariance matrix."""
    i, j = np.nonzero(~np.isnan(scores))
    y = scores[i, j]
    v = var_a * (i[:, None] == i) + var_b * (j[:, None] == j) + noise * np.eye(len(y))
    inverse = np.linalg.inv(v)
    precision = inverse.sum()
    projected = inverse - np.outer(inverse.sum(1), inverse.sum(1)) / precision
    return float(np.linalg.slogdet(v)[1] + np.log(precision) + y @ projected @ y)


@pytest.mark.parametrize("ratios", [(4.0, 0.5), (0.3, 7.0), (1e6, 1.0)])
@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_effects_and_likelihoods_are_those_of_the_dense_solution(missing: float, ratios: tuple[float, float]) -> None:
    scores, _ = simulated(np.random.default_rng(1), (9, 14), (0.1, 0.3, 0.2), missing)
    seen = ~np.isnan(scores)
    equations = _Equations(np.where(seen, scores, 0.0), seen.astype(float))
    found, other = equations.solve(*ratios), equations.solve(2.0, 3.0)
    means, variances = dense(scores, found.noise / ratios[0], found.noise / ratios[1], found.noise)
    np.testing.assert_allclose(found.mean + found.individuals, means, rtol=1e-8)
    np.testing.assert_allclose(found.variances(), variances, rtol=1e-6)
    deviances = [
        restricted_likelihood(scores, each.noise / a, each.noise / b, each.noise)
        for each, (a, b) in ((found, ratios), (other, (2.0, 3.0)))
    ]
    assert found.criterion - other.criterion == pytest.approx(deviances[0] - deviances[1], abs=1e-6)


@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_no_variances_nearby_have_a_higher_restricted_likelihood(missing: float) -> None:
    scores, _ = simulated(np.random.default_rng(2), (9, 14), (0.15, 0.3, 0.2), missing)
    fit = fit_two_way(scores)
    found = np.array([fit.var_individuals, fit.var_items, fit.var_noise])
    best = restricted_likelihood(scores, *found)
    for place in range(3):
        for factor in (0.8, 1.25):
            changed = found.copy()
            changed[place] *= factor
            assert restricted_likelihood(scores, *changed) > best


def test_variances_of_complete_scores_are_those_of_the_analysis_of_variance() -> None:
    scores, _ = simulated(np.random.default_rng(3), (30, 50), (0.1, 0.3, 0.2))
    fit = fit_two_way(scores)
    rows, columns = scores.mean(1), scores.mean(0)
    residual = ((scores - rows[:, None] - columns + scores.mean()) ** 2).sum() / (29 * 49)
    assert fit.var_noise == pytest.approx(residual, rel=0.01)
    assert fit.var_individuals == pytest.approx(rows.var(ddof=1) - residual / 50, rel=0.02)
    assert fit.var_items == pytest.approx(columns.var(ddof=1) - residual / 30, rel=0.02)
    assert fit.reliability(50) == pytest.approx(1 - residual / 50 / rows.var(ddof=1), rel=0.02)


def test_intervals_of_the_best_observed_cover_and_its_mean_is_less_wrong_than_the_observed_one() -> None:
    rng = np.random.default_rng(4)
    covered, of_means, of_fits, bias = [], [], [], []
    for _ in range(60):
        easy = rng.normal(0, 1.2, 60)
        ability = rng.normal(0.5, 0.25, 24)
        right = (rng.random((24, 60)) < 1 / (1 + np.exp(-(ability[:, None] + easy)))).astype(float)
        new = 1 / (1 + np.exp(-(ability[:, None] + rng.normal(0, 1.2, 200))))  # Rasch, as in PromptEval
        realised = (rng.random((24, 200)) < new).mean(axis=1)
        fit = fit_two_way(right)
        best = int(right.mean(1).argmax())
        half = norm.ppf(0.9) * fit.forecast_error(best, 200)
        covered.append(abs(realised[best] - fit.means[best]) < half)
        of_means.append(realised[best] - right.mean(1)[best])
        of_fits.append(realised[best] - fit.means[best])
        bias.append(np.mean((realised - fit.means) ** 2) < np.mean((realised - right.mean(1)) ** 2))
    assert np.mean(covered) >= 0.75
    assert np.mean(np.square(of_fits)) < np.mean(np.square(of_means))
    assert np.mean(of_means) < -0.04 < np.mean(of_fits)  # the luck of the best observed
    assert np.mean(bias) > 0.7


def test_an_individual_that_saw_easy_items_only_is_corrected_for_them() -> None:
    rng = np.random.default_rng(5)
    b = np.repeat([-0.4, 0.4], 20)
    scores = 0.5 + b + rng.normal(0, 0.05, (8, 40))
    scores[0, :20] = np.nan
    fit = fit_two_way(scores)
    assert np.nanmean(scores[0]) > 0.85
    assert fit.means[0] == pytest.approx(0.5, abs=0.05)


def test_fewer_items_mean_more_shrinkage_and_a_larger_error() -> None:
    scores, true = simulated(np.random.default_rng(6), (40, 60), (0.1, 0.2, 0.4))
    scores[:20, 12:] = np.nan
    fit = fit_two_way(scores)
    few, all_items = (fit.means[half].std() / np.nanmean(scores[half], axis=1).std() for half in HALVES)
    assert few < 0.8 * all_items < 0.8
    assert fit.errors[:20].min() > fit.errors[20:].max()
    assert pearsonr(fit.means[20:], true[20:]).statistic > 0.7


def test_individuals_that_saw_the_same_keep_the_order_of_their_means() -> None:
    scores, _ = simulated(np.random.default_rng(7), (20, 30), (0.1, 0.3, 0.4))
    assert fit_two_way(scores).means.argsort().tolist() == scores.mean(1).argsort().tolist()


def test_one_individual_has_its_mean_and_its_standard_error() -> None:
    scores = np.array([[1.0, 0.0, 1.0, 1.0, np.nan]])
    fit = fit_two_way(scores)
    assert fit.means == pytest.approx([0.75])
    assert fit.errors == pytest.approx([np.nanstd(scores, ddof=1) / 2], rel=1e-4)
    assert fit.reliability(4) == 0


def test_individuals_that_saw_nothing_have_the_mean_of_all() -> None:
    scores, _ = simulated(np.random.default_rng(8), (6, 9), (0.2, 0.2, 0.2))
    scores[2], scores[:, 3] = np.nan, np.nan
    fit = fit_two_way(scores)
    assert fit.means[2] == pytest.approx(np.delete(fit.means, 2).mean(), abs=0.03)
    assert fit.errors[2] > np.delete(fit.errors, 2).max()


def test_constant_scores_leave_no_doubt() -> None:
    fit = fit_two_way(np.full((3, 5), 0.7))
    assert fit.means == pytest.approx([0.7] * 3) and fit.errors.tolist() == [0.0] * 3
    assert fit.reliability(5) == 0 and fit.forecast_error(0, 10) == 0


def test_items_that_are_all_equal_give_every_individual_its_own_score() -> None:
    fit = fit_two_way(np.repeat([[0.2], [0.5], [0.9]], 6, axis=1))
    assert fit.means == pytest.approx([0.2, 0.5, 0.9], abs=1e-5)
    assert fit.errors == pytest.approx([0, 0, 0], abs=1e-6)
    assert fit.reliability(6) == pytest.approx(1)


def test_individuals_that_are_all_equal_differ_by_the_choice_of_items_only() -> None:
    fit = fit_two_way(np.repeat([[0.0, 1.0, 1.0, 0.0]], 3, axis=0))
    assert fit.means == pytest.approx([0.5] * 3)
    assert fit.errors == pytest.approx([np.std([0, 1, 1, 0], ddof=1) / 2] * 3, rel=1e-4)


def test_a_single_score_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least two known ones, found 1"):
        fit_two_way(np.array([[np.nan, 1.0]]))
