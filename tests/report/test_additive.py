"""The additive model finds planted effects, and its intervals hold them."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api
from threadpoolctl import threadpool_limits

from evolm.report.additive import fit_effects

TRUE = np.array([0.05, -0.03, 0.0, 0.02])


def planted(n: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(n, 4)`` choices at random and ``(n,)`` scores that they add up to."""
    rng = np.random.default_rng(seed)
    has = (rng.random((n, 4)) < 0.4).astype(float)
    return has, 0.7 + has @ TRUE + rng.normal(0, noise, n)


def test_with_many_individuals_the_effects_are_those_of_least_squares() -> None:
    has, scores = planted(3000, 0.02)
    found = fit_effects(has, [-1] * 4, scores)
    plain = statsmodels.api.OLS(scores, statsmodels.api.add_constant(has)).fit()
    assert found.means == pytest.approx(plain.params[1:], abs=2e-4)
    assert found.halves == pytest.approx(1.96 * plain.bse[1:], rel=0.05)


def test_the_intervals_hold_the_planted_effects_about_as_often_as_they_say() -> None:
    held = 0
    for seed in range(60):
        has, scores = planted(40, 0.04, seed)
        found = fit_effects(has, [-1] * 4, scores)
        held += int(np.sum(np.abs(found.means - TRUE) <= found.halves))
    assert 0.9 <= held / 240 <= 1.0


def test_noise_alone_gives_effects_near_zero() -> None:
    rng = np.random.default_rng(3)
    has = (rng.random((60, 20)) < 0.3).astype(float)
    found = fit_effects(has, [-1] * 20, rng.normal(0.7, 0.02, 60))
    assert np.abs(found.means).max() < 0.01
    assert np.sum(np.abs(found.means) > found.halves) <= 2


def test_choices_that_exclude_each_other_are_compared_with_the_others_of_their_kind() -> None:
    rng = np.random.default_rng(1)
    which = rng.integers(0, 3, 2000)
    has = np.eye(3)[which]
    scores = np.array([0.60, 0.70, 0.80])[which] + rng.normal(0, 0.01, 2000)
    found = fit_effects(has, [0, 0, 0], scores)
    assert found.means == pytest.approx([-0.15, 0.0, 0.15], abs=0.01)  # others, as often as they occur


def test_choices_that_always_occur_together_share_their_effect() -> None:
    has, scores = planted(500, 0.01)
    found = fit_effects(np.hstack([has[:, :1], has[:, :1]]), [-1, -1], scores)
    assert found.means[0] == pytest.approx(found.means[1])
    assert found.means.sum() == pytest.approx(0.05, abs=0.01)
    assert found.halves.min() > 0.02  # which of the two it is, nobody can know


def test_more_choices_than_individuals_are_fitted() -> None:
    has, scores = planted(12, 0.01)
    wide = np.hstack([has, (np.random.default_rng(2).random((12, 30)) < 0.5).astype(float)])
    found = fit_effects(wide, [-1] * 34, scores)
    assert np.isfinite(found.means).all() and (found.halves > 0).all()


def test_the_choice_of_the_items_widens_the_intervals() -> None:
    rng = np.random.default_rng(4)
    has = (rng.random((200, 1)) < 0.5).astype(float)
    by_item = rng.normal(0.05, 0.3, 30)  # the choice helps on some items and harms on others
    items = 0.5 + has * by_item + rng.normal(0, 0.02, (200, 30))
    narrow = fit_effects(has, [-1], items.mean(axis=1))
    wide = fit_effects(has, [-1], items.mean(axis=1), items)
    assert wide.means == pytest.approx(narrow.means)
    assert not narrow.over_items and wide.over_items
    assert wide.halves[0] == pytest.approx(1.96 * by_item.std(ddof=1) / np.sqrt(30), rel=0.1)
    assert narrow.halves[0] < wide.halves[0] / 10


def test_the_number_of_threads_does_not_change_the_result() -> None:
    has, scores = planted(300, 0.03)
    with threadpool_limits(1):
        one = fit_effects(has, [-1] * 4, scores)
    with threadpool_limits(4):
        several = fit_effects(has, [-1] * 4, scores)
    assert one.means.tobytes() == several.means.tobytes()
