"""``readout.safetensors``: a fitted readout, its map's arrays and its genes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from evolm.errors import GenomeError, RunError
from evolm.evaluation.dialogue import AnswersRequests, hold
from evolm.genomes import Phenotype, Readout
from evolm.readouts import Fit, FittedReader, reader_class
from evolm.scorers import LabelProbabilities
from evolm.storage.damage import damaged

READOUT_FILE = "readout.safetensors"
FITTED = "evolm_readout"  # the one key of the file's metadata: the order of several would vary


def readout_files(shown: Phenotype, labels: LabelProbabilities | None, engine: AnswersRequests) -> dict[str, bytes]:
    """Return the file of a genome's readout: name -> content; nothing if labels are read by their words.

    Args:
        shown: what the model sees of the genome.
        labels: of its campaign.
        engine: answers requests about train rows, if the readout was not fitted before.

    Raises:
        EvolmError: if the readout cannot be fitted.
    """
    reader = labels.reader(shown) if labels else None
    if not isinstance(reader, FittedReader):
        return {}
    fit = (labels.fit if labels else None) or reader.known_fit or _fitted(reader, shown, engine)
    record = {
        "genes": fit.genes.to_record(),
        "labels": list(reader.task.labels),
        "poolings": list(fit.genes.poolings),
    }
    metadata = {FITTED: json.dumps(record, sort_keys=True)}
    # safetensors writes the memory of an array as it lies, transposed or not.
    arrays = {name: np.ascontiguousarray(array) for name, array in fit.arrays.items()}
    return {READOUT_FILE: save(arrays, metadata)}


def _fitted(reader: FittedReader, shown: Phenotype, engine: AnswersRequests) -> Fit:
    [outcome] = hold([reader.ask_fit()], engine, [shown.delta])
    if outcome.result is None:
        assert outcome.error is not None
        raise outcome.error
    return outcome.result


def read_readout(path: Path, labels: Sequence[str], width: int) -> Fit:
    """Read a fitted readout back.

    Args:
        path: the file.
        labels: of the prompt beside it, in order; none if items have their own options.
        width: of the model's hidden states.

    Raises:
        RunError: if the file is missing or damaged, or was fitted on other labels or states.
    """
    with damaged(path, "a readout saved by evolm", also=(GenomeError,)):
        with safe_open(path, framework="numpy") as stored:
            record = json.loads((stored.metadata() or {})[FITTED])
            genes, fitted_on = Readout.from_record(record["genes"]), record["labels"]
            arrays = {name: stored.get_tensor(name) for name in list(stored.keys())}
        kind = reader_class(genes.kind, fitted_on)
        if not issubclass(kind, FittedReader):
            raise ValueError(f"{genes.kind!r} is not fitted")
    if fitted_on != list(labels):
        raise RunError(f"{path}: expected a readout of the labels {list(labels)}, found one of {fitted_on}")
    with damaged(path, f"the arrays of a {genes.kind!r} readout"):
        kind.check_arrays(arrays, genes, len(labels), width)
    return Fit(genes, arrays)
