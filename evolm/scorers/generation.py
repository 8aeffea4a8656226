"""Generated text, how it is made and judged; against its target: exact match, chrF, token F1 and ROUGE-L."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from evolm.genomes import Phenotype, Prompt
from evolm.models import Dialogue as DialogueOf
from evolm.models import Generate, Generated
from evolm.scorers.base import (
    Dialogue,
    Evaluation,
    MeanOfItems,
    Rewards,
    Scorer,
    Scoring,
    flat,
    grouped,
    mean_or_nan,
)
from evolm.scorers.refinement import refined
from evolm.tasks import EVERY_FORM, METRICS, OPEN, Form, Item


def generate_texts(scoring: Scoring, prompt: Prompt, items: Sequence[Item]) -> DialogueOf[tuple[str, ...]]:
    """Generate one text per item behind the prompt, refined if the campaign says so; return the ``n`` texts."""
    template = scoring.task.template
    prefix = prompt.prefix(template)
    answers: list[Generated] = yield [
        Generate(prefix, template.item(item.fields), scoring.decoding, template.system) for item in items
    ]
    texts = tuple(answer.text for answer in answers)
    for _ in range(scoring.refine):
        texts = yield from refined(scoring, prompt, items, texts)
    return texts


class TextScorer(Scorer):
    """Base of scorers that judge texts: a genome's are generated; samples are rewarded by their scores."""

    forms: ClassVar[tuple[Form, ...]] = OPEN
    reward_forms: ClassVar[tuple[Form, ...]] = OPEN

    def dialogue(self, shown: Phenotype, items: Sequence[Item]) -> Dialogue:
        """Generate one text per item, and judge the texts."""
        texts = yield from generate_texts(self.scoring, shown.prompt, items)
        return (yield from self.judge(items, texts))

    def rewards(self, items: Sequence[Item], answers: Sequence[Sequence[str]]) -> Rewards:
        """Judge all answers together; an item counts once for each of its answers."""
        evaluation = yield from self.judge(*flat(items, answers))
        return grouped(evaluation.scores, answers)

    @abstractmethod
    def judge(self, items: Sequence[Item], texts: Sequence[str]) -> Dialogue:
        """Return the evaluation of texts, one per item; the same item may occur several times."""


class TextMatch(TextScorer, MeanOfItems):
    """Mean agreement of the generated text with the target; chrF breaks ties.

    Attributes:
        metric: name of the comparison in ``METRICS``.
    """

    needs_gold = True
    limits = (0.0, 1.0)
    metric: ClassVar[str]

    def describe(self) -> dict[str, Any]:
        """Return how text is generated."""
        decoding = self.scoring.decoding
        return {"max_new_tokens": decoding.max_new_tokens, "stop_strings": list(decoding.stop_strings)}

    def judge(self, items: Sequence[Item], texts: Sequence[str]) -> Dialogue:
        """See the class."""
        yield from ()  # a dialogue without requests
        scores = self._similarities(self.metric, texts, items)
        chrf = scores if self.metric == "chrf" else self._similarities("chrf", texts, items)
        metric = METRICS[self.metric].function(scores, np.zeros(len(items), dtype=int), 0)
        return Evaluation(
            scores=scores,
            objective=mean_or_nan(scores, {}),
            outcomes=scores,
            score=metric,
            tie_break=float(chrf.mean()),
            texts=tuple(texts),
        )

    @staticmethod
    def _similarities(metric: str, texts: Sequence[str], items: Sequence[Item]) -> np.ndarray:
        """Return ``(n,)`` similarities of texts and targets."""
        compare = METRICS[metric].compare
        assert compare is not None
        return np.array([compare(text, item.gold or "") for text, item in zip(texts, items, strict=True)])


class ExactMatch(TextMatch):
    """Share of items whose generated text equals the target, ignoring case and white space."""

    reward_forms = EVERY_FORM  # of labels and options, the reward of the gold one is 1
    metric = "exact_match"


class Chrf(TextMatch):
    """Mean chrF (Popović 2015) of generated text and target, in [0, 1]."""

    metric = "chrf"


class TokenF1(TextMatch):
    """Mean F1 of the words of generated text and target, as in SQuAD (Rajpurkar 2016), in [0, 1]."""

    metric = "token_f1"


class RougeL(TextMatch):
    """Mean ROUGE-L F1 (Lin 2004) of generated text and target, in [0, 1]."""

    metric = "rouge_l"
