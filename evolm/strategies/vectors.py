"""What strategies share that search vectors of genes: where they start, and how numbers become individuals.

Genes are float32 in genomes; strategies compute in float64, and learn from the genes as they were evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np

from evolm.genomes import DeltaGenome
from evolm.individual import Individual
from evolm.strategies.base import Strategy
from evolm.strategies.variation import ROUNDS


class VectorStrategy(Strategy):
    """Base of strategies that compute genes instead of applying operators; these keep rates of zero."""

    spaces = (DeltaGenome.kind,)
    made_by: ClassVar[str]  # what individuals name as their operator

    @property
    def sigma(self) -> float:
        """Standard deviation to start with, in the genes' unit: the strategy's own setting or the space's."""
        return float(getattr(self.params, "sigma", 0) or self.search.space.settings.sigma)

    @cached_property
    def _founders(self) -> dict[str, DeltaGenome]:
        return {genome.digest: genome for genome in self.search.founders}

    def start(self) -> np.ndarray:
        """Return ``(n,)`` float64 genes of the first founder; zeros, which change nothing, where there is none."""
        first = next(iter(self._founders.values()), None) or self.search.space.zero()
        return wide(first)

    def is_founder(self, individual: Individual) -> bool:
        """Whether an individual is one of the genomes that the search was given."""
        return individual.digest in self._founders

    def better_start(self, told: Sequence[Individual]) -> np.ndarray | None:
        """Return ``(n,)`` genes of the best founder among the first generation; None if it is the first one."""
        founders = best_first([individual for individual in told if self.is_founder(individual)])
        if self.generation != 1 or not founders or founders[0].id == 0:
            return None
        return wide(founders[0].genome)

    def fresh(self, draw: Callable[[], np.ndarray], count: int) -> list[DeltaGenome]:
        """Return up to ``count`` distinct genomes inside the space that were never asked for.

        Args:
            draw: returns ``(k, n)`` genes; it is called again while genomes are missing, ``ROUNDS`` times at most.
        """
        found: dict[str, DeltaGenome] = {}
        for _ in range(ROUNDS):
            for genes in draw():
                genome = DeltaGenome(genes)
                if len(found) < count and genome.digest not in self.seen and not self.search.space.outside(genome):
                    found.setdefault(genome.digest, genome)
            if len(found) == count:
                break
        return list(found.values())

    def individuals(self, genomes: Sequence[DeltaGenome], parents: Sequence[Individual]) -> list[Individual]:
        """Return genomes as individuals of the coming generation; without parents they count as random ones."""
        name = self.made_by if parents else "random"
        return [self.make(genome, parents, (name,)) for genome in genomes]


def wide(genome: DeltaGenome) -> np.ndarray:
    """Return ``(n,)`` float64 genes, a copy."""
    return genome.genes.astype(np.float64)


def best_first(individuals: Sequence[Individual]) -> list[Individual]:
    """Return those that were evaluated, by fitness; of equals, the first."""
    valid = [individual for individual in individuals if individual.fitness.valid]
    return sorted(valid, key=lambda individual: individual.fitness.values, reverse=True)
