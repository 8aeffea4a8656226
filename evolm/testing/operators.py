"""The contract of operators (see ``evolm.operators.base``) as tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import pytest

from evolm.individual import Individual
from evolm.operators import Operator, VariationContext
from evolm.testing.small import small_space

Families: TypeAlias = list[tuple[Individual, ...]]
Vary: TypeAlias = Callable[..., list[Any]]


def two_by_two(people: Sequence[Individual]) -> Families:
    """Return all individuals in pairs."""
    pairs = np.random.default_rng(0).permutation(len(people)).reshape(-1, 2)
    return [(people[i], people[j]) for i, j in pairs]


def everything_about(families: Families) -> str:
    """Return the state of all parents, arrays in full."""
    states = [parent.state_dict() for family in families for parent in family]
    return json.dumps(states, default=lambda array: array.tolist())


class OperatorSuite:
    """The promises of every operator. A subclass overrides ``operator``; ``context`` and ``people`` if it must."""

    @pytest.fixture
    def operator(self) -> Operator:
        """The operator. A subclass overrides this fixture."""
        raise NotImplementedError("override the fixture `operator`")

    @pytest.fixture
    def context(self) -> VariationContext:
        """What the operator may use: a small space of prompts, and no model."""
        return VariationContext(np.random.default_rng(1), small_space())

    @pytest.fixture
    def people(self, context: VariationContext) -> list[Individual]:
        """An even number of individuals inside the context's space."""
        rng = np.random.default_rng(0)
        return [Individual(number, context.space.random(rng)) for number in range(32)]

    @pytest.fixture
    def families(self, people: list[Individual]) -> Families:
        """All individuals, two by two."""
        return two_by_two(people)

    @pytest.fixture
    def vary(self, operator: Operator, context: VariationContext, people: list[Individual]) -> Vary:
        """Return ``vary(families, seed=1, **changes)``: the children, with ``people`` as the population."""

        def varied(families: Families, seed: int = 1, **changes: Any) -> list[Any]:
            ready = replace(context, rng=np.random.default_rng(seed), population=people)
            return operator.vary(families, replace(ready, **changes))

        return varied

    def test_parents_stay_as_they_were(self, families: Families, vary: Vary) -> None:
        before = everything_about(families)
        vary(families)
        assert everything_about(families) == before

    def test_the_same_seed_gives_the_same_children(self, families: Families, vary: Vary) -> None:
        rng = np.random.default_rng(1)
        children = vary(families, rng=rng)
        assert children == vary(families, seed=1)
        draws = rng.bit_generator.state != np.random.default_rng(1).bit_generator.state
        assert (children != vary(families, seed=2)) is draws

    def test_every_family_has_one_child_of_its_chromosomes_or_none(self, families: Families, vary: Vary) -> None:
        children = vary(families)
        assert len(children) == len(families)
        assert {child.kinds for child in children if child is not None} == {families[0][0].genome.kinds}
        pairs = zip(children, families, strict=True)
        assert any(child is not None and child != family[0].genome for child, family in pairs)

    def test_only_a_crossover_reads_the_second_parent(
        self, operator: Operator, families: Families, vary: Vary
    ) -> None:
        alone = [family[:1] for family in families]
        if operator.role == "crossover":
            with pytest.raises((TypeError, IndexError)):
                vary(alone)
        else:
            assert vary(alone) == vary(families)
