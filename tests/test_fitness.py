"""Fitness under a constraint: Deb's rules in DEAP's comparisons, selections and archives."""

from __future__ import annotations

import copy
import pickle
import random

import numpy as np
import pytest
from deap import tools

from evolm.archives import BestFound, Front
from evolm.fitness import fitness_class
from evolm.genomes import Genome, Prompt
from evolm.individual import Individual

FEASIBLE, WORSE, SLIGHT, GRAVE = range(4)


def individuals(objectives: int = 1) -> list[Individual]:
    """Return a good feasible individual, a worse feasible one, and two better ones that violate the constraint."""
    made = []
    for number, (value, violation) in enumerate([(0.5, 0.0), (0.4, 0.0), (0.8, 0.01), (0.9, 0.2)]):
        individual = Individual(number, Genome({"prompt": Prompt(f"prompt {number}")}))
        values = (value,) * objectives
        individual.accept(values, value, np.array([value]), {}, violation=violation)
        made.append(individual)
    return made


def test_feasible_beats_infeasible_and_the_smaller_violation_wins() -> None:
    made = individuals()
    assert [i.id for i in sorted(made, key=lambda i: i.fitness, reverse=True)] == [FEASIBLE, WORSE, SLIGHT, GRAVE]
    assert [i.id for i in tools.selBest(made, 4)] == [FEASIBLE, WORSE, SLIGHT, GRAVE]


def test_an_individual_without_a_fitness_is_worse_than_an_infeasible_one() -> None:
    failed = Individual(9, Genome({"prompt": Prompt("failed")}))
    failed.fail("it is too long")
    assert failed.fitness < individuals()[GRAVE].fitness


def test_the_hall_of_fame_ranks_by_the_rules_and_keeps_violations_in_its_state() -> None:
    hall = BestFound(4)
    hall.update(individuals()[::-1])
    assert [i.id for i in hall.ranked] == [FEASIBLE, WORSE, SLIGHT, GRAVE]
    again = BestFound(4)
    again.load_state_dict(hall.state_dict())
    assert [i.fitness.standing for i in again.ranked] == [i.fitness.standing for i in hall.ranked]


def test_a_front_holds_no_infeasible_individual_beside_a_feasible_one() -> None:
    made = individuals(objectives=2)
    front = Front(4, "first")
    front.update([made[GRAVE], made[SLIGHT]])
    assert [i.id for i in front] == [SLIGHT]
    front.update([made[WORSE]])
    assert [i.id for i in front] == [WORSE]


def test_nsga2_survival_takes_feasible_individuals_first() -> None:
    chosen = tools.selNSGA2(individuals(objectives=2)[::-1], 3)
    assert {i.id for i in chosen} == {FEASIBLE, WORSE, SLIGHT}


def test_a_tournament_of_all_is_won_by_a_feasible_individual() -> None:
    random.seed(0)
    made = individuals()
    assert {i.id for i in tools.selTournament(made, 5, tournsize=40)} == {FEASIBLE}


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda fitness: pickle.loads(pickle.dumps(fitness))])
def test_copies_keep_the_violation(copied) -> None:
    fitness = fitness_class(2)((1.0, 2.0), 0.25)
    assert copied(fitness) == fitness and copied(fitness).violation == 0.25
    assert fitness != fitness_class(2)((1.0, 2.0))


def test_a_violation_is_in_the_journal_and_its_absence_adds_nothing() -> None:
    made = individuals()
    assert made[SLIGHT].to_record()["violation"] == 0.01
    assert "violation" not in made[FEASIBLE].to_record()
    assert Individual.from_state(made[SLIGHT].state_dict()).fitness == made[SLIGHT].fitness
