"""Genomes, their chromosomes and the spaces of these. A kind of chromosome is one file and one row here."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from evolm.errors import GenomeError, nearest
from evolm.genomes.chromosome import Arrays, Chromosome
from evolm.genomes.committee import Committee, Winner, members_of, mixture
from evolm.genomes.delta import DeltaGenes, Learning
from evolm.genomes.delta_space import DeltaSettings, DeltaSpace
from evolm.genomes.genome import DELTA, PROMPT, READOUT, Genome, prompt_genome
from evolm.genomes.phenotype import Phenotype
from evolm.genomes.prompt import Demonstration, Prompt
from evolm.genomes.prompt_space import PromptSpace
from evolm.genomes.readout import Readout
from evolm.genomes.readout_space import ReadoutSpace
from evolm.genomes.space import ChromosomeSpace, Space, require_space
from evolm.genomes.variables import ChoiceCoding, Coding, Real, Variable
from evolm.wording import listed

# Kind -> space, in the order in which chromosomes are drawn and expressed; kinds from outside come after these.
CHROMOSOMES: dict[str, type[ChromosomeSpace]] = {
    PROMPT: PromptSpace,
    DELTA: DeltaSpace,
    READOUT: ReadoutSpace,
}


def chromosome_class(kind: str) -> Any:
    """Return the class of the chromosomes of a kind.

    A kind from outside evolm is named ``package.module:attribute``. It is known after the module was imported, which
    building a campaign does if the user admitted the package; a record never causes an import.

    Raises:
        GenomeError: if the kind is unknown.
    """
    if kind in CHROMOSOMES:
        return CHROMOSOMES[kind].chromosome
    module, colon, attribute = kind.partition(":")
    found = getattr(sys.modules.get(module), attribute, None) if colon else None
    if found is None:
        raise GenomeError(
            f"chromosomes: expected some of {listed(CHROMOSOMES)}, found {kind!r}{nearest(kind, CHROMOSOMES)}"
        )
    return require_space(found, kind).chromosome


def from_record(record: Mapping[str, Any]) -> Genome:
    """Read a genome back from its record.

    Raises:
        GenomeError: if a kind of chromosome is unknown or the record damaged.
    """
    return Genome({kind: chromosome_class(kind).from_record(part) for kind, part in record.items()})


def from_summary(summary: Mapping[str, Any], arrays: Mapping[str, Arrays]) -> Genome:
    """Read a genome back from its summary and its arrays, by kind; an optimizer's memory is not there.

    Raises:
        GenomeError: if a kind of chromosome is unknown, the summary damaged or an array missing.
    """
    return Genome(
        {kind: chromosome_class(kind).from_summary(part, arrays.get(kind, {})) for kind, part in summary.items()}
    )


__all__ = [
    "CHROMOSOMES",
    "DELTA",
    "PROMPT",
    "READOUT",
    "Arrays",
    "ChoiceCoding",
    "Chromosome",
    "ChromosomeSpace",
    "Coding",
    "Committee",
    "DeltaGenes",
    "DeltaSettings",
    "DeltaSpace",
    "Demonstration",
    "Genome",
    "Learning",
    "Phenotype",
    "Prompt",
    "PromptSpace",
    "Readout",
    "ReadoutSpace",
    "Real",
    "Space",
    "Variable",
    "Winner",
    "chromosome_class",
    "from_record",
    "from_summary",
    "members_of",
    "mixture",
    "prompt_genome",
    "require_space",
]
