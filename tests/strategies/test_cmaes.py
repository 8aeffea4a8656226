"""CMA-ES, full and separable: true to DEAP and the papers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from cmaes import SepCMA
from scipy import stats

from evolm.strategies import CmaEs
from evolm.strategies.cmaes import Distribution, recombination_weights, updated_diagonal, updated_full
from evolm.strategies.vectors import wide
from evolm.testing.table_scorer import TableScorer
from tests.support.gene_functions import ELLIPSOID, SIGMA, SPHERE, Made, N, conditioned, gap, quadratic, step


def test_full_covariance_learns_axes_that_a_diagonal_cannot(vector_search: Made) -> None:
    basis = stats.ortho_group.rvs(6, random_state=np.random.default_rng(0))
    table = TableScorer(quadratic(conditioned(6, 1e4), basis))
    for seed in range(2):
        full = gap(vector_search("cmaes", seed, n=6), table, 2500)
        assert full < gap(vector_search("cmaes", seed, n=6, full_up_to=5), table, 2500) / 100


def test_beyond_full_up_to_the_covariance_is_a_diagonal_that_learns_the_scales(vector_search: Made) -> None:
    assert vector_search("cmaes", n=200).distribution.C.shape == (200, 200)
    assert vector_search("cmaes", n=201).distribution.C.shape == (201,)
    strategy, table = vector_search("cmaes", full_up_to=N - 1), TableScorer(ELLIPSOID)
    gap(strategy, table, 1500)
    assert strategy.distribution.C.shape == (N,)
    assert stats.spearmanr(strategy.distribution.C, conditioned(N, 1e3)).statistic < -0.9


def fresh_distribution(n: int, full: bool) -> Distribution:
    return Distribution(np.zeros(n), 0.5, np.identity(n) if full else np.ones(n), np.zeros(n), np.zeros(n))


def test_with_one_gene_the_separable_form_is_the_full_one() -> None:
    full, diagonal = fresh_distribution(1, full=True), fresh_distribution(1, full=False)
    rng = np.random.default_rng(0)
    for _ in range(20):
        points = full.m + full.sigma * (0.5 + rng.standard_normal((4, 1)))
        full, diagonal = updated_full(full, points, 8), updated_diagonal(diagonal, points, 8)
        for ours, deaps in ((diagonal.m, full.m), (diagonal.C, full.C[0])):
            assert ours == pytest.approx(deaps, rel=1e-9)
        assert diagonal.sigma == pytest.approx(full.sigma, rel=1e-9)
    assert abs(full.sigma / 0.5 - 1) > 0.1
    assert full.g == diagonal.g == 20


def test_from_a_sphere_both_forms_take_the_same_first_step_and_learn_variances_in_the_papers_ratio() -> None:
    n, rng = 7, np.random.default_rng(0)
    points = 0.5 * rng.standard_normal((5, n))
    full, diagonal = (fresh_distribution(n, kind) for kind in (True, False))
    full, diagonal = updated_full(full, points, 10), updated_diagonal(diagonal, points, 10)
    for ours, deaps in zip(
        (diagonal.m, diagonal.p_sigma, diagonal.p_c), (full.m, full.p_sigma, full.p_c), strict=True
    ):
        assert ours == pytest.approx(deaps, abs=1e-12)
    assert diagonal.sigma == pytest.approx(full.sigma)
    learnt = np.diag(full.C) - 1
    assert pytest.approx((n + 2) / 3 * learnt, rel=1e-9) == diagonal.C - 1


def test_the_separable_update_and_its_samples_are_those_of_the_package_cmaes() -> None:
    n, lambda_, rng = 7, 10, np.random.default_rng(1)
    w = recombination_weights(lambda_ // 2)
    now, peer = fresh_distribution(n, full=False), SepCMA(np.zeros(n), 0.5, seed=2, population_size=lambda_)
    # Its weights and learning rates of C are other ones; c_sigma, d_sigma and c_c are the same.
    peer._weights, peer._mu_eff = w, 1 / np.sum(w**2)
    peer._c_sigma = (peer._mu_eff + 2) / (n + peer._mu_eff + 3)
    peer._d_sigma = 1 + 2 * max(0, math.sqrt((peer._mu_eff - 1) / (n + 1)) - 1) + peer._c_sigma
    peer._c1 = (n + 2) / 3 * 2 / ((n + 1.3) ** 2 + peer._mu_eff)
    peer._cmu = (n + 2) / 3 * 2 * (peer._mu_eff - 2 + 1 / peer._mu_eff) / ((n + 2) ** 2 + peer._mu_eff)
    stalled = []
    for generation in range(30):
        drift = 1.0 if generation < 5 else 0.0
        points = now.m + now.sigma * np.sqrt(now.C) * (drift + rng.standard_normal((lambda_, n)))
        now = updated_diagonal(now, points[: lambda_ // 2], lambda_)
        peer._g = generation - 1  # it counts one generation more before h_sigma
        peer.tell([(point, rank) for rank, point in enumerate(points)])
        for ours, theirs in ((now.m, peer._mean), (now.p_sigma, peer._p_sigma), (now.p_c, peer._pc)):
            assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12)
        assert pytest.approx(peer._C, rel=1e-9) == now.C
        assert now.sigma == pytest.approx(peer._sigma, rel=1e-9)
        length = np.linalg.norm(now.p_sigma) / math.sqrt(1 - (1 - peer._c_sigma) ** (2 * now.g))
        stalled.append(length >= (1.4 + 2 / (n + 1)) * peer._chi_n)
    assert any(stalled) and not all(stalled)  # both values of h_sigma
    z = np.random.RandomState(2).standard_normal(n)
    assert peer.ask() == pytest.approx(now.m + now.sigma * np.sqrt(now.C) * z)


def test_a_distribution_too_narrow_for_float32_starts_anew_with_twice_the_samples(vector_search: Made) -> None:
    for full_up_to in (N, 0):
        strategy = vector_search("cmaes", full_up_to=full_up_to)
        step(strategy, TableScorer(SPHERE))
        asked = step(strategy, TableScorer(lambda genome: math.nan))  # nothing is learnt from these
        assert {individual.operators for individual in asked} == {("cmaes",)}
        strategy.distribution = replace(strategy.distribution, m=np.ones(N), sigma=1e-12)
        anew = strategy.ask()
        assert len(anew) == strategy.lambda_ == 2 * len(asked)
        assert strategy.distribution.sigma == SIGMA
        assert {individual.operators for individual in anew} == {("random",)}
        again = vector_search("cmaes", full_up_to=full_up_to)
        again.load_state_dict(strategy.state_dict())
        assert again.lambda_ == strategy.lambda_


def test_a_founder_is_no_sample_to_learn_from(vector_search: Made) -> None:
    strategy: CmaEs = vector_search("cmaes", population_size=4)
    asked = step(strategy, TableScorer(lambda genome: -float(np.sum(wide(genome) ** 2))))
    best, second = sorted(asked[1:], key=lambda individual: individual.fitness.values, reverse=True)[:2]
    assert asked[0].fitness > best.fitness
    assert {individual.parents for individual in strategy.ask()} == {(best.id, second.id)}
    share = math.log(2.5) / (math.log(2.5) + math.log(2.5 / 2))
    assert strategy.distribution.m == pytest.approx(share * wide(best.genome) + (1 - share) * wide(second.genome))


def test_where_more_than_half_failed_the_missing_ones_take_no_step(vector_search: Made) -> None:
    strategy: CmaEs = vector_search("cmaes", population_size=8, full_up_to=0)
    asked = strategy.ask()
    good = next(individual for individual in asked if not strategy.is_founder(individual))
    TableScorer(lambda genome: 1.0 if genome is good.genome else math.nan).fill(asked)
    strategy.tell(asked)
    children = strategy.ask()
    weight = (math.log(4.5) - math.log(1)) / sum(math.log(4.5) - math.log(rank) for rank in range(1, 5))
    assert strategy.distribution.m == pytest.approx(weight * wide(good.genome))
    assert {individual.parents for individual in children} == {(good.id,)}
