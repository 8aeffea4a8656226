"""Similarity of a generated text to its target, in [0, 1]."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from evolm.tasks.items import canonical, normalised

if TYPE_CHECKING:
    from sacrebleu.metrics.chrf import CHRF


def exact_match(prediction: str, target: str) -> float:
    """Return 1.0 if the texts are equal but for case and white space, else 0.0."""
    return float(normalised(prediction) == normalised(target))


def chrf(prediction: str, target: str) -> float:
    """Return the sentence's chrF2: the F-score, recall counted double, of character n-grams up to six letters.

    Popović 2015 (https://aclanthology.org/W15-3049/), with the settings of sacrebleu (its signature
    ``nc:6|nw:0|space:no|eff:yes``): white space is ignored, case is not. Both texts are brought to one Unicode form.
    """
    return float(_sentence_chrf().sentence_score(canonical(prediction), [canonical(target)]).score) / 100


@cache
def _sentence_chrf() -> CHRF:
    from sacrebleu.metrics.chrf import CHRF  # takes a fifth of a second, so only this metric imports it

    return CHRF()
