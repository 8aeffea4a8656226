"""Strategies on vectors of genes start from the best founder and do better than chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from evolm.genomes import DELTA, DeltaGenes, Genome
from evolm.strategies import STRATEGIES
from evolm.testing.table_scorer import TableScorer
from tests.support.gene_functions import ELLIPSOID, SIGMA, SPHERE, Made, N, Value, gap, step

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "cmaes": ("cmaes", {}),
    "cmaes separable": ("cmaes", {"full_up_to": N - 1}),
    "es": ("es", {"population_size": 16}),
    "es adam": ("es", {"population_size": 16, "optimizer": "adam"}),
    "de": ("differential_evolution", {"population_size": 16}),
    "de rand": ("differential_evolution", {"population_size": 16, "variant": "rand1bin", "differential_weight": 0.5}),
}
WITH_A_MEAN = ["cmaes", "es"]


@pytest.mark.parametrize("function", [SPHERE, ELLIPSOID], ids=["sphere", "ellipsoid"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_vector_strategy_beats_random_search(variant: str, function: Value, vector_search: Made) -> None:
    name, settings = VARIANTS[variant]
    table = TableScorer(function)
    ours = [gap(vector_search(name, seed, **settings), table, 800) for seed in range(3)]
    chance = [gap(vector_search("random_search", seed), table, 800) for seed in range(3)]
    assert max(ours) < min(chance) / 4


@pytest.mark.parametrize("name", [name for name, kind in STRATEGIES.items() if not kind.refuses_space([DELTA])])
def test_no_change_at_all_is_evaluated_first(name: str, vector_search: Made) -> None:
    first = vector_search(name).ask()[0]
    assert not first.genome.delta.genes.any()
    assert first.operators == ("founder",)


@pytest.mark.parametrize("name", WITH_A_MEAN)
@pytest.mark.parametrize("better", [0, 1])
def test_the_search_starts_where_the_best_founder_is(name: str, better: int, vector_search: Made) -> None:
    founders = [Genome({DELTA: DeltaGenes(np.full(N, place))}) for place in (0.0, 50.0)]
    goal = founders[better].delta.genes[0] + SIGMA
    strategy = vector_search(name, founders=founders)
    first = step(strategy, TableScorer(lambda genome: -float(np.sum((genome.delta.genes - goal) ** 2))))
    assert all(abs(individual.genome.delta.genes.mean()) < 1 for individual in first[2:])
    second = strategy.ask()
    assert second
    assert all(abs(individual.genome.delta.genes.mean() - goal) < 1 for individual in second)
