"""``readout.safetensors``: a fitted readout, its map's arrays and its genes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from evolm.errors import GenomeError, RunError
from evolm.evaluation.dialogue import drive
from evolm.genomes import Phenotype, Readout
from evolm.models import Request
from evolm.readouts import READOUTS, Fit, FittedReader
from evolm.scorers import LabelProbabilities

READOUT_FILE = "readout.safetensors"
READOUT = "evolm_readout"  # the one key of the file's metadata: the order of several would vary


def readout_files(
    shown: Phenotype, labels: LabelProbabilities | None, ask: Callable[[Sequence[Request]], Sequence[Any]]
) -> dict[str, bytes]:
    """Return the file of a genome's readout: name -> content; nothing if labels are read by their words.

    Args:
        shown: what the model sees of the genome.
        labels: of its campaign.
        ask: asks the model about train rows, if the readout was not fitted before.
    """
    reader = labels.reader(shown) if labels else None
    if not isinstance(reader, FittedReader):
        return {}
    fit = (labels.fit if labels else None) or reader.known_fit or drive(reader.ask_fit(), ask, shown.delta)
    record = {"genes": fit.genes.to_record(), "labels": list(reader.task.labels)}
    metadata = {READOUT: json.dumps(record, sort_keys=True)}
    # safetensors writes the memory of an array as it lies, transposed or not.
    arrays = {name: np.ascontiguousarray(array) for name, array in fit.arrays.items()}
    return {READOUT_FILE: save(arrays, metadata)}


def read_readout(path: Path, labels: Sequence[str]) -> Fit:
    """Read a fitted readout back.

    Args:
        path: the file.
        labels: of the prompt beside it, in order.

    Raises:
        RunError: if the file is missing or damaged, or was fitted on other labels.
    """
    try:
        with safe_open(path, framework="numpy") as stored:
            record = json.loads((stored.metadata() or {})[READOUT])
            genes, fitted_on = Readout.from_record(record["genes"]), record["labels"]
            arrays = {name: stored.get_tensor(name) for name in list(stored.keys())}
        kind = READOUTS[genes.kind]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError, GenomeError) as error:
        raise RunError(f"{path}: expected a readout saved by evolm: {error}") from None
    if fitted_on != list(labels):
        raise RunError(f"{path}: expected a readout of the labels {list(labels)}, found one of {fitted_on}")
    if not issubclass(kind, FittedReader) or arrays.keys() != set(kind.arrays):
        raise RunError(f"{path}: expected the arrays of a {genes.kind!r} readout, found {sorted(arrays)}")
    return Fit(genes, arrays)
