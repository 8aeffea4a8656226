"""Individuals: fitness, failure, and the records they leave."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from evolm.fitness import fitness_class
from evolm.genomes import Prompt, prompt_genome
from evolm.individual import Individual, same_genome
from evolm.storage import read_checkpoint, write_checkpoint


def child(*fitness: float) -> Individual:
    individual = Individual(3, prompt_genome(Prompt("Spam?")), 2, (1, 2), ("swap", "drop"), (0.0, 0.5, 0.1))
    if fitness:
        individual.accept(fitness, 0.75, np.array([0.1, 0.2], dtype=np.float64), {"tokens": 4}, np.array([1.0, 0.2]))
    return individual


@pytest.mark.parametrize("values", [(float("nan"),), (1.0, float("nan")), (float("inf"),), (-float("inf"), 1.0)])
def test_a_fitness_that_is_no_number_is_a_failure(values: tuple[float, ...]) -> None:
    individual = child(*values)
    assert individual.status == "failed"
    assert not individual.fitness.valid
    assert individual.score is None
    assert individual.reason.startswith("fitness is (")


def test_a_failure_takes_the_fitness_away() -> None:
    individual = child(0.6, 0.2)
    individual.fail("no file")
    assert (individual.status, individual.reason, individual.fitness.valid) == ("failed", "no file", False)


def test_fitness_is_maximised_first_objective_first() -> None:
    assert child(0.6, 0.0).fitness > child(0.5, 9.0).fitness
    assert child(0.5, 0.2).fitness > child(0.5, 0.1).fitness
    assert fitness_class(2) is fitness_class(2)
    assert fitness_class(3).weights == (1.0, 1.0, 1.0)


def test_better_than_parents_needs_parents_and_a_fitness() -> None:
    assert child(0.5, 0.2).better_than_parents
    assert not child(0.5, 0.1).better_than_parents
    assert not child().better_than_parents
    orphan = Individual(0, prompt_genome(Prompt("x")))
    orphan.accept((1.0,), 1.0, np.zeros(1), {})
    assert not orphan.better_than_parents


def test_the_journals_record_is_strict_json() -> None:
    record = child(0.6, 0.2).to_record()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert (record["fitness"], record["parents"], record["reason"]) == ([0.6, 0.2], [1, 2], None)
    assert "cases" not in record
    assert child().to_record()["fitness"] is None


def test_whoever_is_dropped_has_no_fitness_and_has_not_failed() -> None:
    individual = child(0.6, 0.2)
    individual.drop("worse than #3 on 16 of 80 items")
    assert (individual.status, individual.fitness.valid, individual.score) == ("dropped", False, None)
    assert not individual.better_than_parents
    assert individual.to_record()["reason"] == "worse than #3 on 16 of 80 items"


def test_a_founder_is_who_was_neither_born_nor_drawn() -> None:
    genome = prompt_genome(Prompt("x"))
    assert Individual(0, genome, operators=("founders.jsonl:1",)).is_founder
    assert not Individual(1, genome, operators=("random",)).is_founder
    assert not child().is_founder


@pytest.mark.parametrize("kind", ["new", "evaluated", "failed", "dropped"])
def test_an_individual_survives_a_checkpoint(kind: str, tmp_path: Path) -> None:
    individual = child() if kind == "new" else child(0.6, 0.2)
    if kind == "failed":
        individual.fail("why")
    if kind == "dropped":
        individual.drop("worse")
    individual.items = 16
    write_checkpoint(tmp_path, {"one": individual.state_dict()})
    state = read_checkpoint(tmp_path)
    assert state is not None
    again = Individual.from_state(state["one"])
    assert again.to_record() == individual.to_record()
    assert again.status == kind
    assert again.parent_standing == individual.parent_standing
    assert again.fitness.valid == individual.fitness.valid
    assert again.fitness.values == individual.fitness.values
    assert again.genome == individual.genome
    if kind == "new":
        assert again.cases is None and again.item_terms is None
    else:
        assert again.item_terms is not None and again.item_terms.tolist() == [1.0, 0.2]
        assert np.array_equal(again.cases, individual.cases)
        assert again.cases.dtype == individual.cases.dtype


def test_individuals_compare_by_identity_and_archives_by_genome() -> None:
    one, two = child(0.6), child(0.7)
    assert one != two
    assert len({one, two}) == 2
    assert same_genome(one, two)
    assert not same_genome(one, Individual(4, prompt_genome(Prompt("Ham?"))))
