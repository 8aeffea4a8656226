"""The contract of chromosome spaces, and their product: the space that a campaign searches.

A kind of chromosome is one file and one row in ``CHROMOSOMES``: the class of its space, which names the class of its
chromosomes. Code outside evolm is such a class, too; a campaign names it as ``[space."package.module:attribute"]``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np
from pydantic import BaseModel

from evolm.errors import ConfigError
from evolm.genomes.chromosome import Chromosome
from evolm.genomes.genome import PROMPT, Genome
from evolm.genomes.phenotype import Phenotype
from evolm.genomes.variables import Coding
from evolm.tasks import Task

if TYPE_CHECKING:
    from evolm.models import Model


class ChromosomeSpace(Protocol):
    """The chromosomes of one kind that a campaign may try. Spaces inherit from this class, and are immutable.

    ``rng`` is the search's generator. Every random number comes from it, in an order that follows from the arguments
    alone. Chromosomes that are handed over are never changed.

    Attributes:
        Params: the model of the table ``[space.NAME]``; unknown keys are refused by it.
        chromosome: the class of the chromosomes.
        mutations, crossovers: operators, function -> weight, named after the functions:
            ``f(rng, space, chromosome) -> chromosome or None`` and ``f(rng, space, first, second) -> chromosome or
            None``; None = the function has nothing to offer for these parents. The operators of evolm's own kinds are
            rows of ``evolm.operators.OPERATORS`` instead.
    """

    Params: ClassVar[type[BaseModel]]
    chromosome: ClassVar[type[Any]]
    mutations: ClassVar[Mapping[Callable[..., Any], float]] = {}
    crossovers: ClassVar[Mapping[Callable[..., Any], float]] = {}

    @classmethod
    def build(cls, params: Any, task: Task, model: Model) -> Self:
        """Return the space that a table describes for a campaign's task and model.

        Raises:
            ConfigError: if the table does not fit the task or the model.
        """

    def random(self, rng: np.random.Generator) -> Any:
        """Draw a chromosome; it may lie outside, and is then drawn again."""

    def neutral(self) -> Any:
        """Return the chromosome of a founder that brings none of this kind: it changes nothing."""

    def outside(self, chromosome: Any) -> str:
        """Return why a chromosome must not be tried, or ``""``."""

    def foreign(self, chromosome: Any) -> str:
        """Return why a chromosome can only belong to another space (a wrong shape, for example), or ``""``."""
        return ""

    def express(self, chromosome: Any, phenotype: Phenotype) -> Phenotype:
        """Return the phenotype that includes this chromosome, given that of the chromosomes before it."""

    def coding(self, founders: Sequence[Any]) -> Coding:
        """Return the variables of other optimizers; the founders' chromosomes must be among what can be chosen."""

    def founder(self, record: Mapping[str, Any], rng: np.random.Generator, where: str) -> Any:
        """Read a founder's chromosome from a file or a run: its summary, its arrays, and ``space``, an identity.

        Args:
            record: JSON values and arrays.
            rng: draws values that the record leaves open.
            where: what messages call the founder.

        Raises:
            GenomeError: if the record is damaged, was made for another space, or lies outside this one.
        """

    def identity(self) -> dict[str, Any]:
        """Return the JSON values that are stored beside a chromosome, to read it back in another campaign."""
        return {}

    def describe(self) -> dict[str, Any]:
        """Return a description for the journal and the report: JSON values."""


