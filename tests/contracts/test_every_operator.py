"""What every operator in ``OPERATORS`` keeps to, with every set of evolving chromosomes that it can vary.

Operators that ask the model or learn do so with a real, tiny model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evolm.config import SelfTrainingSection
from evolm.evaluation import Engine
from evolm.genomes import (
    CHROMOSOMES,
    DELTA,
    PROMPT,
    READOUT,
    DeltaGenes,
    DeltaSettings,
    DeltaSpace,
    Genome,
    Learning,
    Prompt,
    PromptSpace,
    ReadoutSpace,
    Space,
)
from evolm.individual import Individual
from evolm.models import LanguageModel, prepare
from evolm.operators import (
    OPERATORS,
    LearningSettings,
    ModelAccess,
    Operator,
    Reward,
    Spent,
    VariationContext,
    operators_for,
)
from evolm.scorers import ExactMatch
from evolm.storage import AnswerStore
from evolm.tasks import Item, Task
from evolm.testing import OperatorSuite, scoring
from evolm.testing.operators import Families, Vary, two_by_two

FROZEN = Prompt("Is it spam or ham?")
Talk = Callable[[], tuple[Engine, ModelAccess]]


@dataclass(frozen=True)
class Case:
    """An operator where chromosomes of these kinds evolve."""

    kinds: tuple[str, ...]
    operator: Operator

    def __str__(self) -> str:
        return f"{self.operator.name}-{'-'.join(self.kinds)}"


SETS = [*((kind,) for kind in CHROMOSOMES), (PROMPT, DELTA), tuple(CHROMOSOMES)]
CASES = [
    Case(kinds, operator) for kinds in SETS for operator in operators_for({kind: CHROMOSOMES[kind] for kind in kinds})
]
SPEAKING = [case for case in CASES if case.operator.asks_model]
WRITING = [case for case in SPEAKING if case.operator.role != "learning"]  # instructions
LEARNING = [case for case in SPEAKING if case.operator.role == "learning"]  # genes
WITH_PROMPTS = [case for case in CASES if PROMPT in case.kinds]
WITH_DELTAS = [case for case in CASES if DELTA in case.kinds]

every = pytest.mark.parametrize("case", CASES, ids=str)
speaking = pytest.mark.parametrize("case", SPEAKING, ids=str)
writing = pytest.mark.parametrize("case", WRITING, ids=str)


@dataclass(frozen=True)
class World:
    """Where operators are tried.

    Attributes:
        space: of some evolving chromosomes; the prompt is frozen if it is none of them.
        people: its population.
    """

    space: Space
    people: list[Individual]

    @property
    def families(self) -> Families:
        """All people, two by two."""
        return two_by_two(self.people)


def population(genomes: list[Genome]) -> list[Individual]:
    return [Individual(number, genome) for number, genome in enumerate(genomes)]


def prompt_people(space: PromptSpace) -> list[Prompt]:
    """Prompts with instructions of their own and without any."""
    rng = np.random.default_rng(0)
    texts = ("Is this junk?", "Say what it is, and why.", "Junk sells. Mail does not.", "")
    return [space.random(rng) for _ in range(28)] + [Prompt(text) for text in texts]


def delta_people(space: DeltaSpace) -> list[DeltaGenes]:
    """Deltas with step sizes of their own and without; every fourth has learnt."""
    rng = np.random.default_rng(0)
    drawn = [space.random(rng) for _ in range(31)]
    moments = rng.random((31, 2, space.dimension)).astype(np.float32)
    learnt = [Learning(0.01, 0.1, 1 + index % 2, *moments[index], count=3) for index in range(31)]
    return [
        space.neutral(),
        *(
            replace(genome, sigma=0.1 * (index % 3), learning=None if index % 4 else learnt[index])
            for index, genome in enumerate(drawn)
        ),
    ]


@pytest.fixture(scope="module")
def talking_model(talkative_model_folder: Path) -> LanguageModel:
    return LanguageModel(prepare(str(talkative_model_folder), dtype="float32", device="cpu"), "on")


@pytest.fixture(scope="module")
def worlds(toy_space: Callable[..., PromptSpace], talking_model: LanguageModel) -> dict[tuple[str, ...], World]:
    """A world of every set of evolving chromosomes; the model sees a token for a letter."""
    prompts = toy_space(max_tokens=400, count_tokens=len)
    deltas = DeltaSpace.of(talking_model, DeltaSettings("last:1", ("q_proj", "v_proj"), encoding="singular", rank=3))
    readouts = ReadoutSpace(("probe", "linear", "words"), (1, 2), ("last", "mean"), (0.0, 1.0), 256)
    parts: dict[str, Any] = {PROMPT: prompts, DELTA: deltas, READOUT: readouts}
    people: dict[str, list[Any]] = {
        PROMPT: prompt_people(prompts),
        DELTA: delta_people(deltas),
        READOUT: [readouts.random(np.random.default_rng(number)) for number in range(32)],
    }
    assert parts.keys() == people.keys() == CHROMOSOMES.keys()

    def world(kinds: tuple[str, ...]) -> World:
        space = Space(
            {kind: part for kind, part in parts.items() if kind in (*kinds, PROMPT)},
            {} if PROMPT in kinds else {PROMPT: FROZEN},
        )
        rows = zip(*(people[kind] for kind in kinds), strict=True)
        return World(space, population([space.completed(dict(zip(kinds, row, strict=True))) for row in rows]))

    return {kinds: world(kinds) for kinds in SETS}


@pytest.fixture
def world(case: Case, worlds: dict[tuple[str, ...], World]) -> World:
    return worlds[case.kinds]


@pytest.fixture(scope="module")
def talk(talking_model: LanguageModel, toy_task: Task) -> Iterator[Talk]:
    """Return ``talk()``: a new engine without answers, and a model_access that asks_model through it."""
    engines = []

    def made() -> tuple[Engine, ModelAccess]:
        engines.append(Engine(talking_model, AnswerStore(":memory:")))
        scored = scoring(toy_task, talking_model)
        return engines[-1], ModelAccess(
            engines[-1],
            scored,
            toy_task.train,
            unlabelled=[item.hidden(toy_task.kind) for item in toy_task.dev],
            self_training=SelfTrainingSection(rows=6, warm_up=1),
            reward=Reward(((ExactMatch(scored, ExactMatch.Params()), 1.0),)),
        )

    yield made
    for engine in engines:
        engine.close()


@pytest.fixture(scope="module")
def one_model_access(talk: Talk) -> ModelAccess:
    return talk()[1]


@pytest.fixture
def vary(case: Case, world: World, one_model_access: ModelAccess) -> Callable[..., list[Any]]:
    """Return ``vary(families, seed=1, **context)``: the operator's children, with the world's people around."""

    def varied(families: Families, seed: int = 1, **changes: Any) -> list[Any]:
        context = VariationContext(
            np.random.default_rng(seed),
            world.space,
            one_model_access,
            world.people,
            LearningSettings(steps=1, batch=2),
        )
        return case.operator.vary(families, replace(context, **changes))

    return varied


# -- all of them ---------------------------------------------------------------------------------------------


@every
class TestEveryOperator(OperatorSuite):
    @pytest.fixture
    def operator(self, case: Case) -> Operator:
        return case.operator

    @pytest.fixture
    def people(self, world: World) -> list[Individual]:
        return world.people

    @pytest.fixture
    def vary(self, vary: Vary) -> Vary:
        return vary


@pytest.mark.parametrize("case", WITH_PROMPTS, ids=str)
def test_demonstrations_are_train_items_and_never_twice_the_same(world: World, vary: Any, toy_task: Task) -> None:
    known = {item.digest for item in toy_task.train}
    for child in vary(world.families):
        if child is not None:
            items = [demo.item for demo in child.prompt.demonstrations]
            assert set(items) <= known
            assert len(set(items)) == len(items)


@pytest.mark.parametrize("case", WITH_DELTAS, ids=str)
def test_genes_are_finite_numbers_that_cannot_be_written(world: World, vary: Any) -> None:
    for child in vary(world.families):
        if child is not None:
            delta = child.delta
            assert delta.genes.dtype == np.float32
            assert np.isfinite(delta.genes).all()
            assert delta.genes.shape == world.people[0].genome.delta.genes.shape
            assert not delta.genes.flags.writeable
            assert delta.sigma >= 0


@every
def test_an_operator_on_one_chromosome_leaves_the_others_alone(case: Case, world: World, vary: Any) -> None:
    for child, family in zip(vary(world.families), world.families, strict=True):
        if child is not None and case.operator.chromosome:
            others = [kind for kind in child.kinds if kind != case.operator.chromosome]
            assert [child[kind] for kind in others] == [family[0].genome[kind] for kind in others]


def test_a_whole_chromosome_of_the_second_parent_replaces_that_of_the_first(
    worlds: dict[tuple[str, ...], World],
) -> None:
    world = worlds[PROMPT, DELTA]
    rng = np.random.default_rng(1)
    before = rng.bit_generator.state
    children = OPERATORS["chromosome_exchange"].vary(world.families, VariationContext(rng, world.space))
    assert rng.bit_generator.state == before  # two chromosomes leave no choice
    for child, (first, second) in zip(children, world.families, strict=True):
        if child is not None:
            assert (child.prompt, child.delta) == (first.genome.prompt, second.genome.delta)


def test_every_operator_is_enrolled_for_its_own_chromosome_and_beside_others() -> None:
    enrolled = {(case.kinds, case.operator.name) for case in CASES}
    assert enrolled >= {((o.chromosome,), name) for name, o in OPERATORS.items() if o.chromosome}
    assert enrolled >= {(tuple(CHROMOSOMES), name) for name in OPERATORS}


# -- those that ask the model --------------------------------------------------------------------------------


def changed(children: list[Any], families: Families) -> list[tuple[Any, Any]]:
    """Children beside their first parents, families that were offered nothing left out."""
    pairs = zip(children, families, strict=True)
    return [(child, family[0].genome) for child, family in pairs if child is not None]


@writing
def test_the_model_changes_the_instruction_and_nothing_else(world: World, vary: Any) -> None:
    for child, parent in changed(vary(world.families), world.families):
        instruction = parent.prompt.instruction
        assert child.prompt.instruction != instruction
        assert child.with_chromosome(PROMPT, replace(child.prompt, instruction=instruction)) == parent


@writing
@pytest.mark.parametrize("max_tokens", [400, 100, 0])
def test_what_the_model_writes_lies_inside_the_space_or_is_not_offered(
    max_tokens: int, world: World, vary: Any, toy_space: Callable[..., PromptSpace]
) -> None:
    narrow = narrowed(world, toy_space(max_tokens=max_tokens, count_tokens=len))
    children = [child for child in vary(world.families, space=narrow) if child is not None]
    assert [narrow.outside(child) for child in children] == [""] * len(children)
    assert max_tokens or not children


def narrowed(world: World, prompts: PromptSpace) -> Space:
    return Space({**world.space.parts, PROMPT: prompts}, world.space.frozen)


@speaking
def test_every_token_asked_for_is_charged_once(world: World, vary: Any, talk: Talk) -> None:
    engine, model_access = talk()
    vary(world.families, model_access=model_access)
    spent = model_access.spent()
    assert spent.tokens == engine.usage.tokens_charged > 0
    assert model_access.spent() == Spent()
    vary(world.families, model_access=model_access)  # from the cache, at the same price
    assert model_access.spent() == spent


@writing
def test_nothing_is_asked_where_there_is_nothing_to_gain(
    world: World, vary: Any, talk: Talk, toy_space: Callable[..., PromptSpace]
) -> None:
    engine, model_access = talk()
    nothing = [None] * len(world.families)
    assert (
        vary(world.families, model_access=model_access, space=narrowed(world, toy_space(instruction=False)))
        == nothing
    )
    assert vary(world.families, model_access=None) == nothing
    wordless = Individual(0, world.people[0].genome.with_chromosome(PROMPT, Prompt("")))
    assert vary([(wordless,) * 2], model_access=model_access, population=()) == [None]
    assert vary([], model_access=model_access) == []
    assert engine.usage.requests == model_access.spent().tokens == 0


@pytest.mark.parametrize("case", LEARNING, ids=str)
def test_learning_changes_the_genes_and_remembers_how(world: World, vary: Any, talk: Talk) -> None:
    pairs = changed(vary(world.families), world.families)
    assert len(pairs) == len(world.families)
    for child, parent in pairs:
        before, after = parent.delta, child.delta
        assert after.digest != before.digest
        assert after.learning is not None
        assert after.learning.count > (before.learning.count if before.learning else 0)
        assert replace(after, genes=before.genes, learning=before.learning) == before
    engine, model_access = talk()
    assert vary(world.families, model_access=None) == [None] * len(world.families)
    assert vary([], model_access=model_access) == []
    assert engine.usage.requests == model_access.spent().tokens == 0


def test_a_lesson_that_does_not_fit_the_model_teaches_nothing(
    worlds: dict[tuple[str, ...], World], talk: Talk
) -> None:
    world, (engine, model_access) = worlds[(DELTA,)], talk()
    long = replace(model_access.train[0], fields=dict.fromkeys(model_access.train[0].fields, "so " * 3000))
    families = [(parent,) for parent in world.people[:3]]
    settings = LearningSettings(steps=2, batch=1, adapt=False)

    def taught(train: tuple[Item, ...]) -> list[Any]:
        speaking = ModelAccess(engine, model_access.scoring, train)
        context = VariationContext(np.random.default_rng(1), world.space, speaking, world.people, settings)
        return OPERATORS["gradient_step"].vary(families, context)

    same, moved = taught((long,)), taught(model_access.train)
    for (parent,), kept, learnt in zip(families, same, moved, strict=True):
        assert kept is None or kept.delta.genes.tolist() == parent.genome.delta.genes.tolist()
        assert learnt.delta.genes.tolist() != parent.genome.delta.genes.tolist()
