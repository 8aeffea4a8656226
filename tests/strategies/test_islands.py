"""Islands are populations apart, but for those that migrate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from evolm.genomes import PROMPT, Prompt, PromptSpace, Space, prompt_genome
from evolm.individual import Individual
from evolm.operators import operators_for
from evolm.strategies import Islands, SearchContext
from evolm.testing.table_scorer import TableScorer

EVERY = 3


@pytest.fixture
def search(toy_space: Callable[..., PromptSpace]) -> Callable[..., Islands]:
    def made(**settings: Any) -> Islands:
        space = toy_space(demonstrations=(0, 6))
        founders = [prompt_genome(Prompt(text)) for text in space.instructions]
        operators = [(operator, operator.weight) for operator in operators_for({PROMPT: PromptSpace})]
        small = {"population_size": 5, "n_islands": 3, "migration_every": EVERY}
        return Islands(
            Islands.Params(**{**small, **settings}), SearchContext(Space({PROMPT: space}), founders, operators, 0)
        )

    return made


def step(strategy: Islands, table: Any) -> list[Individual]:
    asked = strategy.ask()
    table.fill(asked)
    strategy.tell(asked)
    return asked


def ids(strategy: Islands) -> list[set[int]]:
    return [{individual.id for individual in island} for island in strategy.islands]


def test_the_first_generation_is_dealt_out(search: Any) -> None:
    strategy = search()
    step(strategy, TableScorer())
    strategy.ask(0)
    assert ids(strategy) == [set(range(place, 15, 3)) for place in range(3)]


def test_children_are_born_where_their_parents_live_and_only_migrants_move(search: Any) -> None:
    strategy, table = search(), TableScorer()
    step(strategy, table)
    before: list[set[int]] = [set(), set(), set()]
    moved = 0
    for generation in range(1, 3 * EVERY + 1):
        born = strategy.homes
        children = strategy.ask()
        homes = [set(), set(), set()]  # type: list[set[int]]
        for number, place in born.items():
            homes[place].add(number)
        for place, now in enumerate(ids(strategy)):
            strangers = now - before[place] - homes[place]
            neighbour = before[place - 1] | homes[place - 1]
            assert strangers <= neighbour
            assert len(strangers) == 0 or generation % EVERY == 0
            moved += len(strangers)
        for child in children:
            assert set(child.parents) <= ids(strategy)[strategy.homes[child.id]]
        before = ids(strategy)
        table.fill(children)
        strategy.tell(children)
    assert moved >= 3


@pytest.mark.parametrize("migrants", [1, 2])
def test_an_islands_best_take_the_places_of_the_next_ones_worst(migrants: int, search: Any) -> None:
    strategy, table = search(migration_every=1, migrants=migrants), TableScorer()
    asked = step(strategy, table)
    strategy.ask(0)
    ranked = [sorted(asked[place::3], key=lambda i: i.fitness.values, reverse=True) for place in range(3)]
    for place in range(3):
        stayed = ranked[place][: 5 - migrants]
        came = ranked[place - 1][:migrants]
        assert ids(strategy)[place] == {individual.id for individual in stayed + came}


def test_without_migration_a_single_discovery_stays_at_home(search: Any) -> None:
    def spread(every: int) -> int:
        strategy = search(migration_every=every)
        jewel = strategy.context.founders[0].digest
        table = TableScorer(lambda genome: 2.0 if genome.digest == jewel else int(genome.digest, 16) / 16**16)
        for _ in range(8):
            step(strategy, table)
        strategy.ask(0)
        return sum(any(i.digest == jewel for i in island) for island in strategy.islands)

    assert spread(every=1) == 3
    assert spread(every=100) == 1


def test_nobody_lives_twice_on_an_island(search: Any) -> None:
    strategy, table = search(migration_every=1, migrants=3), TableScorer()
    for _ in range(8):
        step(strategy, table)
        strategy.ask(0)
        assert all(len({i.digest for i in island}) == len(island) > 0 for island in strategy.islands)


def test_an_island_where_all_failed_is_settled_anew(search: Any) -> None:
    strategy = search(migration_every=1)
    asked = strategy.ask()
    doomed = {individual.digest for individual in asked[1::3]}
    table = TableScorer(lambda genome: float("nan") if genome.digest in doomed else 1.0)
    table.fill(asked)
    strategy.tell(asked)
    settlers = [child for child in strategy.ask() if strategy.homes[child.id] == 1]
    assert [bool(island) for island in strategy.islands] == [True, False, True]
    assert len(settlers) == 5
    assert {child.operators for child in settlers} == {("random",)}
