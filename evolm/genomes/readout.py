"""A readout as a chromosome: how a label is read off the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any

from evolm.config import ReadoutSpaceSection
from evolm.errors import GenomeError
from evolm.genomes.chromosome import Arrays, content_digest
from evolm.models.requests import POOLINGS
from evolm.readout_kinds import WORDS

AUTO = "auto"  # the pooling that is both, side by side
_DEFAULTS = ReadoutSpaceSection()


@dataclass(frozen=True)
class Readout:
    """How a label is read off the model's answers.

    What is fitted is not inherited: it follows from the genome and the train rows.

    Attributes:
        kind: a name in ``KINDS_OF_READOUTS``.
        layer: the layer whose states are read, the first is 1; 0 = those of all ``layers``, side by side.
        pooling: ``"last"``, ``"mean"``, or ``"auto"`` = both, side by side.
        strength: of the penalty; 0 = the fit chooses.
        layers: all layers whose states are asked for, the same for all genomes of a campaign, so that genomes that
            differ only in their readout share one pass. Empty for kinds that read no states.
        rows: most train rows that are fitted on.
        refit: whether all rows but those of the test split are fitted on. Genomes that a search scores on dev rows
            never have it.
    """

    kind: str = WORDS
    layer: int = 0
    pooling: str = AUTO
    strength: float = 0.0
    layers: tuple[int, ...] = ()
    rows: int = _DEFAULTS.rows
    refit: bool = False

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits over the record."""
        return content_digest(self.to_record())

    def distance(self, other: Readout) -> float:
        """Return 1 for another kind, else the share of genes that differ, in [0, 1]."""
        if self.kind != other.kind:
            return 1.0
        names = [field.name for field in fields(self) if field.name != "kind"]
        return sum(getattr(self, name) != getattr(other, name) for name in names) / len(names)

    def fitted(self, strength: float) -> Readout:
        """Return the readout with the strength that its fit chose; it asks for no layer that is not read."""
        return replace(self, strength=strength, layers=(self.layer,) if self.layer else self.layers)

    @property
    def poolings(self) -> tuple[str, ...]:
        """The poolings that are read, in order; nothing for kinds that read no states."""
        if not self.layers:
            return ()
        return POOLINGS if self.pooling == AUTO else (self.pooling,)

    @property
    def open(self) -> Readout:
        """The readout that asks the model for the same, with every gene left open that may be."""
        return replace(self, layer=0, pooling=AUTO if len(self.layers) != 1 else self.pooling, strength=0.0)

    def summary(self) -> dict[str, Any]:
        """Return the whole record; it has no arrays."""
        return self.to_record()

    def arrays(self) -> Arrays:
        """Return nothing."""
        return {}

    def to_record(self) -> dict[str, Any]:
        """Return JSON values."""
        return {**asdict(self), "layers": list(self.layers)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Readout:
        """Read back :meth:`to_record`.

        Raises:
            GenomeError: if the record is damaged.
        """
        try:
            found = {name: type(value)(record[name]) for name, value in asdict(cls()).items()}
            return cls(**{**found, "layers": tuple(int(layer) for layer in found["layers"])})
        except (KeyError, TypeError, ValueError) as error:
            raise GenomeError(f"a readout's record is damaged: {type(error).__name__} {error}") from None

    @classmethod
    def from_summary(cls, summary: Mapping[str, Any], arrays: Arrays) -> Readout:
        """Read back :meth:`summary`."""
        return cls.from_record(summary)
