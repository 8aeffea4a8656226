"""What the model sees of a genome."""

from __future__ import annotations

from dataclasses import dataclass

from evolm.genomes.prompt import Prompt
from evolm.models.deltas import Delta

EMPTY = Prompt("")


@dataclass(frozen=True)
class Phenotype:
    """What the chromosomes of a genome are expressed as.

    Attributes:
        prompt: the text before an item.
        delta: the change of the model's weights; None = the model as it is.
    """

    prompt: Prompt = EMPTY
    delta: Delta | None = None
