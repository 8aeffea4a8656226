"""What every operator in ``OPERATORS`` keeps to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evolm.genomes import GENOMES, PromptGenome, PromptSpace
from evolm.operators import OPERATORS, VariationContext
from evolm.population import Individual


@pytest.fixture(scope="module")
def space(toy_space: Callable[..., PromptSpace]) -> PromptSpace:
    return toy_space()


@pytest.fixture
def families(space: PromptSpace) -> list[tuple[Individual, ...]]:
    rng = np.random.default_rng(0)
    genomes = [space.random(rng) for _ in range(60)] + [PromptGenome("")] * 2
    people = [Individual(i, genome) for i, genome in enumerate(genomes)]
    return list(zip(people[::2], people[1::2], strict=True))


def vary(name: str, families: Any, space: PromptSpace, seed: int = 1) -> list[Any]:
    return OPERATORS[name].vary(families, VariationContext(np.random.default_rng(seed), space))


@pytest.mark.parametrize("name", OPERATORS)
def test_parents_stay_as_they_were(name: str, families: Any, space: PromptSpace) -> None:
    before = [parent.state_dict() for family in families for parent in family]
    vary(name, families, space)
    assert [parent.state_dict() for family in families for parent in family] == before


@pytest.mark.parametrize("name", OPERATORS)
def test_the_same_seed_gives_the_same_children(name: str, families: Any, space: PromptSpace) -> None:
    rng = np.random.default_rng(1)
    children = OPERATORS[name].vary(families, VariationContext(rng, space))
    assert children == vary(name, families, space)
    draws = rng.bit_generator.state != np.random.default_rng(1).bit_generator.state
    assert (children != vary(name, families, space, seed=2)) is draws


@pytest.mark.parametrize("name", OPERATORS)
def test_every_family_has_one_child_of_its_kind_or_none(name: str, families: Any, space: PromptSpace) -> None:
    children = vary(name, families, space)
    assert len(children) == len(families)
    kind = GENOMES[OPERATORS[name].genome]
    assert {type(child) for child in children} <= {kind, type(None)}
    assert any(
        child is not None and child != family[0].genome for child, family in zip(children, families, strict=True)
    )


@pytest.mark.parametrize("name", OPERATORS)
def test_demonstrations_are_train_items_and_never_twice_the_same(
    name: str, families: Any, space: PromptSpace
) -> None:
    known = {item.digest for item in space.train}
    for child in vary(name, families, space):
        if child is not None:
            items = [demo.item for demo in child.demonstrations]
            assert set(items) <= known
            assert len(set(items)) == len(items)


@pytest.mark.parametrize("name", OPERATORS)
def test_a_mutation_reads_its_first_parent_only(name: str, families: Any, space: PromptSpace) -> None:
    operator = OPERATORS[name]
    alone = [family[:1] for family in families]
    if operator.role == "mutation":
        assert vary(name, alone, space) == vary(name, families, space)
    else:
        assert operator.role == "crossover"
        with pytest.raises(TypeError):
            vary(name, alone, space)
