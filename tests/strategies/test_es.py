"""The evolution strategy: mirrored samples, centred ranks, and where they move the mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from evolm.genomes import DELTA, DeltaGenes, Genome
from evolm.individual import Individual
from evolm.strategies import EvolutionStrategy
from evolm.strategies.es import Mean, adam_step, centred_ranks
from evolm.strategies.vectors import wide
from evolm.testing.table_scorer import TableScorer
from tests.support.gene_functions import SIGMA, SPHERE, Made, N, step


def test_samples_lie_two_by_two_on_opposite_sides_of_a_mean_that_is_evaluated_too(vector_search: Made) -> None:
    strategy: EvolutionStrategy = vector_search("es", population_size=6)
    table = TableScorer(SPHERE)
    for generation in range(3):
        mean, *samples = step(strategy, table)
        assert np.array_equal(mean.genome.delta.genes, strategy.mean.theta.astype(np.float32))
        assert len(samples) == 6
        for one, other in zip(samples[::2], samples[1::2], strict=True):
            assert wide(one.genome) + wide(other.genome) == pytest.approx(2 * strategy.mean.theta, abs=1e-6)
            assert one.parents == other.parents == (mean.id,)
        assert bool(mean.parents) is bool(generation)


def test_a_linear_fitness_is_climbed_along_its_slope(vector_search: Made) -> None:
    slope = np.arange(N) - 4.5
    strategy: EvolutionStrategy = vector_search("es", population_size=1000)
    step(strategy, TableScorer(lambda genome: float(slope @ genome.delta.genes)))
    strategy.ask(0)
    move = strategy.mean.theta
    assert move @ slope / np.linalg.norm(move) / np.linalg.norm(slope) > 0.95
    # Centred ranks of normal values have a covariance of 1 / (2 sqrt(pi)) with them.
    assert np.linalg.norm(move) == pytest.approx(3 * SIGMA / (2 * math.sqrt(math.pi)), rel=0.1)


def test_the_mean_that_is_evaluated_is_no_sample_to_learn_from(vector_search: Made) -> None:
    strategy: EvolutionStrategy = vector_search("es", population_size=2)
    for _ in range(3):
        before = strategy.mean.theta
        _, *samples = step(strategy, TableScorer(SPHERE))
        strategy.ask(0)
        best = max(samples, key=lambda individual: individual.fitness.values)
        # Ranks of 0.5 and -0.5 on opposite sides; their mean, three times.
        assert strategy.mean.theta - before == pytest.approx(3 * (wide(best.genome) - before) / 2, abs=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("value", [1.0, math.nan])
def test_a_flat_fitness_and_failures_move_nothing(optimizer: str, value: float, vector_search: Made) -> None:
    strategy: EvolutionStrategy = vector_search("es", optimizer=optimizer, population_size=4)
    step(strategy, TableScorer(lambda genome: value))
    assert len(strategy.ask()) == 4  # the mean is where it was, and not asked for twice
    assert not strategy.mean.theta.any()


def test_centred_ranks_are_symmetric_equals_share_theirs_and_failures_are_the_worst() -> None:
    individuals = [Individual(number, Genome({DELTA: DeltaGenes(np.full(2, number))})) for number in range(5)]
    for individual, value in zip(individuals, [3.0, math.nan, 7.0, 3.0, math.nan], strict=True):
        individual.accept((value,), value, np.zeros(1), {})
    assert centred_ranks(individuals).tolist() == [0.125, -0.375, 0.5, 0.125, -0.375]
    assert centred_ranks(individuals[:1]).tolist() == [-0.5]


def test_adam_is_that_of_torch() -> None:
    slopes = np.random.default_rng(0).standard_normal((12, 4))
    mean = Mean(np.ones(4), np.zeros(4), np.zeros(4))
    parameter = torch.nn.Parameter(torch.ones(4, dtype=torch.float64))
    optimizer = torch.optim.Adam([parameter], lr=0.3, maximize=True)
    for slope in slopes:
        mean = adam_step(mean, slope, 0.3)
        parameter.grad = torch.from_numpy(slope)
        optimizer.step()
    assert mean.theta == pytest.approx(parameter.detach().numpy(), rel=1e-9)
