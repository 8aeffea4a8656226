"""Generations that overlap: some are bred before an earlier one is told, by the order of asking alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from evolm.genomes import PROMPT, Prompt, PromptSpace, Space, prompt_genome
from evolm.individual import Individual
from evolm.operators import operators_for
from evolm.strategies import Genetic, Islands, SearchContext, Strategy
from evolm.strategies.genetic import GeneticParams
from evolm.testing.strategies import described, reloaded
from evolm.testing.table_scorer import TableScorer

SIZE, CHILDREN = 6, 3
Make = Callable[..., Strategy]


@pytest.fixture(params=[Genetic, Islands])
def make(request: pytest.FixtureRequest, toy_space: Callable[..., PromptSpace]) -> Make:
    """Return ``make(asynchronous=2, seed=0)``: a search among prompts."""
    kind: type[Strategy] = request.param
    size = {"n_islands": 2, "migration_every": 2, "population_size": SIZE // 2} if kind is Islands else {}

    def made(asynchronous: int = 2, seed: int = 0) -> Strategy:
        space = toy_space(demonstrations=(0, 6))
        founders = [prompt_genome(Prompt(text)) for text in space.instructions]
        operators = [(operator, operator.weight) for operator in operators_for({PROMPT: PromptSpace})]
        settings = {"population_size": SIZE, "offspring": CHILDREN, **size, "asynchronous": asynchronous}
        return kind(kind.Params(**settings), SearchContext(Space({PROMPT: space}), founders, operators, seed))

    return made


def flight(strategy: Strategy) -> list[list[Individual]]:
    """Return the generations that can be asked for before one is told."""
    found = []
    while asked := strategy.ask():
        found.append(asked)
    return found


def run(strategy: Strategy, order: Callable[[int], list[int]], rounds: int = 6) -> Iterator[Any]:
    """Yield what is asked for in some rounds, generation by generation; the oldest one is told last in its round.

    Args:
        strategy: at its beginning.
        order: number of waiting generations but the oldest -> those of them that are told before it.
        rounds: how often a generation is told.
    """
    table, waiting = TableScorer(), []  # type: ignore[var-annotated]
    for _ in range(rounds):
        new = flight(strategy)
        waiting += new
        yield from (described(asked) for asked in new)
        for place in order(len(waiting) - 1):
            part = [individual for individual in waiting[place + 1] if individual.status == "new"]
            table.fill(part)
            strategy.tell(part)
        oldest = [individual for individual in waiting.pop(0) if individual.id in strategy.pending]
        table.fill(oldest)
        strategy.tell(oldest)


def test_as_many_generations_are_asked_for_as_may_overlap(make: Make) -> None:
    strategy, table = make(asynchronous=2), TableScorer()
    [first] = flight(strategy)  # no child before the first generation is told
    assert len(first) == SIZE
    table.fill(first)
    strategy.tell(first)
    ahead = flight(strategy)
    assert [asked[0].generation for asked in ahead] == [1, 2, 3]
    table.fill(ahead[0][1:])
    strategy.tell(ahead[0][1:])
    assert flight(strategy) == []
    table.fill(ahead[0][:1])
    strategy.tell(ahead[0][:1])
    assert [asked[0].generation for asked in flight(strategy)] == [4]


@pytest.mark.parametrize("overlap", [0, 1, 3])
def test_parents_are_as_many_generations_older_as_overlap(overlap: int, make: Make) -> None:
    strategy, table, waiting = make(asynchronous=overlap), TableScorer(), []  # type: ignore[var-annotated]
    homes, seen = {}, set()  # type: ignore[var-annotated]
    for _ in range(12):
        waiting += flight(strategy)
        for individual in (individual for asked in waiting for individual in asked):
            homes[individual.id] = individual.generation
        oldest = waiting.pop(0)
        for child in oldest:
            lags = [child.generation - homes[parent] for parent in child.parents]
            assert all(lag >= min(overlap + 1, child.generation) for lag in lags)
            seen.update(lags)
        table.fill(oldest)
        strategy.tell(oldest)
    assert min(seen) <= overlap + 1


def test_the_order_of_telling_decides_nothing(make: Make) -> None:
    rng = np.random.default_rng(0)
    expected = list(run(make(), lambda count: []))
    for order in (lambda count: list(rng.permutation(count)), lambda count: list(range(count))[::-1]):
        found = list(run(make(), order))
        assert len(found) > len(expected)  # more was told, so more could be asked for
        assert found[: len(expected)] == expected
    assert list(run(make(seed=1), lambda count: [])) != expected


@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_a_search_resumed_with_generations_in_the_air_goes_on_identically(
    rounds: int, make: Make, tmp_path: Path
) -> None:
    def on(strategy: Strategy, waiting: list[list[Individual]]) -> list[Any]:
        table, asked = TableScorer(), []
        for _ in range(4):
            oldest = waiting.pop(0)
            table.fill(oldest)
            strategy.tell(oldest)
            new = flight(strategy)
            waiting += new
            asked += [described(each) for each in new]
        return asked

    strategy = make()
    list(run(strategy, lambda count: [], rounds))
    flight(strategy)
    again = reloaded(strategy, make, tmp_path)

    def waiting(of: Strategy) -> list[list[Individual]]:
        generations: dict[int, list[Individual]] = {}
        for individual in of.pending.values():
            generations.setdefault(individual.generation, []).append(individual)
        return list(generations.values())

    assert len(waiting(strategy)) == 3
    assert on(again, waiting(again)) == on(strategy, waiting(strategy))


def test_children_that_replace_their_parents_cannot_overlap_with_them() -> None:
    with pytest.raises(ValidationError, match="asynchronous: expected 0 with survival = 'generational'"):
        GeneticParams(asynchronous=1, survival="generational")


def test_asynchronous_generations_do_not_race() -> None:
    assert "side by side" in Genetic.refuses_partial(GeneticParams(asynchronous=1))
    assert Genetic.refuses_partial(GeneticParams()) == ""