@dataclass(frozen=True)
class Space:
    """The space of a campaign: the product of its chromosomes' spaces.

    Attributes:
        parts: kind -> space, in the order in which chromosomes are drawn and expressed.
        frozen: kind -> the chromosome that all genomes have; it is neither drawn nor varied.
        held: kinds of chromosomes that are neither drawn nor varied, but differ between genomes: children have their
            first parent's, random genomes that of one of ``around``.
        around: genomes that random ones are drawn around, the best first; empty if no kind is held.
    """

    parts: Mapping[str, ChromosomeSpace]
    frozen: Mapping[str, Chromosome] = field(default_factory=dict)
    held: tuple[str, ...] = ()
    around: Sequence[Genome] = ()

    @property
    def evolving(self) -> tuple[str, ...]:
        """Kinds of chromosomes that evolve, in order."""
        return tuple(kind for kind in self.parts if kind not in self.frozen and kind not in self.held)

    def varying(self, kinds: Collection[str], around: Sequence[Genome]) -> Space:
        """Return this space with some kinds of chromosomes evolving alone.

        Args:
            kinds: that evolve; all others are held.
            around: genomes of this space, the best first.
        """
        held = tuple(kind for kind in self.evolving if kind not in kinds)
        return replace(self, held=held, around=tuple(around) if held else ())

    def __getitem__(self, kind: str) -> Any:
        """Return the space of a kind of chromosome; KeyError if the campaign has no such chromosomes."""
        return self.parts[kind]

    def get(self, kind: str) -> Any | None:
        """Return the space of a kind of chromosome; None if no genome of the campaign may have such a chromosome."""
        return self.parts.get(kind)

    def random(self, rng: np.random.Generator) -> Genome:
        """Draw every evolving chromosome, in order; held ones are those of a genome drawn from ``around``."""
        drawn: dict[str, Chromosome] = {kind: self.parts[kind].random(rng) for kind in self.evolving}
        if self.held:
            drawn |= self._held_by(self.around[int(rng.integers(len(self.around)))])
        return self.completed(drawn)

    def _held_by(self, genome: Genome) -> dict[str, Chromosome]:
        return {kind: genome[kind] for kind in self.held}

    def completed(self, chromosomes: Mapping[str, Chromosome]) -> Genome:
        """Return the genome of some chromosomes.

        Those that are missing are the frozen ones, the held ones of the first genome of ``around``, or neutral.
        """
        held = self._held_by(self.around[0]) if self.held else {}
        known = {**self.frozen, **held, **chromosomes}
        return Genome({kind: known[kind] if kind in known else part.neutral() for kind, part in self.parts.items()})

    def brought(self, genome: Genome) -> dict[str, Chromosome]:
        """Return the chromosomes of a founder that are stored: its prompt, and those that are not neutral."""
        return {
            kind: chromosome
            for kind, chromosome in genome.chromosomes.items()
            if kind == PROMPT or chromosome.digest != self.parts[kind].neutral().digest
        }

    def outside(self, genome: Genome) -> str:
        """Return why a genome must not be tried, or ``""``."""
        if reason := self.foreign(genome):
            return reason
        return next((reason for kind in self.evolving if (reason := self.parts[kind].outside(genome[kind]))), "")

    def foreign(self, genome: Genome) -> str:
        """Return why a genome can only belong to another space, or ``""``."""
        if set(genome.kinds) != set(self.parts):
            return f"expected chromosomes of the kinds {list(self.parts)}, found {list(genome.kinds)}"
        for kind, frozen in self.frozen.items():
            if genome[kind].digest != frozen.digest:
                return f"expected the frozen {kind} {frozen.digest}, found {genome[kind].digest}"
        return next((reason for kind in self.evolving if (reason := self.parts[kind].foreign(genome[kind]))), "")

    def express(self, genome: Genome) -> Phenotype:
        """Return the phenotype of a genome: chromosomes are expressed in order, each may change the result so far."""
        phenotype = Phenotype()
        for kind, part in self.parts.items():
            if kind in genome:
                phenotype = part.express(genome[kind], phenotype)
        return phenotype

    def tokens(self, genome: Genome) -> int:
        """Return the length in tokens of the prompt that the model sees, item excluded."""
        prompts: Any = self.get(PROMPT)
        return int(prompts.tokens(self.express(genome).prompt)) if prompts else 0

    def distance(self, first: Genome, second: Genome) -> float:
        """Return the mean distance of the evolving chromosomes of two genomes, in [0, 1]."""
        distances = [first[kind].distance(second[kind]) for kind in self.evolving]
        return sum(distances) / len(distances)

    def diversity(self, genomes: Sequence[Genome]) -> float:
        """Return the mean distance between all pairs of genomes, in [0, 1]; 0 for fewer than two."""
        pairs = [(a, b) for index, a in enumerate(genomes) for b in genomes[index + 1 :]]
        return sum(self.distance(a, b) for a, b in pairs) / len(pairs) if pairs else 0.0

    def identities(self) -> dict[str, dict[str, Any]]:
        """Return kind -> identity of its space; kinds without one are left out."""
        found = {kind: part.identity() for kind, part in self.parts.items()}
        return {kind: identity for kind, identity in found.items() if identity}

    def describe(self) -> dict[str, Any]:
        """Return kind -> description of the spaces of evolving chromosomes: JSON values."""
        return {kind: self.parts[kind].describe() for kind in self.evolving}


def require_space(found: Any, name: str) -> type[ChromosomeSpace]:
    """Return ``found``, a chromosome's space from outside evolm.

    Raises:
        ConfigError: if it is no subclass of :class:`ChromosomeSpace`.
    """
    if not isinstance(found, type) or ChromosomeSpace not in found.__mro__:
        raise ConfigError(f"{name}: expected a subclass of evolm.genomes.ChromosomeSpace, found {found!r}")
    return found
