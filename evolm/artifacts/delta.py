"""``delta.safetensors``: a delta in evolm's own form, its genes and the identity of their space and model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open
from safetensors.numpy import save

from evolm.errors import ConfigError, GenomeError
from evolm.genomes import DELTA, DeltaGenes, DeltaSpace, Genome
from evolm.genomes.delta_space import refuse_other_space, settings_of
from evolm.storage.damage import damaged

if TYPE_CHECKING:
    from evolm.models import LanguageModel


DELTA_FILE = "delta.safetensors"
ALSO = (ArithmeticError, MemoryError, ConfigError)  # where a damaged identity's settings are used
SPACE = "evolm_space"  # key of the file's metadata


def delta_files(genome: Genome, space: DeltaSpace | None) -> dict[str, bytes]:
    """Return the file of a genome's delta: name -> content; nothing without a delta, or if it changes nothing."""
    if space is None or DELTA not in genome or not genome.delta.genes.any():
        return {}
    return {DELTA_FILE: save({"genes": genome.delta.genes}, {SPACE: json.dumps(space.identity(), sort_keys=True)})}


def read_delta(path: Path, model: LanguageModel) -> tuple[DeltaSpace, DeltaGenes]:
    """Read a delta back, and make its space over ``model``.

    Raises:
        RunError: if the file is missing or damaged.
        GenomeError: if the delta was made for another model, a library drew other random numbers, or
            genes are missing, NaN or infinite.
    """
    with damaged(path, "a delta saved by evolm", also=ALSO):
        with safe_open(path, framework="numpy") as stored:
            identity = json.loads((stored.metadata() or {})[SPACE])
            genome = DeltaGenes(stored.get_tensor("genes"))
        if not isinstance(identity, dict):
            raise ValueError(f"its space is {identity!r}")
    found, expected = str(identity.get("model")), model.prepared.fingerprint
    if found != expected:  # checked first: the space cannot be made over another model
        raise GenomeError(f"{path}: the delta was made for the model {found[:16]}, expected {expected[:16]}")
    with damaged(path, "a delta saved by evolm, whose space can be made", also=ALSO):
        space = DeltaSpace.of(model, settings_of(identity))
    refuse_other_space(space, identity, str(path))
    if reason := space.unusable(genome):
        raise GenomeError(f"{path}: {reason}")
    return space, genome
