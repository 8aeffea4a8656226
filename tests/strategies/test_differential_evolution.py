"""Differential evolution: what trials are made of, and whom they replace."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from evolm.strategies import DifferentialEvolution
from evolm.strategies.differential_evolution import binomial
from evolm.strategies.vectors import wide
from evolm.testing.table_scorer import TableScorer
from tests.support.gene_functions import SPHERE, Made, step


def test_binomial_crossover_takes_one_gene_at_least_and_others_at_its_rate() -> None:
    rng, zeros, ones = np.random.default_rng(0), np.zeros(50), np.ones(50)
    assert {binomial(rng, zeros, ones, 0.0).sum() for _ in range(20)} == {1}
    assert binomial(rng, zeros, ones, 1.0).sum() == 50
    assert np.mean([binomial(rng, zeros, ones, 0.3).mean() for _ in range(200)]) == pytest.approx(0.314, abs=0.02)


@pytest.mark.parametrize("variant", ["rand1bin", "currenttobest1bin"])
def test_a_mutant_is_made_of_the_target_and_of_differences_of_others(variant: str, vector_search: Made) -> None:
    strategy: DifferentialEvolution = vector_search(
        "differential_evolution", population_size=5, variant=variant, crossover_prob=1.0, differential_weight=0.7
    )
    members = step(strategy, TableScorer(SPHERE))
    best = max(members, key=lambda member: member.fitness.values)
    for place, trial in enumerate(strategy.ask()):
        target = members[place]
        assert trial.parents[0] == target.id
        mutants = []
        for chosen in permutations([member for member in members if member is not target], 3):
            base, plus, minus = (wide(member.genome) for member in chosen)
            if variant == "currenttobest1bin":
                base = wide(target.genome) + 0.7 * (wide(best.genome) - wide(target.genome))
            mutants.append(base + 0.7 * (plus - minus))
        assert min(np.abs(wide(trial.genome) - mutant).max() for mutant in mutants) < 1e-6


def test_a_trial_replaces_its_own_target_and_only_if_it_is_not_worse(vector_search: Made) -> None:
    strategy: DifferentialEvolution = vector_search("differential_evolution", population_size=6)
    table, kept, replaced = TableScorer(SPHERE), 0, 0
    before = step(strategy, table)
    for _ in range(12):
        trials = step(strategy, table)
        strategy.ask(0)
        assert len(trials) == 6
        for old, trial, now in zip(before, trials, strategy.population, strict=True):
            assert now is (trial if trial.fitness >= old.fitness else old)
            kept, replaced = kept + (now is old), replaced + (now is trial)
        before = list(strategy.population)
    assert kept > 10
    assert replaced > 10


def test_members_that_are_all_alike_give_way_to_random_trials(vector_search: Made) -> None:
    strategy: DifferentialEvolution = vector_search("differential_evolution", population_size=4)
    asked = step(strategy, TableScorer(SPHERE))
    strategy._told = [replace(individual, genome=asked[0].genome) for individual in asked]
    assert {individual.operators for individual in strategy.ask()} == {("random",)}
