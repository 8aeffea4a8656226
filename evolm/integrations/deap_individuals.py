"""Individuals as DEAP's algorithms, operators and archives handle them: mutable, with a fitness, compared by genome.

A change of the weights is a list of genes, so that whatever DEAP has for real vectors works on it; a prompt is a
holder of its genome; a hybrid is the list of its delta's genes, with a prompt. Whatever changes the genome, be it the
assignment of a single gene, invalidates the fitness.
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
from evolm.genomes import DeltaGenome, HybridGenome, PromptGenome
from evolm.individual import fitness_class
from evolm.operators.learning import delta_of, with_delta


class DeapIndividual:
    """Base of all: a genome that may be exchanged, and its fitness.

    Two are equal where the model sees the same of both, so ``HallOfFame`` and ``ParetoFront`` keep no duplicates.
    Copies share the genome, which never changes; the fitness and whatever else was attached are copied.

    Args:
        genome: what is inherited.
        objectives: values of its fitness, all maximised.
    """

    def __init__(self, genome: Any, objectives: int = 1) -> None:
        self._genome = genome
        self.fitness = fitness_class(objectives)()

    @property
    def genome(self) -> Any:
        """What is inherited; setting it invalidates the fitness."""
        return self._genome

    @genome.setter
    def genome(self, genome: Any) -> None:
        self._genome = genome
        del self.fitness.values

    def __eq__(self, other: object) -> bool:
        return self.genome.digest == other.genome.digest if isinstance(other, DeapIndividual) else NotImplemented

    def __ne__(self, other: object) -> bool:  # a list brings its own
        return not self == other

    __hash__ = None  # type: ignore[assignment]  # as a list's: what may change is no key

    def __deepcopy__(self, memo: dict[int, Any]) -> DeapIndividual:
        copied = type(self)(self.genome)
        others = {name: value for name, value in vars(self).items() if name != "_genome"}
        vars(copied).update(deepcopy(others, memo))
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the fitness as numbers: its class is made while running, and no other process finds it by name."""
        known = type(self), self.genome, len(self.fitness.weights), self.fitness.wvalues
        others = {name: value for name, value in vars(self).items() if name not in ("_genome", "fitness")}
        return _restored, known, others


def _restored(kind: type[DeapIndividual], genome: Any, objectives: int, values: tuple[float, ...]) -> DeapIndividual:
    individual = kind(genome, objectives)
    individual.fitness.wvalues = values
    return individual


class PromptIndividual(DeapIndividual):
    """A prompt: set ``genome`` to change it."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.genome!r})"


class DeltaIndividual(DeapIndividual, list[float]):
    """A change of the weights, as the list of its genes.

    Step size and memory of learning, which a genome inherits beside its genes, stay with the individual when genes
    are assigned. Genes are float64 here and float32 in the genome.
    """

    def __init__(self, genome: Any, objectives: int = 1) -> None:
        list.__init__(self, delta_of(genome).genes.tolist())
        DeapIndividual.__init__(self, genome, objectives)
        self._assigned = False  # since the genome was made

    @property
    def genome(self) -> Any:
        """What is inherited, made from the genes where these have changed; setting it invalidates the fitness."""
        if self._assigned:
            self._genome = with_delta(self._genome, with_genes(delta_of(self._genome), self))
            self._assigned = False
        return self._genome

    @genome.setter
    def genome(self, genome: Any) -> None:
        self[:] = delta_of(genome).genes.tolist()
        self._genome, self._assigned = genome, False


def with_genes(delta: DeltaGenome, genes: Sequence[float]) -> DeltaGenome:
    """Return a delta with other genes.

    Raises:
        GenomeError: if they are no numbers.
    """
    try:
        return replace(delta, genes=np.array(genes, dtype=np.float32))
    except (TypeError, ValueError):
        raise GenomeError(f"genes: expected numbers, found {reprlib.repr(genes)}") from None


def _assigning(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a list's method that drops the genome and the fitness, too."""

    @wraps(method)
    def assigning(self: DeltaIndividual, *arguments: Any, **named: Any) -> Any:
        self._assigned = True
        del self.fitness.values
        return method(self, *arguments, **named)

    return assigning


_ASSIGNING = "__setitem__ __delitem__ __iadd__ __imul__ append clear extend insert pop remove reverse sort"
for _name in _ASSIGNING.split():
    setattr(DeltaIndividual, _name, _assigning(getattr(list, _name)))


class HybridIndividual(DeltaIndividual):
    """A prompt and a change of the weights: the list of the delta's genes, with ``prompt``."""

    @property
    def prompt(self) -> PromptGenome:
        """The prompt; setting it invalidates the fitness."""
        prompt: PromptGenome = self.genome.prompt
        return prompt

    @prompt.setter
    def prompt(self, prompt: PromptGenome) -> None:
        self.genome = replace(self.genome, prompt=prompt)


INDIVIDUALS: dict[str, type[DeapIndividual]] = {
    PromptGenome.kind: PromptIndividual,
    DeltaGenome.kind: DeltaIndividual,
    HybridGenome.kind: HybridIndividual,
}
