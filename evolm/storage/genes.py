"""Vectors of genes of a whole run: a safetensors file per search and generation, read by individual's id.

The journal names individuals and says everything about them but their vectors. A file is written before the
journal's entries; one that a killed run left behind is written again, with the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from evolm.errors import RunError
from evolm.storage.layout import write_atomically


class GeneStore:
    """The vectors of a run's individuals.

    Args:
        folder: made with the first vector.
        durable: see :func:`evolm.storage.write_atomically`.
    """

    def __init__(self, folder: Path, durable: bool = True) -> None:
        self.folder = folder
        self.durable = durable

    def write(self, search: str, generation: int, individuals: Sequence[Any]) -> None:
        """Keep the vectors of individuals that have one, beside those of its generation that are kept already.

        A budget may end in the middle of a generation, and more of it be asked for later. Prompts have no vectors.

        Raises:
            RunError: if the disk refuses, or what is kept cannot be read.
        """
        vectors = {str(each.id): genes for each in individuals if (genes := genes_of(each.genome)) is not None}
        if vectors:
            kept = {str(id): genes for id, genes in self.read(search, generation).items()}
            write_atomically(self._path(search, generation), save({**kept, **vectors}), self.durable)

    def read(self, search: str, generation: int) -> dict[int, np.ndarray]:
        """Return id -> genes of a generation; empty where none were kept.

        Raises:
            RunError: if the file cannot be read.
        """
        path = self._path(search, generation)
        if not path.exists():
            return {}
        try:
            return {int(name): vector for name, vector in load(path.read_bytes()).items()}
        except (OSError, ValueError, SafetensorError) as error:
            raise RunError(f"{path}: the genes cannot be read: {error}") from None

    def _path(self, search: str, generation: int) -> Path:
        return self.folder / f"{search}-{generation:05d}.safetensors"


def genes_of(genome: Any) -> np.ndarray | None:
    """Return a genome's vector, of a hybrid that of its delta; None of a prompt."""
    return getattr(getattr(genome, "delta", genome), "genes", None)
