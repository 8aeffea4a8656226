"""Self-consistency: agreement of several sampled answers to the same item.

Wang 2022, "Self-Consistency Improves Chain of Thought Reasoning in Language Models", https://arxiv.org/abs/2203.11171:
answers are sampled and the one that agrees most with the others is taken. Agreement is highest for a model that
always gives the same answer; for tasks with labels, ``mutual_information`` is the safer score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import Field

from evolm.genomes import Phenotype, Prompt
from evolm.models import Generate
from evolm.scorers.base import (
    Dialogue,
    Evaluation,
    MeanOfItems,
    Rewards,
    Scoring,
    Weighted,
    mean_or_nan,
)
from evolm.scorers.likelihood import evaluate_labels
from evolm.tasks import METRICS, OPEN, Item


class ConsistencyParams(Weighted):
    samples: int = Field(5, ge=2, description="answers drawn per item (generation)")
    temperature: float = Field(0.7, gt=0, description="of the draws, unless [generation] sets one")
    agreement: Literal["exact_match", "chrf", "token_f1", "rouge_l"] = Field(
        "exact_match", description="metric by which two answers are compared"
    )


class SelfConsistency(MeanOfItems):
    """Mean agreement of two answers to the same item.

    For generated text, the mean over all pairs of ``samples`` answers; for labels and options in closed form, since
    two draws from p agree with probability sum p^2.
    """

    Params = ConsistencyParams
    limits = (0.0, 1.0)
    reward_forms = OPEN

    def __init__(self, scoring: Scoring, params: ConsistencyParams) -> None:
        super().__init__(scoring, params)
        self.compare = METRICS[params.agreement].compare

    def describe(self) -> dict[str, Any]:
        """Return how answers are drawn and compared."""
        return self.params.model_dump(exclude={"weight"})

    def dialogue(self, shown: Phenotype, items: Sequence[Item]) -> Dialogue:
        """See the class."""
        if self.scoring.labels is None:
            return (yield from self._sampled(shown.prompt, items))
        logprobs = yield from self.scoring.labels.ask(shown, items)
        predictions = evaluate_labels(self.scoring.task, logprobs, items)
        scores = np.exp(2 * logprobs).sum(axis=1)
        return replace(predictions, scores=scores, objective=mean_or_nan(scores, predictions.failures))

    def rewards(self, items: Sequence[Item], answers: Sequence[Sequence[str]]) -> Rewards:
        """Return each sample's mean agreement with the other samples of its item; 0 if there is no other."""
        yield from ()  # a dialogue without requests
        matrices = [self._agreement(list(own)) for own in answers]
        return [(matrix.sum(axis=1) - 1) / max(len(matrix) - 1, 1) for matrix in matrices]

    def _sampled(self, prompt: Prompt, items: Sequence[Item]) -> Dialogue:
        template = self.scoring.task.template
        prefix = prompt.prefix(template)
        decoding = self.scoring.decoding
        drawn = replace(decoding, temperature=decoding.temperature or self.params.temperature)
        answers = yield [
            Generate(prefix, template.item(item.fields), replace(drawn, sample=number), template.system)
            for item in items
            for number in range(self.params.samples)
        ]
        groups = np.array([answer.text for answer in answers], dtype=object).reshape(len(items), -1)
        agreements = [self._agreement(list(group)) for group in groups]
        scores = np.array([float(matrix[~np.eye(len(matrix), dtype=bool)].mean()) for matrix in agreements])
        chosen = tuple(group[matrix.sum(axis=1).argmax()] for group, matrix in zip(groups, agreements, strict=True))
        return Evaluation(scores, float(scores.mean()), texts=chosen)

    def _agreement(self, texts: list[str]) -> np.ndarray:
        """Return ``(samples, samples)`` agreements, 1 on the diagonal; the comparison may be asymmetric."""
        assert self.compare is not None
        return np.array([[1.0 if a == b else self.compare(a, b) for b in texts] for a in texts])
