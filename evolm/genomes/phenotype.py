"""What the model sees of a genome."""

from __future__ import annotations

from dataclasses import dataclass

from evolm.genomes.prompt import Prompt
from evolm.genomes.readout import Readout
from evolm.models.deltas import Delta

EMPTY = Prompt("")


@dataclass(frozen=True)
class Phenotype:
    """What the chromosomes of a genome are expressed as.

    Attributes:
        prompt: the text before an item.
        delta: the change of the model's weights; None = the model as it is.
        readout: how a label is read off the answers; None = by the likelihood of the labels' words.
    """

    prompt: Prompt = EMPTY
    delta: Delta | None = None
    readout: Readout | None = None
