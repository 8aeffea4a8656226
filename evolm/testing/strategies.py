"""The contract of strategies (see ``evolm.strategies.base``) as tests; a table gives the fitness."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

from evolm.archives import BestFound
from evolm.genomes import Prompt, prompt_genome
from evolm.individual import Individual
from evolm.storage import read_checkpoint, write_checkpoint
from evolm.strategies import Strategy
from evolm.testing.table_scorer import TableScorer

MakeStrategy: TypeAlias = Callable[..., Strategy]


def generations(strategy: Strategy, table: TableScorer, count: int) -> Iterator[list[Individual]]:
    """Yield ``count`` generations; each is evaluated and told after the caller has seen it."""
    for _ in range(count):
        asked = strategy.ask()
        yield asked
        table.fill(asked)
        strategy.tell(asked)


def described(individuals: list[Individual]) -> list[Any]:
    """Return everything that decides what an individual is, its fitness left out."""
    return [(i.id, i.generation, i.parents, i.operators, i.parent_standing, i.digest) for i in individuals]


def history(strategy: Strategy, table: TableScorer, count: int = 5) -> list[Any]:
    """Return the description of ``count`` generations."""
    return [described(asked) for asked in generations(strategy, table, count)]


def reloaded(strategy: Strategy, make: MakeStrategy, folder: Path) -> Strategy:
    """Return a strategy, made with another seed, that continues from this one's checkpoint on disk."""
    write_checkpoint(folder, strategy.state_dict())
    state = read_checkpoint(folder)
    assert state is not None
    again = make(seed=99)
    again.load_state_dict(state)
    return again


class _Fixtures:
    @pytest.fixture
    def make(self) -> MakeStrategy:
        """Return ``make(seed=0)``: a new strategy. A subclass overrides this fixture."""
        raise NotImplementedError("override the fixture `make`: it returns make(seed=0) -> Strategy")

    @pytest.fixture
    def table(self) -> TableScorer:
        """The fitness of every genome."""
        return TableScorer()


class GenomeSuite(_Fixtures):
    """The promises that concern genomes: which are asked, and that all of them survive a checkpoint."""

    def test_asked_individuals_are_new_inside_the_space_and_numbered_in_order(
        self, make: MakeStrategy, table: TableScorer
    ) -> None:
        strategy, individuals = make(), []
        for asked in generations(strategy, table, 5):
            assert all(individual.status == "new" and not individual.fitness.valid for individual in asked)
            individuals += asked
            assert asked
        assert [individual.id for individual in individuals] == list(range(len(individuals)))
        assert {individual.genome.kinds for individual in individuals} == {tuple(strategy.context.space.parts)}
        assert all(not strategy.context.space.outside(individual.genome) for individual in individuals)
        assert all(parent < individual.id for individual in individuals for parent in individual.parents)

    def test_founders_are_asked_first(self, make: MakeStrategy) -> None:
        strategy = make()
        founders = strategy.context.founders
        assert [i.genome for i in strategy.ask(len(founders))] == list(founders)

    def test_no_genome_is_ever_asked_twice(self, make: MakeStrategy, table: TableScorer) -> None:
        digests = [i.digest for asked in generations(make(), table, 8) for i in asked]
        assert len(set(digests)) == len(digests) >= 8

    def test_a_search_resumed_in_mid_generation_goes_on_identically(
        self, make: MakeStrategy, table: TableScorer, tmp_path: Path
    ) -> None:
        expected = history(make(), table, 5)
        strategy = make()
        history(strategy, table, 2)
        asked = strategy.ask(3)
        table.fill(asked[:2])
        strategy.tell(asked[1:2])
        again = reloaded(strategy, make, tmp_path)
        rest = again.ask()
        assert described(asked + rest) == expected[2]
        pending = [again._pending[individual.id] for individual in (asked[0], *asked[2:])]
        table.fill(pending + rest)
        again.tell(rest + pending)
        assert history(again, table, 2) == expected[3:]

    def test_state_is_plain_and_saving_it_changes_nothing(self, make: MakeStrategy, table: TableScorer) -> None:
        strategy = make()
        history(strategy, table, 2)
        before = strategy.state_dict()
        plain = json.dumps(before, default=lambda array: array.tolist() if isinstance(array, np.ndarray) else 1 / 0)
        again = strategy.state_dict()
        assert json.dumps(again, default=lambda array: array.tolist()) == plain
        assert "rates" in before


