"""P(True): the probability that the model calls its own answer true.

Kadavath 2022, "Language Models (Mostly) Know What They Know", https://arxiv.org/abs/2207.05221,
section 3. For small models the score correlates weakly with the truth; the report's audit against gold labels shows
the correlation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import Field

from evolm.genomes import Phenotype
from evolm.models import Dialogue as DialogueOf
from evolm.models import LogLikelihood
from evolm.scorers.base import (
    Dialogue,
    Evaluation,
    MeanOfItems,
    Rewards,
    Weighted,
    flat,
    grouped,
    mean_or_nan,
)
from evolm.scorers.generation import generate_texts
from evolm.scorers.likelihood import evaluate_labels
from evolm.tasks import EVERY_FORM, Item


class PTrueParams(Weighted):
    question: str = Field(
        "\n\nIs the answer above true or false? It is", description="follows the item with its answer"
    )
    verdicts: tuple[str, str] = Field((" true", " false"), description="the two answers to the question: yes, no")


class PTrue(MeanOfItems):
    """Mean probability that the model calls its own answers true.

    The question is asked without the genome's prompt, so that the prompt cannot influence the verdict.
    """

    Params = PTrueParams
    limits = (0.0, 1.0)
    reward_forms = EVERY_FORM

    def describe(self) -> dict[str, Any]:
        """Return the question."""
        return self.params.model_dump(exclude={"weight"})

    def dialogue(self, shown: Phenotype, items: Sequence[Item]) -> Dialogue:
        """Let the genome answer, then ask about its answers."""
        task = self.scoring.task
        if self.scoring.labels is None:
            texts = list((yield from generate_texts(self.scoring, shown.prompt, items)))
            predictions = Evaluation(np.zeros(len(items)), 0.0, texts=tuple(texts))
        else:
            logprobs = yield from self.scoring.labels.ask(shown, items)
            predictions = evaluate_labels(task, logprobs, items)
            texts = [task.options_of(item)[best] for item, best in zip(items, logprobs.argmax(axis=1), strict=True)]
        scores = yield from self._verdicts(items, texts)
        scores[list(predictions.failures)] = np.nan
        return replace(predictions, scores=scores, objective=mean_or_nan(scores, predictions.failures))

    def rewards(self, items: Sequence[Item], answers: Sequence[Sequence[str]]) -> Rewards:
        """Return the probability that each answer is called true."""
        return grouped((yield from self._verdicts(*flat(items, answers))), answers)

    def _verdicts(self, items: Sequence[Item], texts: Sequence[str]) -> DialogueOf[np.ndarray]:
        """Return the ``(n,)`` probabilities that answers are called true."""
        template = self.scoring.task.template
        answers = yield [
            LogLikelihood(
                template.item(item.fields, item.options) + template.answer(text) + self.params.question,
                "",
                self.params.verdicts,
            )
            for item, text in zip(items, texts, strict=True)
        ]
        logprobs = np.array([[tokens.sum(dtype=np.float64) for tokens in answer] for answer in answers])
        return np.exp(logprobs[:, 0] - np.logaddexp.reduce(logprobs, axis=1))
