"""P(True): the model is shown its own answer and asked whether it is right.

Kadavath 2022, "Language Models (Mostly) Know What They Know", https://arxiv.org/abs/2207.05221,
section 3. Small models know it badly: the report's audit against gold labels says how badly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from evolm.models import LogLikelihood
from evolm.scorers.base import (
    Dialogue,
    Evaluation,
    Scoring,
    Weighted,
    mean_or_nan,
    scores_within,
)
from evolm.scorers.generation import written
from evolm.scorers.likelihood import about_labels
from evolm.tasks import EVERY_FORM, Form, Item


class JudgeParams(Weighted):
    question: str = Field(
        "\n\nIs the answer above true or false? It is", description="follows the item with its answer"
    )
    verdicts: tuple[str, str] = Field((" true", " false"), description="what may follow the question: yes, no")


class PTrue:
    """Mean probability that the model calls its own answers true.

    The question is asked without the genome's prompt, so that a prompt cannot teach the judge to please it.
    """

    Params = JudgeParams
    forms: ClassVar[tuple[Form, ...]] = EVERY_FORM
    needs_gold = False
    limits = (0.0, 1.0)
    parts = staticmethod(scores_within(*limits))

    def __init__(self, scoring: Scoring, params: JudgeParams) -> None:
        self.scoring, self.params = scoring, params

    def describe(self) -> dict[str, Any]:
        """Return the question."""
        return self.params.model_dump(exclude={"weight"})

    def dialogue(self, genome: Any, items: Sequence[Item]) -> Dialogue:
        """Let the genome answer, then ask about its answers."""
        task = self.scoring.task
        if self.scoring.labels is None:
            texts = list((yield from written(self.scoring, genome, items)))
            about = Evaluation(np.zeros(len(items)), 0.0, texts=tuple(texts))
        else:
            logprobs = yield from self.scoring.labels.ask(genome, items)
            about = about_labels(task, logprobs, items)
            texts = [task.options_of(item)[best] for item, best in zip(items, logprobs.argmax(axis=1), strict=True)]
        template = task.template
        answers = yield [
            LogLikelihood(
                template.item(item.fields, item.options) + template.answer(text) + self.params.question,
                "",
                self.params.verdicts,
            )
            for item, text in zip(items, texts, strict=True)
        ]
        logprobs = np.array([[tokens.sum(dtype=np.float64) for tokens in answer] for answer in answers])
        scores = np.exp(logprobs[:, 0] - np.logaddexp.reduce(logprobs, axis=1))
        scores[list(about.failures)] = np.nan
        return replace(about, scores=scores, objective=mean_or_nan(scores, about.failures))
