"""What every operator in ``OPERATORS`` keeps to; those that speak do so to a real, tiny model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evolm.evaluation import Engine
from evolm.genomes import GENOMES, PromptGenome, PromptSpace
from evolm.models import LanguageModel, prepare
from evolm.operators import OPERATORS, VariationContext, Voice
from evolm.population import Individual
from evolm.storage import AnswerStore
from evolm.tasks import Task

SPEAKING = [name for name, operator in OPERATORS.items() if operator.speaks]
Vary = Callable[..., list[Any]]
Families = list[tuple[Individual, ...]]


@pytest.fixture(scope="module")
def space(toy_space: Callable[..., PromptSpace]) -> PromptSpace:
    """The toy space as the tiny model sees it, a token for a letter."""
    return toy_space(max_tokens=400, count_tokens=len)


@pytest.fixture(scope="module")
def people(space: PromptSpace) -> list[Individual]:
    """A population with instructions of its own and without any."""
    rng = np.random.default_rng(0)
    texts = ("Is this junk?", "Say what it is, and why.", "Junk sells. Mail does not.", "")
    genomes = [space.random(rng) for _ in range(28)] + [PromptGenome(text) for text in texts]
    return [Individual(i, genome) for i, genome in enumerate(genomes)]


@pytest.fixture(scope="module")
def families(people: list[Individual]) -> Families:
    pairs = np.random.default_rng(0).permutation(len(people)).reshape(-1, 2)
    return [(people[i], people[j]) for i, j in pairs]


@pytest.fixture(scope="module")
def talk(
    talkative_model_folder: Path, toy_task: Task, scoring: Callable[..., Any]
) -> Iterator[Callable[..., tuple[Engine, Voice]]]:
    """Return ``talk()``: a new engine without answers, and a voice that speaks through it."""
    prepared = prepare(str(talkative_model_folder), dtype="float32", device="cpu")
    engines = []

    def made() -> tuple[Engine, Voice]:
        model = LanguageModel(prepared, "on")
        engines.append(Engine(model, AnswerStore(":memory:")))
        return engines[-1], Voice(engines[-1], scoring(toy_task, model), toy_task.train)

    yield made
    for engine in engines:
        engine.close()


@pytest.fixture(scope="module")
def vary(talk: Any, space: PromptSpace, people: list[Individual]) -> Vary:
    """Return ``vary(name, families, seed=1, **context)``: children, with all of ``people`` as the population."""
    _, voice = talk()

    def varied(name: str, families: Families, seed: int = 1, **changes: Any) -> list[Any]:
        context = VariationContext(np.random.default_rng(seed), space, voice, people)
        return OPERATORS[name].vary(families, replace(context, **changes))

    return varied


@pytest.mark.parametrize("name", OPERATORS)
def test_parents_stay_as_they_were(name: str, families: Families, vary: Vary) -> None:
    before = [parent.state_dict() for family in families for parent in family]
    vary(name, families)
    assert [parent.state_dict() for family in families for parent in family] == before


@pytest.mark.parametrize("name", OPERATORS)
def test_the_same_seed_gives_the_same_children(name: str, families: Families, vary: Vary) -> None:
    rng = np.random.default_rng(1)
    children = vary(name, families, rng=rng)
    assert children == vary(name, families, seed=1)
    draws = rng.bit_generator.state != np.random.default_rng(1).bit_generator.state
    assert (children != vary(name, families, seed=2)) is draws


@pytest.mark.parametrize("name", OPERATORS)
def test_every_family_has_one_child_of_its_kind_or_none(name: str, families: Families, vary: Vary) -> None:
    children = vary(name, families)
    assert len(children) == len(families)
    kind = GENOMES[OPERATORS[name].genome]
    assert {type(child) for child in children} <= {kind, type(None)}
    assert any(
        child is not None and child != family[0].genome for child, family in zip(children, families, strict=True)
    )


@pytest.mark.parametrize("name", OPERATORS)
def test_demonstrations_are_train_items_and_never_twice_the_same(
    name: str, families: Families, vary: Vary, space: PromptSpace
) -> None:
    known = {item.digest for item in space.train}
    for child in vary(name, families):
        if child is not None:
            items = [demo.item for demo in child.demonstrations]
            assert set(items) <= known
            assert len(set(items)) == len(items)


@pytest.mark.parametrize("name", OPERATORS)
def test_a_mutation_reads_its_first_parent_only(name: str, families: Families, vary: Vary) -> None:
    operator = OPERATORS[name]
    alone = [family[:1] for family in families]
    if operator.role == "mutation":
        assert vary(name, alone) == vary(name, families)
    else:
        assert operator.role == "crossover"
        with pytest.raises(TypeError):
            vary(name, alone)


# -- those that ask the model --------------------------------------------------------------------------------


def changed(children: list[Any], families: Families) -> list[tuple[PromptGenome, PromptGenome]]:
    """Children beside their first parents, families that were offered nothing left out."""
    pairs = zip(children, families, strict=True)
    return [(child, family[0].genome) for child, family in pairs if child is not None]


@pytest.mark.parametrize("name", SPEAKING)
def test_the_model_changes_the_instruction_and_nothing_else(name: str, families: Families, vary: Vary) -> None:
    for child, parent in changed(vary(name, families), families):
        assert child.instruction != parent.instruction
        assert replace(child, instruction=parent.instruction) == parent


@pytest.mark.parametrize("name", SPEAKING)
@pytest.mark.parametrize("max_tokens", [400, 100, 0])
def test_what_the_model_writes_lies_inside_the_space_or_is_not_offered(
    name: str, max_tokens: int, families: Families, vary: Vary, toy_space: Callable[..., PromptSpace]
) -> None:
    narrow = toy_space(max_tokens=max_tokens, count_tokens=len)
    children = [child for child in vary(name, families, space=narrow) if child is not None]
    assert [narrow.outside(child) for child in children] == [""] * len(children)
    assert max_tokens or not children


@pytest.mark.parametrize("name", SPEAKING)
def test_every_token_asked_for_is_charged_once(name: str, families: Families, vary: Vary, talk: Any) -> None:
    engine, voice = talk()
    vary(name, families, voice=voice)
    spent = voice.spent()
    assert spent == engine.usage.tokens_charged > 0
    assert voice.spent() == 0
    vary(name, families, voice=voice)  # from the cache, at the same price
    assert voice.spent() == spent


@pytest.mark.parametrize("name", SPEAKING)
def test_nothing_is_asked_where_there_is_nothing_to_gain(
    name: str, families: Families, vary: Vary, talk: Any, toy_space: Callable[..., PromptSpace]
) -> None:
    engine, voice = talk()
    nothing = [None] * len(families)
    assert vary(name, families, voice=voice, space=toy_space(instruction=False)) == nothing
    assert vary(name, families, voice=None) == nothing
    assert vary(name, [(Individual(0, PromptGenome("")),) * 2], voice=voice, population=()) == [None]
    assert vary(name, [], voice=voice) == []
    assert engine.usage.requests == voice.spent() == 0
