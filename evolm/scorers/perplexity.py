"""Perplexity: of the gold answer behind a prompt, or of the prompt itself.

Prompts of low perplexity tend to work better, and that needs no gold labels: Gonen 2022, "Demystifying
Prompts in Language Models via Perplexity Estimation", https://arxiv.org/abs/2212.04037.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field

from evolm.genomes import Phenotype, Prompt
from evolm.models import LogLikelihood, LogProbs
from evolm.scorers.base import (
    FLOOR,
    Dialogue,
    Evaluation,
    ItemTerms,
    Scorer,
    Weighted,
)
from evolm.tasks import KINDS, Item

NEUTRAL = "Text:"  # a context of at least one token is needed


class PerplexityParams(Weighted):
    of: Literal["answer", "prompt"] = Field(
        "answer", description="answer = the gold answer behind the prompt; prompt = prompt and item, no gold needed"
    )


def per_token(answers: Sequence[LogProbs]) -> np.ndarray:
    """Return ``(n,)`` mean log-probabilities (nats) per token of each request's only continuation."""
    return np.array([answer[0].mean(dtype=np.float64) for answer in answers])


def unconditional(text: str) -> LogLikelihood:
    """Return the request for the log-probability of a text without prompt or item."""
    return LogLikelihood("", NEUTRAL, (f" {text.strip()}",), chat=False)


class Perplexity(Scorer):
    """Negative logarithm of perplexity: the mean log-probability (nats) per token, so that higher is better."""

    Params = PerplexityParams
    limits = (FLOOR, 0.0)
    decomposable = True

    @property
    def needs_gold(self) -> bool:
        """Whether it is the perplexity of the gold answer."""
        return bool(self.params.of == "answer")

    def item_terms(self, evaluation: Evaluation, items: Sequence[Item], all_items: Sequence[Item]) -> ItemTerms:
        """Return the log-probabilities, those below the floor raised to it."""
        return ItemTerms(np.maximum(evaluation.scores, FLOOR), FLOOR, 0.0)

    def describe(self) -> dict[str, Any]:
        """Return which text's perplexity it is."""
        return {"of": self.params.of}

    def dialogue(self, shown: Phenotype, items: Sequence[Item]) -> Dialogue:
        """See the class."""
        task = self.scoring.task
        asked = [self._request(shown.prompt, item) for item in items]
        scores = per_token((yield asked))
        failures = {int(i): "the model's log-probabilities are not finite" for i in np.flatnonzero(np.isnan(scores))}
        mean = float("nan") if failures else float(np.maximum(scores, FLOOR).mean())
        predicts = self.params.of == "answer" and KINDS[task.kind].open
        return Evaluation(
            scores=scores,
            objective=mean,
            outcomes=scores if predicts else None,
            score=task.metric_of(scores, items) if predicts and task.metric == "perplexity" else float("nan"),
            measures={"perplexity": float(np.exp(-mean))},
            failures=failures,
        )

    def _request(self, prompt: Prompt, item: Item) -> LogLikelihood:
        template = self.scoring.task.template
        prefix, shown = prompt.prefix(template), template.item(item.fields, item.options)
        if self.params.of == "prompt":
            return unconditional(prefix + shown)
        gold = item.gold or ""
        index = item.options.index(gold) if item.options else None
        return LogLikelihood(prefix, shown, (template.answer(prompt.word(gold), index),), template.system)
