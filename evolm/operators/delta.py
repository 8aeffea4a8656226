"""Variation of deltas: short pure functions on vectors of genes, generator first.

``f(rng, space, delta, ...)`` returns a new delta or None. Step size and memory of learning come from the first parent
unless a function says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from evolm.genomes import DELTA, DeltaGenes, DeltaSpace, Genome
from evolm.operators.base import (
    DocumentedOperator,
    Family,
    FunctionOperator,
    Operator,
    Role,
    VariationContext,
    vary_chromosome,
)

ETA = 10.0  # SBX: the larger, the nearer children lie to their parents
ALPHA = 0.3  # blend: how far beyond its parents a child may lie, in their distance
LEAST_TAU = 0.1  # a step size that cannot change within a campaign adapts to nothing
FACTOR = 0.5  # differential evolution's F


def gaussian_mutation(rng: np.random.Generator, space: DeltaSpace, delta: DeltaGenes) -> DeltaGenes:
    """Add normal noise of the delta's own step size, which mutates first (self-adaptation)."""
    # Schwefel 1981; Beyer & Schwefel 2002, section 4.2: one step size, tau ~ 1 / sqrt(n).
    tau = max(1 / np.sqrt(space.dimension), LEAST_TAU)
    sigma = float((delta.sigma or space.settings.sigma) * np.exp(tau * rng.standard_normal()))
    noise = rng.standard_normal(space.dimension, dtype=np.float32)
    return replace(delta, genes=delta.genes + np.float32(sigma) * noise, sigma=sigma)


def module_mutation(rng: np.random.Generator, space: DeltaSpace, delta: DeltaGenes) -> DeltaGenes:
    """Add normal noise to the genes of one module."""
    own = space.modules[rng.integers(len(space.modules))]
    genes = delta.genes.copy()
    sigma = np.float32(delta.sigma or space.settings.sigma)
    genes[own] += sigma * rng.standard_normal(own.stop - own.start, dtype=np.float32)
    return replace(delta, genes=genes)


def simulated_binary_crossover(
    rng: np.random.Generator, space: DeltaSpace, first: DeltaGenes, second: DeltaGenes
) -> DeltaGenes:
    """Spread around the parents as one-point crossover of binary numbers does (SBX, Deb & Agrawal 1995)."""
    draws = rng.random(space.dimension)
    spread = np.where(draws <= 0.5, 2 * draws, 1 / (2 * (1 - draws))) ** (1 / (ETA + 1))
    genes = 0.5 * ((1 + spread) * first.genes + (1 - spread) * second.genes)
    return replace(first, genes=genes, sigma=_between(first, second))


def blend_crossover(rng: np.random.Generator, space: DeltaSpace, first: DeltaGenes, second: DeltaGenes) -> DeltaGenes:
    """Draw each gene from the parents' interval and a little beyond (BLX-alpha, Eshelman & Schaffer 1993)."""
    share = (1 + 2 * ALPHA) * rng.random(space.dimension) - ALPHA
    genes = (1 - share) * first.genes + share * second.genes
    return replace(first, genes=genes, sigma=_between(first, second))


def module_crossover(
    rng: np.random.Generator, space: DeltaSpace, first: DeltaGenes, second: DeltaGenes
) -> DeltaGenes:
    """Take each module's genes, with Adam's moments of them, from either parent."""
    theirs = np.zeros(space.dimension, dtype=bool)
    for own in space.modules:
        theirs[own] = rng.random() < 0.5
    child = replace(first, genes=np.where(theirs, second.genes, first.genes), sigma=_between(first, second))
    if first.learning is None or second.learning is None:
        return child
    learning = replace(
        first.learning,
        first=np.where(theirs, second.learning.first, first.learning.first),
        second=np.where(theirs, second.learning.second, first.learning.second),
    )
    return replace(child, learning=learning)


def _between(first: DeltaGenes, second: DeltaGenes) -> float:
    """Return the geometric mean of two step sizes."""
    return float(np.sqrt(first.sigma * second.sigma)) if first.sigma and second.sigma else first.sigma or second.sigma


@dataclass(frozen=True)
class DifferentialMutation(DocumentedOperator):
    """Add the difference of two others: ``x + F (a - b)`` (Storn & Price 1997, doi.org/10.1023/A:1008202821328)."""

    name: str = "differential_mutation"
    role: Role = "mutation"
    chromosome: str = DELTA
    weight: float = 1.0
    asks_model: bool = False
    needs_gold: bool = False

    def vary(self, families: Sequence[Family], context: VariationContext) -> list[Genome | None]:
        """Return a child of each family's first parent; None while fewer than two others are known."""
        return vary_chromosome(DELTA, self.role, families, partial(self._moved, context))

    def _moved(self, context: VariationContext, delta: DeltaGenes) -> DeltaGenes | None:
        others = [each.genome.delta for each in context.population if each.genome.delta.digest != delta.digest]
        if len(others) < 2:
            return None
        one, two = (others[index] for index in context.rng.choice(len(others), 2, replace=False))
        return replace(delta, genes=delta.genes + np.float32(FACTOR) * (one.genes - two.genes))


MUTATIONS = {gaussian_mutation: 2.0, module_mutation: 1.0}
CROSSOVERS = {simulated_binary_crossover: 1.0, blend_crossover: 1.0, module_crossover: 1.0}
DELTA_OPERATORS: list[Operator] = [
    *(FunctionOperator(f.__name__, "mutation", DELTA, f, weight) for f, weight in MUTATIONS.items()),
    DifferentialMutation(),
    *(FunctionOperator(f.__name__, "crossover", DELTA, f, weight) for f, weight in CROSSOVERS.items()),
]