class SearchSuite(_Fixtures):
    """The promises that concern asking and telling, whatever the genomes are."""

    def test_the_same_seed_asks_the_same_and_another_seed_something_else(
        self, make: MakeStrategy, table: TableScorer
    ) -> None:
        assert history(make(seed=3), table) == history(make(seed=3), table)
        assert history(make(seed=3), table) != history(make(seed=4), table)

    def test_telling_in_any_order_and_in_parts_changes_nothing(self, make: MakeStrategy, table: TableScorer) -> None:
        expected = history(make(), table)
        strategy, rng = make(), np.random.default_rng(0)
        for whole in expected:
            asked: list[Individual] = []
            while len(asked) < len(whole) and (part := strategy.ask(2)):
                asked += part
            assert described(asked) == whole
            table.fill(asked)
            order = rng.permutation(len(asked))
            for begin in range(0, len(asked), 3):
                assert strategy.overlap or strategy.ask() == []
                strategy.tell([asked[i] for i in order[begin : begin + 3]])

    def test_telling_twice_or_unasked_or_unevaluated_is_refused(self, make: MakeStrategy, table: TableScorer) -> None:
        strategy = make()
        first, *others = strategy.ask()
        with pytest.raises(ValueError, match="neither a fitness nor a failure"):
            strategy.tell([first])
        table.fill([first, *others])
        strategy.tell([first])
        with pytest.raises(ValueError, match="not pending"):
            strategy.tell([first])
        stranger = Individual(10_000, prompt_genome(Prompt("x")))
        table.fill([stranger])
        with pytest.raises(ValueError, match="not pending"):
            strategy.tell([stranger])

    def test_nan_never_wins(self, make: MakeStrategy) -> None:
        def worth(genome: Any) -> float:
            return float("nan") if int(genome.digest, 16) % 3 == 0 else int(genome.digest, 16) % 1000

        strategy, table, best = make(), TableScorer(worth), BestFound(4)
        failed: set[int] = set()
        individuals: list[Individual] = []
        for asked in generations(strategy, table, 6):
            assert not failed & {parent for individual in asked for parent in individual.parents}
            table.fill(asked)
            failed |= {individual.id for individual in asked if individual.status == "failed"}
            individuals += asked
            best.update(asked)
        assert failed
        assert best.best is not None
        assert best.best.fitness.values[0] == max(i.fitness.values[0] for i in individuals if i.fitness.valid)
        assert all(individual.fitness.valid for individual in best)

    def test_a_dropped_individual_is_no_parent_and_its_incumbent_was_evaluated_before(
        self, make: MakeStrategy, table: TableScorer
    ) -> None:
        """An individual worse than its incumbent is dropped, as in a race that knows every score."""
        strategy, best = make(), BestFound(4)
        assert (type(strategy).incumbent is not Strategy.incumbent) == strategy.accepts_partial
        if reason := type(strategy).refuses_partial(strategy.params):
            pytest.skip(f"drops no individual: {reason}")
        evaluated: set[int] = set()
        dropped: set[int] = set()
        count = 0
        for _ in range(8):
            asked = strategy.ask()
            assert not dropped & {parent for individual in asked for parent in individual.parents}
            for individual in asked:
                incumbent = strategy.incumbent(individual, best.best)
                table.fill([individual])
                if incumbent is not None:
                    assert incumbent.fitness.valid and incumbent.id in evaluated
                    if individual.fitness < incumbent.fitness:
                        individual.drop("worse")
            dropped |= {individual.id for individual in asked if individual.status == "dropped"}
            evaluated |= {individual.id for individual in asked if individual.fitness.valid}
            strategy.tell(asked)
            best.update(asked)
            count += len(asked)
        assert dropped
        assert len(dropped) + len(evaluated) == count

    def test_when_everything_fails_the_search_goes_on(self, make: MakeStrategy) -> None:
        asked = list(generations(make(), TableScorer(lambda genome: float("nan")), 3))
        assert all(asked)
        assert len({i.digest for part in asked for i in part}) == sum(map(len, asked))

    def test_a_resumed_search_goes_on_identically_from_every_generation(
        self, make: MakeStrategy, table: TableScorer, tmp_path: Path
    ) -> None:
        expected = history(make(), table, 6)
        for stop in range(6):
            strategy = make()
            assert history(strategy, table, stop) == expected[:stop]
            again = reloaded(strategy, make, tmp_path)
            assert history(again, table, 6 - stop) == expected[stop:]

    def test_global_random_numbers_are_neither_used_nor_changed(self, make: MakeStrategy, table: TableScorer) -> None:
        random.seed(1)
        np.random.seed(1)
        before = random.getstate(), str(np.random.get_state())
        first = history(make(), table)
        assert (random.getstate(), str(np.random.get_state())) == before
        random.seed(2)
        np.random.seed(2)
        assert history(make(), table) == first

    def test_operators_rates_add_up(self, make: MakeStrategy, table: TableScorer) -> None:
        strategy = make()
        individuals = [individual for asked in generations(strategy, table, 6) for individual in asked]
        for name, rates in strategy.variation.rates.items():
            assert rates.tried >= rates.accepted >= rates.evaluated >= rates.better >= 0
            assert rates.evaluated == sum(name in individual.operators for individual in individuals)


class StrategySuite(GenomeSuite, SearchSuite):
    """All promises of a strategy. A subclass overrides the fixture ``make``."""
