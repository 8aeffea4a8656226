"""Every strategy in ``STRATEGIES`` keeps the promises of ``evolm.testing``, on all chromosomes it searches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evolm.archives import BestFound
from evolm.genomes import (
    CHROMOSOMES,
    DELTA,
    PROMPT,
    READOUT,
    DeltaGenes,
    DeltaSpace,
    Prompt,
    PromptSpace,
    ReadoutSpace,
    Space,
)
from evolm.models import LanguageModel
from evolm.operators import ModelAccess, Reward, operators_for
from evolm.operators.prompt import ON_CRITIQUES
from evolm.scorers import ExactMatch
from evolm.strategies import STRATEGIES, HillClimb, SearchContext, Strategy
from evolm.strategies.vectors import VectorStrategy
from evolm.tasks import Task
from evolm.testing import GenomeSuite, InventedGradients, SearchSuite, TableScorer, scoring
from evolm.testing.strategies import described, history

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
    "genetic asynchronous": ("genetic", {"asynchronous": 2, "offspring": 5}),
    "memetic asynchronous": ("memetic", {"asynchronous": 1, "offspring": 5}),
    "islands asynchronous": ("islands", {"asynchronous": 1, "offspring": 2}),
    "islands generational": ("islands", {"survival": "generational", "elites": 1, "migrants": 2}),
    "cmaes of usual size": ("cmaes", {"population_size": 0}),
    "cmaes separable": ("cmaes", {"full_up_to": 0}),
    "es adam": ("es", {"optimizer": "adam"}),
    "differential_evolution rand1bin": ("differential_evolution", {"variant": "rand1bin"}),
}
SETS = [*((kind,) for kind in CHROMOSOMES), (PROMPT, DELTA), tuple(CHROMOSOMES)]
READOUTS = ReadoutSpace(("probe", "linear", "words"), (1, 2, 3, 4), ("last", "mean"), (0.0, 0.1, 0.3, 1.0, 3.0), 256)
ENROLLED = [
    (name, kinds)
    for name, (strategy, _) in VARIANTS.items()
    for kinds in SETS
    if not STRATEGIES[strategy].refuses_space(kinds)
]
IDS = [f"{name}-{'-'.join(kinds)}" for name, kinds in ENROLLED]
Make = Callable[..., Strategy]


@pytest.fixture(scope="module")
def deltas(toy_deltas: Callable[..., DeltaSpace]) -> DeltaSpace:
    return toy_deltas()


@pytest.fixture(scope="module")
def model_access(tiny_model: Callable[..., LanguageModel], toy_task: Task) -> ModelAccess:
    """What learning is done with: gradients are real in ``tests/campaign/test_learning_campaign.py``."""
    scored = scoring(toy_task, tiny_model("float32", "off"))
    unlabelled = [item.hidden(toy_task.kind) for item in toy_task.dev]
    reward = Reward(((ExactMatch(scored, ExactMatch.Params()), 1.0),))
    return InventedGradients(scored, toy_task.train, reward, unlabelled)


@pytest.fixture
def world(toy_space: Callable[..., PromptSpace], deltas: DeltaSpace) -> Callable[..., tuple[Any, list[Any]]]:
    """Return ``world(kinds, **changes)``: a space, its prompts changed, and two founders in it."""

    def made(kinds: tuple[str, ...], **changes: Any) -> tuple[Space, list[Any]]:
        prompts = toy_space(**changes)
        shown = [Prompt(text) for text in prompts.instructions]
        parts: dict[str, Any] = {PROMPT: prompts, DELTA: deltas, READOUT: READOUTS}
        space = Space(
            {kind: part for kind, part in parts.items() if kind in (*kinds, PROMPT)},
            {} if PROMPT in kinds else {PROMPT: shown[0]},
        )
        if PROMPT in kinds:
            return space, [space.completed({PROMPT: prompt}) for prompt in shown]
        if DELTA not in kinds:
            return space, [space.completed({READOUT: READOUTS.readout(name)}) for name in READOUTS.kinds[:2]]
        genes = [deltas.neutral(), DeltaGenes(np.full(deltas.dimension, 0.05))]
        return space, [space.completed({DELTA: each}) for each in genes]

    return made


def is_first(variant: str, kinds: tuple[str, ...]) -> bool:
    """Return whether these are the first chromosomes that the variant searches."""
    return next(row for row in ENROLLED if row[0] == variant) == (variant, kinds)


# Asking and telling do not depend on the chromosomes: only `make test-all` repeats them on all.
ON_FIRST = [
    pytest.param(row, id=name, marks=() if is_first(*row) else pytest.mark.slow)
    for row, name in zip(ENROLLED, IDS, strict=True)
]


@pytest.fixture
def maker(world: Callable[..., tuple[Any, list[Any]]], request: pytest.FixtureRequest) -> Callable[..., Make]:
    """Return ``maker(variant, kinds)``, which returns ``make(seed=0, **changes)``: a strategy in a small world."""

    def of(variant: str, kinds: tuple[str, ...]) -> Make:
        name, settings = VARIANTS[variant]
        kind = STRATEGIES[name]
        small = {key: value for key, value in SMALL.items() if key in kind.Params.model_fields}
        access = request.getfixturevalue("model_access") if kind.learns else None

        def made(seed: int = 0, **changes: Any) -> Strategy:
            space, founders = world(kinds, **changes)
            every = operators_for({kind: CHROMOSOMES[kind] for kind in kinds})
            rows = [row for row in every if row.name not in ON_CRITIQUES]  # as in a campaign that refines nothing
            operators = [
                (operator, operator.weight or float(operator.name == kind.learns_by))
                for operator in rows
                if operator.role != "learning" or not kind.learns_by or operator.name == kind.learns_by
            ]
            context = SearchContext(space, founders, operators, seed, model_access=access)
            return kind(kind.Params(**{**small, **settings}), context)

        return made

    return of


class TestGenomes(GenomeSuite):
    """On every set of evolving chromosomes that a strategy searches."""

    @pytest.fixture(params=ENROLLED, ids=IDS)
    def make(self, request: pytest.FixtureRequest, maker: Callable[..., Make]) -> Make:
        return maker(*request.param)


class TestSearch(SearchSuite):
    """On one set of chromosomes; on the others in `make test-all`."""

    @pytest.fixture(params=ON_FIRST)
    def make(self, request: pytest.FixtureRequest, maker: Callable[..., Make]) -> Make:
        return maker(*request.param)

    def test_dropping_an_individual_that_the_strategy_would_refuse_anyway_changes_nothing(
        self, make: Make, table: TableScorer
    ) -> None:
        strategy = make()
        if reason := type(strategy).refuses_partial(strategy.params):
            pytest.skip(f"drops no individual: {reason}")
        if isinstance(strategy, HillClimb):
            pytest.skip("a hill climber restarts from the second best")
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

    def test_a_strategy_with_operators_uses_them(self, make: Make, table: TableScorer) -> None:
        strategy = make()
        history(strategy, table, 6)
        without = isinstance(strategy, VectorStrategy) or "random" in type(strategy).__name__.lower()
        assert strategy.variation.rates
        assert any(rates.evaluated for rates in strategy.variation.rates.values()) is not without


@pytest.mark.parametrize("variant", [name for name, kinds in ENROLLED if kinds == (PROMPT,)])
def test_a_space_with_nothing_new_left_ends_with_an_empty_ask(maker: Callable[..., Make], variant: str) -> None:
    tiny = {"instruction": False, "demonstrations": (0, 0), "instructions": ("a", "b")}
    strategy, table = maker(variant, (PROMPT,))(**tiny), TableScorer()
    asked = []
    for _ in range(30):
        part = strategy.ask()
        asked += part
        if not part:
            break
        table.fill(part)
        strategy.tell(part)
    assert strategy.ask() == []
    # instructions x ham's words x spam's
    assert len({i.digest for i in asked}) == len(asked) == 2 * 3 * 2


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_searches_some_chromosomes_that_exist(name: str) -> None:
    kind = STRATEGIES[name]
    assert {*kind.needs, *kind.searches} <= CHROMOSOMES.keys()
    assert any(not kind.refuses_space(kinds) for kinds in SETS)
