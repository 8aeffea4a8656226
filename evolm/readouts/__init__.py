"""Readouts: how a label is read off the model. A readout is one file and one row here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evolm.genomes import READOUT, Committee, Genome, Readout, Winner
from evolm.readout_kinds import CONTEXTUAL, KINDS_OF_READOUTS, WORDS
from evolm.readouts.bag_of_words import BagOfWords
from evolm.readouts.base import Fit, FittedReader, Reader, WordLikelihoods
from evolm.readouts.batch import BatchCalibration
from evolm.readouts.calibration import calibrated, mean_prior
from evolm.readouts.contextual import Contextual
from evolm.readouts.linear import Linear
from evolm.readouts.option_linear import OptionLinear
from evolm.readouts.probe import Probe
from evolm.readouts.words import Words

READOUTS: dict[str, type[Reader]] = {
    WORDS: Words,
    CONTEXTUAL: Contextual,
    "batch": BatchCalibration,
    "linear": Linear,
    "probe": Probe,
    "bag_of_words": BagOfWords,
}
# Kinds whose map is another one if options differ from item to item.
OPTION_READOUTS: dict[str, type[Reader]] = {"linear": OptionLinear}


def reader_class(kind: str, labels: Sequence[str]) -> type[Reader]:
    """Return the class that reads labels, or the options of each item if there are no labels that all items share."""
    return READOUTS[kind] if labels else OPTION_READOUTS.get(kind, READOUTS[kind])


def refitted(genome: Genome) -> Genome:
    """Return a genome whose readout is fitted on all rows but test: the last step before the test split is opened."""
    readout: Readout | None = genome.chromosomes.get(READOUT)  # type: ignore[assignment]
    if readout is None or not KINDS_OF_READOUTS[readout.kind].fitted:
        return genome
    return genome.with_chromosome(READOUT, replace(readout, refit=True))


def refitted_winner(winner: Winner) -> Winner:
    """Return a genome, or a committee of genomes, as :func:`refitted` does."""
    return winner.changed(refitted) if isinstance(winner, Committee) else refitted(winner)


__all__ = [
    "OPTION_READOUTS",
    "READOUTS",
    "Fit",
    "FittedReader",
    "Reader",
    "WordLikelihoods",
    "calibrated",
    "mean_prior",
    "reader_class",
    "refitted",
    "refitted_winner",
]
