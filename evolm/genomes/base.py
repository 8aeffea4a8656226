"""What every genome is: immutable, JSON-serialisable, known by a stable digest."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Protocol


class Genome(Protocol):
    """What is inherited.

    A genome never changes; operators return new ones. ``digest`` is equal exactly where the model sees the
    same thing, so the answer cache, duplicate checks and DEAP's archives compare digests, never contents.
    """

    kind: str

    @property
    def digest(self) -> str:
        """16 hexadecimal digits over the expressed part."""

    def to_record(self) -> dict[str, Any]:
        """Return JSON values that :func:`evolm.genomes.from_record` reads back."""

    def parts(self) -> frozenset[str]:
        """Return the pieces whose overlap (Jaccard) measures how alike two genomes are."""


def content_digest(record: Any) -> str:
    """Return 16 hexadecimal digits over JSON values."""
    text = json.dumps(record, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def diversity(genomes: list[Genome]) -> float:
    """Return the mean Jaccard distance between all pairs of genomes, in [0, 1]; 0 for fewer than two."""
    parts = [genome.parts() for genome in genomes]
    distances = [1 - len(a & b) / max(len(a | b), 1) for index, a in enumerate(parts) for b in parts[index + 1 :]]
    return sum(distances) / len(distances) if distances else 0.0
