"""The contract of chromosomes: the parts that a genome consists of.

A chromosome is immutable. Operators return new ones. Its ``digest`` is equal for two chromosomes exactly if the model
sees the same of both, so caches, duplicate checks and archives compare digests, never contents. Values that the model
does not see (step sizes, an optimizer's memory) are inherited with it and have no influence on the digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

Arrays = Mapping[str, np.ndarray]


class Chromosome(Protocol):
    """One part of a genome; see the module's contract. Equal chromosomes (``==``) have equal records."""

    @property
    def digest(self) -> str:
        """Hexadecimal digits over everything that the model sees."""

    def distance(self, other: Any) -> float:
        """Return the distance to another chromosome of the same kind, in [0, 1]; 0 for equal digests."""

    def to_record(self) -> dict[str, Any]:
        """Return JSON values and arrays, for checkpoints; :meth:`from_record` reads them back without loss."""

    def summary(self) -> dict[str, Any]:
        """Return JSON values, for the journal and the report: the record without its arrays."""

    def arrays(self) -> Arrays:
        """Return the arrays that a run keeps of every individual beside its summary; empty if there are none."""

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Any:
        """Read back :meth:`to_record`.

        Raises:
            GenomeError: if the record is damaged.
        """

    @classmethod
    def from_summary(cls, summary: Mapping[str, Any], arrays: Arrays) -> Any:
        """Read back :meth:`summary` and :meth:`arrays`; the digest is the same, an optimizer's memory is lost.

        Raises:
            GenomeError: if the summary is damaged or an array is missing.
        """


def content_digest(record: Any) -> str:
    """Return 16 hexadecimal digits over JSON values."""
    text = json.dumps(record, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
