"""Strategies find what there is to find, where a table says what that is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evolm.archives import BestFound
from evolm.genomes import PROMPT, Genome, Prompt, PromptSpace, Space, prompt_genome
from evolm.individual import Individual
from evolm.operators import operators_for
from evolm.strategies import STRATEGIES, SearchContext, Strategy
from evolm.strategies.genetic import CaseView, Genetic
from evolm.testing.table_scorer import TableScorer


def unimodal(genome: Genome) -> float:
    """Best: three demonstrations, all spam, called junk."""
    prompt = genome.prompt
    spam = sum(demo.label == "spam" for demo in prompt.demonstrations)
    ham = len(prompt.demonstrations) - spam
    return -abs(3 - spam) - ham + 0.5 * (prompt.word("spam") == "junk")


@pytest.fixture
def search(toy_space: Callable[..., PromptSpace]) -> Callable[..., Strategy]:
    def made(name: str, seed: int = 0, **settings: Any) -> Strategy:
        space = toy_space(demonstrations=(0, 6))
        kind = STRATEGIES[name]
        founders = [prompt_genome(Prompt(space.instructions[0]))]
        operators = [(operator, operator.weight) for operator in operators_for({PROMPT: PromptSpace})]
        return kind(kind.Params(**settings), SearchContext(Space({PROMPT: space}), founders, operators, seed))

    return made


def climbed(strategy: Strategy, table: Any, count: int) -> list[float]:
    best, values = BestFound(1), []
    for _ in range(count):
        asked = strategy.ask()
        table.fill(asked)
        strategy.tell(asked)
        best.update(asked)
        assert best.best is not None
        values.append(best.best.fitness.values[0])
    return values


@pytest.mark.parametrize("seed", range(3))
def test_hill_climbing_reaches_the_top_of_a_single_hill(seed: int, search: Any) -> None:
    values = climbed(search("hill_climb", seed, neighbours=8), TableScorer(unimodal), 12)
    assert values[0] == -3
    assert values[-1] == 0.5
    assert values == sorted(values)


@pytest.mark.parametrize(
    "settings",
    [{}, {"selection": "lexicase"}, {"survival": "generational"}],
    ids=["plus", "lexicase", "generational"],
)
def test_the_genetic_algorithm_reaches_the_top_too(settings: dict, search: Any) -> None:
    values = climbed(search("genetic", population_size=12, **settings), TableScorer(unimodal), 12)
    assert values[-1] == 0.5


def test_random_search_does_not_look_at_scores(search: Any) -> None:
    def digests(worth: Any) -> list[str]:
        strategy, table, found = search("random_search", population_size=5), TableScorer(worth), []
        for _ in range(3):
            asked = strategy.ask()
            table.fill(asked)
            strategy.tell(asked)
            found += [individual.digest for individual in asked]
        return found

    assert digests(unimodal) == digests(lambda genome: -unimodal(genome))


def test_plus_survival_never_loses_its_best(search: Any) -> None:
    strategy, table = search("genetic", population_size=6), TableScorer()
    top = -np.inf
    for _ in range(6):
        asked = strategy.ask()
        table.fill(asked)
        strategy.tell(asked)
        strategy.ask(0)
        top = max([top, *(individual.fitness.values[0] for individual in asked)])
        assert isinstance(strategy, Genetic)
        assert len(strategy.population) == 6
        assert strategy.population[0].fitness.values[0] == top


def test_hill_climbing_restarts_from_the_best_it_has_not_climbed(search: Any) -> None:
    strategy = search("hill_climb", neighbours=3, patience=2)
    founder = strategy.context.founders[0].digest
    table = TableScorer(lambda genome: 1.0 if genome.digest == founder else 0.5)
    origins = []
    for _ in range(5):
        asked = strategy.ask()
        origins.append({parent for individual in asked for parent in individual.parents})
        table.fill(asked)
        strategy.tell(asked)
    assert origins[:3] == [set(), {0}, {0}]
    assert not origins[3] & {0}


def test_lexicase_looks_at_items_not_at_the_mean() -> None:
    one = Individual(0, prompt_genome(Prompt("a")))
    one.accept((0.5, 0.0), 0.5, np.array([1.0, 0.0, 0.25]), {})
    assert CaseView(one).fitness.values == (1.0, 0.0, 0.25)


# -- archive -------------------------------------------------------------------------------------------------


def evaluated(number: int, text: str, value: float) -> Individual:
    individual = Individual(number, prompt_genome(Prompt(text)))
    individual.accept((value,), value, np.zeros(2), {})
    return individual


def test_the_best_stays_until_it_is_beaten_and_nothing_is_kept_twice() -> None:
    best = BestFound(3)
    best.update([evaluated(0, "a", 0.5), evaluated(1, "b", 0.5), evaluated(2, "a", 0.5), evaluated(3, "c", 0.1)])
    assert best.best is not None
    assert best.best.id == 0
    assert len({individual.digest for individual in best}) == len(best) == 3
    best.update([evaluated(4, "d", 0.6)])
    assert best.best.id == 4
    assert len(best) == 3
    again = BestFound(3)
    again.load_state_dict(best.state_dict())
    assert [i.id for i in again] == [i.id for i in best]
    assert again.best is not None
    assert again.best.id == 4
    for archive in (best, again):
        archive.update([evaluated(5, "e", 0.5), evaluated(6, "f", 0.55)])
    assert [i.id for i in again] == [i.id for i in best]


def test_an_empty_archive_has_no_best() -> None:
    best = BestFound(2)
    failed = Individual(0, prompt_genome(Prompt("a")))
    failed.fail("no")
    best.update([failed])
    assert best.best is None
    assert len(best) == 0
