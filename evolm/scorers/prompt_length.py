"""The length of a prompt as an objective: short prompts are cheap to run and easier to read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evolm.genomes import Phenotype
from evolm.scorers.base import Dialogue, Evaluation, ItemTerms, Scorer
from evolm.tasks import Item


class PromptLength(Scorer):
    """Minus the tokens of the prompt, item excluded."""

    decomposable = True

    @property
    def limits(self) -> tuple[float, float]:
        """Minus the model's context length, and 0."""
        return -float(self.scoring.model.context_length), 0.0

    def item_terms(self, evaluation: Evaluation, items: Sequence[Item], all_items: Sequence[Item]) -> ItemTerms:
        """Return the same number for every item; it needs no item to be known."""
        return ItemTerms(evaluation.scores, evaluation.objective, evaluation.objective)

    def dialogue(self, shown: Phenotype, items: Sequence[Item]) -> Dialogue:
        """Count tokens, without a request to the model."""
        yield []
        length = float(self.scoring.prompt_tokens(shown.prompt))
        return Evaluation(np.full(len(items), -length), -length)
