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
from evolm.tasks import EVERY_FORM, Item, Task


class PTrueParams(Weighted):
    question: str = Field(
        "\n\nIs the answer above true or false? It is", description="follows the item with its answer"
    )
    verdicts: tuple[str, str] = Field((" true", " false"), description="the two answers to the question: yes, no")


def p_true(task: Task, params: PTrueParams, items: Sequence[Item], answers: Sequence[str]) -> DialogueOf[np.ndarray]:
    """Ask whether answers are true; return the ``(n,)`` probabilities that the model says yes.

    The question is asked without the genome's prompt, so that the prompt cannot influence the verdict.
    """
    template = task.template
    replies = yield [
        LogLikelihood(
            template.item(item.fields, item.options) + template.answer(answer) + params.question,
            "",
            params.verdicts,
        )
        for item, answer in zip(items, answers, strict=True)
    ]
    logprobs = np.array([[tokens.sum(dtype=np.float64) for tokens in reply] for reply in replies])
    return np.asarray(np.exp(logprobs[:, 0] - np.logaddexp.reduce(logprobs, axis=1)))


class PTrue(MeanOfItems):
    """Mean probability that the model calls its own answers true."""

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
        scores = yield from p_true(task, self.params, items, texts)
        scores[list(predictions.failures)] = np.nan
        return replace(predictions, scores=scores, objective=mean_or_nan(scores, predictions.failures))

    def rewards(self, items: Sequence[Item], answers: Sequence[Sequence[str]]) -> Rewards:
        """Return the probability that each answer is called true."""
        return grouped((yield from p_true(self.scoring.task, self.params, *flat(items, answers))), answers)
