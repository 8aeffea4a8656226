"""The front keeps what nothing dominates, forgets nothing on the way, and picks by its rule."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolm.archives import Front
from evolm.archives.pareto_front import knee_heights
from evolm.genomes import Prompt, prompt_genome
from evolm.individual import Individual


def individuals(*fitness: tuple[float, ...]) -> list[Individual]:
    made = [Individual(i, prompt_genome(Prompt(f"prompt {i}"))) for i in range(len(fitness))]
    for individual, values in zip(made, fitness, strict=True):
        individual.accept(values, values[0], np.zeros(1), {})
    return made


POINTS = [(0.9, -50.0), (0.5, -10.0), (0.8, -20.0), (0.7, -30.0), (0.4, -10.0)]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_the_front_is_what_nothing_dominates(points: list[tuple[int, int]]) -> None:
    front = Front(5, "first")
    for individual in individuals(*[(float(a), float(b)) for a, b in points]):
        front.update([individual])
    dominated = {p for p in points for q in points if q != p and q[0] >= p[0] and q[1] >= p[1]}
    assert {i.fitness.values for i in front} == {p for p in points if p not in dominated}


@pytest.mark.parametrize(("rule", "best"), [("first", (0.9, -50.0)), ("knee", (0.8, -20.0))])
def test_the_rule_picks_the_best(rule: str, best: tuple[float, float]) -> None:
    front = Front(2, rule)  # type: ignore[arg-type]
    assert front.best is None
    assert front.update(individuals(*POINTS))
    assert front.best is not None
    assert front.best.fitness.values == best
    assert next(iter(front.finalists)).fitness.values == best
    assert len(front.finalists) == 2
    assert len(front) == 3


def test_what_could_not_be_scored_is_never_picked() -> None:
    fitness = [(-np.inf, -np.inf), (0.1, -3.0), (0.2, -4.0)]
    assert Front(2, "knee").pick(fitness) in (1, 2)
    assert Front(2, "first").pick(fitness) == 2
    assert knee_heights(np.array([[1.0, 2.0], [1.0, 2.0]])).tolist() == [0, 0]


def test_a_front_that_did_not_change_says_so() -> None:
    front = Front(5, "first")
    front.update(individuals(*POINTS))
    assert not front.update(individuals((0.1, -60.0)))


def test_a_restored_front_is_the_same() -> None:
    front, again = Front(5, "knee"), Front(5, "knee")
    front.update(individuals(*POINTS))
    again.load_state_dict(json.loads(json.dumps(front.state_dict(), default=lambda array: array.tolist())))
    assert [i.id for i in again] == [i.id for i in front]
    assert [i.id for i in again.finalists] == [i.id for i in front.finalists]
