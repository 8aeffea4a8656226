"""A prompt and a change of the weights together: they inherit, cross over and mutate as one individual."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

from evolm.errors import GenomeError
from evolm.genomes.base import content_digest
from evolm.genomes.delta import DeltaGenome
from evolm.genomes.prompt import PromptGenome

PROMPT, DELTA = "prompt", "delta"


@dataclass(frozen=True)
class HybridGenome:
    """A prompt and a delta."""

    prompt: PromptGenome
    delta: DeltaGenome

    kind: ClassVar[str] = "hybrid"

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits over both digests."""
        return content_digest([self.prompt.digest, self.delta.digest])

    def distance(self, other: HybridGenome) -> float:
        """Return the mean of both parts' distances, in [0, 1]."""
        return (self.prompt.distance(other.prompt) + self.delta.distance(other.delta)) / 2

    def part(self, name: str) -> Any:
        """Return ``"prompt"`` or ``"delta"``."""
        return self.prompt if name == PROMPT else self.delta

    def with_part(self, name: str, part: Any) -> HybridGenome:
        """Return the genome with another prompt or delta."""
        return replace(self, **{name: part})

    def to_record(self) -> dict[str, Any]:
        """Return JSON values and arrays."""
        return {"kind": self.kind, PROMPT: self.prompt.to_record(), DELTA: self.delta.to_record()}

    def summary(self) -> dict[str, Any]:
        """Return JSON values: everything but the arrays."""
        return {"kind": self.kind, PROMPT: self.prompt.to_record(), DELTA: self.delta.summary()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> HybridGenome:
        """Read back :meth:`to_record`.

        Raises:
            GenomeError: if the record is not one of a hybrid.
        """
        try:
            return cls(PromptGenome.from_record(record[PROMPT]), DeltaGenome.from_record(record[DELTA]))
        except (KeyError, TypeError) as error:
            raise GenomeError(f"a hybrid genome's record is damaged: {type(error).__name__} {error}") from None
