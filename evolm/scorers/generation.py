"""Generated text against its target: exact match and chrF."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, ClassVar

import numpy as np

from evolm.models import Generate, Generated, Request
from evolm.scorers.base import Dialogue, Evaluation, Scoring, Weighted, mean_or_nan, scores_within
from evolm.tasks import METRICS, OPEN, Form, Item


def written(
    scoring: Scoring, genome: Any, items: Sequence[Item]
) -> Generator[Sequence[Request], list[Any], tuple[str, ...]]:
    """Let the genome answer every item; return the ``n`` texts."""
    template = scoring.task.template
    prefix = genome.prefix(template)
    answers: list[Generated] = yield [
        Generate(prefix, template.item(item.fields), scoring.decoding, template.system) for item in items
    ]
    return tuple(answer.text for answer in answers)


class TextMatch:
    """Mean agreement of the written text with the target; equal means are told apart by chrF.

    Attributes:
        metric: name of the comparison in ``METRICS``.
    """

    Params = Weighted
    forms: ClassVar[tuple[Form, ...]] = OPEN
    needs_gold = True
    limits = (0.0, 1.0)
    parts = staticmethod(scores_within(*limits))
    metric: ClassVar[str]

    def __init__(self, scoring: Scoring, params: Weighted) -> None:
        self.scoring = scoring

    def describe(self) -> dict[str, Any]:
        """Return how text is written."""
        decoding = self.scoring.decoding
        return {"max_new_tokens": decoding.max_new_tokens, "stop_strings": list(decoding.stop_strings)}

    def dialogue(self, genome: Any, items: Sequence[Item]) -> Dialogue:
        """See the class."""
        texts = yield from written(self.scoring, genome, items)
        scores = self._compared(self.metric, texts, items)
        closeness = scores if self.metric == "chrf" else self._compared("chrf", texts, items)
        metric = METRICS[self.metric].function(scores, np.zeros(len(items), dtype=int), 0)
        return Evaluation(
            scores=scores,
            objective=mean_or_nan(scores, {}),
            outcomes=scores,
            score=metric,
            tie_break=float(closeness.mean()),
            texts=texts,
        )

    @staticmethod
    def _compared(metric: str, texts: Sequence[str], items: Sequence[Item]) -> np.ndarray:
        compare = METRICS[metric].compare
        assert compare is not None
        return np.array([compare(text, item.gold or "") for text, item in zip(texts, items, strict=True)])


class ExactMatch(TextMatch):
    """Share of items whose written text is the target, case and white space aside."""

    metric = "exact_match"


class Chrf(TextMatch):
    """Mean chrF (Popović 2015) of written text and target, in [0, 1]."""

    metric = "chrf"
