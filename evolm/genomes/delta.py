"""A change of the weights as a chromosome: a vector in a :class:`~evolm.genomes.delta_space.DeltaSpace`.

The model sees the vector. *Strategy genes* are inherited with it and have no influence on its digest: the step size
of its mutation, and how it learns (Adam's settings and moments).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from evolm.errors import GenomeError
from evolm.genomes.chromosome import Arrays


def _frozen(values: Any) -> np.ndarray:
    with np.errstate(over="ignore"):  # infinite genes lie outside of every space
        array = np.array(values, dtype=np.float32)
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class Learning:
    """How genes learn by gradient: settings, and Adam's memory (Kingma 2014, https://arxiv.org/abs/1412.6980).

    Attributes:
        rate: learning rate.
        decay: decoupled weight decay (Loshchilov 2017, https://arxiv.org/abs/1711.05101), towards no change.
        steps: gradient steps at a time.
        first: ``(dimension,)`` first moment.
        second: ``(dimension,)`` second moment.
        count: steps taken so far.
        keep: share, or threshold, of the own answers that self-training learns from; 0 = it has not happened yet.
    """

    rate: float
    decay: float
    steps: int
    first: np.ndarray
    second: np.ndarray
    count: int = 0
    keep: float = 0.0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Learning):
            return NotImplemented
        same = self.settings() == other.settings() and np.array_equal(self.first, other.first)
        return same and np.array_equal(self.second, other.second)

    def __hash__(self) -> int:
        return hash(tuple(self.settings().values()))

    def to_record(self) -> dict[str, Any]:
        """Return JSON values and arrays."""
        return {**self.settings(), "first": self.first, "second": self.second}

    def settings(self) -> dict[str, Any]:
        """Return the genes without the memory: JSON values."""
        kept = {"keep": self.keep} if self.keep else {}
        return {"rate": self.rate, "decay": self.decay, "steps": self.steps, "count": self.count, **kept}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Learning:
        """Read back :meth:`to_record`; a damaged one raises KeyError, TypeError or ValueError."""
        return cls(
            float(record["rate"]),
            float(record["decay"]),
            int(record["steps"]),
            _frozen(record["first"]),
            _frozen(record["second"]),
            int(record["count"]),
            float(record.get("keep", 0.0)),
        )


@dataclass(frozen=True, eq=False)
class DeltaGenes:
    """The genes of a delta.

    Attributes:
        genes: ``(dimension,)`` float32, read-only; all 0 = the model is not changed.
        sigma: step size of their mutation, in the genes' own unit; 0 = the space's.
        learning: how they learn; None = they have not learnt yet.
    """

    genes: np.ndarray
    sigma: float = 0.0
    learning: Learning | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "genes", _frozen(self.genes))

    def __eq__(self, other: object) -> bool:
        """Return whether everything that is inherited is equal; equal digests compare the genes alone."""
        if not isinstance(other, DeltaGenes):
            return NotImplemented
        return (self.digest, self.sigma, self.learning) == (other.digest, other.sigma, other.learning)

    def __hash__(self) -> int:
        return hash((self.digest, self.sigma))

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits over the genes."""
        shown = np.ascontiguousarray(self.genes, dtype="<f4") + np.float32(0)  # no negative zeros
        return hashlib.sha256(b"delta" + shown.tobytes()).hexdigest()[:16]

    @property
    def norm(self) -> float:
        """Euclidean length of the genes."""
        return float(np.linalg.norm(self.genes.astype(np.float64)))

    def distance(self, other: DeltaGenes) -> float:
        """Return the Euclidean distance of the genes over the sum of their lengths, in [0, 1]."""
        lengths = self.norm + other.norm
        apart = np.linalg.norm(self.genes.astype(np.float64) - other.genes.astype(np.float64))
        return float(apart) / lengths if lengths else 0.0

    def to_record(self) -> dict[str, Any]:
        """Return JSON values and arrays."""
        learning = self.learning.to_record() if self.learning else None
        return {"genes": self.genes, "sigma": self.sigma, "learning": learning}

    def summary(self) -> dict[str, Any]:
        """Return JSON values: everything but the arrays."""
        learning = self.learning.settings() if self.learning else None
        return {"norm": self.norm, "sigma": self.sigma, "learning": learning}

    def arrays(self) -> Arrays:
        """Return the genes; Adam's moments are not kept."""
        return {"genes": self.genes}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> DeltaGenes:
        """Read back :meth:`to_record`.

        Raises:
            GenomeError: if the record is damaged.
        """
        try:
            learning = record.get("learning")
            kept = Learning.from_record(learning) if learning else None
            return cls(record["genes"], float(record.get("sigma", 0.0)), kept)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise GenomeError(f"a delta's record is damaged: {type(error).__name__} {error}") from None

    @classmethod
    def from_summary(cls, summary: Mapping[str, Any], arrays: Arrays) -> DeltaGenes:
        """Read back :meth:`summary` and the genes; Adam's moments are zero."""
        genes = arrays.get("genes")
        if genes is None:
            raise GenomeError("a delta: expected its genes, found none")
        learning = summary.get("learning")
        if learning and not isinstance(learning, Mapping):
            raise GenomeError(f"a delta's record: expected a table `learning`, found {learning!r:.40}")
        moments = {"first": np.zeros_like(genes), "second": np.zeros_like(genes)}
        return cls.from_record({**summary, "genes": genes, "learning": {**learning, **moments} if learning else None})
