"""What the model sees of a genome of any kind."""

from __future__ import annotations

from dataclasses import dataclass

from evolm.genomes.prompt import PromptGenome
from evolm.models.deltas import Delta


@dataclass(frozen=True)
class Expression:
    """A prompt, and what is changed in the model while it reads it; None = nothing."""

    prompt: PromptGenome
    delta: Delta | None = None


class AsTheyAre:
    """A space of prompts about which nothing is known but that they stand for themselves."""

    def express(self, genome: PromptGenome) -> Expression:
        """Return what the model sees of a prompt."""
        return Expression(genome)
