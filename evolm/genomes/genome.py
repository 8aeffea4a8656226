"""A genome: chromosomes by kind, inherited as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from evolm.errors import GenomeError
from evolm.genomes.chromosome import Arrays, Chromosome, content_digest
from evolm.genomes.delta import DeltaGenes
from evolm.genomes.prompt import Prompt

PROMPT, DELTA, READOUT = "prompt", "delta", "readout"  # kinds of chromosomes


@dataclass(frozen=True)
class Genome:
    """Chromosomes by kind, at least one; never changed.

    Every genome of a campaign has the same kinds of chromosomes. A campaign that evolves only deltas has genomes with
    the same, frozen prompt; one that evolves only prompts has genomes without a delta.

    Attributes:
        chromosomes: kind -> chromosome, in the order in which they are expressed.
    """

    chromosomes: Mapping[str, Chromosome]

    def __post_init__(self) -> None:
        if not self.chromosomes:
            raise GenomeError("a genome: expected at least one chromosome, found none")
        object.__setattr__(self, "chromosomes", dict(self.chromosomes))

    def __hash__(self) -> int:
        return hash(self.digest)

    def __getitem__(self, kind: str) -> Any:
        """Return the chromosome of a kind.

        Raises:
            GenomeError: if the genome has none.
        """
        if kind not in self.chromosomes:
            raise GenomeError(f"a genome: expected a {kind!r} chromosome, found {list(self.chromosomes)}")
        return self.chromosomes[kind]

    def __contains__(self, kind: str) -> bool:
        return kind in self.chromosomes

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of its chromosomes, in order."""
        return tuple(self.chromosomes)

    @property
    def prompt(self) -> Prompt:
        """The prompt.

        Raises:
            GenomeError: if the genome has none.
        """
        prompt: Prompt = self[PROMPT]
        return prompt

    @property
    def delta(self) -> DeltaGenes:
        """The genes of the delta.

        Raises:
            GenomeError: if the genome has none.
        """
        delta: DeltaGenes = self[DELTA]
        return delta

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits over the kinds and digests of its chromosomes, in any order."""
        return content_digest({kind: chromosome.digest for kind, chromosome in self.chromosomes.items()})

    @cached_property
    def asked(self) -> str:
        """A digest that is equal for genomes about which the model is asked the same: they share one pass."""
        readout: Any = self.chromosomes.get(READOUT)
        return self.with_chromosome(READOUT, readout.open).digest if readout else self.digest

    def with_chromosome(self, kind: str, chromosome: Chromosome) -> Genome:
        """Return a genome with another chromosome of a kind; a kind that it lacks is added last."""
        return Genome({**self.chromosomes, kind: chromosome})

    def to_record(self) -> dict[str, Any]:
        """Return kind -> record, JSON values and arrays; :func:`evolm.genomes.from_record` reads it back."""
        return {kind: chromosome.to_record() for kind, chromosome in self.chromosomes.items()}

    def summary(self) -> dict[str, Any]:
        """Return kind -> summary, JSON values; with :meth:`arrays`, :func:`evolm.genomes.from_summary` reads it."""
        return {kind: chromosome.summary() for kind, chromosome in self.chromosomes.items()}

    def arrays(self) -> dict[str, Arrays]:
        """Return kind -> arrays that a run keeps beside the summary, of chromosomes that have any."""
        found = {kind: chromosome.arrays() for kind, chromosome in self.chromosomes.items()}
        return {kind: arrays for kind, arrays in found.items() if arrays}


def prompt_genome(prompt: Prompt) -> Genome:
    """Return the genome that has nothing but a prompt."""
    return Genome({PROMPT: prompt})
