"""Variation of readouts: short pure functions, generator first. Children of one prompt share its pass."""

from __future__ import annotations

import numpy as np

from evolm.genomes import READOUT, Readout, ReadoutSpace
from evolm.genomes.readout_space import GENES
from evolm.operators.base import FunctionOperator


def readout_gene(rng: np.random.Generator, space: ReadoutSpace, readout: Readout) -> Readout | None:
    """Draw another kind, layer, pooling or strength of the readout."""
    for gene in rng.permutation(GENES):
        others = [choice for choice in space.choices(gene) if choice != getattr(readout, gene)]
        if others:
            values = {name: getattr(readout, name) for name in GENES}
            child = space.of_values({**values, gene: others[rng.integers(len(others))]})
            if child.digest != readout.digest:
                return child
    return None


def readout_crossover(
    rng: np.random.Generator, space: ReadoutSpace, first: Readout, second: Readout
) -> Readout | None:
    """Take each gene of the readout from either parent."""
    taken = {gene: getattr((first, second)[rng.integers(2)], gene) for gene in GENES}
    return space.of_values(taken)


READOUT_OPERATORS = [
    FunctionOperator("readout_gene", "mutation", READOUT, readout_gene, 2.0),
    FunctionOperator("readout_crossover", "crossover", READOUT, readout_crossover, 0.5),
]
