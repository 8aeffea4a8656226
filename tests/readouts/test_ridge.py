"""Ridge regression on labels: its leave-one-out predictions are those of as many separate fits."""

from __future__ import annotations

import numpy as np
import pytest

from evolm.readouts.ridge import RidgeFit, fit_ridge, log_loss, normalised


def rows(n: int, d: int, k: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features, labels that depend on them, and weights."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) * rng.uniform(0.1, 20, d) + rng.normal(size=d)
    gold = np.argmax(x[:, :k] / x[:, :k].std(0) + 0.7 * rng.normal(size=(n, k)), axis=1)
    return x.astype(np.float32), gold, rng.uniform(0.3, 3, n)


def plain_scores(x: np.ndarray, y: np.ndarray, w: np.ndarray, strength: float, asked: np.ndarray) -> np.ndarray:
    """Scores of weighted ridge regression by the normal equations."""
    mean, mean_y = w @ x / w.sum(), w @ y / w.sum()
    a, b = x - mean, y - mean_y
    slopes = np.linalg.solve((a * w[:, None]).T @ a + strength * np.eye(x.shape[1]), (a * w[:, None]).T @ b)
    return (asked - mean) @ slopes + mean_y


@pytest.mark.parametrize(("n", "d"), [(30, 80), (90, 12)], ids=["more features than rows", "more rows"])
@pytest.mark.parametrize("strength", [0.03, 3.0])
def test_leave_one_out_in_closed_form_is_that_of_separate_fits(n: int, d: int, strength: float) -> None:
    x, gold, w = rows(n, d)
    w = w / w.mean()
    found = fit_ridge(x, gold, 3, w, (strength,))
    mean = w @ x / w.sum()
    standard = (x - mean) / np.sqrt(w @ (x - mean) ** 2 / w.sum()) / np.sqrt(d)
    y = np.eye(3)[gold]
    left_out = np.array(
        [
            plain_scores(standard[keep], y[keep], w[keep], strength, standard[[i]])[0]
            for i in range(n)
            for keep in [np.arange(n) != i]
        ]
    )
    losses = [log_loss(np.exp(scale) * left_out, gold, w) for scale in np.linspace(-1.5, 3, 400)]
    assert found.loss == pytest.approx(min(losses), abs=1e-4)
    logits = x.astype(float) @ found.weights.T.astype(float) + found.intercepts
    whole = plain_scores(standard, y, w, strength, standard)
    scale = np.ptp(logits) / np.ptp(whole)
    differences = logits - scale * whole  # a softmax does not see what is added to all labels
    np.testing.assert_allclose(differences - differences.mean(1, keepdims=True), 0, atol=1e-2 * np.ptp(logits))


def test_the_strength_with_the_lowest_loss_wins_and_equal_rows_of_a_weight_are_one_row_of_twice_the_weight() -> None:
    x, gold, w = rows(40, 60)
    each = [fit_ridge(x, gold, 3, w, (strength,)) for strength in (0.01, 0.3, 10.0)]
    best = fit_ridge(x, gold, 3, w, (0.01, 0.3, 10.0))
    assert best.loss == min(fit.loss for fit in each)
    assert best.strength == min(each, key=lambda fit: fit.loss).strength


def test_it_learns_what_can_be_learnt_and_a_constant_feature_harms_nothing() -> None:
    x, gold, w = rows(200, 30)
    x[:, 7] = 4.0
    found: RidgeFit = fit_ridge(x[:150], gold[:150], 3, w[:150], (0.1, 1.0))
    predicted = normalised(x[150:].astype(float) @ found.weights.T + found.intercepts)
    assert np.isfinite(predicted).all()
    np.testing.assert_allclose(np.exp(predicted).sum(1), 1)
    assert np.mean(predicted.argmax(1) == gold[150:]) > 0.6


def test_a_fit_has_the_same_bits_whatever_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    from threadpoolctl import threadpool_limits

    x, gold, w = rows(120, 300)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append(fit_ridge(x, gold, 3, w, (0.1, 1.0)))
    assert np.array_equal(found[0].weights, found[1].weights)
    assert np.array_equal(found[0].intercepts, found[1].intercepts)
