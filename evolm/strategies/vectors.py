"""What strategies that search vectors of genes share: their start, and the making of individuals from arrays.

Genes are float32 in genomes. Strategies compute in float64, and update from the float32 genes that were evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np

from evolm.genomes import DELTA, DeltaGenes, DeltaSpace, Genome
from evolm.individual import Individual
from evolm.strategies.base import Strategy
from evolm.strategies.variation import ROUNDS


class VectorStrategy(Strategy):
    """Base of strategies that compute genes; they apply no operators, so operators' rates stay zero."""

    needs = searches = (DELTA,)
    operator_name: ClassVar[str]  # stands in individuals in the place of an operator's name

    @property
    def deltas(self) -> DeltaSpace:
        """The space of the genes."""
        deltas: DeltaSpace = self.context.space[DELTA]
        return deltas

    @property
    def sigma(self) -> float:
        """Initial standard deviation, in the genes' unit: the strategy's own setting or the space's."""
        return float(getattr(self.params, "sigma", 0) or self.deltas.settings.sigma)

    @cached_property
    def _founders(self) -> dict[str, Genome]:
        return {genome.digest: genome for genome in self.context.founders}

    def start(self) -> np.ndarray:
        """Return ``(n,)`` float64 genes of the first founder; zeros, which change nothing, if there is none."""
        first = next(iter(self._founders.values()), None) or self.context.space.completed({})
        return wide(first)

    def genome(self, genes: np.ndarray) -> Genome:
        """Return the genome of ``(n,)`` genes, under the campaign's prompt."""
        return self.context.space.completed({DELTA: DeltaGenes(genes)})

    def is_founder(self, individual: Individual) -> bool:
        """Whether an individual's genome is one of the search's founders."""
        return individual.digest in self._founders

    def better_start(self, told: Sequence[Individual]) -> np.ndarray | None:
        """Return ``(n,)`` float64 genes of the best founder if it is better than the first one, else None.

        Only the first generation has founders, since no genome is tried twice.
        """
        founders = best_first([individual for individual in told if self.is_founder(individual)])
        if not founders or founders[0].digest == next(iter(self._founders)):
            return None
        return wide(founders[0].genome)

    def fresh(self, draw: Callable[[], np.ndarray], count: int) -> list[Genome]:
        """Return up to ``count`` distinct genomes inside the space that were never returned by ``ask``.

        Args:
            draw: returns ``(k, n)`` genes; it is called until there are enough genomes, at most ``ROUNDS`` times.
        """
        found: dict[str, Genome] = {}
        for _ in range(ROUNDS):
            for genes in draw():
                genome = self.genome(genes)
                if len(found) < count and genome.digest not in self.seen and not self.context.space.outside(genome):
                    found.setdefault(genome.digest, genome)
            if len(found) == count:
                break
        return list(found.values())

    def individuals(self, genomes: Sequence[Genome], parents: Sequence[Individual]) -> list[Individual]:
        """Return genomes as individuals of this generation; without parents their operator is ``random``."""
        name = self.operator_name if parents else "random"
        return [self.make(genome, parents, (name,)) for genome in genomes]


def wide(genome: Genome) -> np.ndarray:
    """Return a copy of the ``(n,)`` genes as float64."""
    return genome.delta.genes.astype(np.float64)


def best_first(individuals: Sequence[Individual]) -> list[Individual]:
    """Return the evaluated individuals, best first; equal ones stay in their order."""
    valid = [individual for individual in individuals if individual.fitness.valid]
    return sorted(valid, key=lambda individual: individual.fitness, reverse=True)
