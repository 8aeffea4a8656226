"""The length of a prompt as an objective: short prompts are cheap to run and easier to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from evolm.scorers.base import Dialogue, Evaluation, ItemTerms, Scoring, Weighted
from evolm.tasks import EVERY_FORM, Form, Item


class PromptLength:
    """Minus the tokens of the prompt, item excluded."""

    Params = Weighted
    forms: ClassVar[tuple[Form, ...]] = EVERY_FORM
    needs_gold = False

    def __init__(self, scoring: Scoring, params: Weighted) -> None:
        self.tokens = scoring.prompt_tokens
        self.limits = (-float(scoring.model.context_length), 0.0)

    @staticmethod
    def parts(evaluation: Evaluation, items: Sequence[Item], everything: Sequence[Item]) -> ItemTerms:
        """Return the same number for every item, which is known before any is seen."""
        return ItemTerms(evaluation.scores, evaluation.objective, evaluation.objective)

    def describe(self) -> dict[str, Any]:
        """Return nothing: there is nothing to set."""
        return {}

    def dialogue(self, genome: Any, items: Sequence[Item]) -> Dialogue:
        """Ask nothing."""
        yield []
        length = float(self.tokens(genome))
        return Evaluation(np.full(len(items), -length), -length)
