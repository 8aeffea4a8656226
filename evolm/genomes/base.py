"""What every genome is: immutable, plain data, known by a stable digest."""

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
        """Return JSON values and arrays that :func:`evolm.genomes.from_record` reads back."""

    def summary(self) -> dict[str, Any]:
        """Return the record without its arrays: what journals and people are shown."""

    def distance(self, other: Any) -> float:
        """Return how unlike another genome of its kind it is, in [0, 1]."""


def content_digest(record: Any) -> str:
    """Return 16 hexadecimal digits over JSON values."""
    text = json.dumps(record, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def diversity(genomes: list[Genome]) -> float:
    """Return the mean distance between all pairs of genomes, in [0, 1]; 0 for fewer than two."""
    distances = [a.distance(b) for index, a in enumerate(genomes) for b in genomes[index + 1 :]]
    return sum(distances) / len(distances) if distances else 0.0
