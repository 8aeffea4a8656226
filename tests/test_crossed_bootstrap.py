"""Several seeds on the same test items: closed forms, simulated coverage, Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from evolm import statistics
from evolm.statistics import (
    CONFIDENCE,
    SeedScores,
    crossed_bootstrap,
    draw_items,
    holm,
    seed_scores,
)
from evolm.tasks import METRICS
from tests.support.tiers import slow


def share(outcomes: np.ndarray, gold: np.ndarray) -> float:
    """Accuracy, quicker than the real one."""
    return float(np.mean(outcomes == gold))


def balanced(outcomes: np.ndarray, gold: np.ndarray) -> float:
    return METRICS["balanced_accuracy"].function(outcomes, gold, 2)


@pytest.fixture(autouse=True)
def resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "RESAMPLES", 400)


def scored(outcomes: Sequence[np.ndarray], gold: np.ndarray, draws: np.ndarray | None = None) -> SeedScores:
    draws = draw_items(len(gold)) if draws is None else draws
    return seed_scores(share, gold, [[array] for array in outcomes], draws)


def right_answers(rng: np.random.Generator, seeds: int, gold: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return ``(seeds, n)`` predictions, each right with the probability that ``shares`` has for its cell."""
    return np.where(rng.random((seeds, len(gold))) < shares, gold, 1 - gold)


# -- what is known by other means ----------------------------------------------------------------------------


def test_a_single_seed_has_the_interval_of_a_proportion() -> None:
    """One seed has no variance of its own, so Student's interval of 0s and 1s is left."""
    gold = np.tile([0, 1], 100)
    outcomes = np.where(np.arange(200) < 150, gold, 1 - gold)
    found = crossed_bootstrap(scored([outcomes], gold))
    right = (outcomes == gold).astype(float)
    low, high = stats.t.interval(CONFIDENCE, 199, right.mean(), stats.sem(right))
    assert found.value == 0.75
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.008)  # 400 draws, not all


def test_seeds_that_answer_alike_say_no_more_than_one() -> None:
    gold = np.tile([0, 1], 50)
    outcomes = np.where(np.arange(100) % 5 == 0, 1 - gold, gold)
    one, five = (crossed_bootstrap(scored([outcomes] * count, gold)) for count in (1, 5))
    assert (five.low, five.high) == pytest.approx((one.low, one.high))


def test_seeds_that_differ_on_items_that_do_not_have_student_s_interval_of_their_scores() -> None:
    """Where no draw of items changes a score, only the seeds are left."""
    scores = np.array([0.7, 0.8, 0.75, 0.9, 0.65])
    found = crossed_bootstrap(SeedScores(scores, np.tile(scores, (400, 1)), 300))
    test = stats.ttest_1samp(scores, 0)
    interval = test.confidence_interval(CONFIDENCE)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.p == pytest.approx(test.pvalue)


def test_a_difference_is_paired_by_seed_and_item() -> None:
    """Hard items and lucky seeds that both share cancel; the same answers differ by nothing, for certain."""
    rng = np.random.default_rng(0)
    gold = np.tile([0, 1], 100)
    draws = draw_items(200)
    hard = rng.random(200) < 0.4
    outcomes = [np.where(hard | (np.arange(200) < 10 * seed), 1 - gold, gold) for seed in range(4)]
    better = [array.copy() for array in outcomes]
    for array in better:
        array[150:160] = gold[150:160]
    first, second = scored(better, gold, draws), scored(outcomes, gold, draws)
    assert crossed_bootstrap(second - second) == statistics.Estimate(0, 0, 0, 1)
    paired = crossed_bootstrap(first - second)
    alone = crossed_bootstrap(first)
    assert 0 < paired.value < 0.05
    assert paired.high - paired.low < (alone.high - alone.low) / 2


def test_the_difference_the_other_way_round_is_its_mirror() -> None:
    rng = np.random.default_rng(3)
    gold = np.tile([0, 1], 40)
    draws = draw_items(80)
    first, second = (scored(right_answers(rng, 3, gold, np.full(80, p)), gold, draws) for p in (0.8, 0.7))
    there, back = crossed_bootstrap(first - second), crossed_bootstrap(second - first)
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))
    assert there.p == pytest.approx(back.p)


