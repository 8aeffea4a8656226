"""What generated text is like, without a target: fluency, relevance to its item, diversity over items.

Made to be several objectives of one campaign (``fitness.combine = "pareto"``): each alone is easily pleased.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from evolm.models import LogLikelihood
from evolm.scorers.base import FLOOR, Dialogue, Evaluation, Scoring, Weighted, scores_within
from evolm.scorers.generation import written
from evolm.scorers.perplexity import alone, per_token
from evolm.tasks import OPEN, Form, Item


class _WrittenText:
    """Base: the genome writes a text per item, and the text is scored; empty texts score ``empty``."""

    Params = Weighted
    forms: ClassVar[tuple[Form, ...]] = OPEN
    needs_gold = False
    empty: ClassVar[float] = FLOOR

    def __init__(self, scoring: Scoring, params: Weighted) -> None:
        self.scoring = scoring

    def describe(self) -> dict[str, Any]:
        """Return nothing: there is nothing to set."""
        return {}

    def _evaluation(self, texts: Sequence[str], of_filled: np.ndarray) -> Evaluation:
        """Put the scores of texts that are not empty in their places."""
        scores = np.full(len(texts), self.empty)
        scores[[index for index, text in enumerate(texts) if text]] = np.maximum(of_filled, FLOOR)
        return Evaluation(scores, float(scores.mean()), texts=tuple(texts))


class Fluency(_WrittenText):
    """Mean log-probability (nats) a token of the written text, without prompt or item before it."""

    limits = (FLOOR, 0.0)
    parts = staticmethod(scores_within(*limits))

    def dialogue(self, genome: Any, items: Sequence[Item]) -> Dialogue:
        """See the class."""
        texts = yield from written(self.scoring, genome, items)
        answers = yield [alone(text) for text in texts if text]
        return self._evaluation(texts, per_token(answers))


class Relevance(_WrittenText):
    """How much likelier the item makes the text: pointwise mutual information (nats) a token.

    log p(text | item) - log p(text), both without the genome's prompt (the scoring of Li 2016,
    https://arxiv.org/abs/1510.03055, with lambda = 1).
    """

    parts = None  # there is no upper bound
    limits = (FLOOR, -FLOOR)  # the upper one is as far out as any that is met

    def dialogue(self, genome: Any, items: Sequence[Item]) -> Dialogue:
        """See the class."""
        template = self.scoring.task.template
        texts = yield from written(self.scoring, genome, items)
        filled = [(text, item) for text, item in zip(texts, items, strict=True) if text]
        behind = [LogLikelihood("", template.item(item.fields), (f" {text}",), chat=False) for text, item in filled]
        answers = yield [*behind, *(alone(text) for text, _ in filled)]
        both = per_token(answers)
        return self._evaluation(texts, both[: len(filled)] - both[len(filled) :])


class Diversity(_WrittenText):
    """Distinct-2: different word pairs over all word pairs of the texts (Li 2016, https://arxiv.org/abs/1510.03055).

    A text's own score is the share of its pairs that no other text has.
    """

    parts = None  # which pairs are distinct depends on all texts
    limits = (0.0, 1.0)
    empty = 0.0

    def dialogue(self, genome: Any, items: Sequence[Item]) -> Dialogue:
        """See the class."""
        texts = yield from written(self.scoring, genome, items)
        pairs = [list(pairwise(text.lower().split())) for text in texts]
        owners = Counter(pair for own in pairs for pair in set(own))
        scores = [float(np.mean([owners[pair] == 1 for pair in own])) if own else self.empty for own in pairs]
        distinct = len(owners) / max(sum(map(len, pairs)), 1)
        return Evaluation(np.array(scores), distinct, texts=texts)


__all__ = ["Diversity", "Fluency", "Relevance"]
