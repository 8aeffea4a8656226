"""The headroom of a search: its formula, what it says of simulated populations, and its sentence."""

from __future__ import annotations

import numpy as np
import pytest

from evolm.headroom import FEWEST, about_headroom, expected_maximum, headroom


def population(seed: int, spread: float, noise: float, shape: tuple[int, int] = (20, 40)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    own = rng.normal(0.5, spread, shape[0])[:, None]
    return own + rng.normal(0, 0.2, shape[1]) + rng.normal(0, noise, shape)


@pytest.mark.parametrize("n", [2, 5, 20, 64, 200])
def test_the_expected_maximum_is_that_of_normal_draws(n: int) -> None:
    draws = np.random.default_rng(0).normal(size=(20_000, n)).max(axis=1)
    assert expected_maximum(n) == pytest.approx(draws.mean(), abs=0.025)


def test_the_expected_gain_is_near_the_mean_gain_of_simulated_searches() -> None:
    said, errors, realised = [], [], []
    for seed in range(40):
        scores = population(seed, 0.08, 0.4, (64, 60))
        own = np.random.default_rng(seed).normal(0.5, 0.08, 64)  # the same draws
        found = headroom(scores, [0], 64)
        assert found is not None
        said.append(found.gain)
        errors.append(found.error)
        realised.append(own[scores.mean(axis=1).argmax()] - own[0])
    assert np.mean(said) == pytest.approx(np.mean(realised), abs=0.04)
    assert 0.7 < np.mean(np.abs(np.subtract(said, realised)) < np.array(errors) * 1.28) <= 1


def test_noisy_rows_call_for_more_rows_and_reliable_ones_for_more_evaluations() -> None:
    noisy, reliable = headroom(population(1, 0.08, 0.8), [0], 64), headroom(population(1, 0.2, 0.1), [0], 8)
    assert noisy is not None and reliable is not None
    assert noisy.doubled_rows > noisy.doubled_evaluations > 0
    assert reliable.doubled_evaluations > reliable.doubled_rows >= 0
    assert noisy.reliability < 0.5 < 0.9 < reliable.reliability
    assert "; more dev rows would help more than more evaluations" in about_headroom(noisy.to_record())
    assert "; more evaluations would help more than more dev rows" in about_headroom(reliable.to_record())


def test_the_sentences_have_the_gain_its_error_and_the_share_of_chance() -> None:
    record = {
        "individuals": 20,
        "rows": 96,
        "evaluations": 64,
        "reliability": 0.617,
        "gain": 0.0421,
        "error": 0.0312,
        "doubled_rows": 0.0082,
        "doubled_evaluations": 0.0049,
    }
    assert about_headroom(record) == (
        "Expected gain over the best founder: 0.042 ± 0.031 after 64 evaluations; more dev rows would help more than "
        "more evaluations (twice the dev rows +0.008, twice the evaluations +0.005). Of the differences between the "
        "first 20 individuals on 96 dev rows, 62 % are their own and the rest is chance."
    )


def test_a_founder_that_is_far_ahead_leaves_no_gain() -> None:
    scores = population(2, 0.05, 0.1)
    scores[3] += 0.8
    found = headroom(scores, [0, 3], 10)
    assert found is not None and found.gain == 0


@pytest.mark.parametrize(
    ("individuals", "founders", "evaluations"), [(FEWEST - 1, [0], 9), (20, [], 9), (40, [30], 9), (20, [0], 0)]
)
def test_too_few_individuals_no_founder_or_no_budget_say_nothing(
    individuals: int, founders: list[int], evaluations: int
) -> None:
    assert headroom(population(3, 0.1, 0.1, (individuals, 10)), founders, evaluations) is None


def test_individuals_that_all_do_the_same_have_no_headroom() -> None:
    found = headroom(np.ones((20, 10)), [0], 50)
    assert found is not None
    assert (found.gain, found.error, found.reliability) == (0, 0, 0)


@pytest.mark.parametrize("failures", [1, 4])
def test_individuals_that_fail_altogether_do_not_raise_the_expected_gain(failures: int) -> None:
    """Without them nothing is left to gain; a normal distribution would mirror them above the best."""
    rng = np.random.default_rng(3)
    good = (rng.random((20 - failures, 80)) < 0.97).astype(float)
    bad = (rng.random((failures, 80)) < 0.4).astype(float)
    without = headroom(good, [0], 24)
    found = headroom(np.vstack([good, bad]), [0], 24)
    assert without is not None and found is not None
    assert found == without
    assert found.gain < 0.03