def test_several_arrays_of_a_seed_are_averaged() -> None:
    gold = np.zeros(10, dtype=int)
    seeds = seed_scores(share, gold, [[gold, 1 - gold]], draw_items(10))
    assert seeds.scores.tolist() == [0.5]
    assert np.allclose(seeds.resampled, 0.5)


def test_resampling_follows_its_seed_and_the_real_metrics_fit_in() -> None:
    gold = np.array([0] * 30 + [1] * 10)
    outcomes = [[np.where(np.arange(40) % 7 == seed, 1 - gold, gold)] for seed in range(3)]
    once, again, other = (
        crossed_bootstrap(seed_scores(balanced, gold, outcomes, draw_items(40, seed))) for seed in (1, 1, 2)
    )
    assert once == again != other
    assert once.value == pytest.approx(np.mean([balanced(array, gold) for (array,) in outcomes]))


# -- coverage ------------------------------------------------------------------------------------------------


def quickly(outcomes: np.ndarray, gold: np.ndarray, draws: np.ndarray) -> SeedScores:
    """What :func:`scored` returns, for all seeds and draws at once."""
    right = outcomes == gold
    return SeedScores(right.mean(axis=1), right[:, draws].mean(axis=2).T, len(gold))


@pytest.mark.parametrize(
    ("seeds", "of_seeds", "of_items"),
    [
        slow(3, 0.3, 1.5, id="three seeds"),
        slow(5, 0.02, 1.5, id="items matter"),
        pytest.param(5, 0.3, 1.5, id="both matter"),
        slow(5, 1.0, 0.1, id="seeds matter"),
        slow(10, 0.3, 1.0, id="ten seeds"),
    ],
)
def test_intervals_of_equal_groups_cover_zero_at_least_as_often_as_they_say(
    seeds: int, of_seeds: float, of_items: float
) -> None:
    """Log-odds of a right answer = 1 + the seed's own + the item's own, both normal with these widths."""
    rng = np.random.default_rng(5)
    covered = []
    for trial in range(500):
        gold = rng.integers(2, size=100)
        easy = of_items * rng.standard_normal(100)
        draws = draw_items(100, trial)[:100]
        groups = []
        for _ in range(2):
            odds = 1 + of_seeds * rng.standard_normal((seeds, 1)) + easy
            groups.append(quickly(right_answers(rng, seeds, gold, 1 / (1 + np.exp(-odds))), gold, draws))
        found = crossed_bootstrap(groups[0] - groups[1])
        covered.append(found.low <= 0 <= found.high)
        assert (found.p < 1 - CONFIDENCE) == (not covered[-1])
    assert np.mean(covered) >= CONFIDENCE - 0.025  # two standard errors of 500 trials


def test_scoring_at_once_is_scoring_one_by_one() -> None:
    rng = np.random.default_rng(1)
    gold = rng.integers(2, size=30)
    outcomes, draws = right_answers(rng, 3, gold, np.full(30, 0.7)), draw_items(30)
    one_by_one, at_once = scored(outcomes, gold, draws), quickly(outcomes, gold, draws)
    assert np.allclose(one_by_one.scores, at_once.scores)
    assert np.allclose(one_by_one.resampled, at_once.resampled)


def test_a_real_difference_is_found() -> None:
    rng = np.random.default_rng(6)
    gold = rng.integers(2, size=400)
    draws = draw_items(400)
    good, poor = (scored(right_answers(rng, 5, gold, np.full(400, p)), gold, draws) for p in (0.9, 0.8))
    found = crossed_bootstrap(good - poor)
    assert found.low < 0.1 < found.high
    assert found.low > 0
    assert found.p < 0.001


# -- many comparisons ----------------------------------------------------------------------------------------


def test_holm_s_correction_agrees_with_a_calculation_by_hand() -> None:
    """Sorted 0.01, 0.03, 0.04 times 3, 2, 1, never falling."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


@pytest.mark.slow
def test_holm_s_correction_is_that_of_statsmodels() -> None:
    rng = np.random.default_rng(0)
    for m in (1, 2, 5, 20):
        for p_values in (rng.random(m), rng.random(m).round(1), rng.random(m) / 10):  # rounded ones have ties
            assert holm(p_values.tolist()) == pytest.approx(
                multipletests(p_values, method="holm")[1].tolist(), abs=1e-15
            )
