"""Quality of generated text without a target: fluency, relevance to its item, diversity over items.

Intended as several objectives of one campaign (``fitness.combine = "pareto"``): each alone is easily maximised by
useless texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from evolm.models import LogLikelihood
from evolm.scorers.base import FLOOR, Dialogue, Evaluation, MeanOfItems
from evolm.scorers.generation import TextScorer
from evolm.scorers.perplexity import per_token, unconditional
from evolm.tasks import Item


def _evaluation(texts: Sequence[str], scores_of_filled: np.ndarray) -> Evaluation:
    """Return the evaluation of texts from the scores of those that are not empty; an empty text scores ``FLOOR``."""
    scores = np.full(len(texts), FLOOR)
    scores[[index for index, text in enumerate(texts) if text]] = np.maximum(scores_of_filled, FLOOR)
    return Evaluation(scores, float(scores.mean()), texts=tuple(texts))


class Fluency(TextScorer, MeanOfItems):
    """Mean log-probability (nats) per token of the generated text, without prompt or item before it."""

    limits = (FLOOR, 0.0)

    def judge(self, items: Sequence[Item], texts: Sequence[str]) -> Dialogue:
        """See the class."""
        answers = yield [unconditional(text) for text in texts if text]
        return _evaluation(texts, per_token(answers))


class Relevance(TextScorer):
    """Pointwise mutual information (nats) per token of item and text: how much likelier the item makes the text.

    log p(text | item) - log p(text), both without the genome's prompt (the scoring of Li 2016,
    https://arxiv.org/abs/1510.03055, with lambda = 1). Not decomposable: it has no upper bound.
    """

    limits = (FLOOR, -FLOOR)  # the upper limit lies beyond any value that occurs

    def judge(self, items: Sequence[Item], texts: Sequence[str]) -> Dialogue:
        """See the class."""
        template = self.scoring.task.template
        filled = [(text, item) for text, item in zip(texts, items, strict=True) if text]
        behind = [LogLikelihood("", template.item(item.fields), (f" {text}",), chat=False) for text, item in filled]
        answers = yield [*behind, *(unconditional(text) for text, _ in filled)]
        both = per_token(answers)
        return _evaluation(texts, both[: len(filled)] - both[len(filled) :])


class Diversity(TextScorer):
    """Distinct-2: different word pairs over all word pairs of the texts (Li 2016, https://arxiv.org/abs/1510.03055).

    The per-item score is the share of the text's pairs that no other text has, 0 for a text without pairs. Not
    decomposable: which pairs are distinct depends on all texts.
    """

    limits = (0.0, 1.0)

    def judge(self, items: Sequence[Item], texts: Sequence[str]) -> Dialogue:
        """See the class."""
        yield from ()  # a dialogue without requests
        pairs = [list(pairwise(text.lower().split())) for text in texts]
        owners = Counter(pair for own in pairs for pair in set(own))
        scores = [float(np.mean([owners[pair] == 1 for pair in own])) if own else 0.0 for own in pairs]
        distinct = len(owners) / max(sum(map(len, pairs)), 1)
        return Evaluation(np.array(scores), distinct, texts=tuple(texts))


__all__ = ["Diversity", "Fluency", "Relevance"]
