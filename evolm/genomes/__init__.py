"""Genomes: what is inherited, and the spaces they live in. A genome kind is one file and one row here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evolm.errors import GenomeError, nearest
from evolm.genomes.base import Genome, diversity
from evolm.genomes.delta import DeltaGenome, Learning
from evolm.genomes.delta_space import DeltaSettings, DeltaSpace
from evolm.genomes.expression import AsTheyAre, Expression
from evolm.genomes.hybrid import HybridGenome
from evolm.genomes.hybrid_space import HybridSpace
from evolm.genomes.prompt import Demonstration, PromptGenome
from evolm.genomes.prompt_space import PromptSpace

GENOMES: dict[str, Any] = {
    PromptGenome.kind: PromptGenome,
    DeltaGenome.kind: DeltaGenome,
    HybridGenome.kind: HybridGenome,
}


def deltas_of(space: Any) -> DeltaSpace | None:
    """Return the space of deltas that a space has; None of one of prompts."""
    return space if isinstance(space, DeltaSpace) else getattr(space, "deltas", None)


def from_record(record: Mapping[str, Any]) -> Any:
    """Read a genome of any kind back from its record.

    Raises:
        GenomeError: if the kind is unknown or the record damaged.
    """
    kind = str(record.get("kind"))
    if kind not in GENOMES:
        raise GenomeError(f"genome kind {kind!r} is unknown{nearest(kind, GENOMES)}")
    return GENOMES[kind].from_record(record)


__all__ = [
    "GENOMES",
    "AsTheyAre",
    "DeltaGenome",
    "DeltaSettings",
    "DeltaSpace",
    "Demonstration",
    "Expression",
    "Genome",
    "HybridGenome",
    "HybridSpace",
    "Learning",
    "PromptGenome",
    "PromptSpace",
    "deltas_of",
    "diversity",
    "from_record",
]
