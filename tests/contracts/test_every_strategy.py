"""What every strategy in ``STRATEGIES`` keeps to, for every set of evolving chromosomes, scored by a table."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evolm.archives import BestFound
from evolm.evaluation import Engine
from evolm.genomes import CHROMOSOMES, DELTA, PROMPT, DeltaGenes, DeltaSpace, Prompt, PromptSpace, Space
from evolm.individual import Individual
from evolm.models import LanguageModel
from evolm.operators import ModelAccess, operators_for
from evolm.storage import AnswerStore, read_checkpoint, write_checkpoint
from evolm.strategies import STRATEGIES, HillClimb, SearchContext, Strategy
from evolm.strategies.vectors import VectorStrategy
from evolm.tasks import Task
from tests.support.table_scorer import TableScorer
from tests.support.tasks import scoring

SMALL = {
    "population_size": 6,
    "neighbours": 4,
    "patience": 2,
    "n_islands": 2,
    "migration_every": 2,
    "gradient_steps": 1,
    "grid_steps": 1,
    "batch_size": 2,
}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in STRATEGIES},
    "genetic lexicase": ("genetic", {"selection": "lexicase"}),
    "genetic generational": ("genetic", {"survival": "generational", "elites": 1, "offspring": 5}),
    "islands generational": ("islands", {"survival": "generational", "elites": 1, "migrants": 2}),
    "cmaes of usual size": ("cmaes", {"population_size": 0}),
    "cmaes separable": ("cmaes", {"full_up_to": 0}),
    "es adam": ("es", {"optimizer": "adam"}),
    "differential_evolution rand1bin": ("differential_evolution", {"variant": "rand1bin"}),
}
SETS = [kinds for count in range(1, len(CHROMOSOMES) + 1) for kinds in combinations(CHROMOSOMES, count)]
ENROLLED = [
    (name, kinds)
    for name, (strategy, _) in VARIANTS.items()
    for kinds in SETS
    if not STRATEGIES[strategy].refuses_space(kinds)
]
IDS = [f"{name}-{'-'.join(kinds)}" for name, kinds in ENROLLED]
OF_PROMPTS = [(name, kinds) for name, kinds in ENROLLED if kinds == (PROMPT,)]
Make = Callable[..., Strategy]


@pytest.fixture(scope="module")
def deltas(toy_deltas: Callable[..., DeltaSpace]) -> DeltaSpace:
    return toy_deltas()


@pytest.fixture(scope="module")
def model_access(tiny_model: Callable[..., LanguageModel], toy_task: Task) -> Iterator[ModelAccess]:
    """What learning is done with."""
    model = tiny_model("float32", "off")
    engine = Engine(model, AnswerStore(":memory:"))
    yield ModelAccess(engine, scoring(toy_task, model), toy_task.train)
    engine.close()


@pytest.fixture
def world(toy_space: Callable[..., PromptSpace], deltas: DeltaSpace) -> Callable[..., tuple[Any, list[Any]]]:
    """Return ``world(kinds, **changes)``: a space, its prompts changed, and two founders in it."""

    def made(kinds: tuple[str, ...], **changes: Any) -> tuple[Space, list[Any]]:
        prompts = toy_space(**changes)
        shown = [Prompt(text) for text in prompts.instructions]
        parts: dict[str, Any] = {PROMPT: prompts, DELTA: deltas}
        space = Space(
            {kind: part for kind, part in parts.items() if kind in (*kinds, PROMPT)},
            {} if PROMPT in kinds else {PROMPT: shown[0]},
        )
        if PROMPT in kinds:
            return space, [space.completed({PROMPT: prompt}) for prompt in shown]
        genes = [deltas.neutral(), DeltaGenes(np.full(deltas.dimension, 0.05))]
        return space, [space.completed({DELTA: each}) for each in genes]

    return made


@pytest.fixture(params=ENROLLED, ids=IDS)
def make(request: pytest.FixtureRequest, world: Callable[..., tuple[Any, list[Any]]]) -> Make:
    """Return ``make(seed=0, **changes)``: a new strategy of this variant in a world of this kind."""
    variant, kinds = request.param
    name, settings = VARIANTS[variant]
    kind = STRATEGIES[name]
    small = {key: value for key, value in SMALL.items() if key in kind.Params.model_fields}
    model_access = request.getfixturevalue("model_access") if kind.learns else None

    def made(seed: int = 0, **changes: Any) -> Strategy:
        space, founders = world(kinds, **changes)
        operators = [
            (operator, operator.weight) for operator in operators_for({kind: CHROMOSOMES[kind] for kind in kinds})
        ]
        return kind(
            kind.Params(**{**small, **settings}),
            SearchContext(space, founders, operators, seed, model_access=model_access),
        )

    return made


@pytest.fixture
def table() -> Any:
    return TableScorer()


def generations(strategy: Strategy, table: Any, count: int) -> Iterator[list[Individual]]:
    for _ in range(count):
        asked = strategy.ask()
        yield asked
        table.fill(asked)
        strategy.tell(asked)


def described(individuals: list[Individual]) -> list[Any]:
    return [(i.id, i.generation, i.parents, i.operators, i.parent_fitness, i.digest) for i in individuals]


def history(strategy: Strategy, table: Any, count: int = 5) -> list[Any]:
    return [described(asked) for asked in generations(strategy, table, count)]


def reloaded(strategy: Strategy, make: Make, folder: Path) -> Strategy:
    """The same strategy after a visit to the disk; it was made with another seed."""
    write_checkpoint(folder, strategy.state_dict())
    state = read_checkpoint(folder)
    assert state is not None
    again = make(seed=99)
    again.load_state_dict(state)
    return again


def test_asked_individuals_are_new_inside_the_space_and_numbered_in_order(make: Make, table: Any) -> None:
    strategy = make()
    everyone = []
    for asked in generations(strategy, table, 5):
        assert all(individual.status == "new" and not individual.fitness.valid for individual in asked)
        everyone += asked
        assert asked
    assert [individual.id for individual in everyone] == list(range(len(everyone)))
    assert {individual.genome.kinds for individual in everyone} == {tuple(strategy.context.space.parts)}
    assert all(not strategy.context.space.outside(individual.genome) for individual in everyone)
    assert all(parent < individual.id for individual in everyone for parent in individual.parents)


def test_founders_are_asked_first(make: Make) -> None:
    strategy = make()
    founders = strategy.context.founders
    assert [i.genome for i in strategy.ask(len(founders))] == list(founders)


def test_no_genome_is_ever_asked_twice(make: Make, table: Any) -> None:
    digests = [i.digest for asked in generations(make(), table, 8) for i in asked]
    assert len(set(digests)) == len(digests) >= 8


def test_the_same_seed_asks_the_same_and_another_seed_something_else(make: Make, table: Any) -> None:
    assert history(make(seed=3), table) == history(make(seed=3), table)
    assert history(make(seed=3), table) != history(make(seed=4), table)


def test_telling_in_any_order_and_in_parts_changes_nothing(make: Make, table: Any) -> None:
    expected = history(make(), table)
    strategy, rng = make(), np.random.default_rng(0)
    for whole in expected:
        asked = []
        while part := strategy.ask(2):
            asked += part
        assert described(asked) == whole
        table.fill(asked)
        order = rng.permutation(len(asked))
        for begin in range(0, len(asked), 3):
            assert strategy.ask() == []
            strategy.tell([asked[i] for i in order[begin : begin + 3]])


def test_telling_twice_or_unasked_or_unevaluated_is_refused(make: Make, table: Any) -> None:
    strategy = make()
    first, *others = strategy.ask()
    with pytest.raises(ValueError, match="neither a fitness nor a failure"):
        strategy.tell([first])
    table.fill([first, *others])
    strategy.tell([first])
    with pytest.raises(ValueError, match="not pending"):
        strategy.tell([first])
    stranger = Individual(10_000, Prompt("x"))
    table.fill([stranger])
    with pytest.raises(ValueError, match="not pending"):
        strategy.tell([stranger])


def test_nan_never_wins(make: Make) -> None:
    def worth(genome: Any) -> float:
        return float("nan") if int(genome.digest, 16) % 3 == 0 else int(genome.digest, 16) % 1000

    strategy, table, best = make(), TableScorer(worth), BestFound(4)
    failed, everyone = set(), []
    for asked in generations(strategy, table, 6):
        assert not failed & {parent for individual in asked for parent in individual.parents}
        table.fill(asked)
        failed |= {individual.id for individual in asked if individual.status == "failed"}
        everyone += asked
        best.update(asked)
    assert failed
    assert best.best is not None
    assert best.best.fitness.values[0] == max(i.fitness.values[0] for i in everyone if i.fitness.valid)
    assert all(individual.fitness.valid for individual in best)


def test_who_was_dropped_is_forgotten_and_its_rival_was_evaluated_before(make: Make, table: Any) -> None:
    """An individual worse than its incumbent is dropped, as in a race that knows every score."""
    strategy, best = make(), BestFound(4)
    assert (type(strategy).incumbent is not Strategy.incumbent) == strategy.accepts_partial
    if type(strategy).refuses_partial(strategy.params):
        return
    evaluated, gone, everyone = set(), set(), 0
    for _ in range(8):
        asked = strategy.ask()
        assert not gone & {parent for individual in asked for parent in individual.parents}
        for individual in asked:
            incumbent = strategy.incumbent(individual, best.best)
            table.fill([individual])
            if incumbent is not None:
                assert incumbent.fitness.valid and incumbent.id in evaluated
                if individual.fitness < incumbent.fitness:
                    individual.drop("worse")
        gone |= {individual.id for individual in asked if individual.status == "dropped"}
        evaluated |= {individual.id for individual in asked if individual.fitness.valid}
        strategy.tell(asked)
        best.update(asked)
        everyone += len(asked)
    assert gone
    assert len(gone) + len(evaluated) == everyone


def test_dropping_whom_a_strategy_would_have_refused_anyway_changes_nothing(make: Make, table: Any) -> None:
    strategy = make()
    if type(strategy).refuses_partial(strategy.params) or isinstance(strategy, HillClimb):
        return  # a hill climber starts anew from the second best
    expected, best = history(make(), table, 6), BestFound(4)
    for whole in expected:
        asked = strategy.ask()
        assert described(asked) == whole
        rivals = [strategy.incumbent(individual, best.best) for individual in asked]
        table.fill(asked)
        for individual, incumbent in zip(asked, rivals, strict=True):
            if incumbent is not None and individual.fitness < incumbent.fitness:
                individual.drop("worse")
        strategy.tell(asked)
        best.update(asked)


def test_when_everything_fails_the_search_goes_on(make: Make) -> None:
    asked = list(generations(make(), TableScorer(lambda genome: float("nan")), 3))
    assert all(asked)
    assert len({i.digest for part in asked for i in part}) == sum(map(len, asked))


def test_a_resumed_search_goes_on_identically_from_every_generation(make: Make, table: Any, tmp_path: Path) -> None:
    expected = history(make(), table, 6)
    for stop in range(6):
        strategy = make()
        assert history(strategy, table, stop) == expected[:stop]
        again = reloaded(strategy, make, tmp_path)
        assert history(again, table, 6 - stop) == expected[stop:]


def test_a_search_resumed_in_mid_generation_goes_on_identically(make: Make, table: Any, tmp_path: Path) -> None:
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


def test_state_is_plain_and_saving_it_changes_nothing(make: Make, table: Any) -> None:
    strategy = make()
    history(strategy, table, 2)
    before = strategy.state_dict()
    plain = json.dumps(before, default=lambda array: array.tolist() if isinstance(array, np.ndarray) else 1 / 0)
    again = strategy.state_dict()
    assert json.dumps(again, default=lambda array: array.tolist()) == plain
    assert strategy.variation.rates
    assert "rates" in before


def test_global_random_numbers_are_neither_used_nor_changed(make: Make, table: Any) -> None:
    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), str(np.random.get_state())
    first = history(make(), table)
    assert (random.getstate(), str(np.random.get_state())) == before
    random.seed(2)
    np.random.seed(2)
    assert history(make(), table) == first


@pytest.mark.parametrize("make", OF_PROMPTS, ids=[name for name, _ in OF_PROMPTS], indirect=True)
def test_a_space_with_nothing_new_left_ends_with_an_empty_ask(make: Make, table: Any) -> None:
    tiny = {"instruction": False, "demonstrations": (0, 0), "instructions": ("a", "b")}
    strategy = make(**tiny)
    asked = []
    for _ in range(30):
        part = strategy.ask()
        asked += part
        if not part:
            break
        table.fill(part)
        strategy.tell(part)
    assert strategy.ask() == []
    assert (
        len({i.digest for i in asked}) == len(asked) == 2 * 3 * 2 * 2
    )  # instructions x ham's words x spam's x calibrated


def test_operators_rates_add_up(make: Make, table: Any) -> None:
    strategy = make()
    everyone = [individual for asked in generations(strategy, table, 6) for individual in asked]
    for name, rates in strategy.variation.rates.items():
        assert rates.tried >= rates.accepted >= rates.evaluated >= rates.better >= 0
        assert rates.evaluated == sum(name in individual.operators for individual in everyone)
    without = isinstance(strategy, VectorStrategy) or "random" in type(strategy).__name__.lower()
    assert any(rates.evaluated for rates in strategy.variation.rates.values()) is not without


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_searches_some_chromosomes_that_exist(name: str) -> None:
    kind = STRATEGIES[name]
    assert {*kind.needs, *kind.searches} <= CHROMOSOMES.keys()
    assert any(not kind.refuses_space(kinds) for kinds in SETS)
