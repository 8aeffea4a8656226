"""Where hybrids live: a space of prompts and one of deltas."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from evolm.genomes.delta_space import DeltaSpace
from evolm.genomes.expression import Expression
from evolm.genomes.hybrid import PROMPT, HybridGenome
from evolm.genomes.prompt import PromptGenome
from evolm.genomes.prompt_space import PromptSpace


@dataclass(frozen=True)
class HybridSpace:
    """A space of prompts and one of deltas."""

    prompts: PromptSpace
    deltas: DeltaSpace

    genome: ClassVar[str] = HybridGenome.kind

    def part(self, name: str) -> Any:
        """Return the space of ``"prompt"`` or ``"delta"``."""
        return self.prompts if name == PROMPT else self.deltas

    def express(self, genome: Any) -> Expression:
        """Return what the model sees; a prompt stands for itself."""
        if isinstance(genome, PromptGenome):
            return Expression(genome)
        return Expression(genome.prompt, self.deltas.delta(genome.delta))

    def with_prompt(self, genome: HybridGenome, prompt: PromptGenome) -> HybridGenome:
        """Return a genome with another prompt."""
        return replace(genome, prompt=prompt)

    def tokens(self, genome: Any) -> int:
        """Return the length of a genome's prompt in tokens."""
        return self.prompts.tokens(self.express(genome).prompt)

    def of_prompt(self, prompt: PromptGenome) -> HybridGenome:
        """Return a prompt with a delta that changes nothing."""
        return HybridGenome(prompt, self.deltas.zero())

    def random(self, rng: np.random.Generator) -> HybridGenome:
        """Draw a prompt and a delta."""
        return HybridGenome(self.prompts.random(rng), self.deltas.random(rng))

    def outside(self, genome: HybridGenome) -> str:
        """Return why a genome is not in this space, or ``""``."""
        return self.prompts.outside(genome.prompt) or self.deltas.outside(genome.delta)
