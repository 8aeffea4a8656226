"""Readouts: how a label is read off the model. A readout is one file and one row here."""

from __future__ import annotations

from evolm.readouts.bag_of_words import BagOfWords
from evolm.readouts.base import Fit, FittedReader, Reader, WordLikelihoods
from evolm.readouts.batch import BatchCalibration
from evolm.readouts.calibration import calibrated
from evolm.readouts.linear import Linear
from evolm.readouts.probe import Probe
from evolm.readouts.words import Words

READOUTS: dict[str, type[Reader]] = {
    "words": Words,
    "batch": BatchCalibration,
    "linear": Linear,
    "probe": Probe,
    "bag_of_words": BagOfWords,
}

__all__ = ["READOUTS", "Fit", "FittedReader", "Reader", "WordLikelihoods", "calibrated"]
