"""The arrays of a run's genomes: a safetensors file per search and generation, read by individual's id.

The journal has the summaries of genomes, which lack arrays. A file is written before the journal's entries; one that
a killed run left behind is written again, with the same bytes. A tensor's name is ``ID/KIND/ARRAY``, KIND being the
kind of chromosome.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from safetensors.numpy import load, save

from evolm.storage.damage import damaged
from evolm.storage.files import write_atomically

GenomeArrays: TypeAlias = dict[str, dict[str, np.ndarray]]  # kind of chromosome -> name -> array


class GeneStore:
    """The arrays of the genomes of a run's individuals.

    Args:
        folder: made with the first array.
        durable: see :func:`evolm.storage.write_atomically`.
    """

    def __init__(self, folder: Path, durable: bool = True) -> None:
        self.folder = folder
        self.durable = durable

    def write(self, search: str, generation: int, individuals: Sequence[Any]) -> None:
        """Keep the arrays of individuals that have any, beside those of the generation that are kept already.

        A budget may end in the middle of a generation, and be raised later. Prompts have no arrays.

        Raises:
            RunError: if the disk refuses, or the file cannot be read.
        """
        arrays = _tensors({each.id: each.genome.arrays() for each in individuals})
        if arrays:
            kept = _tensors(self.read(search, generation))
            write_atomically(self.path(search, generation), save({**kept, **arrays}), self.durable)

    def read(self, search: str, generation: int) -> dict[int, GenomeArrays]:
        """Return id -> kind of chromosome -> name -> array of a generation; empty if none were kept.

        Raises:
            RunError: if the file cannot be read.
        """
        path = self.path(search, generation)
        if not path.exists():
            return {}
        found: dict[int, GenomeArrays] = {}
        with damaged(path, "the genes of a generation"):
            for tensor, array in load(path.read_bytes()).items():
                id, kind, name = tensor.split("/", 2)
                found.setdefault(int(id), {}).setdefault(kind, {})[name] = array
        return found

    def path(self, search: str, generation: int) -> Path:
        """Return the file of a generation's arrays."""
        return self.folder / f"{search}-{generation:05d}.safetensors"


def _tensors(arrays: Mapping[int, Mapping[str, Mapping[str, np.ndarray]]]) -> dict[str, np.ndarray]:
    """Return name of tensor -> array."""
    return {
        f"{id}/{kind}/{name}": np.ascontiguousarray(array)
        for id, kinds in arrays.items()
        for kind, named in kinds.items()
        for name, array in named.items()
    }
