"""Individuals as DEAP's algorithms, operators and archives handle them: mutable, with a fitness, compared by genome.

If a delta evolves, an individual is the list of its genes, so that all of DEAP's tools for real vectors work on it;
else it only holds its genome. Every change of the genome, even the assignment of a single gene, invalidates the
fitness.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import wraps
from typing import Any

import numpy as np

from evolm.errors import GenomeError
from evolm.fitness import fitness_class
from evolm.genomes import DELTA, PROMPT, DeltaGenes, Genome, Prompt


class DeapIndividual:
    """A genome that may be exchanged, and its fitness: set ``genome`` or ``prompt`` to change it.

    Two individuals are equal if the model sees the same of both, so ``HallOfFame`` and ``ParetoFront`` keep no
    duplicates. Copies share the genome, which never changes; the fitness and all other attributes are copied.

    Args:
        genome: what is inherited.
        objectives: values of its fitness, all maximised.
    """

    def __init__(self, genome: Genome, objectives: int = 1) -> None:
        self._genome = genome
        self.fitness = fitness_class(objectives)()

    @property
    def genome(self) -> Genome:
        """The genome; setting it invalidates the fitness."""
        return self._genome

    @genome.setter
    def genome(self, genome: Genome) -> None:
        self._genome = genome
        del self.fitness.values

    @property
    def prompt(self) -> Prompt:
        """The prompt; setting it invalidates the fitness."""
        return self.genome.prompt

    @prompt.setter
    def prompt(self, prompt: Prompt) -> None:
        self.genome = self.genome.with_chromosome(PROMPT, prompt)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.genome!r})"

    def __eq__(self, other: object) -> bool:
        return self.genome.digest == other.genome.digest if isinstance(other, DeapIndividual) else NotImplemented

    def __ne__(self, other: object) -> bool:  # list defines its own
        return not self == other

    __hash__ = None  # type: ignore[assignment]  # mutable, as a list

    def __deepcopy__(self, memo: dict[int, Any]) -> DeapIndividual:
        copied = type(self)(self.genome)
        others = {name: value for name, value in vars(self).items() if name != "_genome"}
        vars(copied).update(deepcopy(others, memo))
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the fitness as numbers: its class is made at run time, so no other process finds it by name."""
        known = type(self), self.genome, len(self.fitness.weights), self.fitness.wvalues
        others = {name: value for name, value in vars(self).items() if name not in ("_genome", "fitness")}
        return _restored, known, others


def _restored(
    kind: type[DeapIndividual], genome: Genome, objectives: int, values: tuple[float, ...]
) -> DeapIndividual:
    individual = kind(genome, objectives)
    individual.fitness.wvalues = values
    return individual


class DeltaIndividual(DeapIndividual, list[float]):
    """A genome as the list of its delta's genes.

    Step size and memory of learning stay with the individual when genes are assigned. Genes are float64 here and
    float32 in the genome.
    """

    def __init__(self, genome: Genome, objectives: int = 1) -> None:
        list.__init__(self, genome.delta.genes.tolist())
        DeapIndividual.__init__(self, genome, objectives)
        self._assigned = False  # whether genes were assigned since the genome was made

    __repr__ = list.__repr__

    @property
    def genome(self) -> Genome:
        """The genome, made anew if genes were assigned; setting it invalidates the fitness."""
        if self._assigned:
            self._genome = self._genome.with_chromosome(DELTA, with_genes(self._genome.delta, self))
            self._assigned = False
        return self._genome

    @genome.setter
    def genome(self, genome: Genome) -> None:
        self[:] = genome.delta.genes.tolist()
        self._genome, self._assigned = genome, False


def with_genes(delta: DeltaGenes, genes: Sequence[float]) -> DeltaGenes:
    """Return a delta with other genes.

    Raises:
        GenomeError: if they are no numbers.
    """
    try:
        return replace(delta, genes=np.array(genes, dtype=np.float32))
    except (TypeError, ValueError):
        raise GenomeError(f"genes: expected numbers, found {reprlib.repr(genes)}") from None


def _assigning(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method of ``list`` that also invalidates the genome and the fitness."""

    @wraps(method)
    def assigning(self: DeltaIndividual, *arguments: Any, **named: Any) -> Any:
        self._assigned = True
        del self.fitness.values
        return method(self, *arguments, **named)

    return assigning


_ASSIGNING = "__setitem__ __delitem__ __iadd__ __imul__ append clear extend insert pop remove reverse sort"
for _name in _ASSIGNING.split():
    setattr(DeltaIndividual, _name, _assigning(getattr(list, _name)))
