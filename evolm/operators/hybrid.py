"""Variation of hybrids: every operator on prompts or deltas works on its part; one crossover swaps whole parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from evolm.genomes import HybridGenome, HybridSpace
from evolm.individual import Individual
from evolm.operators.base import Family, FunctionOperator, Operator, Role, VariationContext


@dataclass(frozen=True)
class PartOperator:
    """An operator on one part of a hybrid; the other part is the first parent's.

    Attributes:
        inner: the operator, of prompts or of deltas.
    """

    inner: Operator

    genome = HybridGenome.kind

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def role(self) -> Role:
        return self.inner.role

    @property
    def weight(self) -> float:
        return self.inner.weight

    @property
    def asks_model(self) -> bool:
        return self.inner.asks_model

    @property
    def needs_gold(self) -> bool:
        return self.inner.needs_gold

    @property
    def summary(self) -> str:
        return self.inner.summary

    def vary(self, families: Sequence[Family], context: VariationContext) -> list[HybridGenome | None]:
        """Let the inner operator vary the parts, and put them back."""
        part = self.inner.genome
        parts = [tuple(_part(individual, part) for individual in family) for family in families]
        inside = replace(
            context,
            space=context.space.part(part),
            population=[_part(individual, part) for individual in context.population],
        )
        children = self.inner.vary(parts, inside)
        return [
            None if child is None else family[0].genome.with_part(part, child)
            for family, child in zip(families, children, strict=True)
        ]


def _part(individual: Individual, name: str) -> Individual:
    """Return an individual that carries one part of a hybrid, with the hybrid's fitness."""
    return replace(individual, genome=individual.genome.part(name))


def hybrid_exchange(
    rng: np.random.Generator, space: HybridSpace, first: HybridGenome, second: HybridGenome
) -> HybridGenome | None:
    """Join the first parent's prompt with the second one's delta."""
    child = HybridGenome(first.prompt, second.delta)
    return None if child.digest in (first.digest, second.digest) else child


HYBRID_OPERATORS = [FunctionOperator("hybrid_exchange", "crossover", HybridGenome.kind, hybrid_exchange)]
